"""Pods that wait for a node: active (by priority, then age), backing off, unschedulable until something happens that could help.

Source: the scheduling queue of kube-scheduler (KEP-4247 queueing hints: an event wakes only pods refused by a plug-in that cares).
Single-threaded; `pop` is the only coroutine.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from enum import Enum

from minikube_api.meta.times import Clock
from minikube_py.scheduler.state import PodInfo

INITIAL_BACKOFF = 1.0
MAX_BACKOFF = 10.0
#: seconds after which an unschedulable pod is tried again whatever happened
UNSCHEDULABLE_LIMIT = 300.0


class Happening(Enum):
    """What can make a pod schedulable."""

    NODE_ADDED = "NodeAdd"
    NODE_CHANGED = "NodeUpdate"
    POD_PLACED = "AssignedPodAdd"
    POD_CHANGED = "AssignedPodUpdate"
    POD_GONE = "AssignedPodDelete"
    NAMESPACE_CHANGED = "NamespaceUpdate"
    VOLUME_CHANGED = "VolumeUpdate"


_NODES = {Happening.NODE_ADDED, Happening.NODE_CHANGED}
#: plug-in -> what it waits for
INTERESTS: dict[str, set[Happening]] = {
    "NodeUnschedulable": _NODES,
    "NodeName": _NODES,
    "TaintToleration": _NODES,
    "NodeAffinity": _NODES,
    "NodePorts": _NODES | {Happening.POD_GONE},
    "NodeResourcesFit": _NODES | {Happening.POD_GONE, Happening.POD_CHANGED},
    "VolumeBinding": _NODES | {Happening.VOLUME_CHANGED},
    "PodTopologySpread": _NODES | {Happening.POD_PLACED, Happening.POD_GONE, Happening.POD_CHANGED},
    "InterPodAffinity": _NODES | {Happening.POD_PLACED, Happening.POD_GONE, Happening.POD_CHANGED, Happening.NAMESPACE_CHANGED},
}


@dataclass(slots=True, eq=False)
class Waiting:
    """A pod in the queue. `since` is when it came; `refused_by` are the plug-ins of the last attempt."""

    pod: PodInfo
    since: float
    attempts: int = 0
    refused_by: frozenset[str] = frozenset()
    unschedulable_since: float = 0.0


@dataclass(slots=True)
class _Places:
    active: dict[str, Waiting] = field(default_factory=dict)
    backing_off: dict[str, Waiting] = field(default_factory=dict)
    unschedulable: dict[str, Waiting] = field(default_factory=dict)


class SchedulingQueue:
    """Keyed by uid. While a pod is being tried it is in no place; `happened` during that time is remembered for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places = _Places()
        self._order = itertools.count()
        self._heap: list[tuple[int, float, int, str]] = []
        self._timers: list[tuple[float, int, str]] = []
        self._in_flight: dict[str, list[Happening]] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        places = self._places
        return len(places.active) + len(places.backing_off) + len(places.unschedulable)

    @property
    def counts(self) -> dict[str, int]:
        places = self._places
        return {"active": len(places.active), "backoff": len(places.backing_off), "unschedulable": len(places.unschedulable)}

    def add(self, pod: PodInfo) -> None:
        """A new pod, or a changed one, which is worth a new attempt."""
        known = self._take(pod.uid)
        if pod.uid in self._in_flight:
            self._in_flight[pod.uid].append(Happening.NODE_CHANGED)
            return
        self._activate(Waiting(pod, known.since if known else self._clock.monotonic(), known.attempts if known else 0))

    def update(self, pod: PodInfo) -> None:
        """The pod's status or metadata changed, nothing that matters here: keep its place."""
        places = self._places
        for place in (places.active, places.backing_off, places.unschedulable):
            if pod.uid in place:
                place[pod.uid].pod = pod

    def remove(self, uid: str) -> None:
        self._take(uid)
        self._in_flight.pop(uid, None)

    def _take(self, uid: str) -> Waiting | None:
        places = self._places
        return places.active.pop(uid, None) or places.backing_off.pop(uid, None) or places.unschedulable.pop(uid, None)

    def _activate(self, waiting: Waiting) -> None:
        self._places.active[waiting.pod.uid] = waiting
        heapq.heappush(self._heap, (-waiting.pod.priority, waiting.since, next(self._order), waiting.pod.uid))
        self._wake.set()

    async def pop(self) -> Waiting:
        """The next pod to try; the caller ends the attempt with `done`, `refused` or `failed`."""
        while True:
            self._promote()
            while self._heap:
                uid = heapq.heappop(self._heap)[3]
                waiting = self._places.active.pop(uid, None)
                if waiting is not None:
                    waiting.attempts += 1
                    self._in_flight[uid] = []
                    return waiting
            self._wake.clear()
            await self._wait()

    async def _wait(self) -> None:
        """Until something is added or the earliest timer runs out."""
        until = self._timers[0][0] if self._timers else None
        if until is None:
            await self._wake.wait()
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(max(0.0, until - self._clock.monotonic())))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    def _promote(self) -> None:
        now = self._clock.monotonic()
        while self._timers and self._timers[0][0] <= now:
            uid = heapq.heappop(self._timers)[2]
            waiting = self._places.backing_off.get(uid) or self._places.unschedulable.get(uid)
            if waiting is not None and self._ready_at(waiting) <= now:
                self._take(uid)
                self._activate(waiting)

    def _ready_at(self, waiting: Waiting) -> float:
        limit = UNSCHEDULABLE_LIMIT if waiting.pod.uid in self._places.unschedulable else backoff(waiting.attempts)
        return waiting.unschedulable_since + limit

    def done(self, uid: str) -> None:
        """The attempt ended well, or the pod is nobody's any more."""
        self._in_flight.pop(uid, None)

    def refused(self, waiting: Waiting, plugins: frozenset[str]) -> None:
        """No node fits: wait for a happening that one of the plug-ins cares for. What happened during the attempt counts."""
        uid = waiting.pod.uid
        meanwhile = self._in_flight.pop(uid, None)
        if meanwhile is None:
            return
        waiting.refused_by = plugins
        if any(self._helps(h, plugins) for h in meanwhile):
            self._back_off(waiting)
            return
        waiting.unschedulable_since = self._clock.monotonic()
        self._places.unschedulable[uid] = waiting
        heapq.heappush(self._timers, (self._ready_at(waiting), next(self._order), uid))
        self._wake.set()

    def failed(self, waiting: Waiting) -> None:
        """The attempt broke off (binding refused, API error): try again after a back-off."""
        if self._in_flight.pop(waiting.pod.uid, None) is not None:
            self._back_off(waiting)

    def _back_off(self, waiting: Waiting) -> None:
        waiting.unschedulable_since = self._clock.monotonic()
        self._places.backing_off[waiting.pod.uid] = waiting
        heapq.heappush(self._timers, (self._ready_at(waiting), next(self._order), waiting.pod.uid))
        self._wake.set()

    @staticmethod
    def _helps(happening: Happening, plugins: frozenset[str]) -> bool:
        return not plugins or any(happening in INTERESTS.get(plugin, _NODES) for plugin in plugins)

    def happened(self, happening: Happening) -> None:
        """Wake the unschedulable pods that this could help; their back-off counts from the failed attempt."""
        for meanwhile in self._in_flight.values():
            meanwhile.append(happening)
        now = self._clock.monotonic()
        for uid, waiting in list(self._places.unschedulable.items()):
            if not self._helps(happening, waiting.refused_by):
                continue
            del self._places.unschedulable[uid]
            if waiting.unschedulable_since + backoff(waiting.attempts) <= now:
                self._activate(waiting)
            else:
                self._places.backing_off[uid] = waiting
                heapq.heappush(self._timers, (self._ready_at(waiting), next(self._order), uid))
                self._wake.set()


def backoff(attempts: int) -> float:
    """Seconds to wait after so many attempts: 1, 2, 4, 8, 10."""
    return min(INITIAL_BACKOFF * 2 ** max(0, min(attempts, 10) - 1), MAX_BACKOFF)
