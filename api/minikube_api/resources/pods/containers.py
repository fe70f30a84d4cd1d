"""Containers, init containers and ephemeral containers; ports and mounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import Errors, named, one_of, port, required_name
from minikube_api.resources.pods import environment, handlers, resources, security, volume_files

Object = dict[str, Any]

PROTOCOLS = ("SCTP", "TCP", "UDP")
_TERMINATION = ("File", "FallbackToLogsOnError")
_PULL = ("Always", "IfNotPresent", "Never")
_RESTART = ("Always", "Never", "OnFailure")
#: KEP-5307
MAX_RESTART_RULES, MAX_EXIT_CODES = 20, 255
_INIT_ONLY = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_NOT_EPHEMERAL = (
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "resizePolicy",
    "restartPolicy",
)
_NO_INIT = "may not be set for init containers without restartPolicy=Always"


@dataclass(slots=True)
class PodScope:
    """What checks of one container need to know of its pod."""

    #: names of valid volumes, with their sources
    volumes: dict[str, Object] = field(default_factory=dict)
    claims: frozenset[str] = frozenset()
    #: terminationGracePeriodSeconds
    grace: int = 30
    restart_policy: str = ""
    #: a Pod, not a template
    is_pod: bool = True
    #: the containers share the user namespace of the host
    host_users: bool = True


def containers(listed: list[Object] | None, scope: PodScope, path: str) -> Errors:
    if not listed:
        return [err.required(path)]
    errors: Errors = []
    seen: set[str] = set()
    for i, one in enumerate(listed):
        at = f"{path}[{i}]"
        errors += _common(one, scope, at)
        name = one.get("name") or ""
        if name in seen:
            errors.append(err.duplicate(f"{at}.name", name))
        seen.add(name)
        errors += handlers.probes(one, scope.grace, at)
        errors += _restart(one, at)
    return errors + host_port_conflicts(listed, path)


def _restart(one: Object, path: str) -> Errors:
    """Restart policy and rules of a container (KEP-5307)."""
    rules = one.get("restartPolicyRules") or ()
    if one.get("restartPolicy") is None:
        return [err.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")] if rules else []
    errors = one_of(one["restartPolicy"], f"{path}.restartPolicy", _RESTART)
    if len(rules) > MAX_RESTART_RULES:
        errors.append(err.too_long(f"{path}.restartPolicyRules", "", MAX_RESTART_RULES))
    for i, rule in enumerate(rules):
        at = f"{path}.restartPolicyRules[{i}]"
        errors += one_of(rule.get("action"), f"{at}.action", ("Restart", "RestartAllContainers"))
        if rule.get("exitCodes") is None:
            errors.append(err.required(f"{at}.exitCodes", "must be specified"))
        else:
            errors += one_of(rule["exitCodes"].get("operator"), f"{at}.exitCodes.operator", ("In", "NotIn"))
            if len(rule["exitCodes"].get("values") or ()) > MAX_EXIT_CODES:
                errors.append(err.too_long(f"{at}.exitCodes.values", "", MAX_EXIT_CODES))
    return errors


def init_containers(listed: list[Object], regular: list[Object] | None, scope: PodScope, path: str) -> Errors:
    errors: Errors = []
    seen = {one.get("name") or "" for one in regular or ()}
    for i, one in enumerate(listed):
        at = f"{path}[{i}]"
        errors += _common(one, scope, at)
        errors += _restart(one, at)
        name = one.get("name") or ""
        if name and name in seen:
            errors.append(err.duplicate(f"{at}.name", name))
        seen.add(name)
        # one runs after the other, so that each is looked at alone: as the first
        errors += host_port_conflicts([one], path)
        if one.get("restartPolicy") == "Always":
            errors += handlers.probes(one, scope.grace, at)
        else:
            errors += [err.forbidden(f"{at}.{field}", _NO_INIT) for field in _INIT_ONLY if one.get(field) is not None]
            if one.get("resizePolicy"):
                shown = [
                    {"ResourceName": p.get("resourceName") or "", "RestartPolicy": p.get("restartPolicy") or ""}
                    for p in one["resizePolicy"]
                ]
                errors.append(err.invalid(f"{at}.resizePolicy", shown, "must not be set for init containers"))
    return errors


def ephemeral_containers(listed: list[Object], spec: Object, scope: PodScope, path: str) -> Errors:
    errors: Errors = []
    others = {one.get("name") or "" for kind in ("containers", "initContainers") for one in spec.get(kind) or ()}
    seen = set(others)
    detail = "cannot be set for an Ephemeral Container"
    for i, one in enumerate(listed):
        at = f"{path}[{i}]"
        errors += _common(one, scope, at)
        name = one.get("name") or ""
        if name in seen:
            errors.append(err.duplicate(f"{at}.name", name))
        seen.add(name)
        errors += [err.forbidden(f"{at}.{field}", detail) for field in _NOT_EPHEMERAL if one.get(field)]
        for j, mount in enumerate(one.get("volumeMounts") or ()):
            errors += [
                err.forbidden(f"{at}.volumeMounts[{j}].{field}", detail)
                for field in ("subPath", "subPathExpr")
                if mount.get(field)
            ]
        target = one.get("targetContainerName")
        if target and target not in others:
            errors.append(err.not_found(f"{at}.targetContainerName", target))
    return errors


def _common(one: Object, scope: PodScope, path: str) -> Errors:
    """validateContainerCommon."""
    errors = required_name(one.get("name"), f"{path}.name", names.dns1123_label)
    image = one.get("image")
    if not image:
        errors.append(err.required(f"{path}.image"))
    elif scope.is_pod and image != image.strip():
        errors.append(err.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    policy = one.get("terminationMessagePolicy")
    if policy not in _TERMINATION:
        at = f"{path}.terminationMessagePolicy"
        errors.append(err.not_supported(at, policy, _TERMINATION) if policy else err.required(at))
    if one.get("ports"):
        errors += ports(one["ports"], f"{path}.ports")
    if one.get("env"):
        errors += environment.variables(one["env"], f"{path}.env", scope.volumes)
    if one.get("envFrom"):
        errors += environment.env_from(one["envFrom"], f"{path}.envFrom")
    if one.get("volumeMounts"):
        errors += _mounts(one, scope, f"{path}.volumeMounts")
    if one.get("volumeDevices"):
        errors += _devices(one, scope, f"{path}.volumeDevices")
    policy = one.get("imagePullPolicy")
    if policy not in _PULL:
        at = f"{path}.imagePullPolicy"
        errors.append(err.not_supported(at, policy, _PULL) if policy else err.required(at))
    errors += resources.requirements(one.get("resources"), f"{path}.resources", scope.claims)
    if one.get("resizePolicy"):
        errors += _resize_policy(one["resizePolicy"], scope.restart_policy, f"{path}.resizePolicy")
    if one.get("securityContext"):
        errors += security.container(one["securityContext"], f"{path}.securityContext", host_users=scope.host_users)
    return errors


def ports(listed: list[Object], path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, one in enumerate(listed):
        at = f"{path}[{i}]"
        if name := one.get("name"):
            problems = named(name, f"{at}.name", names.port_name)
            if not problems and name in seen:
                problems = [err.duplicate(f"{at}.name", name)]
            seen.add(name)
            errors += problems
        number = one.get("containerPort") or 0
        errors += port(number, f"{at}.containerPort") if number else [err.required(f"{at}.containerPort")]
        if one.get("hostPort"):
            errors += port(one["hostPort"], f"{at}.hostPort")
        protocol = one.get("protocol")
        if protocol not in PROTOCOLS:
            errors.append(
                err.not_supported(f"{at}.protocol", protocol, PROTOCOLS) if protocol else err.required(f"{at}.protocol")
            )
    return errors


def host_port_conflicts(listed: list[Object], path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, one in enumerate(listed):
        for j, given in enumerate(one.get("ports") or ()):
            if given.get("hostPort"):
                key = f"{given.get('protocol', '')}/{given.get('hostIP', '')}/{given['hostPort']}"
                if key in seen:
                    errors.append(err.duplicate(f"{path}[{i}].ports[{j}].hostPort", key))
                seen.add(key)
    return errors


_RESIZE = ("NotRequired", "RestartContainer")


def _resize_policy(listed: list[Object], restart_policy: str, path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, policy in enumerate(listed):
        name = policy.get("resourceName") or ""
        if name in seen:
            errors.append(err.duplicate(f"{path}[{i}]", name))
        seen.add(name)
        errors += one_of(name, path, ("cpu", "memory")) if name else [err.required(path)]
        wanted = policy.get("restartPolicy")
        errors += one_of(wanted, path, _RESIZE) if wanted else [err.required(path)]
        if restart_policy == "Never" and wanted != "NotRequired":
            errors.append(err.invalid(path, wanted or "", "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    return errors


_PROPAGATION = ("Bidirectional", "HostToContainer", "None")


def _mounts(one: Object, scope: PodScope, path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    devices = one.get("volumeDevices") or ()
    device_names = {d.get("name") for d in devices}
    device_paths = {d.get("devicePath") for d in devices}
    for i, mount in enumerate(one["volumeMounts"]):
        at = f"{path}[{i}]"
        name, where = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(err.required(f"{at}.name"))
        if name not in scope.volumes:
            errors.append(err.not_found(f"{at}.name", name))
        if not where:
            errors.append(err.required(f"{at}.mountPath"))
        if where in seen:
            errors.append(err.invalid(f"{at}.mountPath", where, "must be unique"))
        seen.add(where)
        if name in device_names:
            errors.append(err.invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if where in device_paths:
            errors.append(err.invalid(f"{at}.mountPath", where, "must not already exist as a path in volumeDevices"))
        if len(mount) > 2:
            errors += _mount_options(mount, one, at, path)
    return errors


def _mount_options(mount: Object, one: Object, at: str, path: str) -> Errors:
    """Most of these findings are told at the list: `volumeMounts.subPath`."""
    errors: Errors = []
    if mount.get("subPath"):
        errors += volume_files.descending_path(mount["subPath"], f"{path}.subPath")
    if mount.get("subPathExpr"):
        if mount.get("subPath"):
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.append(err.invalid(f"{at}.subPathExpr", mount["subPathExpr"], detail))
        errors += volume_files.descending_path(mount["subPathExpr"], f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        errors += one_of(propagation, f"{path}.mountPropagation", _PROPAGATION)
        if propagation == "Bidirectional" and not (one.get("securityContext") or {}).get("privileged"):
            detail = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(err.forbidden(f"{path}.mountPropagation", detail))
    recursive = mount.get("recursiveReadOnly")
    if recursive is not None:
        where = f"{path}.recursiveReadOnly"
        if recursive not in ("Disabled", "Enabled", "IfPossible"):
            errors.append(err.not_supported(where, recursive, ("Disabled", "Enabled", "IfPossible")))
        elif recursive != "Disabled":
            if not mount.get("readOnly"):
                errors.append(err.forbidden(where, "may only be specified when readOnly is true"))
            if propagation not in (None, "None"):
                detail = "may only be specified when mountPropagation is None or not specified"
                errors.append(err.forbidden(where, detail))
    return errors


def _devices(one: Object, scope: PodScope, path: str) -> Errors:
    errors: Errors = []
    names_seen: set[str] = set()
    paths_seen: set[str] = set()
    mounts = one.get("volumeMounts") or ()
    for i, device in enumerate(one["volumeDevices"]):
        at = f"{path}[{i}]"
        name, where = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errors.append(err.required(f"{at}.name"))
        if name in names_seen:
            errors.append(err.invalid(f"{at}.name", name, "must be unique"))
        source = scope.volumes.get(name)
        if source is not None and not (source.get("persistentVolumeClaim") or source.get("ephemeral")):
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(err.invalid(f"{at}.name", name, detail))
        elif source is None:
            errors.append(err.not_found(f"{at}.name", name))
        if not where:
            errors.append(err.required(f"{at}.devicePath"))
        if where in paths_seen:
            errors.append(err.invalid(f"{at}.devicePath", where, "must be unique"))
        if where and not volume_files.no_backsteps(where):
            errors.append(err.invalid(f"{at}.devicePath", where, "can not contain backsteps ('..')"))
        else:
            paths_seen.add(where)
        if any(m.get("name") == name for m in mounts):
            errors.append(err.invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if any(m.get("mountPath") == where for m in mounts):
            errors.append(err.invalid(f"{at}.devicePath", where, "must not already exist as a path in volumeMounts"))
        names_seen.add(name)
    return errors
