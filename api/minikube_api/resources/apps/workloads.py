"""Deployment, ReplicaSet, ReplicationController and ControllerRevision, and what all kinds with a pod template share.

Source: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation/validation.go, pkg/registry/apps.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, selectors
from minikube_api.meta.errors import BadRequest
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors, nonnegative, nonnegative_fields
from minikube_api.resources.pods import defaults, spec, warnings
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep, set_default

_ALWAYS = ("Always",)
MISMATCH = "`selector` does not match template `labels`"


def template_of(obj: Object) -> Object:
    return (obj.get("spec") or {}).get("template") or {}


def template_matches(obj_spec: Object, path: str = "spec", *, whole_spec: bool = True) -> Errors:
    """The template's labels, its spec, and a restart policy of Always: ValidatePodTemplateSpecForReplicaSet."""
    template = obj_spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    errors: Errors = []
    if selects(obj_spec.get("selector"), labels) is False:
        errors.append(err.invalid(f"{path}.template.metadata.labels", checks.shown_labels(labels), MISMATCH))
    errors += (
        spec.pod_template(template, f"{path}.template") if whole_spec else spec.template_metadata(template, f"{path}.template")
    )
    return errors + always_restarted(template, f"{path}.template")


def always_restarted(template: Object, path: str) -> Errors:
    policy = (template.get("spec") or {}).get("restartPolicy")
    return [] if policy in (None, "Always") else [err.not_supported(f"{path}.spec.restartPolicy", policy, _ALWAYS)]


def selects(selector: Object | None, labels: dict[str, str] | None) -> bool | None:
    """None: the selector can't be evaluated (LabelSelectorAsSelector fails). An absent selector matches nothing."""
    try:
        return selectors.from_label_selector(selector).matches(labels or {})
    except BadRequest:
        return None


def spec_changed(obj: Object, old: Object) -> bool:
    """What warnings of an update go by: a template that is warned of is so again with each change of the spec round it."""
    return obj["metadata"].get("generation") != old["metadata"].get("generation")


def name_warnings(obj: Object) -> list[str]:
    """A workload's name that is no DNS label: what its pods are called after it is no host name."""
    messages = names.dns1123_label(obj["metadata"].get("name") or "")
    if not messages:
        return []
    what = "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended"
    return [f"metadata.name: {what}: [{' '.join(messages)}]"]


def own_selector(selector: Object | None, kind: str, path: str = "spec.selector") -> Errors:
    if selector is None:
        return [err.required(path)]
    errors = checks.label_selector(selector, path)
    if checks.empty_selector(selector):
        errors.append(err.invalid(path, {}, f"empty selector is invalid for {kind}"))
    return errors


def selector_and_template(obj_spec: Object, kind: str, *, invalid: str, whole_spec: bool = True) -> Errors:
    """Selector, then the template, which is left alone while the selector can't be evaluated (`invalid` words that)."""
    selector = obj_spec.get("selector")
    errors = own_selector(selector, kind)
    if selects(selector, {}) is None:
        return [*errors, err.invalid("spec.selector", checks.shown_selector(selector), invalid)]
    return errors + template_matches(obj_spec, whole_spec=whole_spec)


def no_deadline(obj_spec: Object, kind: str) -> Errors:
    if ((obj_spec.get("template") or {}).get("spec") or {}).get("activeDeadlineSeconds") is None:
        return []
    path = "spec.template.spec.activeDeadlineSeconds"
    return [err.forbidden(path, f"activeDeadlineSeconds in {kind} is not Supported")]


class TemplateStrategy(KindStrategy):
    """A kind with a pod template at spec.template."""

    tracks_generation = True
    empty_status = {}
    #: names of pods are made of its own
    warns_of_name = False

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        if old is not None and not spec_changed(obj, old):
            return []
        found = name_warnings(obj) if self.warns_of_name and old is None else []
        return found + warnings.pod_template(template_of(obj), None, "spec.template")

    def prepare_template(self, obj: Object) -> Object:
        obj_spec = obj.setdefault("spec", {})
        defaults.template(obj_spec.setdefault("template", {}))
        return obj_spec


def replica_template(obj_spec: Object) -> Errors:
    """Selector and template of what makes ReplicaSets, and of these."""
    errors = selector_and_template(obj_spec, "deployment", invalid="invalid label selector")
    if selects(obj_spec.get("selector"), {}) is None:
        return errors
    return errors + no_deadline(obj_spec, "ReplicaSet")


def selector_unchanged(obj: Object, old: Object) -> Errors:
    new, was = obj["spec"].get("selector"), old["spec"].get("selector")
    return [] if new == was else [err.invalid("spec.selector", checks.shown_selector(new), "field is immutable")]


class DeploymentStrategy(TemplateStrategy):
    warns_of_name = True
    status_reset_fields = {"f:metadata": {"f:labels": {}}}

    def defaults(self, obj: Object) -> None:
        tree = self.prepare_template(obj)
        set_default(tree, "replicas", 1)
        strategy = tree.get("strategy")
        if strategy is None:
            strategy = tree["strategy"] = {}
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.get("rollingUpdate")
            if rolling is None:
                rolling = strategy["rollingUpdate"] = {}
            set_default(rolling, "maxUnavailable", "25%")
            set_default(rolling, "maxSurge", "25%")
        set_default(tree, "revisionHistoryLimit", 10)
        set_default(tree, "progressDeadlineSeconds", 600)

    def desired_state_changed(self, obj: Object, old: Object) -> bool:
        # the deployment controller reads annotations too
        meta, was = obj["metadata"], old["metadata"]
        return super().desired_state_changed(obj, old) or meta.get("annotations") != was.get("annotations")

    def keep_all_but_status(self, obj: Object, old: Object) -> None:
        super().keep_all_but_status(obj, old)
        keep(obj["metadata"], old["metadata"], "labels")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = nonnegative(tree.get("replicas"), "spec.replicas")
        errors += replica_template(tree)
        errors += _deployment_strategy(tree.get("strategy") or {})
        errors += nonnegative_fields(tree, "spec", "minReadySeconds", "revisionHistoryLimit")
        deadline = tree.get("progressDeadlineSeconds")
        if deadline is not None:
            errors += nonnegative(deadline, "spec.progressDeadlineSeconds")
            if deadline <= (tree.get("minReadySeconds") or 0):
                errors.append(err.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return selector_unchanged(obj, old)

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        fields = (
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
        )
        errors = nonnegative_fields(status, "status", *fields, "collisionCount")
        errors += collisions(status, old)
        return errors + counts(status, "updatedReplicas", "readyReplicas", "availableReplicas")


def collisions(status: Object, old: Object) -> Errors:
    count, before = status.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (count or 0) < before:
        return [err.invalid("status.collisionCount", count or 0, "cannot be decremented")]
    return []


def counts(status: Object, *fields: str, ready_name: str = "readyReplicas") -> Errors:
    replicas, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    errors: Errors = []
    for field in fields:
        value = status.get(field) or 0
        if value > replicas:
            errors.append(err.invalid(f"status.{field}", value, "cannot be greater than status.replicas"))
        if field == "availableReplicas" and value > ready:
            errors.append(err.invalid(f"status.{field}", value, f"cannot be greater than {ready_name}"))
    return errors


def _deployment_strategy(strategy: Object) -> Errors:
    path = "spec.strategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            return [err.forbidden(f"{path}.rollingUpdate", detail)]
        return []
    if kind == "RollingUpdate":
        if rolling is None:
            return [err.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
        return rolling_update(rolling, f"{path}.rollingUpdate", surge_may_be_over_100=True)
    return [err.not_supported(path, shown_strategy(strategy), ("Recreate", "RollingUpdate"))]


def shown_strategy(strategy: Object) -> Object:
    """A Deployment's or DaemonSet's strategy as Go prints the internal type."""
    rolling = strategy.get("rollingUpdate")
    # absent numbers are zero in Go
    shown = rolling and {name: rolling.get(name[0].lower() + name[1:]) or 0 for name in ("MaxUnavailable", "MaxSurge")}
    return {"Type": strategy.get("type") or "", "RollingUpdate": shown}


def rolling_update(rolling: Object, path: str, *, surge_may_be_over_100: bool) -> Errors:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = checks.int_or_percent(unavailable if unavailable is not None else 0, f"{path}.maxUnavailable")
    errors += checks.int_or_percent(surge if surge is not None else 0, f"{path}.maxSurge")
    if checks.int_value(unavailable) == 0 and checks.int_value(surge) == 0:
        # both cannot be zero
        errors.append(err.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    errors += checks.at_most_100_percent(unavailable, f"{path}.maxUnavailable")
    if not surge_may_be_over_100:
        errors += checks.at_most_100_percent(surge, f"{path}.maxSurge")
    return errors


class ReplicaSetStrategy(TemplateStrategy):
    warns_of_name = True
    empty_status = {"replicas": 0}

    def defaults(self, obj: Object) -> None:
        set_default(self.prepare_template(obj), "replicas", 1)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = nonnegative_fields(tree, "spec", "replicas", "minReadySeconds")
        return errors + replica_template(tree)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return selector_unchanged(obj, old)

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return replica_status(obj.get("status") or {})


def replica_status(status: Object) -> Errors:
    fields = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas")
    fields += ("observedGeneration",)
    errors = nonnegative_fields(status, "status", *fields)
    return errors + counts(status, "fullyLabeledReplicas", "readyReplicas", "availableReplicas")


class ReplicationControllerStrategy(TemplateStrategy):
    warns_of_name = True
    empty_status = {"replicas": 0}
    # an update is checked as a new object, and then as an update
    whole_checks = 1
    object_checks = 2

    def defaults(self, obj: Object) -> None:
        tree = obj.setdefault("spec", {})
        template = tree.get("template")
        if template is not None:
            defaults.template(template)
            labels = (template.get("metadata") or {}).get("labels")
            if labels:
                if not tree.get("selector"):
                    tree["selector"] = dict(labels)
                if not obj["metadata"].get("labels"):
                    obj["metadata"]["labels"] = dict(labels)
        set_default(tree, "replicas", 1)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = nonnegative_fields(tree, "spec", "minReadySeconds")
        selector = tree.get("selector")
        if not selector:
            errors.append(err.required("spec.selector"))
        errors += nonnegative(tree.get("replicas"), "spec.replicas")
        template = tree.get("template")
        if template is None:
            return [*errors, err.required("spec.template")]
        labels = (template.get("metadata") or {}).get("labels")
        if selector and not selectors.from_labels(selector).matches(labels or {}):
            errors.append(err.invalid("spec.template.metadata.labels", checks.shown_labels(labels), MISMATCH))
        errors += spec.pod_template(template, "spec.template")
        policy = (template.get("spec") or {}).get("restartPolicy")
        if policy != "Always":
            errors.append(err.not_supported("spec.template.spec.restartPolicy", policy, _ALWAYS))
        return errors + no_deadline(tree, "ReplicationController")

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return replica_status(obj.get("status") or {})


class ControllerRevisionStrategy(KindStrategy):
    spec_fields = ("data",)

    def defaults(self, obj: Object) -> None:
        set_default(obj, "revision", 0)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        data: Any = obj.get("data")
        errors: Errors = []
        if data is None:
            errors.append(err.required("data", "data is mandatory"))
        elif not isinstance(data, dict):
            errors.append(err.required("data", "data must be a valid JSON object"))
        return errors + nonnegative(obj.get("revision") or 0, "revision")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return checks.unchanged(obj, old, "data")
