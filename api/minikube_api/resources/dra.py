"""resource.k8s.io kinds (dynamic resource allocation). Source: pkg/apis/resource/v1/defaults.go and validation.

CEL selectors are compiled by the server's CEL engine, not here.
"""

from __future__ import annotations

import re
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks, device_selectors
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.objectmeta import label_value_problems
from minikube_api.resources.pods import placement
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep, same

_MODES = ("All", "ExactCount")
_EFFECTS = ("NoSchedule", "NoExecute")
_LISTED_MAX, _SUBREQUESTS_MAX, _CONDITIONS_MAX, _TOLERATIONS_MAX = 32, 8, 8, 16
_semver_re = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)

#: field orders of the internal types, as errors print them
_GO: dict[str, tuple[str, ...]] = {
    "Devices": ("Requests", "Constraints", "Config"),
    "Requests": ("Name", "Exactly", "FirstAvailable"),
    "Exactly": ("DeviceClassName", "Selectors", "AllocationMode", "Count", "AdminAccess", "Tolerations", "Capacity"),
    "FirstAvailable": ("Name", "DeviceClassName", "Selectors", "AllocationMode", "Count", "Tolerations", "Capacity"),
    "Constraints": ("Requests", "MatchAttribute", "DistinctAttribute"),
    "Allocation": ("Devices", "NodeSelector", "AllocationTimestamp"),
    "AllocatedDevices": ("Results", "Config"),
    "Results": (
        "Request", "Driver", "Pool", "Device", "AdminAccess", "Tolerations", "BindingConditions", "BindingFailureConditions",
        "ShareID", "ConsumedCapacity",
    ),
}  # fmt: skip
_ATTRIBUTE = ("IntValue", "BoolValue", "StringValue", "VersionValue", "IntValues", "BoolValues", "StringValues", "VersionValues")


def _go(tree: Any, kind: str = "") -> Any:
    """A tree as Go marshals the internal type: every field in its order, capitalised, absent ones null."""
    if isinstance(tree, list):
        return [_go(item, kind) for item in tree]
    if not isinstance(tree, dict):
        return tree
    fields = _GO.get(kind) or tuple(key[0].upper() + key[1:] for key in tree)
    result = {}
    for field in fields:
        value = tree.get(field[0].lower() + field[1:])
        inner = "AllocatedDevices" if kind == "Allocation" and field == "Devices" else field
        result[field] = _go(value, inner)
    return result


def _claim_defaults(spec: Object) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        exactly = request.get("exactly")
        for one in ([exactly] if exactly is not None else []) + (request.get("firstAvailable") or []):
            if not one.get("allocationMode"):
                one["allocationMode"] = "ExactCount"
            if one["allocationMode"] == "ExactCount" and not one.get("count"):
                one["count"] = 1
            _toleration_defaults(one)


def _toleration_defaults(one: Object) -> None:
    for toleration in one.get("tolerations") or ():
        if not toleration.get("operator"):
            toleration["operator"] = "Equal"


def claim_spec(spec: Object, path: str) -> Errors:
    devices = spec.get("devices") or {}
    at = f"{path}.devices"
    errors: Errors = [
        err.too_many(f"{at}.{field}", len(devices[field]), _LISTED_MAX)
        for field in ("requests", "constraints", "config")
        if len(devices.get(field) or ()) > _LISTED_MAX
    ]
    known: set[str] = set()
    seen: set[str] = set()
    for i, request in enumerate(devices.get("requests") or ()):
        name = request.get("name") or ""
        errors += _request(request, f"{at}.requests[{i}]")
        if name and name in seen:
            errors.append(err.duplicate(f"{at}.requests[{i}]", name))
        seen.add(name)
        known |= {name} | {f"{name}/{sub.get('name') or ''}" for sub in request.get("firstAvailable") or ()}
    for i, constraint in enumerate(devices.get("constraints") or ()):
        here = f"{at}.constraints[{i}]"
        errors += _request_names(constraint.get("requests") or (), known, f"{here}.requests")
        given = [f for f in ("matchAttribute", "distinctAttribute") if constraint.get(f) is not None]
        if not given:
            errors.append(err.required(here, "exactly one of `matchAttribute` or `distinctAttribute` is required"))
        for field in given:
            errors += _full_name(constraint[field], f"{here}.{field}")
    for i, config in enumerate(devices.get("config") or ()):
        here = f"{at}.config[{i}]"
        errors += _request_names(config.get("requests") or (), known, f"{here}.requests")
        errors += _opaque(config, here)
    return errors


def _request_names(listed: Any, known: set[str], path: str) -> Errors:
    detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
    errors: Errors = []
    for i, name in enumerate(listed):
        if name not in known:
            errors.append(err.invalid(f"{path}[{i}]", name, detail))
        if name in listed[:i]:
            errors.append(err.duplicate(f"{path}[{i}]", name))
    return errors


def _full_name(name: str, path: str) -> Errors:
    """validateFullyQualifiedName: domain/identifier."""
    if not name:
        return [err.required(path)]
    domain, slash, identifier = name.partition("/")
    if not slash:
        return [err.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash")]
    errors = checks.named(domain, path, names.dns1123_subdomain)
    return errors + checks.named(identifier, path, names.c_identifier)


def _request(request: Object, path: str) -> Errors:
    name = request.get("name")
    errors = checks.required_name(name, f"{path}.name", names.dns1123_label)
    exactly, available = request.get("exactly"), request.get("firstAvailable")
    if exactly is not None and available:
        detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
        errors.append(err.invalid(path, _go(request, "Requests"), detail))
    elif exactly is None and not available:
        errors.append(err.required(path, "exactly one of `exactly` or `firstAvailable` is required"))
    elif exactly is not None:
        errors += _exact(exactly, f"{path}.exactly")
    else:
        errors += _first_available(available or (), f"{path}.firstAvailable")
    return errors


def _first_available(listed: Any, path: str) -> Errors:
    errors: Errors = [err.too_many(path, len(listed), _SUBREQUESTS_MAX)] if len(listed) > _SUBREQUESTS_MAX else []
    seen: set[str] = set()
    for i, one in enumerate(listed):
        at, name = f"{path}[{i}]", one.get("name") or ""
        errors += checks.required_name(name, f"{at}.name", names.dns1123_label)
        errors += _exact(one, at)
        if name and name in seen:
            errors.append(err.duplicate(at, name))
        seen.add(name)
    return errors


def _exact(one: Object, path: str) -> Errors:
    errors = checks.required_name(one.get("deviceClassName"), f"{path}.deviceClassName", names.dns1123_subdomain)
    errors += selectors(one.get("selectors") or (), f"{path}.selectors")
    mode, count = one.get("allocationMode"), one.get("count") or 0
    if mode == "All":
        if count:
            detail = "must not be specified when allocationMode is 'All'"
            errors.append(err.invalid(f"{path}.count", count, detail))
    elif mode == "ExactCount":
        if count <= 0:
            errors.append(err.invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        errors.append(err.not_supported(f"{path}.allocationMode", mode or "", _MODES))
    tolerations = one.get("tolerations") or ()
    if len(tolerations) > _TOLERATIONS_MAX:
        errors.append(err.too_many(f"{path}.tolerations", len(tolerations), _TOLERATIONS_MAX))
    for i, toleration in enumerate(tolerations):
        errors += _toleration(toleration, f"{path}.tolerations[{i}]")
    return errors


def _toleration(toleration: Object, path: str) -> Errors:
    """KEP-5055: as a pod's toleration of a node's taint."""
    key, operator, value = (toleration.get(field) or "" for field in ("key", "operator", "value"))
    errors = checks.label_name(key, f"{path}.key") if key else []
    errors += one_of(operator, f"{path}.operator", ("Exists", "Equal"))
    if operator == "Exists" and value:
        errors.append(err.invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        errors += checks.named(value, f"{path}.value", label_value_problems)
    if toleration.get("effect"):
        errors += one_of(toleration["effect"], f"{path}.effect", _EFFECTS)
    return errors


def selectors(listed: Any, path: str) -> Errors:
    if len(listed) > 32:
        return [err.too_many(path, len(listed), 32)]
    errors: Errors = []
    for i, one in enumerate(listed):
        at = f"{path}[{i}].cel"
        if one.get("cel") is None:
            errors.append(err.required(at))
        else:
            errors += device_selectors.expression_problems(one["cel"].get("expression") or "", f"{at}.expression")
    return errors


def _opaque(config: Object, path: str) -> Errors:
    opaque = config.get("opaque")
    if opaque is None:
        return [err.required(f"{path}.opaque")]
    errors = _driver(opaque.get("driver"), f"{path}.opaque.driver")
    parameters = opaque.get("parameters")
    if parameters is None:
        errors.append(err.required(f"{path}.opaque.parameters"))
    elif not isinstance(parameters, dict):
        errors.append(err.invalid(f"{path}.opaque.parameters", "<value omitted>", "must be a valid JSON object"))
    return errors


def _driver(name: str | None, path: str) -> Errors:
    if not name:
        return [err.required(path)]
    errors = [err.too_long(path, name, 63)] if len(name) > 63 else []
    return errors + checks.named(name, path, names.dns1123_subdomain)


class ClaimStrategy(KindStrategy):
    """ResourceClaim."""

    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def defaults(self, obj: Object) -> None:
        _claim_defaults(obj.setdefault("spec", {}))

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return claim_spec(obj.get("spec") or {}, "spec")

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = super().validate_update(ctx, obj, old)
        if ctx.subresource != "status" and not same(obj.get("spec"), old.get("spec")):
            # only the change counts, not what else would be wrong with it
            shown = _go(obj.get("spec"))
            return [e for e in errors if not e.path.startswith("spec")] + [err.invalid("spec", shown, "field is immutable")]
        return errors

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status, was = obj.get("status") or {}, old.get("status") or {}
        allocation, before = status.get("allocation"), was.get("allocation")
        reserved = status.get("reservedFor") or []
        errors: Errors = []
        if before is not None and allocation is not None and allocation != before:
            return [err.invalid("status.allocation", _go(allocation, "Allocation"), "field is immutable")]
        if reserved and allocation is None:
            detail = "may not be specified when `allocated` is not set"
            errors.append(err.forbidden("status.reservedFor", detail))
        if len(reserved) > 256:
            errors.append(err.too_many("status.reservedFor", len(reserved), 256))
        for i, one in enumerate(reserved):
            at = f"status.reservedFor[{i}]"
            errors += [err.required(f"{at}.{f}") for f in ("resource", "name", "uid") if not one.get(f)]
            if any(other.get("uid") == one.get("uid") for other in reserved[:i]):
                errors.append(err.duplicate(at, one.get("uid") or ""))
        for i, device in enumerate(status.get("devices") or ()):
            conditions, at = device.get("conditions") or (), f"status.devices[{i}].conditions"
            if len(conditions) > _CONDITIONS_MAX:
                errors.append(err.too_many(at, len(conditions), _CONDITIONS_MAX))
            errors += checks.conditions(conditions, at)
        if (
            obj["metadata"].get("deletionTimestamp")
            and reserved != (was.get("reservedFor") or [])
            and len(reserved) > len(was.get("reservedFor") or [])
        ):
            errors.append(
                err.forbidden(
                    "status.reservedFor",
                    "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
                )
            )
        known = _known_requests(obj.get("spec") or {})
        for i, result in enumerate(((allocation or {}).get("devices") or {}).get("results") or ()):
            at = f"status.allocation.devices.results[{i}]"
            errors += (
                _request_names([result.get("request") or ""], known, f"{at}.request")
                if (result.get("request") or "") not in known
                else []
            )
            errors += _driver(result.get("driver"), f"{at}.driver")
            errors += _pool(result.get("pool") or "", f"{at}.pool")
            errors += checks.required_name(result.get("device"), f"{at}.device", names.dns1123_label)
        return errors


def _known_requests(spec: Object) -> set[str]:
    known: set[str] = set()
    for request in (spec.get("devices") or {}).get("requests") or ():
        name = request.get("name") or ""
        known |= {name} | {f"{name}/{sub.get('name') or ''}" for sub in request.get("firstAvailable") or ()}
    return known


def _pool(name: str, path: str) -> Errors:
    if not name:
        return [err.required(path)]
    errors = [err.too_long(path, name, 253)] if len(name) > 253 else []
    for part in name.split("/"):
        errors += checks.named(part, path, names.dns1123_subdomain)
    return errors


class ClaimTemplateStrategy(KindStrategy):
    """ResourceClaimTemplate."""

    def defaults(self, obj: Object) -> None:
        _claim_defaults(obj.setdefault("spec", {}).setdefault("spec", {}))

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return claim_spec((obj.get("spec") or {}).get("spec") or {}, "spec.spec")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        if same(obj.get("spec"), old.get("spec")):
            return []
        spec = obj.get("spec") or {}
        # ObjectMeta is embedded: its fields come first, under their JSON names
        shown = {**(spec.get("metadata") or {}), "Spec": _go(spec.get("spec"))}
        return [err.invalid("spec", shown, "field is immutable")]


class DeviceClassStrategy(KindStrategy):
    tracks_generation = True

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors = selectors(spec.get("selectors") or (), "spec.selectors")
        for i, config in enumerate(spec.get("config") or ()):
            errors += _opaque(config, f"spec.config[{i}]")
        name = spec.get("extendedResourceName")
        if name is not None and not _is_extended_resource(name):
            errors.append(err.invalid("spec.extendedResourceName", name, "must be a valid extended resource name"))
        return errors


def _is_extended_resource(name: str) -> bool:
    """IsExtendedResourceName: a qualified name of a domain that is not Kubernetes', also as the name of a quota."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


class SliceStrategy(KindStrategy):
    """ResourceSlice."""

    tracks_generation = True

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        keep(obj["metadata"], old["metadata"], "generation")
        self.bump_generation(obj, old)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors = _driver(spec.get("driver"), "spec.driver")
        pool = spec.get("pool") or {}
        errors += _pool(pool.get("name") or "", "spec.pool.name")
        if (pool.get("resourceSliceCount") or 0) <= 0:
            errors.append(
                err.invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount") or 0, "must be greater than zero")
            )
        if (pool.get("generation") or 0) < 0:
            errors.append(err.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero"))
        errors += _places(spec)
        seen: set[str] = set()
        for i, device in enumerate(spec.get("devices") or ()):
            at, name = f"spec.devices[{i}]", device.get("name") or ""
            if name in seen:
                errors.append(err.duplicate(at, name))
            seen.add(name)
            errors += _device(device, at)
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = obj.get("spec") or {}, old.get("spec") or {}
        errors = checks.unchanged(new, was, "driver", "nodeName", "allNodes", path="spec")
        return errors + checks.unchanged(new.get("pool") or {}, was.get("pool") or {}, "name", path="spec.pool")


def _places(spec: Object) -> Errors:
    errors: Errors = []
    given = [place for place in _PLACES if spec.get(place)]
    listed = ", ".join(f"`{place}`" for place in _PLACES)
    if len(given) > 1:
        shown = "{" + ", ".join(f"`{place}`" for place in given) + "}"
        errors.append(err.invalid("spec", shown, f"exactly one of {listed} is required, but multiple fields are set"))
    elif not given:
        errors.append(err.required("spec", f"exactly one of {listed} is required"))
    if spec.get("nodeName"):
        errors += checks.named(spec["nodeName"], "spec.nodeName", names.dns1123_subdomain)
    if spec.get("nodeSelector"):
        errors += placement.node_selector(spec["nodeSelector"], "spec.nodeSelector")
    return errors


_VALUES = {"int": "IntValue", "bool": "BoolValue", "string": "StringValue", "version": "VersionValue"}


def _device(device: Object, path: str) -> Errors:
    errors = checks.required_name(device.get("name"), f"{path}.name", names.dns1123_label)
    for key, attribute in (device.get("attributes") or {}).items():
        at = f"{path}.attributes[{key}]"
        given = [name for name in _VALUES if attribute.get(name) is not None]
        if len(given) != 1 and not any(name.endswith("s") for name in attribute):
            shown: dict[str, Any] = dict.fromkeys(_ATTRIBUTE)
            shown |= {_VALUES[name]: attribute[name] for name in given}
            detail = "exactly one value must be specified"
            errors.append(err.invalid(at, shown, detail) if given else err.required(at, detail))
            continue
        if "version" in given and not _semver_re.fullmatch(attribute["version"]):
            detail = "must be a string compatible with semver.org spec 2.0.0"
            errors.append(err.invalid(f"{at}.version", attribute["version"], detail))
        if "string" in given and len(attribute["string"]) > 64:
            errors.append(err.too_long(f"{at}.string", attribute["string"], 64))
    for i, taint in enumerate(device.get("taints") or ()):
        errors += checks.label_name(taint.get("key") or "", f"{path}.taints[{i}].key")
        errors += one_of(taint.get("effect"), f"{path}.taints[{i}].effect", ("NoExecute", "NoSchedule", "None"))
    return errors
