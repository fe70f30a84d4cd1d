"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import go_form
from minikube_api.resources.checks import MAX_INT32, Errors, one_of
from minikube_api.resources.pods import operating_systems, volume_files
from minikube_api.schema import builtin

Object = dict[str, Any]

_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")
#: bytes: PATH_MAX without the end
MAX_PROFILE = 4095
_ID = names.inclusive_range_message(0, MAX_INT32)
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl_re = re.compile(_SYSCTL)


def container(tree: Object, path: str, *, host_users: bool = True) -> Errors:
    errors = _ids(tree, path, "runAsUser", "runAsGroup")
    if tree.get("procMount") is not None:
        errors += one_of(tree["procMount"], f"{path}.procMount", ("Default", "Unmasked"))
        if host_users and tree["procMount"] == "Unmasked":
            errors.append(err.invalid(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`"))
    errors += _profiles(tree, path)
    if tree.get("allowPrivilegeEscalation") is False:
        detail = "cannot set `allowPrivilegeEscalation` to false and "
        if tree.get("privileged"):
            errors.append(err.invalid(path, _shown(tree), detail + "`privileged` to true"))
        added = (tree.get("capabilities") or {}).get("add") or ()
        errors += [err.invalid(path, _shown(tree), detail + "`capabilities.Add` CAP_SYS_ADMIN") for cap in added if cap == _ADMIN]
    if tree.get("windowsOptions"):
        errors += operating_systems.windows_options(tree["windowsOptions"], f"{path}.windowsOptions")
    return errors


_ADMIN = "CAP_SYS_ADMIN"


def _shown(tree: Object) -> Object:
    """The whole security context as Go prints it."""
    return go_form.struct(tree, builtin.load("", "v1", "Pod").fields["spec"].fields["containers"].items.fields["securityContext"])  # type: ignore[union-attr]


def _ids(tree: Object, path: str, *fields: str) -> Errors:
    return [err.invalid(f"{path}.{f}", tree[f], _ID) for f in fields if tree.get(f) is not None and not 0 <= tree[f] <= MAX_INT32]


def _profiles(tree: Object, path: str) -> Errors:
    errors: Errors = []
    if tree.get("seccompProfile") is not None:
        errors += _seccomp(tree["seccompProfile"], f"{path}.seccompProfile")
    if tree.get("appArmorProfile") is not None:
        errors += _app_armor(tree["appArmorProfile"], f"{path}.appArmorProfile")
    return errors


def _seccomp(profile: Object, path: str) -> Errors:
    errors: Errors = []
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        errors.append(err.required(f"{path}.type", "type is required when seccompProfile is set"))
    else:
        errors += one_of(kind, f"{path}.type", _SECCOMP)
    if kind == "Localhost":
        if local is None:
            errors.append(err.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            errors += volume_files.descending_path(local, f"{path}.localhostProfile")
    elif local is not None:
        shown = {"Type": kind or "", "LocalhostProfile": local}
        errors.append(err.invalid(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost"))
    return errors


def _app_armor(profile: Object, path: str) -> Errors:
    kind, local = profile.get("type"), profile.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            return [err.required(at, "must be set when AppArmor type is Localhost")]
        trimmed = local.strip()
        if trimmed != local:
            return [err.invalid(at, local, "must not be padded with whitespace")]
        if not local:
            return [err.required(at, "must be set when AppArmor type is Localhost")]
        return [err.too_long(at, local, MAX_PROFILE)] if len(local.encode()) > MAX_PROFILE else []
    if not kind:
        return [err.required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in ("RuntimeDefault", "Unconfined"):
        return [err.not_supported(f"{path}.type", kind, _SECCOMP)]
    return [] if local is None else [err.invalid(at, local, "can only be set when AppArmor type is Localhost")]


def pod(spec: Object, path: str, *, is_pod: bool) -> Errors:
    """validatePodSpecSecurityContext; `path` is that of the spec."""
    errors: Errors = []
    if spec.get("hostNetwork"):
        errors += _host_network(spec.get("containers") or (), f"{path}.containers", is_pod)
    tree = spec.get("securityContext") or {}
    at = f"{path}.securityContext"
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(err.invalid(f"{at}.shareProcessNamespace", True, detail))
    if spec.get("hostUsers") is False:
        fields = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
        errors += [err.forbidden(f"{path}.{shown}", "when `hostUsers` is false") for field, shown in fields if spec.get(field)]
    if not tree:
        return errors
    errors += _ids(tree, at, "fsGroup", "runAsUser", "runAsGroup")
    for i, group in enumerate(tree.get("supplementalGroups") or ()):
        if not 0 <= group <= MAX_INT32:
            errors.append(err.invalid(f"{at}.supplementalGroups[{i}]", group, _ID))
    if tree.get("sysctls"):
        errors += _sysctls(tree["sysctls"], spec, f"{at}.sysctls")
    if tree.get("fsGroupChangePolicy") is not None:
        errors += one_of(tree["fsGroupChangePolicy"], f"{at}.fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    if tree.get("supplementalGroupsPolicy") is not None:
        errors += one_of(tree["supplementalGroupsPolicy"], f"{at}.supplementalGroupsPolicy", ("Merge", "Strict"))
    if tree.get("seLinuxChangePolicy") is not None:
        errors += one_of(tree["seLinuxChangePolicy"], f"{at}.seLinuxChangePolicy", ("MountOption", "Recursive"))
    if tree.get("windowsOptions"):
        errors += operating_systems.windows_options(tree["windowsOptions"], f"{at}.windowsOptions")
    return errors + _profiles(tree, at)


def _host_network(containers: Any, path: str, is_pod: bool) -> Errors:
    errors: Errors = []
    for i, one in enumerate(containers):
        for j, port in enumerate(one.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (is_pod or host) and host != own:
                detail = "must match `containerPort` when `hostNetwork` is true"
                errors.append(err.invalid(f"{path}[{i}].ports[{j}].hostPort", host, detail))
    return errors


def _sysctls(listed: list[Object], spec: Object, path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, one in enumerate(listed):
        name, at = one.get("name") or "", f"{path}[{i}].name"
        if not name:
            errors.append(err.required(at))
        elif len(name) > 253 or not _sysctl_re.fullmatch(name):
            errors.append(err.invalid(at, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"))
        elif name in seen:
            errors.append(err.duplicate(at, name))
        dotted = name.replace("/", ".") if "/" in name.partition(".")[0] else name
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(err.invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and dotted.startswith(_IPC_SYSCTLS):
            errors.append(err.invalid(at, name, "may not be specified when 'hostIPC' is true"))
        seen.add(name)
    return errors


_IPC_SYSCTLS = ("kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue.")
