"""The strategy of pods: what each path of a pod may write, and what a new pod starts with."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.resources import objectmeta
from minikube_api.resources.pods import defaults, placement, resources, spec, updates, warnings
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep


class PodStrategy(KindStrategy):
    name_problems = staticmethod(names.is_dns_subdomain)
    tracks_generation = True
    status_reset_fields = {"f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}}

    def defaults(self, obj: Object) -> None:
        defaults.pod(obj)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        obj["metadata"]["generation"] = 1
        pod_spec = obj["spec"]
        status: dict[str, Any] = {"phase": "Pending", "qosClass": resources.qos_class(pod_spec)}
        if pod_spec.get("schedulingGates"):
            status["conditions"] = [_gated(ctx.now)]
        obj["status"] = status
        if pod_spec.get("affinity") or pod_spec.get("topologySpreadConstraints"):
            placement.merge_match_label_keys(pod_spec, obj["metadata"].get("labels") or {})

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        match ctx.subresource:
            case "status":
                keep(obj, old, "spec")
                keep(obj["metadata"], old["metadata"], "generation")
                keep(obj["metadata"], old["metadata"], "ownerReferences")
                status = obj.setdefault("status", {})
                if not status.get("qosClass"):
                    status["qosClass"] = (old.get("status") or {}).get("qosClass") or resources.qos_class(old["spec"])
                return
            case "ephemeralcontainers":
                only(obj, old, {**old["spec"], "ephemeralContainers": obj["spec"].get("ephemeralContainers")})
            case "binding" | "eviction":
                # their pure functions made the object from the old one
                return
            case "resize":
                only(obj, old, resized(obj["spec"], old["spec"]))
            case _:
                keep(obj, old, "status")
        self.bump_generation(obj, old)

    def validate_create(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        errors = self._metadata_and_spec(obj)
        pod_spec = obj["spec"]
        if pod_spec.get("nodeName") and pod_spec.get("schedulingGates"):
            errors.append(err.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
        if pod_spec.get("ephemeralContainers"):
            errors.append(err.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        return errors

    def _metadata_and_spec(self, obj: Object) -> list[FieldError]:
        errors = objectmeta.meta_problems(obj, True, self.name_problems)
        errors += _annotations(obj["metadata"].get("annotations") or {})
        return errors + spec.pod_spec(obj["spec"], "spec", is_pod=True)

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        errors = objectmeta.meta_update_problems(obj, old)
        errors = errors + errors
        match ctx.subresource:
            case "binding" | "eviction":
                return []
            case "status":
                return errors + updates.status(obj, old)
            case "ephemeralcontainers":
                return errors + spec.pod_spec(obj["spec"], "spec", is_pod=True) + updates.ephemeral_containers(obj, old)
            case "resize":
                return errors + spec.pod_spec(obj["spec"], "spec", is_pod=True) + updates.resize(obj, old)
        if obj["spec"] != old["spec"]:
            errors += spec.pod_spec(obj["spec"], "spec", is_pod=True)
        return errors + updates.update(obj, old)

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status" or (old is not None and obj["spec"] == old["spec"]):
            return []
        return warnings.pod(obj, old)


def only(obj: Object, old: Object, new_spec: Object) -> None:
    """Nothing but this spec comes from the request: metadata and status stay."""
    kept = {
        key: value
        for key, value in obj["metadata"].items()
        if key in ("managedFields", "resourceVersion", "name", "namespace", "uid")
    }
    obj["metadata"] = {**old["metadata"], **kept}
    obj["spec"] = {key: value for key, value in new_spec.items() if value is not None}
    keep(obj, old, "status")


def resized(new: Object, old: Object) -> Object:
    """The old spec with the new resources and resize policies of containers."""
    result = dict(old)
    for kind in ("containers", "initContainers"):
        now, before = new.get(kind) or [], old.get(kind) or []
        if len(now) != len(before):
            continue
        merged = []
        for one, was in zip(now, before, strict=True):
            changed = dict(was)
            if one.get("name") == was.get("name"):
                for field in ("resources", "resizePolicy"):
                    if one.get(field) is not None:
                        changed[field] = one[field]
            merged.append(changed)
        if merged:
            result[kind] = merged
    if new.get("resources") is not None:
        result["resources"] = new["resources"]
    return result


def _gated(now: str) -> Object:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastProbeTime": None,
        "lastTransitionTime": now,
    }


_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def _annotations(annotations: dict[str, str]) -> list[FieldError]:
    cost = annotations.get(_DELETION_COST)
    if cost is None:
        return []
    try:
        good = -(2**31) <= int(cost) < 2**31 and cost.lstrip("+-").isdigit() and not cost.startswith("+")
    except ValueError:
        good = False
    return [] if good else [err.invalid(f"metadata.annotations[{_DELETION_COST}]", cost, "must be a 32bit integer")]
