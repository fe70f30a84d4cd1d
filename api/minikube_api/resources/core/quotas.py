"""ResourceQuota and LimitRange. Source: ValidateResourceQuota, ValidateLimitRange, SetDefaults_LimitRangeItem."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import quantities
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.pods import resources
from minikube_api.resources.pods.defaults import resource_list
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep

_STANDARD = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers",
    "secrets", "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_PODS = frozenset({"pods"})
_POD_COMPUTE = _PODS | {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
#: the standard resources that a quota of a scope may limit
_SCOPES = {
    "BestEffort": _PODS, "NotBestEffort": _POD_COMPUTE, "Terminating": _POD_COMPUTE, "NotTerminating": _POD_COMPUTE,
    "PriorityClass": _POD_COMPUTE, "CrossNamespacePodAffinity": _POD_COMPUTE,
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}  # fmt: skip
_EXISTS_ONLY = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})


class QuotaStrategy(KindStrategy):
    tracks_generation = False
    empty_status = {}

    def defaults(self, obj: Object) -> None:
        for part in ("spec", "status"):
            for name in ("hard", "used"):
                listed = (obj.get(part) or {}).get(name)
                if listed:
                    resource_list(listed)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        return _listed(tree.get("hard"), "spec.hard") + _scopes(tree)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = (set((o.get("spec") or {}).get("scopes") or ()) for o in (obj, old))
        return [err.invalid("spec.scopes", (obj.get("spec") or {}).get("scopes"), "field is immutable")] if new != was else []

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        return _listed(status.get("hard"), "status.hard") + _listed(status.get("used"), "status.used")


def _listed(listed: Object | None, path: str) -> Errors:
    errors: Errors = []
    for name, value in (listed or {}).items():
        at = f"{path}[{name}]"
        errors += quota_resource(name, at) + resources.quantity_problems(name, value, at)
    return errors


def is_standard(name: str) -> bool:
    return name in _STANDARD or name.startswith((resources.HUGE_PAGES, f"requests.{resources.HUGE_PAGES}"))


def quota_resource(name: str, path: str) -> Errors:
    """A resource that can be counted: a standard one, or one with a prefix (`count/...`, a storage class's, an extended one)."""
    errors = resources.name_problems(name, path)
    if "/" not in name and not is_standard(name):
        errors.append(err.invalid(path, name, "must be a standard resource for quota"))
    return errors


def _scopes(tree: Object) -> Errors:
    scopes, hard = tree.get("scopes") or [], tree.get("hard") or {}
    errors: Errors = []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(err.invalid("spec.scopes", scopes, "unsupported scope"))
        errors += _misplaced(scope, hard, "spec.scopes", scopes)
    errors += [err.invalid("spec.scopes", scopes, "conflicting scopes") for pair in _CONFLICTS if pair <= set(scopes)]
    selector, path = tree.get("scopeSelector"), "spec.scopeSelector.matchExpressions"
    if selector is None:
        return errors
    listed = selector.get("matchExpressions") or ()
    for one in listed:
        errors += _misplaced(one.get("scopeName") or "", hard, path, _shown(listed)) + _selector(one, path)
    selected = {one.get("scopeName") for one in listed}
    return errors + [err.invalid(path, scopes or None, "conflicting scopes") for pair in _CONFLICTS if pair <= selected]


def _misplaced(scope: str, hard: Object, path: str, shown: Any) -> Errors:
    """A finding for each limited resource that objects of this scope do not use."""
    allowed = _SCOPES.get(scope)
    if allowed is None:
        return []
    names_ = [name for name in sorted(hard) if is_standard(name) and name not in allowed]
    return [err.invalid(path, shown, "unsupported scope applied to resource") for _ in names_]


def _shown(listed: Any) -> Object:
    """A scope selector as Go prints its internal type."""
    names_ = (("ScopeName", "scopeName"), ("Operator", "operator"))
    expressions = [{go: one.get(name) or "" for go, name in names_} | {"Values": one.get("values") or None} for one in listed]
    return {"MatchExpressions": expressions or None}


def _selector(one: Object, path: str) -> Errors:
    errors: Errors = []
    scope, operator, values = one.get("scopeName") or "", one.get("operator") or "", one.get("values") or ()
    if scope not in _SCOPES:
        errors.append(err.invalid(f"{path}.scopeName", scope, "unsupported scope"))
    if scope in _EXISTS_ONLY and operator != "Exists":
        detail = (
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errors.append(err.invalid(f"{path}.operator", operator, detail))
    if operator in ("In", "NotIn"):
        detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        return errors if values else [*errors, err.required(f"{path}.values", detail)]
    if operator in ("Exists", "DoesNotExist"):
        detail = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
        return [*errors, err.invalid(f"{path}.values", values, detail)] if values else errors
    return [*errors, err.invalid(f"{path}.operator", operator, "not a valid selector operator")]


_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(KindStrategy):
    change_checks = 1
    whole_checks = 1

    def defaults(self, obj: Object) -> None:
        """Container items: default from max, defaultRequest from default, then from min."""
        for item in (obj.get("spec") or {}).get("limits") or ():
            for name in _LISTS:
                if item.get(name):
                    resource_list(item[name])
            if item.get("type") != "Container":
                continue
            default = dict(item.get("max") or {}) | (item.get("default") or {})
            request = dict(item.get("min") or {}) | default | (item.get("defaultRequest") or {})
            for name, value in (("default", default), ("defaultRequest", request)):
                if value:
                    item[name] = value

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        keep(obj["metadata"], old["metadata"], "generation")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        seen: set[str] = set()
        for i, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            at, kind = f"spec.limits[{i}]", item.get("type") or ""
            errors += checks.named(kind, f"{at}.type", _limit_type)
            if kind in seen:
                errors.append(err.duplicate(f"{at}.type", kind))
            seen.add(kind)
            errors += _limit(item, kind, at)
        return errors


def _limit_type(kind: str) -> list[str]:
    problems = qualified_problems(kind)
    if not problems and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
        return ["must be a standard limit type or fully qualified"]
    return problems


def _limit(item: Object, kind: str, path: str) -> Errors:
    errors: Errors = []
    values: dict[str, dict[str, Any]] = {name: item.get(name) or {} for name in _LISTS}
    if kind == "Pod":
        for name in ("default", "defaultRequest"):
            if values.pop(name):
                errors.append(err.forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'"))
    if kind == "PersistentVolumeClaim" and not ({"storage"} & {*values["min"], *values["max"]}):
        errors.append(
            err.required(f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided")
        )
    check = resources.container_name_problems if kind in ("Pod", "Container") else resources.name_problems
    for field, listed in values.items():
        errors += [error for name in sorted(listed) for error in check(name, f"{path}.{field}[{name}]")]
    for name in sorted({key for listed in values.values() for key in listed}):
        found = {field: quantities.of(listed[name]) for field, listed in values.items() if name in listed}
        errors += _ordered(found, name, path) + _ratio(found, name, path)
    return errors


#: (lower, higher, where it is told, whose value is shown, words), as Kubernetes tells it
_ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request value {} is greater than max value {}"),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
    ),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)


def _ordered(found: dict[str, quantities.Quantity], name: str, path: str) -> Errors:
    errors: Errors = []
    for low, high, where, shown, words in _ORDER:
        if low in found and high in found and found[low] > found[high]:
            detail = words.format(found[low], found[high])
            errors.append(err.invalid(f"{path}.{where}[{name}]", str(found[shown]), detail))
    default, request = found.get("default"), found.get("defaultRequest")
    overcommit = resources.is_native(name) and not name.startswith(resources.HUGE_PAGES)
    if not overcommit and default is not None and request is not None and default != request:
        detail = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errors.append(err.invalid(f"{path}.defaultRequest[{name}]", str(request), detail))
    return errors


def _ratio(found: dict[str, quantities.Quantity], name: str, path: str) -> Errors:
    ratio, at = found.get("maxLimitRequestRatio"), f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is None:
        return []
    errors: Errors = []
    if ratio < quantities.Quantity.of(1):
        errors.append(err.invalid(at, str(ratio), f"ratio {ratio} is less than 1"))
    if "min" in found and "max" in found and found["min"].nanos > 0:
        limit = found["max"].nanos / found["min"].nanos
        if float(ratio) > limit:
            errors.append(err.invalid(at, str(ratio), f"ratio {ratio} is greater than max/min = {limit:f}"))
    return errors
