"""Deployment, ReplicaSet, StatefulSet, DaemonSet, ControllerRevision and ReplicationController.

Source: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation/validation.go, pkg/registry/apps.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, selectors
from minikube_api.meta.errors import BadRequest
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors, nonnegative, nonnegative_fields, one_of
from minikube_api.resources.core import claims
from minikube_api.resources.pods import defaults, spec, warnings
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep, set_default

_ALWAYS = ("Always",)
_MISMATCH = "`selector` does not match template `labels`"


def template_of(obj: Object) -> Object:
    return (obj.get("spec") or {}).get("template") or {}


def template_matches(obj_spec: Object, path: str = "spec", *, whole_spec: bool = True) -> Errors:
    """The template's labels, its spec, and a restart policy of Always: ValidatePodTemplateSpecForReplicaSet."""
    template = obj_spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    errors: Errors = []
    if not _selects(obj_spec.get("selector"), labels):
        errors.append(err.invalid(f"{path}.template.metadata.labels", labels, _MISMATCH))
    errors += (
        spec.pod_template(template, f"{path}.template") if whole_spec else spec.template_metadata(template, f"{path}.template")
    )
    pod_spec = template.get("spec") or {}
    if pod_spec.get("restartPolicy") not in _ALWAYS and pod_spec.get("restartPolicy"):
        errors.append(err.not_supported(f"{path}.template.spec.restartPolicy", pod_spec["restartPolicy"], _ALWAYS))
    return errors


def _selects(selector: Object | None, labels: dict[str, str] | None) -> bool:
    if checks.empty_selector(selector):
        # an empty selector is refused with words of its own; an absent one matches nothing
        return selector is not None
    try:
        return selectors.from_label_selector(selector).matches(labels or {})
    except BadRequest:
        return False


def own_selector(selector: Object | None, kind: str, path: str = "spec.selector") -> Errors:
    if selector is None:
        return [err.required(path)]
    errors = checks.label_selector(selector, path)
    if checks.empty_selector(selector):
        errors.append(err.invalid(path, {}, f"empty selector is invalid for {kind}"))
    return errors


def no_deadline(obj_spec: Object, kind: str) -> Errors:
    if ((obj_spec.get("template") or {}).get("spec") or {}).get("activeDeadlineSeconds") is None:
        return []
    path = "spec.template.spec.activeDeadlineSeconds"
    return [err.forbidden(path, f"activeDeadlineSeconds in {kind} is not Supported")]


class TemplateStrategy(KindStrategy):
    """A kind with a pod template at spec.template."""

    tracks_generation = True
    empty_status = {}

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        return warnings.pod_template(template_of(obj), None if old is None else template_of(old), "spec.template")

    def prepare_template(self, obj: Object) -> Object:
        obj_spec = obj.setdefault("spec", {})
        defaults.template(obj_spec.setdefault("template", {}))
        return obj_spec


def selector_unchanged(obj: Object, old: Object) -> Errors:
    return checks.unchanged(obj["spec"], old["spec"], "selector", path="spec")


class DeploymentStrategy(TemplateStrategy):
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
        return obj.get("spec") != old.get("spec") or obj["metadata"].get("annotations") != old["metadata"].get("annotations")

    def keep_all_but_status(self, obj: Object, old: Object) -> None:
        super().keep_all_but_status(obj, old)
        keep(obj["metadata"], old["metadata"], "labels")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = nonnegative(tree.get("replicas"), "spec.replicas")
        errors += own_selector(tree.get("selector"), "deployment")
        errors += template_matches(tree)
        errors += no_deadline(tree, "ReplicaSet")
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
        )
        errors = nonnegative_fields(status, "status", *fields, "collisionCount")
        errors += _collisions(status, old)
        return errors + _counts(status, "updatedReplicas", "readyReplicas", "availableReplicas")


def _collisions(status: Object, old: Object) -> Errors:
    count, before = status.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
    if before is not None and (count or 0) < before:
        return [err.invalid("status.collisionCount", count or 0, "cannot be decremented")]
    return []


def _counts(status: Object, *fields: str) -> Errors:
    replicas, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    errors: Errors = []
    for field in fields:
        value = status.get(field) or 0
        if value > replicas:
            errors.append(err.invalid(f"status.{field}", value, "cannot be greater than status.replicas"))
        if field == "availableReplicas" and value > ready:
            errors.append(err.invalid(f"status.{field}", value, "cannot be greater than readyReplicas"))
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
    return [err.not_supported(path, {"Type": kind or "", "RollingUpdate": None}, ("Recreate", "RollingUpdate"))]


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
    def defaults(self, obj: Object) -> None:
        set_default(self.prepare_template(obj), "replicas", 1)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = nonnegative_fields(tree, "spec", "replicas", "minReadySeconds")
        errors += own_selector(tree.get("selector"), "deployment")
        return errors + template_matches(tree) + no_deadline(tree, "ReplicaSet")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return selector_unchanged(obj, old)

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return replica_status(obj.get("status") or {})


def replica_status(status: Object) -> Errors:
    fields = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
    errors = nonnegative_fields(status, "status", *fields)
    return errors + _counts(status, "fullyLabeledReplicas", "readyReplicas", "availableReplicas")


class ReplicationControllerStrategy(TemplateStrategy):
    empty_status = {"replicas": 0}

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
            errors.append(err.invalid("spec.template.metadata.labels", labels, _MISMATCH))
        errors += spec.pod_template(template, "spec.template")
        policy = (template.get("spec") or {}).get("restartPolicy")
        if policy != "Always":
            errors.append(err.not_supported("spec.template.spec.restartPolicy", policy, _ALWAYS))
        return errors + no_deadline(tree, "ReplicationController")

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return replica_status(obj.get("status") or {})


class DaemonSetStrategy(TemplateStrategy):
    empty_status = {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}

    def defaults(self, obj: Object) -> None:
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

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = own_selector(tree.get("selector"), "daemonset")
        errors += template_matches(tree) + no_deadline(tree, "DaemonSet")
        errors += nonnegative_fields(tree, "spec", "minReadySeconds", "revisionHistoryLimit")
        strategy = tree.get("updateStrategy") or {}
        path = "spec.updateStrategy"
        if strategy.get("type") == "RollingUpdate":
            rolling = strategy.get("rollingUpdate")
            if rolling is None:
                return [*errors, err.required(f"{path}.rollingUpdate")]
            return errors + _daemon_rolling_update(rolling, f"{path}.rollingUpdate")
        if strategy.get("type") != "OnDelete":
            errors.append(err.not_supported(f"{path}.type", strategy.get("type") or "", ("RollingUpdate", "OnDelete")))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return selector_unchanged(obj, old)

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        fields = (
            "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
            "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
        )  # fmt: skip
        status = obj.get("status") or {}
        return nonnegative_fields(status, "status", *fields) + _collisions(status, old)


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


_RETENTION = ("Retain", "Delete")


class StatefulSetStrategy(TemplateStrategy):
    name_problems = staticmethod(names.is_dns_label)
    empty_status = {"replicas": 0, "availableReplicas": 0}

    def defaults(self, obj: Object) -> None:
        tree = self.prepare_template(obj)
        if not tree.get("podManagementPolicy"):
            tree["podManagementPolicy"] = "OrderedReady"
        strategy = tree.get("updateStrategy")
        if strategy is None:
            strategy = tree["updateStrategy"] = {}
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            set_default(strategy, "rollingUpdate", {})
        if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
            set_default(strategy["rollingUpdate"], "partition", 0)
        policy = tree.get("persistentVolumeClaimRetentionPolicy")
        if policy is None:
            policy = tree["persistentVolumeClaimRetentionPolicy"] = {}
        for field in ("whenDeleted", "whenScaled"):
            if not policy.get(field):
                policy[field] = "Retain"
        set_default(tree, "replicas", 1)
        set_default(tree, "revisionHistoryLimit", 10)
        for claim in tree.get("volumeClaimTemplates") or ():
            claim.update(apiVersion="v1", kind="PersistentVolumeClaim")
            claims.claim_defaults(claim)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors: Errors = []
        policy = tree.get("podManagementPolicy")
        if not policy:
            errors.append(err.required("spec.podManagementPolicy"))
        elif policy not in ("OrderedReady", "Parallel"):
            errors.append(err.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
        errors += _stateful_update(tree.get("updateStrategy") or {})
        retention = tree.get("persistentVolumeClaimRetentionPolicy") or {}
        for field in ("whenDeleted", "whenScaled"):
            errors += one_of(retention.get(field), f"spec.persistentVolumeClaimRetentionPolicy.{field}", _RETENTION)
        errors += nonnegative_fields(tree, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
        if tree.get("ordinals") is not None:
            errors += nonnegative(tree["ordinals"].get("start") or 0, "spec.ordinals.start")
        errors += own_selector(tree.get("selector"), "statefulset")
        # the pod spec is left to the pods: its mounts name volumes that the claim templates will make
        errors += template_matches(tree, whole_spec=False)
        return errors + no_deadline(tree, "StatefulSet")

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        _drop_max_unavailable(obj, None)

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        _drop_max_unavailable(obj, old)
        super().prepare_update(ctx, obj, old)

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        service = (obj.get("spec") or {}).get("serviceName")
        return checks.named(service, "spec.serviceName", names.dns1123_label) if service else []

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        free = (
            "replicas", "ordinals", "template", "updateStrategy", "minReadySeconds", "persistentVolumeClaimRetentionPolicy",
            "revisionHistoryLimit",
        )  # fmt: skip
        new, was = ({k: v for k, v in o["spec"].items() if k not in free} for o in (obj, old))
        if new == was:
            return []
        listed = (
            "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'"
        )
        return [err.forbidden("spec", f"updates to statefulset spec for fields other than {listed} are forbidden")]

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        fields = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration")
        errors = nonnegative_fields(status, "status", *fields, "collisionCount") + _collisions(status, old)
        return errors + _counts(status, "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")


def _drop_max_unavailable(obj: Object, old: Object | None) -> None:
    """The field of a disabled feature (MaxUnavailableStatefulSet) is dropped unless it is stored already."""
    rolling, was = (
        ((o.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {} if o else {} for o in (obj, old)
    )
    if was.get("maxUnavailable") is None:
        rolling.pop("maxUnavailable", None)


def _stateful_update(strategy: Object) -> Errors:
    path = "spec.updateStrategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    shown = None if rolling is None else {"Partition": rolling.get("partition"), "MaxUnavailable": rolling.get("maxUnavailable")}
    if not kind:
        return [err.required(path)]
    if kind == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            return [err.invalid(f"{path}.rollingUpdate", shown, detail)]
        return []
    if kind != "RollingUpdate":
        return [err.invalid(path, {"Type": kind, "RollingUpdate": shown}, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    errors = nonnegative(rolling.get("partition"), f"{path}.rollingUpdate.partition")
    unavailable = rolling.get("maxUnavailable")
    if unavailable is not None:
        at = f"{path}.rollingUpdate.maxUnavailable"
        errors += checks.int_or_percent(unavailable, at)
        if checks.int_value(unavailable) == 0:
            errors.append(err.invalid(at, unavailable, "cannot be 0"))
        errors += checks.at_most_100_percent(unavailable, at)
    return errors


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
