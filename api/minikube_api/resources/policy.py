"""PodDisruptionBudget, PriorityClass, RuntimeClass and Lease: small kinds of policy, scheduling, node and coordination."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors, nonnegative_fields, one_of
from minikube_api.resources.objectmeta import label_problems
from minikube_api.resources.pods import placement, resources
from minikube_api.resources.pods.defaults import resource_list
from minikube_api.resources.pods.spec import PREEMPTION
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


class BudgetStrategy(KindStrategy):
    tracks_generation = True
    empty_status = dict.fromkeys(_COUNTS, 0)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors: Errors = []
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if least is not None and most is not None:
            shown = {
                "MinAvailable": least,
                "Selector": spec.get("selector"),
                "MaxUnavailable": most,
                "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
            }
            errors.append(err.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
        for field, value in (("minAvailable", least), ("maxUnavailable", most)):
            if value is not None:
                errors += checks.int_or_percent(value, f"spec.{field}")
                errors += checks.at_most_100_percent(value, f"spec.{field}")
        errors += checks.label_selector(spec.get("selector"), "spec.selector")
        if spec.get("unhealthyPodEvictionPolicy") is not None:
            at = "spec.unhealthyPodEvictionPolicy"
            errors += one_of(spec["unhealthyPodEvictionPolicy"], at, ("AlwaysAllow", "IfHealthyBudget"))
        return errors

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        return checks.conditions(status.get("conditions"), "status.conditions") + nonnegative_fields(status, "status", *_COUNTS)


_SYSTEM = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_HIGHEST_USER = 1_000_000_000


class PriorityClassStrategy(KindStrategy):
    tracks_generation = True
    spec_fields = ()

    def defaults(self, obj: Object) -> None:
        if not obj.get("preemptionPolicy"):
            obj["preemptionPolicy"] = "PreemptLowerPriority"
        obj.setdefault("value", 0)

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
        if name.startswith("system-"):
            problem = ""
            if name not in _SYSTEM:
                problem = f"{name} is not a known system priority class"
            elif value != _SYSTEM[name]:
                problem = f"value of {name} PriorityClass must be {_SYSTEM[name]}"
            elif obj.get("globalDefault"):
                problem = f"globalDefault of {name} PriorityClass must be false"
            if problem:
                detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {problem}"
                errors.append(err.forbidden("metadata.name", detail))
        elif value > _HIGHEST_USER:
            detail = f"maximum allowed value of a user defined priority is {_HIGHEST_USER}"
            errors.append(err.forbidden("value", detail))
        return errors + one_of(obj.get("preemptionPolicy"), "preemptionPolicy", PREEMPTION)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors: Errors = []
        if obj.get("value") != old.get("value"):
            errors.append(err.forbidden("value", "may not be changed in an update."))
        return errors + checks.unchanged(obj, old, "preemptionPolicy")


class RuntimeClassStrategy(KindStrategy):
    def defaults(self, obj: Object) -> None:
        if (obj.get("overhead") or {}).get("podFixed"):
            resource_list(obj["overhead"]["podFixed"])

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors = checks.named(obj.get("handler") or "", "handler", names.dns1123_label)
        overhead = (obj.get("overhead") or {}).get("podFixed")
        if overhead:
            errors += resources.requirements({"limits": overhead}, "overhead")
        scheduling = obj.get("scheduling") or {}
        errors += label_problems(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        tolerations = scheduling.get("tolerations") or []
        errors += placement.tolerations(tolerations, "scheduling.tolerations")
        errors += [
            err.duplicate(f"scheduling.tolerations[{i}]", _shown_toleration(one))
            for i, one in enumerate(tolerations)
            if one in tolerations[:i]
        ]
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return checks.unchanged(obj, old, "handler")


def _shown_toleration(one: Object) -> Object:
    """As Go prints the internal type."""
    texts = {name: one.get(name.lower()) or "" for name in ("Key", "Operator", "Value", "Effect")}
    return {**texts, "TolerationSeconds": one.get("tolerationSeconds")}


class LeaseStrategy(KindStrategy):
    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        _drop_coordination(obj, None)

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        super().prepare_update(ctx, obj, old)
        _drop_coordination(obj, old)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors: Errors = []
        seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if seconds is not None and seconds <= 0:
            errors.append(err.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            detail = "must be greater than or equal to 0"
            errors.append(err.invalid("spec.leaseTransitions", transitions, detail))
        strategy = spec.get("strategy")
        if strategy is not None:
            errors += (
                checks.label_name(strategy, "spec.strategy")
                if "/" in strategy
                else one_of(strategy, "spec.strategy", ("OldestEmulationVersion",))
            )
        if spec.get("preferredHolder") and not strategy:
            detail = "may only be specified if `strategy` is defined"
            errors.append(err.forbidden("spec.preferredHolder", detail))
        return errors


def _drop_coordination(obj: Object, old: Object | None) -> None:
    """Fields of a feature that is off by default (CoordinatedLeaderElection) are dropped unless they are stored already."""
    spec, was = obj.get("spec") or {}, (old or {}).get("spec") or {}
    for field in ("strategy", "preferredHolder"):
        if was.get(field) is None:
            spec.pop(field, None)
