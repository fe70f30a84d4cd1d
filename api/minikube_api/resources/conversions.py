"""Kinds served in two versions that share one storage: autoscalers (v1 and v2) and Events (core and events.k8s.io).

Sources: pkg/apis/autoscaling/v1/conversion.go, pkg/apis/events/v1/conversion.go. Functions take a tree they own and give a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

Object = dict[str, Any]
Convert = Callable[[Object], Object]


@dataclass(frozen=True, slots=True)
class Conversion:
    """`storage_version` None: the served version itself is stored."""

    storage_version: tuple[str, str] | None = None
    to_storage: Convert | None = None
    from_storage: Convert | None = None


IDENTITY = Conversion()

_EVENT_FIELDS = (
    ("message", "note"), ("involvedObject", "regarding"), ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"), ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"), ("reportingComponent", "reportingController"),
)  # fmt: skip
_TO_CORE = {new: core for core, new in _EVENT_FIELDS}
_FROM_CORE = dict(_EVENT_FIELDS)


def event_to_core(obj: Object) -> Object:
    core = {_TO_CORE.get(key, key): value for key, value in obj.items()}
    core["apiVersion"] = "v1"
    # core/v1 always writes these
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        core.setdefault(name, None)
    for name in ("reportingComponent", "reportingInstance"):
        core.setdefault(name, "")
    core.setdefault("source", {})
    return core


def event_from_core(obj: Object) -> Object:
    event = {_FROM_CORE.get(key, key): value for key, value in obj.items()}
    event["apiVersion"] = "events.k8s.io/v1"
    for name in ("reportingController", "reportingInstance", "note"):
        if not event.get(name):
            event.pop(name, None)
    return event


_METRICS, _CURRENT, _BEHAVIOR, _CONDITIONS = (
    f"autoscaling.alpha.kubernetes.io/{name}" for name in ("metrics", "current-metrics", "behavior", "conditions")
)
_SOURCES = ("resource", "containerResource", "pods", "object", "external")


def autoscaler_to_v2(obj: Object) -> Object:
    """targetCPUUtilizationPercentage becomes a Resource metric; what v1 cannot say comes back out of its annotations."""
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    current = status.pop("currentCPUUtilizationPercentage", None)
    metrics = []
    if percentage is not None:
        metrics.append(_cpu("target", {"type": "Utilization", "averageUtilization": percentage}))
    metrics += [_target_to_v2(metric) for metric in _taken(annotations, _METRICS) or ()]
    if metrics:
        spec["metrics"] = metrics
    if behavior := _taken(annotations, _BEHAVIOR):
        spec["behavior"] = _lower_case(behavior)
    statuses = [_status_to_v2(metric) for metric in _taken(annotations, _CURRENT) or ()]
    if not statuses and current is not None:
        statuses = [_cpu("current", {"averageUtilization": current})]
    status["currentMetrics"] = statuses or None
    if conditions := _taken(annotations, _CONDITIONS):
        status["conditions"] = conditions
    if annotations:
        meta["annotations"] = annotations
    else:
        meta.pop("annotations", None)
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "apiVersion": "autoscaling/v2", "metadata": meta, "spec": spec, "status": status}


def autoscaler_to_v1(obj: Object) -> Object:
    meta = dict(obj.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    others = []
    for metric in spec.pop("metrics", None) or ():
        target = (metric.get("resource") or {}).get("target") or {}
        is_cpu = metric.get("type") == "Resource" and metric["resource"].get("name") == "cpu"
        if is_cpu and target.get("averageUtilization") is not None:
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
        else:
            others.append(_target_to_v1(metric))
    behavior = spec.pop("behavior", None)
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        resource = metric.get("resource") or {}
        utilization = (resource.get("current") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and utilization is not None:
            status["currentCPUUtilizationPercentage"] = utilization
    conditions = status.pop("conditions", None)
    statuses = [_status_to_v1(m) for m in current]
    for key, value in ((_METRICS, others), (_CURRENT, statuses), (_CONDITIONS, _conditions_to_v1(conditions or ()))):
        if value:
            annotations[key] = orjson.dumps(value).decode()
    if behavior:
        annotations[_BEHAVIOR] = orjson.dumps(_behavior_to_internal(behavior)).decode()
    if annotations:
        meta["annotations"] = annotations
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def _cpu(field: str, value: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", field: value}}


def _taken(annotations: Object, key: str) -> Any:
    text = annotations.pop(key, None)
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        # as the apiserver's conversion: an annotation that is no JSON says nothing
        return None


_RULES = ("StabilizationWindowSeconds", "SelectPolicy", "Policies", "Tolerance")


def _behavior_to_internal(behavior: Object) -> Object:
    """The behaviour annotation holds Go's internal type: same names with a capital first letter, every field in its order."""
    return {name: _rules_to_internal(behavior.get(name[0].lower() + name[1:])) for name in ("ScaleUp", "ScaleDown")}


def _rules_to_internal(rules: Object | None) -> Object | None:
    if rules is None:
        return None
    shown = {name: rules.get(name[0].lower() + name[1:]) for name in _RULES}
    policies = [
        {name: one.get(name[0].lower() + name[1:]) for name in ("Type", "Value", "PeriodSeconds")}
        for one in shown["Policies"] or ()
    ]
    return shown | {"Policies": policies or None}


def _lower_case(tree: Any) -> Any:
    """The way back: null fields are absent ones."""
    if isinstance(tree, dict):
        return {key[0].lower() + key[1:]: _lower_case(value) for key, value in tree.items() if value is not None}
    return [_lower_case(item) for item in tree] if isinstance(tree, list) else tree


def _conditions_to_v1(conditions: Iterable[Object]) -> list[Object]:
    """In the order of Go's fields; a time is written always."""
    return [
        {"type": one.get("type", ""), "status": one.get("status", ""), "lastTransitionTime": one.get("lastTransitionTime")}
        | {name: one[name] for name in ("reason", "message") if one.get(name)}
        for one in conditions
    ]


#: annotations of v1 that hold parts of v2's spec and status
SPEC_ANNOTATIONS, STATUS_ANNOTATIONS = (_METRICS, _BEHAVIOR), (_CURRENT, _CONDITIONS)


def without_round_trip(annotations: Object) -> Object:
    """Annotations without those that carry v2's fields through v1: v2 has the fields themselves."""
    return {key: value for key, value in annotations.items() if key not in (_METRICS, _CURRENT, _BEHAVIOR, _CONDITIONS)}


#: names of target values in v1's annotation (autoscaling/v1 MetricSpec), per source
_V1_TARGETS = {
    "resource": {"averageUtilization": "targetAverageUtilization", "averageValue": "targetAverageValue"},
    "containerResource": {"averageUtilization": "targetAverageUtilization", "averageValue": "targetAverageValue"},
    "pods": {"averageValue": "targetAverageValue"},
    "object": {"value": "targetValue", "averageValue": "averageValue"},
    "external": {"value": "targetValue", "averageValue": "targetAverageValue"},
}
_V1_CURRENTS = {
    "resource": {"averageUtilization": "currentAverageUtilization", "averageValue": "currentAverageValue"},
    "containerResource": {"averageUtilization": "currentAverageUtilization", "averageValue": "currentAverageValue"},
    "pods": {"averageValue": "currentAverageValue"},
    "object": {"value": "currentValue", "averageValue": "averageValue"},
    "external": {"value": "currentValue", "averageValue": "currentAverageValue"},
}
#: fields of a source in v1's annotations, in the order of Go's types
_V1_ORDER = (
    "target", "name", "metricName", "metricSelector", "targetValue", "currentValue", "targetAverageUtilization", "targetAverageValue",
    "currentAverageUtilization", "currentAverageValue", "selector", "averageValue", "container",
)  # fmt: skip
_TARGET_TYPES = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value"))


def _to_v1(metric: Object, value_field: str, names: dict[str, dict[str, str]]) -> Object:
    result: Object = {"type": metric.get("type", "")}
    for source in _SOURCES:
        if not (found := metric.get(source)):
            continue
        flat = {key: value for key, value in found.items() if key in ("name", "container")}
        identifier = found.get("metric") or {}
        if identifier:
            flat["metricName"] = identifier.get("name", "")
            selector_name = "metricSelector" if source == "external" else "selector"
            if identifier.get("selector") is not None:
                flat[selector_name] = identifier["selector"]
        if (described := found.get("describedObject")) is not None:
            flat["target"] = {key: described[key] for key in ("kind", "name", "apiVersion") if key in described}
        values = found.get(value_field) or {}
        flat |= {names[source][key]: values[key] for key in names[source] if values.get(key) is not None}
        if source == "object":
            # no pointer in v1: written always
            flat.setdefault(names[source]["value"], "0")
        result[source] = {key: flat[key] for key in _V1_ORDER if key in flat}
    return result


def _to_v2(metric: Object, value_field: str, names: dict[str, dict[str, str]]) -> Object:
    result: Object = {"type": metric.get("type", "")}
    for source in _SOURCES:
        if not (flat := metric.get(source)):
            continue
        found: Object = {key: value for key, value in flat.items() if key in ("name", "container")}
        if "metricName" in flat:
            found["metric"] = {"name": flat["metricName"]}
            selector = flat.get("metricSelector" if source == "external" else "selector")
            if selector is not None:
                found["metric"]["selector"] = selector
        if "target" in flat:
            found["describedObject"] = flat["target"]
        values = {key: flat[name] for key, name in names[source].items() if flat.get(name) is not None}
        if source == "object" and values.get("value") == "0" and "averageValue" in values:
            del values["value"]
        if value_field == "target":
            values["type"] = next((type_ for key, type_ in _TARGET_TYPES if key in values), "Value")
        found[value_field] = values
        result[source] = found
    return result


def _target_to_v1(metric: Object) -> Object:
    return _to_v1(metric, "target", _V1_TARGETS)


def _target_to_v2(metric: Object) -> Object:
    return _to_v2(metric, "target", _V1_TARGETS)


def _status_to_v1(metric: Object) -> Object:
    return _to_v1(metric, "current", _V1_CURRENTS)


def _status_to_v2(metric: Object) -> Object:
    return _to_v2(metric, "current", _V1_CURRENTS)


BY_RESOURCE: dict[tuple[str, str, str], Conversion] = {
    ("events.k8s.io", "v1", "events"): Conversion(("", "v1"), event_to_core, event_from_core),
    ("autoscaling", "v1", "horizontalpodautoscalers"): Conversion(("autoscaling", "v2"), autoscaler_to_v2, autoscaler_to_v1),
}
