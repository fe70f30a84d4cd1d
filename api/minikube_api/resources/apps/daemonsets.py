"""DaemonSet. Source: pkg/apis/apps/v1/defaults.go and conversion.go, pkg/apis/apps/validation, pkg/registry/apps/daemonset."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import BadRequest
from minikube_api.resources import checks
from minikube_api.resources.apps.workloads import (
    MISMATCH,
    TemplateStrategy,
    always_restarted,
    collisions,
    no_deadline,
    own_selector,
    selector_unchanged,
    selects,
    shown_strategy,
)
from minikube_api.resources.checks import Errors, nonnegative_fields
from minikube_api.resources.pods import spec
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import set_default

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _template_generation(obj: Object) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION)
    try:
        return int(text or 0)
    except ValueError as error:
        text = f"strconv.ParseInt: parsing {err.quote(str(text))}: invalid syntax"
        raise BadRequest(f'DaemonSet in version "v1" cannot be handled as a DaemonSet: {text}') from error


class DaemonSetStrategy(TemplateStrategy):
    empty_status = {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}

    def defaults(self, obj: Object) -> None:
        # the internal type has the number as a field, which v1 always shows as an annotation
        self._set_template_generation(obj, _template_generation(obj))
        tree = self.prepare_template(obj)
        strategy = tree.get("updateStrategy")
        if strategy is None:
            strategy = tree["updateStrategy"] = {}
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.get("rollingUpdate")
            if rolling is None:
                rolling = strategy["rollingUpdate"] = {}
            set_default(rolling, "maxUnavailable", 1)
            set_default(rolling, "maxSurge", 0)
        set_default(tree, "revisionHistoryLimit", 10)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        self._set_template_generation(obj, max(_template_generation(obj), 1))

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        super().prepare_update(ctx, obj, old)
        changed = ctx.subresource == "" and obj["spec"].get("template") != old["spec"].get("template")
        self._set_template_generation(obj, _template_generation(old) + changed)

    @staticmethod
    def _set_template_generation(obj: Object, number: int) -> None:
        meta = obj["metadata"]
        meta["annotations"] = {**(meta.get("annotations") or {}), TEMPLATE_GENERATION: str(number)}

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        selector, template = tree.get("selector"), tree.get("template") or {}
        errors = own_selector(selector, "daemonset")
        labels = (template.get("metadata") or {}).get("labels")
        if selects(selector, labels) is False:
            errors.append(err.invalid("spec.template.metadata.labels", checks.shown_labels(labels), MISMATCH))
        errors += spec.pod_template(template, "spec.template") + always_restarted(template, "spec.template")
        errors += no_deadline(tree, "DaemonSet")
        errors += nonnegative_fields(tree, "spec", "minReadySeconds", "revisionHistoryLimit")
        strategy = tree.get("updateStrategy") or {}
        path = "spec.updateStrategy"
        if strategy.get("type") == "RollingUpdate":
            rolling = strategy.get("rollingUpdate")
            if rolling is None:
                return [*errors, err.required(f"{path}.rollingUpdate")]
            return errors + _daemon_rolling_update(rolling, f"{path}.rollingUpdate")
        if strategy.get("type") != "OnDelete":
            errors.append(err.not_supported(path, shown_strategy(strategy), ("RollingUpdate", "OnDelete")))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return selector_unchanged(obj, old)

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        fields = (
            "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
            "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
        )  # fmt: skip
        status = obj.get("status") or {}
        return nonnegative_fields(status, "status", *fields) + collisions(status, old)


def _daemon_rolling_update(rolling: Object, path: str) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = checks.int_or_percent(unavailable if unavailable is not None else 0, f"{path}.maxUnavailable")
    errors += checks.int_or_percent(surge if surge is not None else 0, f"{path}.maxSurge")
    errors += checks.at_most_100_percent(unavailable, f"{path}.maxUnavailable")
    errors += checks.at_most_100_percent(surge, f"{path}.maxSurge")
    has_unavailable, has_surge = checks.int_value(unavailable) != 0, checks.int_value(surge) != 0
    if has_unavailable and has_surge:
        errors.append(err.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif not has_unavailable and not has_surge:
        errors.append(err.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors
