"""Environment variables and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources.checks import Errors, named, required_name
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.pods import volume_files

Object = dict[str, Any]

_LABELS = frozenset({
    "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs",
    "status.podIP", "status.podIPs", "spec.host",
})  # fmt: skip
ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
MAX_FILE_KEY = 128
_ONE_SOURCE = "may not have more than one field specified at a time"


def variables(listed: list[Object], path: str, volumes: Mapping[str, Object]) -> Errors:
    errors: Errors = []
    for i, variable in enumerate(listed):
        name = variable.get("name")
        if not name:
            errors.append(err.required(f"{path}[{i}].name"))
        elif not name.isidentifier():
            errors += named(name, f"{path}[{i}].name", names.env_var_name)
        if variable.get("valueFrom") is not None:
            errors += _value_from(variable, f"{path}[{i}].valueFrom", volumes)
    return errors


def _value_from(variable: Object, path: str, volumes: Mapping[str, Object]) -> Errors:
    source, errors = variable["valueFrom"], []
    if source.get("fieldRef") is not None:
        errors += field_ref(source["fieldRef"], ENV_FIELDS, f"{path}.fieldRef")
    if source.get("resourceFieldRef") is not None:
        errors += resource_field_ref(source["resourceFieldRef"], f"{path}.resourceFieldRef", volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if source.get(kind) is not None:
            errors += _key_ref(source[kind], f"{path}.{kind}")
    if source.get("fileKeyRef") is not None:
        errors += _file_key_ref(source["fileKeyRef"], f"{path}.fileKeyRef", volumes)
    count = sum(value is not None for value in source.values())
    if count == 0:
        sources = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(err.invalid(path, "", f"must specify one of: {sources}"))
    elif variable.get("value"):
        errors.append(err.invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        errors.append(err.invalid(path, "", _ONE_SOURCE))
    return errors


def _key_ref(ref: Object, path: str) -> Errors:
    errors = required_name(ref.get("name"), f"{path}.name", names.dns1123_subdomain)
    return errors + required_name(ref.get("key"), f"{path}.key", names.config_map_key)


def _file_key_ref(ref: Object, path: str, volumes: Mapping[str, Object]) -> Errors:
    """A variable from a file in an emptyDir (KEP-3721)."""
    key, volume = ref.get("key") or "", ref.get("volumeName") or ""
    errors = required_name(key, f"{path}.key", names.env_var_name)
    if len(key) > MAX_FILE_KEY:
        errors.append(err.too_long(f"{path}.key", key, MAX_FILE_KEY))
    errors += required_name(volume, f"{path}.volumeName", names.dns1123_label)
    if volume in volumes and volumes[volume].get("emptyDir") is None:
        errors.append(err.invalid(f"{path}.volumeName", volume, "referenced volume must be of type emptyDir"))
    elif volume and volume not in volumes:
        errors.append(err.not_found(f"{path}.volumeName", volume))
    where = ref.get("path")
    if not where:
        return [*errors, err.required(f"{path}.path")]
    return errors + volume_files.non_reserved_path(where, f"{path}.path")


def _subscripted(field_path: str) -> tuple[str, str] | None:
    if not field_path.endswith("']") or "['" not in field_path:
        return None
    path, _, subscript = field_path[:-2].partition("['")
    return (path, subscript) if path else None


def field_ref(ref: Object, allowed: tuple[str, ...], path: str) -> Errors:
    """validateObjectFieldSelector: the downward API's field paths."""
    if not ref.get("apiVersion"):
        return [err.required(f"{path}.apiVersion")]
    field_path = ref.get("fieldPath")
    if not field_path:
        return [err.required(f"{path}.fieldPath")]
    subscripted = _subscripted(field_path)
    if problem := _unconvertible(ref["apiVersion"], field_path, subscripted):
        return [err.invalid(f"{path}.fieldPath", field_path, f"error converting fieldPath: {problem}")]
    if subscripted is not None:
        key = subscripted[1]
        checked = key.lower() if subscripted[0] == "metadata.annotations" else key
        return [err.invalid(path, key, m) for m in qualified_problems(checked)]
    field_path = "spec.nodeName" if field_path == "spec.host" else field_path
    return [] if field_path in allowed else [err.not_supported(f"{path}.fieldPath", field_path, allowed)]


def _unconvertible(version: str, field_path: str, subscripted: tuple[str, str] | None) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscripted is not None:
        known = subscripted[0] in ("metadata.annotations", "metadata.labels")
        return "" if known else f"field label does not support subscript: {field_path}"
    return "" if field_path in _LABELS else f"field label not supported: {field_path}"


def resource_field_ref(ref: Object, path: str, *, volume: bool) -> Errors:
    resource = ref.get("resource") or ""
    errors: Errors = []
    if volume and not ref.get("containerName"):
        errors.append(err.required(f"{path}.containerName"))
    elif not resource:
        errors.append(err.required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        errors.append(err.not_supported(f"{path}.resource", resource, _RESOURCES))
    return errors + _divisor(resource, ref.get("divisor"), f"{path}.divisor")


_DIVISOR_NAMES = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def _divisor(resource: str, divisor: Any, path: str) -> Errors:
    quantity = quantities.of(divisor)
    if quantity.is_zero():
        return []
    kind = resource.partition(".")[2]
    if kind == "cpu":
        allowed, shown, of = ("1m", "1"), "1m and 1", "cpu"
    elif kind in _DIVISOR_NAMES or kind.startswith("hugepages-"):
        allowed, shown, of = _SIZES, ", ".join(_SIZES), _DIVISOR_NAMES.get(kind, "hugepages")
    else:
        return []
    if str(quantity) in allowed:
        return []
    return [err.invalid(path, resource, f"only divisor's values {shown} are supported with the {of} resource")]


def env_from(listed: list[Object], path: str) -> Errors:
    errors: Errors = []
    for i, source in enumerate(listed):
        if source.get("prefix"):
            errors += named(source["prefix"], f"{path}[{i}].prefix", names.env_var_name)
        count = 0
        for kind in ("configMapRef", "secretRef"):
            if source.get(kind) is not None:
                count += 1
                errors += required_name(source[kind].get("name"), f"{path}[{i}].{kind}.name", names.dns1123_subdomain)
        if count == 0:
            errors.append(err.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif count > 1:
            errors.append(err.invalid(path, "", _ONE_SOURCE))
    return errors
