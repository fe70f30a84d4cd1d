"""Which keys have a time to live, and which is due next. Only a heap; the deletions are ordinary compared writes."""

from __future__ import annotations

import asyncio
import heapq

from minikube_api.meta.times import Clock
from minikube_api.store.log import Expiry

#: seconds a sleeping lease keeper may miss a lease that was granted meanwhile
GRANULARITY = 1.0


class Leases:
    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._granted = asyncio.Event()

    def add(self, expiry: Expiry) -> None:
        heapq.heappush(self._heap, (expiry.at, expiry.revision, expiry.key))
        self._granted.set()

    def due(self, now: float) -> list[Expiry]:
        """Take out what has expired by `now`, earliest first."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, revision, key = heapq.heappop(self._heap)
            due.append(Expiry(at, key, revision))  # type: ignore[arg-type]
        return due

    async def wait(self, clock: Clock, now: float) -> None:
        """Until something may be due: no longer than GRANULARITY while leases stand, else until one is granted."""
        if not self._heap:
            self._granted.clear()
            await self._granted.wait()
        else:
            await clock.sleep(min(GRANULARITY, max(0.001, self._heap[0][0] - now)))
