"""PersistentVolumeClaim. Source: ValidatePersistentVolumeClaimSpec and -Update, pkg/api/persistentvolumeclaim."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources import checks, go_form
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.pods.resources import is_native
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy
from minikube_api.schema import builtin

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
#: kinds that the old dataSource field may name, with their groups
_ORDINARY = {"PersistentVolumeClaim": "", "VolumeSnapshot": "snapshot.storage.k8s.io"}
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def claim_defaults(obj: Object) -> None:
    """A claim, also one inside a StatefulSet: phase Pending, volumeMode Filesystem."""
    tree = obj.get("spec")
    if tree is None:
        tree = obj["spec"] = {}
    if not tree.get("volumeMode"):
        tree["volumeMode"] = "Filesystem"
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"
    if not isinstance(tree.get("resources"), dict):
        tree["resources"] = {}
    _data_source(tree)


def _data_source(tree: Object) -> None:
    """dataSource and dataSourceRef follow each other."""
    source, ref = tree.get("dataSource"), tree.get("dataSourceRef")
    if source is not None and ref is None:
        tree["dataSourceRef"] = dict(source)
    elif (
        ref is not None
        and source is None
        and not ref.get("namespace")
        and _ORDINARY.get(ref.get("kind", "")) == (ref.get("apiGroup") or "")
    ):
        tree["dataSource"] = {k: v for k, v in ref.items() if k != "namespace"}


def access_modes(modes: list[str] | None, path: str, detail: str = "") -> Errors:
    if not modes:
        return [err.required(path, detail)]
    errors: Errors = []
    for mode in modes:
        if mode not in _MODES:
            errors.append(err.not_supported(path, mode, _MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(err.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def claim_spec(tree: Object, path: str) -> Errors:
    errors = access_modes(tree.get("accessModes"), f"{path}.accessModes", "at least 1 access mode is required")
    if tree.get("selector") is not None:
        errors += checks.label_selector(tree["selector"], f"{path}.selector")
    requests = (tree.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        errors.append(err.required(f"{path}.resources[storage]"))
    else:
        quantity = quantities.of(requests["storage"])
        if quantity.nanos <= 0:
            at = f"{path}.resources[storage]"
            errors.append(err.invalid(at, str(quantity), "must be greater than zero"))
    if tree.get("storageClassName"):
        errors += checks.named(tree["storageClassName"], f"{path}.storageClassName", names.dns1123_subdomain)
    if tree.get("volumeMode") is not None:
        errors += one_of(tree["volumeMode"], f"{path}.volumeMode", VOLUME_MODES)
    source, ref = tree.get("dataSource"), tree.get("dataSourceRef")
    for field, one in (("dataSource", source), ("dataSourceRef", ref)):
        if one is not None:
            errors += _source(one, f"{path}.{field}")
    if source is not None and ref is not None:
        if ref.get("namespace"):
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(err.invalid(path, f"{path}.dataSource", detail))
        elif any((source.get(f) or "") != (ref.get(f) or "") for f in ("apiGroup", "kind", "name")):
            errors.append(err.invalid(path, f"{path}.dataSource", "must match dataSourceRef"))
    if tree.get("volumeAttributesClassName"):
        errors += checks.named(tree["volumeAttributesClassName"], f"{path}.volumeAttributesClassName", names.dns1123_subdomain)
    return errors


def _source(source: Object, path: str) -> Errors:
    errors = [err.required(f"{path}.{field}") for field in ("name", "kind") if not source.get(field)]
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        errors.append(
            err.invalid(path, source.get("kind") or "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
        )
    if group:
        errors += checks.named(group, f"{path}.apiGroup", names.dns1123_subdomain)
    return errors


class ClaimStrategy(KindStrategy):
    empty_status = {"phase": "Pending"}
    whole_checks = 2
    object_checks = 2

    def defaults(self, obj: Object) -> None:
        claim_defaults(obj)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return claim_spec(obj.get("spec") or {}, "spec")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = obj["spec"], old["spec"]
        errors: Errors = []
        bound = (obj.get("status") or {}).get("phase") == "Bound"
        free = {"volumeAttributesClassName"}
        if not was.get("volumeName"):
            # binding by the controller
            free.add("volumeName")
        if was.get("storageClassName") is None and BETA_CLASS not in (old["metadata"].get("annotations") or {}):
            # the default class comes when there is one
            free.add("storageClassName")
        if _frozen(new, free, bound) != _frozen(was, free, bound):
            detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
            errors.append(err.forbidden("spec", detail + _difference(new, was, free, bound)))
        size, before = (_storage(tree.get("resources"), "requests") for tree in (new, was))
        if size < before and size <= _storage(old.get("status"), "capacity"):
            errors.append(err.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
        errors += checks.unchanged(new, was, "volumeMode", path="spec")
        return errors + _attributes_class_change(new.get(_ATTRIBUTES), was.get(_ATTRIBUTES))

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        errors: Errors = []
        for name, value in sorted((status.get("capacity") or {}).items()):
            errors += valid_quantity(quantities.of(value), f"status.capacity[{name}]")
        path = "status.allocatedResourceStatus"
        for name, state in sorted((status.get("allocatedResourceStatuses") or {}).items()):
            errors += _resource_key(name, path)
            if state not in _RESIZE_STATES:
                errors.append(err.not_supported(path, name, _RESIZE_STATES))
        path = "status.allocatedResources"
        for name, value in sorted((status.get("allocatedResources") or {}).items()):
            errors += (_resource_key(name, path) if name != "storage" else []) or valid_quantity(
                quantities.of(value), f"{path}[{name}]"
            )
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource:
            return []
        found = []
        if BETA_CLASS in (obj["metadata"].get("annotations") or {}):
            found.append(f'metadata.annotations[{BETA_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead')
        resources = obj["spec"].get("resources") or {}
        for field in ("requests", "limits"):
            found += fractional_bytes(resources.get(field), f"spec.resources.{field}")
        return found


_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)


def _resource_key(name: str, path: str) -> Errors:
    """A resource whose resize is tracked: storage, or one that is not Kubernetes' own."""
    problems = [err.invalid(path, name, message) for message in qualified_problems(name)]
    if problems:
        return problems
    if is_native(name) and name != "storage":
        return [err.not_supported(path, name, ("storage",))]
    return []


_ATTRIBUTES = "volumeAttributesClassName"


def _attributes_class_change(new: str | None, was: str | None) -> Errors:
    if was is None or new == was or new:
        return []
    detail = (
        "update from non-nil value to nil is forbidden" if new is None else "update from non-empty value to empty is forbidden"
    )
    return [err.forbidden(f"spec.{_ATTRIBUTES}", detail)]


def _storage(tree: Object | None, field: str) -> quantities.Quantity:
    return quantities.of(((tree or {}).get(field) or {}).get("storage"))


def valid_quantity(quantity: quantities.Quantity, path: str) -> Errors:
    """ValidateBasicResource; the value is printed as a whole number."""
    return [err.invalid(path, quantity.value(), "must be a valid resource quantity")] if quantity.nanos < 0 else []


def fractional_bytes(listed: Object | None, path: str) -> list[str]:
    """The warning for a size in parts of a byte."""
    value = (listed or {}).get("storage")
    if value is None or quantities.of(value).nanos % quantities.NANO == 0:
        return []
    return [f'{path}[storage]: fractional byte value "{quantities.of(value)}" is invalid, must be an integer']


def _difference(new: Object, was: Object, free: set[str], bound: bool) -> str:
    """What may not change of a claim, as a diff of Go's types from the new to the old one; what may change is as it was."""
    schema = builtin.load("", "v1", "PersistentVolumeClaim").fields["spec"]
    kept = {field: was[field] for field in free if field in was}
    clone = {**{field: value for field, value in new.items() if field not in free}, **kept}
    if bound and isinstance(clone.get("resources"), dict):
        clone["resources"] = {**clone["resources"], "requests": (was.get("resources") or {}).get("requests")}
    return go_form.difference(go_form.struct(clone, schema), go_form.struct(was, schema))


def _frozen(tree: Object, free: set[str], bound: bool) -> Object:
    frozen = {key: value for key, value in tree.items() if key not in free and value is not None}
    if bound and isinstance(resources := frozen.get("resources"), dict):
        requests = {key: value for key, value in (resources.get("requests") or {}).items() if key != "storage"}
        frozen["resources"] = {**resources, "requests": requests}
    return frozen
