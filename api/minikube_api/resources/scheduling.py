"""PriorityClass. Source: pkg/apis/scheduling/v1/defaults.go and validation."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.resources import checks, objectmeta
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

SYSTEM_PREFIX = "system-"
#: the classes of the system: their values, beyond what users may give
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
USER_MAX = 1_000_000_000


class PriorityClassStrategy(KindStrategy):
    tracks_generation = True
    spec_fields = ()

    def defaults(self, obj: Object) -> None:
        set_default(obj, "preemptionPolicy", "PreemptLowerPriority")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
        errors: Errors = []
        if name.startswith(SYSTEM_PREFIX):
            if problem := _not_of_the_system(name, value, bool(obj.get("globalDefault"))):
                detail = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
                errors.append(err.forbidden("metadata.name", detail))
        elif value > USER_MAX:
            errors.append(err.forbidden("value", f"maximum allowed value of a user defined priority is {USER_MAX}"))
        return errors + checks.one_of(obj.get("preemptionPolicy"), "preemptionPolicy", ("PreemptLowerPriority", "Never"))

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        # ValidatePriorityClassUpdate looks at the change alone
        errors = objectmeta.meta_update_problems(obj, old) * 2
        if (obj.get("value") or 0) != (old.get("value") or 0):
            errors.append(err.forbidden("value", "may not be changed in an update."))
        return errors + checks.unchanged(obj, old, "preemptionPolicy")


def _not_of_the_system(name: str, value: int, default: bool) -> str:
    """Why this is no system class as the system makes it; "" when it is."""
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""
