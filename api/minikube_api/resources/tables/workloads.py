"""Cells of apps, batch, autoscaling and policy kinds (pkg/printers/internalversion)."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import conditions, durations, objects, times
from minikube_api.resources.tables.text import (
    NONE,
    UNKNOWN,
    UNSET,
    Object,
    age,
    containers,
    labels,
    selector,
    since,
    spec_of,
    status_of,
    template_of,
)  # fmt: skip


def deployment(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    return [
        obj["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *containers(template_of(obj)),
        selector(spec.get("selector")),
    ]


def replica_set(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    counts = [spec.get("replicas") or 0, status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [obj["metadata"]["name"], *counts, age(obj, now), *containers(template_of(obj)), selector(spec.get("selector"))]


def daemon_set(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    names = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
    return [
        obj["metadata"]["name"],
        *(status.get(name, 0) for name in names),
        labels(template_of(obj).get("nodeSelector")),
        age(obj, now),
        *containers(template_of(obj)),
        selector(spec.get("selector")),
    ]


def stateful_set(obj: Object, now: float) -> list[Any]:
    ready = f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas') or 0}"
    return [obj["metadata"]["name"], ready, age(obj, now), *containers(template_of(obj))]


def controller_revision(obj: Object, now: float) -> list[Any]:
    controller = NONE
    if owner := objects.controller_of(obj):
        group = objects.group_of(owner)
        controller = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [obj["metadata"]["name"], controller, obj.get("revision", 0), age(obj, now)]


_JOB_STATES = (
    ("Complete", "Complete"), ("Failed", "Failed"), ("", "Terminating"), ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)  # fmt: skip


def job(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    succeeded = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        parallelism = spec.get("parallelism") or 0
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    duration = ""
    if start := status.get("startTime"):
        end = times.parse(status["completionTime"]) if status.get("completionTime") else now
        duration = durations.human(end - times.parse(start))
    return [
        obj["metadata"]["name"],
        _job_state(obj),
        completions,
        duration,
        age(obj, now),
        *containers(template_of(obj)),
        selector(spec.get("selector")),
    ]


def _job_state(obj: Object) -> str:
    listed = status_of(obj).get("conditions")
    for condition, shown in _JOB_STATES:
        if conditions.is_true(listed, condition) if condition else objects.is_deleting(obj):
            return shown
    return "Running"


def cron_job(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    suspend, last = spec.get("suspend"), status.get("lastScheduleTime")
    return [
        obj["metadata"]["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        UNSET if suspend is None else str(bool(suspend)),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers((job_spec.get("template") or {}).get("spec")),
        selector(job_spec.get("selector")),
    ]


def pod_disruption_budget(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    bounds = [str(spec[name]) if spec.get(name) is not None else "N/A" for name in ("minAvailable", "maxUnavailable")]
    return [obj["metadata"]["name"], *bounds, status_of(obj).get("disruptionsAllowed", 0), age(obj, now)]


def horizontal_pod_autoscaler(obj: Object, now: float) -> list[Any]:
    """Cells of an autoscaling/v2 autoscaler."""
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        obj["metadata"]["name"],
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(specs: list[Object], statuses: list[Object]) -> str:
    if not specs:
        return NONE
    shown = [_metric(spec, statuses[i] if i < len(statuses) else {}) for i, spec in enumerate(specs)]
    text = ", ".join(shown[:2])
    return f"{text} + {len(shown) - 2} more..." if len(shown) > 2 else text


_SOURCES = {
    "External": "external", "Pods": "pods", "Object": "object", "Resource": "resource", "ContainerResource": "containerResource",
}  # fmt: skip


def _metric(spec: Object, status: Object) -> str:
    source = _SOURCES.get(spec.get("type", ""))
    if source is None:
        return "<unknown type>"
    wanted = spec.get(source) or {}
    target, current = wanted.get("target") or {}, (status.get(source) or {}).get("current") or {}
    if source in ("resource", "containerResource"):
        if target.get("averageValue") is not None:
            return f"{wanted.get('name')}: {current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
        have, want = current.get("averageUtilization"), target.get("averageUtilization")
        have_text = UNKNOWN if have is None else f"{have}%"
        return f"{wanted.get('name')}: {have_text}/{'<auto>' if want is None else f'{want}%'}"
    if source == "pods":
        return f"{current.get('averageValue', UNKNOWN)}/{target.get('averageValue')}"
    if target.get("averageValue") is not None:
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']} (avg)"
    return f"{current.get('value', UNKNOWN)}/{target.get('value')}"
