"""Event, in its lenient core form and the strict one of events.k8s.io. Both are stored as core/v1.

Source: pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.conversions import event_to_core
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

_TYPES = ("Normal", "Warning")
NAME_MAX, REASON_MAX, NOTE_MAX = 128, 128, 1024
#: kinds whose objects have no namespace: their events live in `default`
_CLUSTER_KINDS = frozenset({
    "Node", "Namespace", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "StorageClass", "PriorityClass", "CSINode",
    "CustomResourceDefinition", "APIService", "IngressClass", "RuntimeClass", "CertificateSigningRequest", "VolumeAttachment",
    "FlowSchema", "PriorityLevelConfiguration", "CSIDriver", "ComponentStatus",
})  # fmt: skip


class CoreEventStrategy(KindStrategy):
    """Events of core/v1: only the namespace is checked."""

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return _namespace(obj)


def _namespace(obj: Object) -> Errors:
    involved = obj.get("involvedObject") or {}
    namespace, own = involved.get("namespace") or "", obj["metadata"].get("namespace") or ""
    fits = own in ("", "default", "kube-system") if not namespace else namespace == own
    if not fits and not (namespace == "" and involved.get("kind") not in _CLUSTER_KINDS and not involved.get("kind")):
        return [err.invalid("involvedObject.namespace", namespace, "does not match event.namespace")]
    return checks.named(own, "namespace", names.dns1123_subdomain) if own else []


class StrictEventStrategy(KindStrategy):
    """Events of events.k8s.io/v1. Findings name the fields of core/v1, whose validation this is."""

    def validate_create(self, ctx: WriteContext, obj: Object) -> Errors:
        errors = super().validate_create(ctx, obj)
        obj = event_to_core(obj)
        series = obj.get("series")
        if series is not None:
            if (series.get("count") or 0) < 2:
                errors.append(err.invalid("series.count", "", "should be at least 2"))
            if not series.get("lastObservedTime"):
                errors.append(err.required("series.lastObservedTime"))
        if not obj.get("eventTime"):
            errors.append(err.required("eventTime"))
        kind = obj.get("type") or ""
        if kind not in _TYPES:
            errors.append(err.invalid("type", "", f"has invalid value: {kind}"))
        if not obj.get("eventTime"):
            # an event of the old form, converted: the rest is not for it
            return errors
        return errors + _strict(obj)

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = super().validate_update(ctx, obj, old)
        obj, old = event_to_core(obj), event_to_core(old)
        new_series, series = obj.get("series"), old.get("series")
        if (series is None and new_series is not None) or (
            series and new_series and new_series.get("count") != series.get("count")
        ):
            if (new_series.get("count") or 0) < 2:
                errors.append(err.invalid("series.count", "", "should be at least 2"))
            if not new_series.get("lastObservedTime"):
                errors.append(err.required("series.lastObservedTime"))
        fields = ("involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type")
        for field in fields:
            errors += checks.unchanged(obj, old, field)
        if obj.get("eventTime") != old.get("eventTime"):
            errors += checks.unchanged(obj, old, "eventTime")
        return errors + checks.unchanged(obj, old, "action", "related", "reportingComponent", "reportingInstance")


def _strict(obj: Object) -> Errors:
    errors: Errors = []
    controller, instance = obj.get("reportingComponent") or "", obj.get("reportingInstance") or ""
    errors += checks.label_name(controller, "reportingController") if controller else [err.required("reportingController")]
    for path, value, limit in (("reportingInstance", instance, NAME_MAX), ("action", obj.get("action") or "", NAME_MAX)):
        errors += _bounded(path, value, limit)
    errors += _bounded("reason", obj.get("reason") or "", REASON_MAX)
    if len((obj.get("message") or "").encode()) > NOTE_MAX:
        errors.append(err.invalid("message", "", f"can have at most {NOTE_MAX} characters"))
    if (obj.get("source") or {}) != {}:
        errors.append(err.invalid("source", "", "needs to be unset"))
    for field in ("firstTimestamp", "lastTimestamp"):
        if obj.get(field):
            errors.append(err.invalid(field, "", "needs to be unset"))
    if obj.get("count"):
        errors.append(err.invalid("count", "", "needs to be unset"))
    return errors


def _bounded(path: str, value: Any, limit: int) -> Errors:
    if not value:
        return [err.required(path)]
    if len(value.encode()) > limit:
        return [err.invalid(path, "", f"can have at most {limit} characters")]
    return []
