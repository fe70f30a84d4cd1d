"""What controllers ask about pods: active, ready, available, and which to delete first. Pure.

Sources: k8s.io/kubernetes pkg/api/v1/pod and pkg/controller/controller_utils.go (ActivePodsWithRanks); KEP-2185 (logarithmic
scale-down), KEP-2255 (pod deletion cost).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from minikube_api.meta import conditions, times
from minikube_api.schema.typed.core_v1 import Pod, PodCondition

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_terminal(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Counts as one of its controller's replicas."""
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is None


def is_terminating(pod: Pod) -> bool:
    """Being deleted, but not finished."""
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is not None


def ready_condition(pod: Pod) -> PodCondition | None:
    return conditions.find(pod.status.conditions, "Ready")


def is_ready(pod: Pod) -> bool:
    return conditions.is_true(pod.status.conditions, "Ready")


def available_in(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """0 when available, seconds until it will be (if it stays ready), None when it is not ready."""
    condition = ready_condition(pod)
    if condition is None or condition.status != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    if not condition.lastTransitionTime:
        return float(min_ready_seconds)
    return max(0.0, times.parse(condition.lastTransitionTime) + min_ready_seconds - now)


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    return available_in(pod, min_ready_seconds, now) == 0.0


def next_availability(pods: Iterable[Pod], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next of the ready pods becomes available, None when none waits."""
    waits = [wait for pod in pods if (wait := available_in(pod, min_ready_seconds, now))]
    return min(waits, default=None)


def deletion_cost(pod: Pod) -> int:
    """The annotation's value; 0 when it is absent or no 32-bit integer in canonical form."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if str(cost) == text and -(2**31) <= cost < 2**31 else 0


def restarts(pod: Pod) -> tuple[int, int]:
    """Most restarts of a regular container, then of a restartable init container."""
    sidecars = {c.name for c in pod.spec.initContainers if c.restartPolicy == "Always"}
    return (
        max((s.restartCount for s in pod.status.containerStatuses), default=0),
        max((s.restartCount for s in pod.status.initContainerStatuses if s.name in sidecars), default=0),
    )


def to_delete(pods: Sequence[Pod], related: Iterable[Pod], count: int, now: float) -> list[Pod]:
    """`count` of `pods`, those that are missed least first.

    `related` are the active pods of the same owner's other sets: pods on nodes that hold many of them go first.
    """
    if count >= len(pods):
        return list(pods)
    on_node: dict[str, int] = {}
    for pod in related:
        if is_active(pod) and pod.spec.nodeName:
            on_node[pod.spec.nodeName] = on_node.get(pod.spec.nodeName, 0) + 1
    return sorted(pods, key=lambda pod: deletion_rank(pod, on_node.get(pod.spec.nodeName or "", 0), now))[:count]


def deletion_rank(pod: Pod, colocated: int, now: float) -> tuple[Any, ...]:
    """Sort key: lower is deleted earlier."""
    ready = is_ready(pod)
    condition = ready_condition(pod)
    since = condition.lastTransitionTime if ready and condition is not None else None
    regular, sidecars = restarts(pod)
    return (
        bool(pod.spec.nodeName),
        _PHASES.get(pod.status.phase or "", 0),
        ready,
        deletion_cost(pod),
        -colocated,
        _age_rank(since, now) if ready else 0,
        -regular,
        -sidecars,
        _age_rank(pod.metadata.creationTimestamp, now),
        pod.metadata.uid,
    )


def _age_rank(since: str | None, now: float) -> int:
    """Young before old, in powers of two of seconds, so that scale-down is random among pods of about one age. No time: youngest."""
    if not since:
        return -1
    age = now - times.parse(since)
    return int(math.log2(age)) + 1 if age >= 1 else 0
