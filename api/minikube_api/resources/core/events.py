"""Event, in its lenient core form and the strict one of events.k8s.io. Both are stored as core/v1.

Source: pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks, objectmeta
from minikube_api.resources.checks import Errors
from minikube_api.resources.conversions import event_to_core
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

_TYPES = ("Normal", "Warning")
NAME_MAX, REASON_MAX, NOTE_MAX = 128, 128, 1024
_UNSET = "needs to be unset"
#: fields of the core form that an update through events.k8s.io may not change, as they are named to the client
_FIXED = (
    ("involvedObject", "involvedObject"), ("reason", "reason"), ("message", "message"), ("source", "source"),
    ("firstTimestamp", "firstTimestamp"), ("lastTimestamp", "lastTimestamp"), ("count", "count"), ("reason", "reason"), ("type", "type"),
    ("eventTime", "eventTime"), ("action", "action"), ("related", "related"), ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
)  # fmt: skip


class CoreEventStrategy(KindStrategy):
    """Events of core/v1: of metadata only what every object must have is checked, and the rest by its age."""

    name_problems = staticmethod(names.is_path_segment)
    change_checks = 1

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return _lenient(obj, "reportingComponent")


def _lenient(obj: Object, controller: str) -> Errors:
    """legacyValidateEvent: events with an eventTime are of the new form, and checked as such; `controller` names its field."""
    namespace, own = (obj.get("involvedObject") or {}).get("namespace") or "", obj["metadata"].get("namespace") or ""
    at = "involvedObject.namespace"
    errors: Errors = []
    if not obj.get("eventTime"):
        fits = own in ("", "default") if not namespace else own == namespace
        if not fits:
            errors.append(err.invalid(at, namespace, "does not match event.namespace"))
    else:
        if not namespace and own not in ("default", "kube-system"):
            errors.append(err.invalid(at, namespace, "does not match event.namespace"))
        errors += _new_form(obj, controller)
    return errors + checks.named(own, "namespace", names.dns1123_subdomain)


def _new_form(obj: Object, controller: str) -> Errors:
    reporter = obj.get("reportingComponent") or ""
    errors: Errors = [] if reporter else [err.required(controller)]
    errors += checks.label_name(reporter, controller)
    for path, limit in (("reportingInstance", NAME_MAX), ("action", NAME_MAX), ("reason", REASON_MAX)):
        value = obj.get(path) or ""
        if not value:
            errors.append(err.required(path))
        errors += _bounded(path, value, limit)
    return errors + _bounded("message", obj.get("message") or "", NOTE_MAX)


def _bounded(path: str, value: str, limit: int) -> Errors:
    return [err.invalid(path, "", f"can have at most {limit} characters")] if len(value.encode()) > limit else []


def _series(series: Object | None) -> Errors:
    if series is None:
        return []
    errors: Errors = []
    if (series.get("count") or 0) < 2:
        errors.append(err.invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(err.required("series.lastObservedTime"))
    return errors


class StrictEventStrategy(KindStrategy):
    """Events of events.k8s.io/v1. Findings name the fields of core/v1, whose validation this is."""

    def validate_create(self, ctx: WriteContext, obj: Object) -> Errors:
        own = super().validate_create(ctx, obj)
        obj = event_to_core(obj)
        errors = _lenient(obj, "reportingController") + own + _series(obj.get("series"))
        if not obj.get("eventTime"):
            errors.append(err.required("eventTime"))
        kind = obj.get("type") or ""
        if kind not in _TYPES:
            errors.append(err.invalid("type", "", f"has invalid value: {kind}"))
        for field in ("firstTimestamp", "lastTimestamp", "count"):
            if obj.get(field):
                errors.append(err.invalid(field, "", _UNSET))
        if any((obj.get("source") or {}).values()):
            errors.append(err.invalid("source", "", _UNSET))
        return errors

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        own = super().validate_update(ctx, obj, old)
        obj, old = event_to_core(obj), event_to_core(old)
        errors = _lenient(obj, "reportingController") + own
        if obj.get("series") != old.get("series"):
            errors += _series(obj.get("series"))
        for field, shown in _FIXED:
            errors += objectmeta.immutable(obj.get(field), old.get(field), shown)
        return errors
