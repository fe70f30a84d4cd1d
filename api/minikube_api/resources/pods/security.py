"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import MAX_INT32, Errors, one_of
from minikube_api.resources.pods import volumes

Object = dict[str, Any]

_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")
_ID = names.inclusive_range_message(0, MAX_INT32)
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl_re = re.compile(_SYSCTL)


def container(tree: Object, path: str) -> Errors:
    errors = _ids(tree, path, "runAsUser", "runAsGroup")
    if tree.get("procMount") is not None:
        errors += one_of(tree["procMount"], f"{path}.procMount", ("Default", "Unmasked"))
    errors += _profiles(tree, path)
    if tree.get("allowPrivilegeEscalation") is False:
        at = f"{path}.allowPrivilegeEscalation"
        if tree.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(err.invalid(at, False, detail))
        if "CAP_SYS_ADMIN" in ((tree.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(err.invalid(at, False, detail))
    return errors


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
            errors += volumes.descending_path(local, f"{path}.localhostProfile")
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
        return [] if local else [err.required(at, "must be set when AppArmor type is Localhost")]
    errors: Errors = []
    if kind not in ("RuntimeDefault", "Unconfined"):
        if not kind:
            errors.append(err.required(f"{path}.type", "type is required when appArmorProfile is set"))
        else:
            errors.append(err.not_supported(f"{path}.type", kind, _SECCOMP))
    if local is not None:
        errors.append(err.invalid(at, local, "can only be set when AppArmor type is Localhost"))
    return errors


def pod(spec: Object, path: str, *, is_pod: bool) -> Errors:
    """validatePodSpecSecurityContext; `path` is that of the spec."""
    errors: Errors = []
    if spec.get("hostNetwork"):
        for kind in ("containers", "initContainers"):
            errors += _host_network(spec.get(kind) or (), f"{path}.{kind}", is_pod)
    tree = spec.get("securityContext") or {}
    at = f"{path}.securityContext"
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(err.invalid(f"{at}.shareProcessNamespace", True, detail))
    if spec.get("hostUsers") is False:
        detail = "when `hostUsers` is false"
        errors += [
            err.forbidden(f"{path}.{f}", detail)
            for f in ("hostNetwork", "hostPID", "hostIPC")
            if spec.get(f) and f != "hostNetwork"
        ]
    if not tree:
        return errors
    errors += _ids(tree, at, "fsGroup", "runAsUser", "runAsGroup")
    for i, group in enumerate(tree.get("supplementalGroups") or ()):
        if not 0 <= group <= MAX_INT32:
            errors.append(err.invalid(f"{at}.supplementalGroups[{i}]", group, _ID))
    if tree.get("sysctls"):
        errors += _sysctls(tree["sysctls"], f"{at}.sysctls")
    if tree.get("fsGroupChangePolicy") is not None:
        errors += one_of(tree["fsGroupChangePolicy"], f"{at}.fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    if tree.get("supplementalGroupsPolicy") is not None:
        errors += one_of(tree["supplementalGroupsPolicy"], f"{at}.supplementalGroupsPolicy", ("Merge", "Strict"))
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


def _sysctls(listed: list[Object], path: str) -> Errors:
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
        seen.add(name.replace("/", "."))
    return errors
