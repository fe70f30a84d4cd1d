"""StatefulSet. Source: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation, pkg/registry/apps/statefulset."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.apps.workloads import (
    TemplateStrategy,
    always_restarted,
    collisions,
    counts,
    no_deadline,
    selector_and_template,
    selects,
)
from minikube_api.resources.checks import Errors, nonnegative, nonnegative_fields, one_of
from minikube_api.resources.core import claims
from minikube_api.resources.pods import spec
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import set_default

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
        # the pod is checked when the set is new, with the volumes that the claim templates will make
        errors += selector_and_template(tree, "statefulset", invalid="", whole_spec=False)
        if selects(tree.get("selector"), {}) is None:
            errors += always_restarted(tree.get("template") or {}, "spec.template")
        return errors + no_deadline(tree, "StatefulSet")

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        _drop_max_unavailable(obj, None)

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        _drop_max_unavailable(obj, old)
        super().prepare_update(ctx, obj, old)

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        service = tree.get("serviceName")
        errors = checks.named(service, "spec.serviceName", names.dns1123_label) if service else []
        # what an old set has is not held against it
        return errors + ([] if selects(tree.get("selector"), {}) is None else _pod_spec(tree))

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
        errors = nonnegative_fields(status, "status", *fields, "collisionCount") + collisions(status, old)
        return errors + counts(
            status, "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", ready_name="status.readyReplicas"
        )


def _pod_spec(tree: Object) -> Errors:
    """The template's pod, with the volumes that the claim templates will make."""
    pod = (tree.get("template") or {}).get("spec") or {}
    volumes = list(pod.get("volumes") or ())
    known = {volume.get("name") for volume in volumes}
    claimed = [name for claim in tree.get("volumeClaimTemplates") or () if (name := (claim.get("metadata") or {}).get("name"))]
    volumes += [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claimed if name not in known]
    return spec.pod_spec({**pod, "volumes": volumes}, "spec.template.spec", is_pod=False)


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
