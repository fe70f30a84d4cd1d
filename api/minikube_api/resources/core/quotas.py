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

_SCOPES = frozenset({
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass",
})  # fmt: skip
_POD_RESOURCES = frozenset({
    "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory", "pods",
})  # fmt: skip


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


def quota_resource(name: str, path: str) -> Errors:
    """A resource that can be counted: a standard one, `count/...`, a storage class's, or an extended one."""
    errors = [err.invalid(path, name, m) for m in qualified_problems(name)]
    if not errors and "/" not in name and not resources.is_standard(name) and not name.startswith("requests."):
        errors.append(err.invalid(path, name, "must be a standard resource for quota"))
    return errors


def _scopes(tree: Object) -> Errors:
    scopes = tree.get("scopes") or []
    errors: Errors = []
    hard = set(tree.get("hard") or ())
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(err.invalid("spec.scopes", scopes, "unsupported scope"))
        elif (scope == "BestEffort" and hard - {"pods"}) or (
            scope in ("Terminating", "NotTerminating", "NotBestEffort") and not all(_pod_resource(n) for n in hard)
        ):
            errors.append(err.invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(scopes):
            errors.append(err.invalid("spec.scopes", scopes, "conflicting scopes"))
    for one in (tree.get("scopeSelector") or {}).get("matchExpressions") or ():
        errors += _selector(one, "spec.scopeSelector.matchExpressions")
    return errors


def _pod_resource(name: str) -> bool:
    return name in _POD_RESOURCES or "ephemeral-storage" in name or "hugepages-" in name or "/" in name


def _selector(one: Object, path: str) -> Errors:
    errors: Errors = []
    scope, operator, values = one.get("scopeName") or "", one.get("operator") or "", one.get("values") or ()
    if scope not in _SCOPES:
        errors.append(err.invalid(f"{path}.scopeName", scope, "unsupported scope"))
    if (
        scope in ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
        and operator != "Exists"
    ):
        detail = (
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errors.append(err.invalid(f"{path}.operator", operator, detail))
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(
                err.required(f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(
                err.invalid(
                    f"{path}.values", values, "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
                )
            )
    else:
        errors.append(err.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return errors


_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRangeStrategy(KindStrategy):
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
            if values[name]:
                errors.append(err.forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'"))
    if kind == "PersistentVolumeClaim" and not ({"storage"} & {*values["min"], *values["max"]}):
        errors.append(
            err.required(f"{path}.limits", "either minimum or maximum storage value is required, but neither was provided")
        )
    for name in sorted({key for listed in values.values() for key in listed}):
        if kind in ("Pod", "Container"):
            errors += resources.name_problems(name, f"{path}.max[{name}]")
        found = {field: quantities.of(listed[name]) for field, listed in values.items() if name in listed}
        errors += _ordered(found, name, path)
    return errors


def _ordered(found: dict[str, quantities.Quantity], name: str, path: str) -> Errors:
    errors: Errors = []
    for low, high, word in (
        ("min", "max", "min value {} is greater than max value {}"),
        ("min", "defaultRequest", "min value {} is greater than default request value {}"),
        ("defaultRequest", "max", "default request value {} is greater than max value {}"),
        ("defaultRequest", "default", "default request value {} is greater than default limit value {}"),
        ("min", "default", "min value {} is greater than default value {}"),
        ("default", "max", "default value {} is greater than max value {}"),
    ):
        if low in found and high in found and found[low] > found[high]:
            at = f"{path}.{'min' if (low, high) == ('min', 'max') else low if low != 'min' else high}[{name}]"
            shown = found["min"] if low == "min" and high == "max" else found[low if low != "min" else high]
            errors.append(err.invalid(at, str(shown), word.format(found[low], found[high])))
    ratio = found.get("maxLimitRequestRatio")
    if ratio is not None and ratio < quantities.Quantity.of(1):
        errors.append(err.invalid(f"{path}.maxLimitRequestRatio[{name}]", str(ratio), f"ratio {ratio} is less than 1"))
    if ratio is not None and "min" in found and "max" in found and found["min"].nanos > 0:
        limit = found["max"].nanos / found["min"].nanos
        if float(ratio) > limit:
            detail = f"ratio {ratio} is greater than max/min = {limit:f}"
            errors.append(err.invalid(f"{path}.maxLimitRequestRatio[{name}]", str(ratio), detail))
    return errors
