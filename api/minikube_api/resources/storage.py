"""storage.k8s.io: classes, drivers, nodes' drivers, capacities and attachments.

Source: pkg/apis/storage/v1/defaults.go and pkg/apis/storage/validation. PersistentVolumes and claims are core's (`core.claims`).
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources import checks, objectmeta
from minikube_api.resources.checks import Errors
from minikube_api.resources.core import persistentvolumes
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

_PARAMETERS_MAX, _PARAMETERS_BYTES = 512, 256 * 1024
_ERROR_MESSAGE_MAX = 1024
_NODE_ID_MAX = 192
_DRIVER_NAME_MAX = 63


def driver_name(name: str, path: str) -> Errors:
    """ValidateCSIDriverName: case does not count."""
    if not name:
        return [err.required(path)]
    errors: Errors = [err.too_long(path, name, _DRIVER_NAME_MAX)] if len(name) > _DRIVER_NAME_MAX else []
    return errors + [err.invalid(path, name, m) for m in names.dns1123_subdomain(name.lower())]


def _parameters(listed: dict[str, str], path: str, *, may_be_empty: bool) -> Errors:
    if len(listed) > _PARAMETERS_MAX:
        return [err.too_long(path, "", _PARAMETERS_MAX)]
    errors = _sized(listed, path)
    if not listed and not may_be_empty:
        errors.append(err.required(path, "must contain at least one key/value pair"))
    return errors


def _sized(listed: dict[str, str], path: str) -> Errors:
    errors = [err.invalid(path, key, "field can not be empty.") for key in listed if not key]
    if sum(len(key.encode()) + len(value.encode()) for key, value in listed.items()) > _PARAMETERS_BYTES:
        errors.append(err.too_long(path, "", _PARAMETERS_BYTES))
    return errors


class StorageClassStrategy(KindStrategy):
    spec_fields = ()

    def defaults(self, obj: Object) -> None:
        set_default(obj, "reclaimPolicy", "Delete")
        set_default(obj, "volumeBindingMode", "Immediate")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        provisioner = obj.get("provisioner") or ""
        errors: Errors = [] if provisioner else [err.required("provisioner")]
        if provisioner:
            errors += checks.named(provisioner.lower(), "provisioner", qualified_problems)
        errors += _parameters(obj.get("parameters") or {}, "parameters", may_be_empty=True)
        if obj.get("reclaimPolicy"):
            errors += checks.one_of(obj["reclaimPolicy"], "reclaimPolicy", ("Delete", "Retain"))
        errors += checks.one_of(obj.get("volumeBindingMode"), "volumeBindingMode", ("Immediate", "WaitForFirstConsumer"))
        return errors + _topologies(obj.get("allowedTopologies") or (), "allowedTopologies")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new = {**obj, "parameters": checks.shown_labels(obj.get("parameters"))}
        return checks.unchanged(new, old, "parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        """Node labels in topologies that have new names (storage/util.GetWarningsForStorageClass)."""
        found = []
        for i, term in enumerate(obj.get("allowedTopologies") or ()):
            for j, one in enumerate(term.get("matchLabelExpressions") or ()):
                if text := persistentvolumes.old_label(one.get("key") or ""):
                    found.append(f"allowedTopologies[{i}].matchLabelExpressions[{j}].key: {text}")
        return found


def _topologies(terms: Any, path: str) -> Errors:
    errors: Errors = []
    seen: list[dict[str, frozenset[str]]] = []
    for i, term in enumerate(terms):
        expressions: dict[str, frozenset[str]] = {}
        for j, one in enumerate(term.get("matchLabelExpressions") or ()):
            at, key = f"{path}[{i}].matchLabelExpressions[{j}]", one.get("key") or ""
            errors += _topology_values(one.get("values") or (), f"{at}.values")
            errors += checks.label_name(key, f"{at}.key")
            if key in expressions:
                errors.append(err.duplicate(f"{at}.key", key))
            expressions[key] = frozenset(one.get("values") or ())
        if expressions in seen:
            errors.append(err.duplicate(f"{path}[{i}].matchLabelExpressions", ""))
        seen.append(expressions)
    return errors


def _topology_values(values: Any, path: str) -> Errors:
    if not values:
        return [err.required(path)]
    return [err.duplicate(f"{path}[{i}]", value) for i, value in enumerate(values) if value in values[:i]]


class AttributesClassStrategy(KindStrategy):
    """VolumeAttributesClass."""

    spec_fields = ()

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors = driver_name(obj.get("driverName") or "", "driverName")
        return errors + _parameters(obj.get("parameters") or {}, "parameters", may_be_empty=False)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return [
            err.forbidden(field, f"updates to {field} are forbidden.")
            for field in ("driverName", "parameters")
            if (obj.get(field) or None) != (old.get(field) or None)
        ]


class AttachmentStrategy(KindStrategy):
    """VolumeAttachment."""

    empty_status = {"attached": False}
    status_metadata = "reset"

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors: Errors = [] if tree.get("attacher") else [err.required("spec.attacher")]
        errors += _attached_source(tree.get("source") or {}, "spec.source")
        errors += checks.named(tree.get("nodeName") or "", "spec.nodeName", names.dns1123_subdomain)
        return errors + _attachment_status(obj.get("status") or {}, "status")

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = driver_name(tree.get("attacher") or "", "spec.attacher")
        volume = (tree.get("source") or {}).get("persistentVolumeName")
        if volume is not None:
            errors += checks.named(volume, "spec.source.persistentVolumeName", names.dns1123_subdomain)
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        spec = obj["spec"]
        if spec == old.get("spec"):
            return []
        source = spec.get("source") or {}
        shown = {
            "Attacher": spec.get("attacher") or "",
            "Source": {
                "PersistentVolumeName": source.get("persistentVolumeName"),
                "InlineVolumeSpec": source.get("inlineVolumeSpec"),
            },
            "NodeName": spec.get("nodeName") or "",
        }
        return [err.invalid("spec", shown, objectmeta.IMMUTABLE)]

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return _attachment_status(obj.get("status") or {}, "status")


def _attached_source(source: Object, path: str) -> Errors:
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if volume is None and inline is None:
        return [err.required(path, one)]
    if volume is not None and inline is not None:
        return [err.forbidden(path, one)]
    if volume == "":
        return [err.required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")]
    return persistentvolumes.inline_volume(inline, f"{path}.inlineVolumeSpec") if inline is not None else []


def _attachment_status(status: Object, path: str) -> Errors:
    errors = _sized(status.get("attachmentMetadata") or {}, f"{path}.attachmentMetadata")
    for field in ("attachError", "detachError"):
        message = (status.get(field) or {}).get("message") or ""
        if len(message) > _ERROR_MESSAGE_MAX:
            errors.append(err.too_long(f"{path}.{field}.message", message, _ERROR_MESSAGE_MAX))
        code = (status.get(field) or {}).get("errorCode")
        if code is not None and code < 0:
            errors.append(err.invalid(f"{path}.{field}.errorCode", code, names.inclusive_range_message(0, checks.MAX_INT32)))
    return errors


_LIFECYCLES = ("Persistent", "Ephemeral")
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_UPDATE_PERIOD_MIN = 10
_TOKEN_SECONDS_MIN, _TOKEN_SECONDS_MAX = 600, 1 << 32


class DriverStrategy(KindStrategy):
    """CSIDriver. Its generation counts changes alone: a new one has none."""

    name_problems = staticmethod(names.is_path_segment)
    tracks_generation = True

    def defaults(self, obj: Object) -> None:
        tree = obj.setdefault("spec", {})
        for field, value in (
            ("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False),
            ("fsGroupPolicy", "ReadWriteOnceWithFSType"), ("requiresRepublish", False), ("seLinuxMount", False),
        ):  # fmt: skip
            set_default(tree, field, value)
        if not tree.get("volumeLifecycleModes"):
            tree["volumeLifecycleModes"] = ["Persistent"]

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        """No generation of its own yet."""

    def desired_state_changed(self, obj: Object, old: Object) -> bool:
        fields = ("tokenRequests", "requiresRepublish", "seLinuxMount")
        return any((obj["spec"].get(f) or None) != (old["spec"].get(f) or None) for f in fields)

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        return driver_name(obj["metadata"].get("name") or "", "name")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj["spec"]
        errors = checks.one_of(tree.get("fsGroupPolicy"), "spec.fsGroupPolicy", _GROUP_POLICIES)
        for mode in tree.get("volumeLifecycleModes") or ():
            errors += checks.one_of(mode, "spec.volumeLifecycleModes", _LIFECYCLES)
        errors += _token_requests(tree.get("tokenRequests") or (), "spec.tokenRequests")
        period = tree.get("nodeAllocatableUpdatePeriodSeconds")
        if period is not None and period < _UPDATE_PERIOD_MIN:
            detail = f"must be greater than or equal to {_UPDATE_PERIOD_MIN} seconds"
            errors.append(err.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail))
        if tree.get("serviceAccountTokenInSecrets") is not None and not tree.get("tokenRequests"):
            detail = "serviceAccountTokenInSecrets may only be set when tokenRequests is configured"
            path = "spec.serviceAccountTokenInSecrets"
            errors.append(err.invalid(path, tree["serviceAccountTokenInSecrets"], detail))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = obj["spec"], old["spec"]
        # Kubernetes names the field so
        errors = objectmeta.immutable(new.get("attachRequired"), was.get("attachRequired"), "spec.attachedRequired")
        return errors + checks.unchanged(new, was, "volumeLifecycleModes", path="spec")


def _token_requests(requests: Any, path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, request in enumerate(requests):
        audience, seconds, at = request.get("audience") or "", request.get("expirationSeconds"), f"{path}[{i}]"
        if audience in seen:
            errors.append(err.duplicate(f"{at}.audience", audience))
            continue
        seen.add(audience)
        if seconds is not None and seconds < _TOKEN_SECONDS_MIN:
            errors.append(err.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > _TOKEN_SECONDS_MAX:
            errors.append(err.invalid(f"{at}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
    return errors


class NodeDriversStrategy(KindStrategy):
    """CSINode."""

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        seen: set[str] = set()
        for i, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
            path, name = f"spec.drivers[{i}]", driver.get("name") or ""
            errors += driver_name(name, f"{path}.name") + _node_driver(driver, path)
            if name in seen:
                errors.append(err.duplicate(f"{path}.name", name))
            seen.add(name)
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        """A driver may come, go, and tell another number of volumes; all else of it stays."""
        old_drivers = {driver.get("name"): driver for driver in old["spec"].get("drivers") or ()}
        errors: Errors = []
        for driver in obj["spec"].get("drivers") or ():
            was = old_drivers.get(driver.get("name"))
            if was is not None and _identity(driver) != _identity(was):
                shown = {"Name": driver.get("name"), "NodeID": driver.get("nodeID"), "TopologyKeys": driver.get("topologyKeys")}
                # what may change is left out of the comparison, and so of the message
                errors.append(err.invalid("spec.drivers", {**shown, "Allocatable": None}, objectmeta.IMMUTABLE))
        return errors


def _identity(driver: Object) -> Object:
    return {key: value for key, value in driver.items() if key != "allocatable"}


def _node_driver(driver: Object, path: str) -> Errors:
    node = driver.get("nodeID") or ""
    errors: Errors = [] if node else [err.required(f"{path}.nodeID")]
    if len(node) > _NODE_ID_MAX:
        errors.append(err.invalid(f"{path}.nodeID", node, f"must be {_NODE_ID_MAX} characters or less"))
    errors += checks.nonnegative((driver.get("allocatable") or {}).get("count"), f"{path}.allocatable.count")
    seen: set[str] = set()
    for key in driver.get("topologyKeys") or ():
        if not key:
            errors.append(err.required(path))
        if key in seen:
            errors.append(err.duplicate(path, key))
        seen.add(key)
        errors += checks.named(key, path, qualified_problems)
    return errors


class CapacityStrategy(KindStrategy):
    """CSIStorageCapacity."""

    spec_fields = ()

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors = checks.named(obj.get("storageClassName") or "", "storageClassName", names.dns1123_subdomain)
        errors += checks.label_selector(obj.get("nodeTopology"), "nodeTopology")
        for field in ("capacity", "maximumVolumeSize"):
            if obj.get(field) is not None and (quantity := quantities.of(obj[field])).nanos < 0:
                errors.append(err.invalid(field, str(quantity), checks.NEGATIVE))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors: Errors = []
        # an absent selector is not an empty one: nothing, and everything
        if obj.get("nodeTopology") != old.get("nodeTopology"):
            errors.append(err.invalid("nodeTopology", checks.shown_selector(obj.get("nodeTopology")), objectmeta.IMMUTABLE))
        return errors + checks.unchanged(obj, old, "storageClassName")
