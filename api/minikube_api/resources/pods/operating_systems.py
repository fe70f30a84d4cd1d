"""What a pod may say when it names its operating system, and the options of Windows containers.

Source: validateOS, validateLinux, validateWindows, validateWindowsSecurityContextOptions, validateWindowsHostProcessPod.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import Errors, named

Object = dict[str, Any]

_NOT_WINDOWS = "cannot be set for a windows pod"
_NOT_LINUX = "windows options cannot be set for a linux pod"
#: fields of the pod, of its security context and of its containers' that Windows does not have
_POD_FIELDS = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
_CONTEXT_FIELDS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser", "runAsGroup",
    "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_CONTAINER_FIELDS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip
MAX_CREDENTIALS = 64 * 1024
MAX_DOMAIN, MAX_USER = 256, 104

_control_re = re.compile(r"[\x00-\x1f\x7f]")
_domain_netbios_re = re.compile(r'[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}')
_domain_dns_re = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-]*(\.[a-zA-Z0-9\-]+)*(\.)?|[a-zA-Z0-9\.\-]+")
_user_re = re.compile(r'[^"/\\:;|=,\+\*\?<>@\[\]]+')
_dots_re = re.compile(r"[\. ]+")


def os(spec: Object, path: str) -> Errors:
    name, at = spec["os"].get("name"), f"{path}.os"
    if not name:
        return [err.required(f"{at}.name", "cannot be empty")]
    if name == "linux":
        return _linux(spec, path)
    return _windows(spec, path) if name == "windows" else [err.not_supported(at, name, ("linux", "windows"))]


def _contexts(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, one in enumerate(spec.get(kind) or ()):
            if one.get("securityContext"):
                yield one["securityContext"], f"{path}.{kind}[{i}].securityContext"


def _linux(spec: Object, path: str) -> Errors:
    own = (spec.get("securityContext") or {}, f"{path}.securityContext")
    found = [at for tree, at in (own, *_contexts(spec, path)) if tree.get("windowsOptions") is not None]
    return [err.forbidden(f"{at}.windowsOptions", _NOT_LINUX) for at in found]


def _windows(spec: Object, path: str) -> Errors:
    errors: Errors = [
        err.forbidden(f"{path}.{field}", _NOT_WINDOWS)
        for field in _POD_FIELDS
        if spec.get(field) or (field in ("hostUsers", "shareProcessNamespace") and spec.get(field) is not None)
    ]
    own = spec.get("securityContext") or {}
    errors += [
        err.forbidden(f"{path}.securityContext.{f}", _NOT_WINDOWS) for f in _CONTEXT_FIELDS if own.get(f) not in (None, [])
    ]
    for tree, at in _contexts(spec, path):
        errors += [err.forbidden(f"{at}.{f}", _NOT_WINDOWS) for f in _CONTAINER_FIELDS if tree.get(f) is not None]
    return errors


def windows_options(tree: Object, path: str) -> Errors:
    errors: Errors = []
    if (name := tree.get("gmsaCredentialSpecName")) is not None:
        errors += named(name, f"{path}.gmsaCredentialSpecName", names.dns1123_subdomain)
    if (credentials := tree.get("gmsaCredentialSpec")) is not None:
        at = f"{path}.gmsaCredentialSpec"
        if not credentials:
            errors.append(err.invalid(at, credentials, "gmsaCredentialSpec cannot be an empty string"))
        elif len(credentials.encode()) > MAX_CREDENTIALS:
            errors.append(err.invalid(at, credentials, "gmsaCredentialSpec size must be under 64 KiB"))
    if (user := tree.get("runAsUserName")) is not None:
        errors += [err.invalid(f"{path}.runAsUserName", user, text) for text in _user_name(user)]
    return errors


def _user_name(value: str) -> list[str]:
    if not value:
        return ["runAsUserName cannot be an empty string"]
    if _control_re.search(value):
        return ["runAsUserName cannot contain control characters"]
    parts = value.split("\\")
    if len(parts) > 2:
        return ["runAsUserName cannot contain more than one backslash"]
    user, found = parts[-1], []
    if len(parts) == 2:
        domain = parts[0]
        if len(domain) >= MAX_DOMAIN:
            found.append("runAsUserName's Domain length must be under 256 characters")
        if not (_domain_netbios_re.fullmatch(domain) or _domain_dns_re.fullmatch(domain)):
            found.append("runAsUserName's Domain doesn't match the NetBIOS nor the DNS format")
    if not user:
        found.append("runAsUserName's User cannot be empty")
    elif len(user) > MAX_USER:
        found.append("runAsUserName's User length must not be longer than 104 characters")
    if user and not _user_re.fullmatch(user):
        found.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    if user and _dots_re.fullmatch(user):
        found.append("runAsUserName's User cannot contain only periods or spaces")
    return found


def host_process(spec: Object, path: str) -> Errors:
    """Containers of a HostProcess pod all are, and share the host's network."""
    own = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    all_of = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ()), *(spec.get("ephemeralContainers") or ())]
    given = [((one.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess") for one in all_of]
    errors: Errors = []
    if own is not None and any(value is not None and value != own for value in given):
        detail = f"pod hostProcess value must be identical if both are specified, was {str(own).lower()}"
        for kind in ("containers", "initContainers", "ephemeralContainers"):
            for i, one in enumerate(spec.get(kind) or ()):
                value = ((one.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
                if value is not None and value != own:
                    at = f"{path}.{kind}[{i}].securityContext.windowsOptions.hostProcess"
                    errors.append(err.invalid(at, value, detail))
    effective = [bool(own if value is None else value) for value in given]
    if not any(effective):
        return errors
    if not all(effective):
        detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        errors.append(err.invalid(path, "", detail))
    if not spec.get("hostNetwork"):
        detail = "hostNetwork must be true if pod contains any hostProcess containers"
        errors.append(err.invalid(f"{path}.hostNetwork", False, detail))
    return errors
