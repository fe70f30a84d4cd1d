"""Work queue with client-go's contract (util/workqueue).

- An item added several times before it is taken is given once.
- One worker an item: an item that is being worked on is not given to a second worker; added meanwhile, it runs again after `done`.
- `add_after`: of several delays of an item the earliest wins.
- `shut_down`: nothing more is accepted, what waits is still given, then `get` raises ShutDown.
- `add_rate_limited`: exponential delay per item, 5 ms doubling to 1000 s, until `forget`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from itertools import count
from typing import Final, Generic, TypeVar

from minikube_api.meta.times import SYSTEM, Clock

K = TypeVar("K", bound=Hashable)

BASE_DELAY: Final = 0.005
MAX_DELAY: Final = 1000.0


class ShutDown(Exception):
    """The queue is shut down and empty."""


class ExponentialBackoff(Generic[K]):
    """client-go's ItemExponentialFailureRateLimiter."""

    def __init__(self, base: float = BASE_DELAY, maximum: float = MAX_DELAY) -> None:
        self._base = base
        self._maximum = maximum
        self._failures: dict[K, int] = {}

    def next_delay(self, item: K) -> float:
        """Seconds before this try of `item`, which counts as one more failure."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        return self._maximum if failures > 60 else min(self._base * 2**failures, self._maximum)

    def failures(self, item: K) -> int:
        return self._failures.get(item, 0)

    def forget(self, item: K) -> None:
        self._failures.pop(item, None)


class WorkQueue(Generic[K]):
    """For one event loop. All methods but `get` and `drained` return at once; `get` may be cancelled without losing an item."""

    def __init__(self, clock: Clock = SYSTEM, *, backoff: ExponentialBackoff[K] | None = None, name: str = "") -> None:
        self.name = name
        self._clock = clock
        self._backoff = backoff if backoff is not None else ExponentialBackoff()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = count()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Future[None] | None = None
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._shutting_down = False
        self.adds = 0
        self.retries = 0

    def __len__(self) -> int:
        """Items ready to be taken."""
        return len(self._ready)

    @property
    def waiting(self) -> int:
        """Items that wait for their delay."""
        return len(self._due)

    @property
    def shutting_down(self) -> bool:
        return self._shutting_down

    def add(self, item: K) -> None:
        if self._shutting_down or item in self._dirty:
            return
        self.adds += 1
        self._dirty.add(item)
        if item not in self._processing:
            self._ready.append(item)
            self._wake(self._waiters)

    def add_after(self, item: K, delay: float) -> None:
        """Add once `delay` seconds have passed; an earlier due time of the same item stays."""
        if self._shutting_down:
            return
        if delay <= 0:
            self.add(item)
            return
        due = self._clock.monotonic() + delay
        if item in self._due and self._due[item] <= due:
            return
        self._due[item] = due
        heapq.heappush(self._heap, (due, next(self._order), item))
        if self._heap[0][2] == item and self._timer is not None and not self._timer.done():
            self._timer.set_result(None)
        elif self._timer is None:
            self._wake(self._waiters)

    def add_rate_limited(self, item: K) -> None:
        self.retries += 1
        self.add_after(item, self._backoff.next_delay(item))

    def forget(self, item: K) -> None:
        """The item succeeded (or is given up): its next failure starts with the base delay again."""
        self._backoff.forget(item)

    def failures(self, item: K) -> int:
        return self._backoff.failures(item)

    async def get(self) -> K:
        """The next item, when there is one; call `done` for it. Raises ShutDown."""
        while True:
            self._promote()
            if self._ready:
                item = self._ready.popleft()
                self._processing.add(item)
                self._dirty.discard(item)
                return item
            if self._shutting_down:
                raise ShutDown
            await self._wait()

    def done(self, item: K) -> None:
        """The worker is finished with `item`; if it was added meanwhile, it is ready again."""
        self._processing.discard(item)
        if item in self._dirty:
            self._ready.append(item)
            self._wake(self._waiters)
        elif self._shutting_down and not self._processing and not self._ready:
            self._finish_drain()

    def shut_down(self) -> None:
        """Accept nothing more and forget delayed items; what is ready (or dirty) is still given out."""
        self._shutting_down = True
        self._due.clear()
        self._heap.clear()
        for waiter in (*self._waiters, *([self._timer] if self._timer else ())):
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
        if not self._processing and not self._ready:
            self._finish_drain()

    async def drained(self) -> None:
        """Return once the queue is shut down and every item was given out and done."""
        if self._shutting_down and not self._processing and not self._ready:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._drain_waiters.append(waiter)
        await waiter

    def _promote(self) -> None:
        """Move what is due to the ready items."""
        if not self._heap:
            return
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, item = heapq.heappop(self._heap)
            if self._due.get(item) == due:  # else an earlier delay has replaced this entry
                del self._due[item]
                self.add(item)

    async def _wait(self) -> None:
        """Until something may be ready. The first waiter that finds delayed items keeps the time for all."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if self._heap and self._timer is None:
            await self._keep_time(waiter, self._heap[0][0] - self._clock.monotonic())
            return
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not self._shutting_down:
                self._wake(self._waiters)  # this waiter was chosen and is going away: hand on
            raise

    async def _keep_time(self, interrupt: asyncio.Future[None], delay: float) -> None:
        self._timer = interrupt
        sleeping = asyncio.ensure_future(self._clock.sleep(delay))
        self._waiters.appendleft(interrupt)
        try:
            await asyncio.wait((sleeping, interrupt), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._timer = None
            sleeping.cancel()
            if interrupt in self._waiters:
                self._waiters.remove(interrupt)
            # Another waiter keeps the time while this one works (or when it was cancelled).
            if self._heap or self._ready:
                self._wake(self._waiters)

    @staticmethod
    def _wake(waiters: deque[asyncio.Future[None]]) -> None:
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _finish_drain(self) -> None:
        for waiter in self._drain_waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._drain_waiters.clear()
