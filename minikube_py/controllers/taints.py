"""Taints and tolerations as the node controllers need them. Pure. Source: kubernetes.io "Taints and Tolerations"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from minikube_api.meta import conditions, times
from minikube_api.schema.node_matching import tolerates
from minikube_api.schema.typed.core_v1 import Node, Taint, Toleration

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"

#: condition type -> status -> taint key
BY_CONDITION: Final = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
_MANAGED: Final = frozenset(key for keys in BY_CONDITION.values() for key in keys.values()) | {UNSCHEDULABLE}


def no_schedule_of(node: Node) -> list[str]:
    """Keys of the NoSchedule taints that the node's conditions call for."""
    keys = []
    for type, by_status in BY_CONDITION.items():
        key = by_status.get(conditions.status_of(node.status.conditions, type))
        if key is not None:
            keys.append(key)
    if node.spec.unschedulable:
        keys.append(UNSCHEDULABLE)
    return keys


def no_execute_of(node: Node) -> str | None:
    """Key of the NoExecute taint that the node's readiness calls for."""
    return BY_CONDITION["Ready"].get(conditions.status_of(node.status.conditions, "Ready"))


def with_effect(taints: Sequence[Taint], effect: str, keys: Iterable[str], now: str) -> tuple[Taint, ...]:
    """The taints with exactly `keys` of those that the node controller manages with this effect; others stay as they are."""
    wanted = list(keys)
    managed = _MANAGED if effect == "NoSchedule" else {NOT_READY, UNREACHABLE}
    kept = [t for t in taints if t.effect != effect or t.key not in managed or t.key in wanted]
    present = {t.key for t in kept if t.effect == effect}
    return (*kept, *(Taint(key=key, effect=effect, timeAdded=now) for key in wanted if key not in present))


def eviction_time(taints: Sequence[Taint], tolerations: Sequence[Toleration], now: float, *, since: float) -> float | None:
    """When a pod with these tolerations must leave a node with these NoExecute taints: seconds since the epoch, None = never.

    Untolerated: at once. Tolerated for a while: the shortest `tolerationSeconds` of the tolerations used, from when the last taint was
    added, or `since` (when the pod was first seen to wait) where taints do not say: only the node controller writes `timeAdded`.
    """
    shortest: float | None = None
    for taint in taints:
        used = [t for t in tolerations if tolerates(t, taint)]
        if not used:
            return now
        # The first that fits counts, as in Kubernetes' GetMatchingTolerations.
        seconds = used[0].tolerationSeconds
        if seconds is not None:
            seconds = max(0, seconds)
            shortest = seconds if shortest is None else min(shortest, seconds)
    if shortest is None:
        return None
    added = max((times.parse(t.timeAdded) for t in taints if t.timeAdded), default=since)
    return added + shortest
