"""The strategy of pods: what each path of a pod may write, and what a new pod starts with."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.resources import objectmeta
from minikube_api.resources.pods import app_armor, defaults, placement, resources, spec, updates, warnings
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
        _drop_disabled(pod_spec)
        ctx.warnings.extend(app_armor.fields_from_annotations(obj))
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
        """validatePodMetadataAndSpec."""
        meta, pod_spec = obj["metadata"], obj["spec"]
        errors = objectmeta.meta_problems(obj, True, self.name_problems)
        errors += _annotations(meta.get("annotations") or {}, pod_spec)
        errors += spec.pod_spec(pod_spec, "spec", is_pod=True, name=meta.get("name") or "")
        if not pod_spec.get("serviceAccountName"):
            errors += _tokens_of_nobody(pod_spec)
        return errors

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        if ctx.subresource in ("binding", "eviction"):
            return []
        errors = objectmeta.update_problems(obj, old)
        if ctx.subresource == "status":
            return errors + _annotation_changes(obj, old) + updates.status(obj, old)
        errors += self._metadata_and_spec(obj)
        if ctx.subresource != "resize":
            errors += _annotation_changes(obj, old)
        match ctx.subresource:
            case "ephemeralcontainers":
                return errors + updates.ephemeral_containers(obj, old)
            case "resize":
                return errors + updates.resize(obj, old)
        return errors + updates.update(obj, old)

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        # nobody warns on updates: what updates pods is not people
        return [] if old is not None or ctx.subresource else warnings.pod(obj)


_ALPHA_PROJECTIONS = ("clusterTrustBundle", "podCertificate")


def _drop_disabled(pod_spec: Object) -> None:
    """Fields behind feature gates that are off by default."""
    pod_spec.pop("schedulingGroup", None)
    for volume in pod_spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            for kind in _ALPHA_PROJECTIONS:
                source.pop(kind, None)


def _tokens_of_nobody(pod_spec: Object) -> list[FieldError]:
    detail = "must not be specified when serviceAccountName is not set"
    return [
        err.forbidden(f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken", detail)
        for i, volume in enumerate(pod_spec.get("volumes") or ())
        for j, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        if source.get("serviceAccountToken") is not None
    ]


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
    """The old spec with the new resources and resize policies of containers that it has, whatever their order."""
    result = dict(old)
    for kind in ("containers", "initContainers"):
        if not old.get(kind):
            continue
        asked = {one.get("name"): one for one in new.get(kind) or ()}
        merged = []
        for was in old[kind]:
            changed = dict(was)
            if (one := asked.get(was.get("name"))) is not None:
                changed["resources"] = one.get("resources") or {}
                keep(changed, one, "resizePolicy")
            merged.append(changed)
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


def _annotations(annotations: dict[str, str], pod_spec: Object) -> list[FieldError]:
    """ValidatePodSpecificAnnotations."""
    errors = app_armor.annotation_problems(annotations, pod_spec)
    if updates.MIRROR in annotations and not pod_spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(err.invalid(f"metadata.annotations[{updates.MIRROR}]", annotations[updates.MIRROR], detail))
    cost = annotations.get(_DELETION_COST)
    return errors if cost is None else errors + _cost_problems(cost)


def _annotation_changes(obj: Object, old: Object) -> list[FieldError]:
    """ValidatePodSpecificAnnotationUpdates."""
    new, was = obj["metadata"].get("annotations") or {}, old["metadata"].get("annotations") or {}
    if new == was:
        return []
    errors: list[FieldError] = []
    for key in {**was, **new}:
        what = "AppArmor annotations" if key.startswith(app_armor.PREFIX) else "mirror pod annotation"
        if new.get(key) == was.get(key) or not (key.startswith(app_armor.PREFIX) or key == updates.MIRROR):
            continue
        verb = "remove or update" if key in was else "add"
        errors.append(err.forbidden(f"metadata.annotations[{key}]", f"may not {verb} {what}"))
    return errors + _annotations(new, obj["spec"])


def _cost_problems(cost: str) -> list[FieldError]:
    try:
        good = -(2**31) <= int(cost) < 2**31 and cost.lstrip("+-").isdigit() and not cost.startswith("+")
    except ValueError:
        good = False
    return [] if good else [err.invalid(f"metadata.annotations[{_DELETION_COST}]", cost, "must be a 32bit integer")]
