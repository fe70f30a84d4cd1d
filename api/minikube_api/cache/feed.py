"""The one watch over the whole store that all kinds' caches live on.

A write of one kind moves the revision of every kind, so progress belongs here: `revision` is how far all caches have come.
Kinds load on first use; events of kinds nobody has asked for cost a dictionary look-up.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from minikube_api.cache.renderings import RenderedBytes
from minikube_api.cache.revisions import too_large
from minikube_api.meta.times import SYSTEM, Clock
from minikube_api.store.contract import Event, Revision, Store, StoreClosed, WatchBatch

if TYPE_CHECKING:
    from minikube_api.cache.cacher import Cacher

#: seconds that a read waits for a revision the cache has not seen, as kube-apiserver's blockTimeout
PATIENCE = 3.0
_TICK = 1.0


class Feed:
    """One per store. `start`, then keep `run` running in a TaskGroup; it ends only by cancellation or when the store fails."""

    def __init__(self, store: Store, *, prefix: str = "/registry/", clock: Clock = SYSTEM, patience: float = PATIENCE) -> None:
        self.store = store
        self.prefix = prefix
        self.clock = clock
        self.patience = patience
        self.revision = Revision(0)
        #: the store's revision when the feed started
        self.started = Revision(0)
        self.rendered = RenderedBytes()
        self._cachers: dict[str, Cacher] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._turn = 0
        self._batches: AsyncIterator[WatchBatch]

    def add(self, cacher: Cacher) -> None:
        """A cacher's prefix is one path segment below the feed's: `/registry/pods/`."""
        if self._segment(cacher.prefix) != cacher.prefix or cacher.prefix in self._cachers:
            raise ValueError(f"cacher prefix {cacher.prefix!r}")
        self._cachers[cacher.prefix] = cacher

    def remove(self, cacher: Cacher) -> None:
        """Ends its watches. For kinds that are no longer served."""
        del self._cachers[cacher.prefix]
        cacher.close()

    def _segment(self, key: str) -> str:
        return key[: key.find("/", len(self.prefix)) + 1]

    async def start(self) -> None:
        self.started = self.revision = await self.store.current_revision()
        self._batches = self.store.watch(self.prefix, after=self.revision)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="cache-feed")
            group.create_task(self._tick(), name="cache-bookmarks")

    async def _follow(self) -> None:
        try:
            async for batch in self._batches:
                self._take(batch)
        except StoreClosed:
            return  # closed by its owner before the first batch

    def _take(self, batch: WatchBatch) -> None:
        if batch.events:
            by_kind: dict[str, list[Event]] = {}
            for event in batch.events:
                by_kind.setdefault(self._segment(event.key), []).append(event)
            for prefix, events in by_kind.items():
                cacher = self._cachers.get(prefix)
                if cacher is not None:
                    cacher.take(events)
        self.revision = batch.revision
        while self._waiting and self._waiting[0][0] <= batch.revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def _tick(self) -> None:
        while True:
            await self.clock.sleep(_TICK)
            now = self.clock.monotonic()
            for cacher in list(self._cachers.values()):
                cacher.tick(now)

    async def reach(self, revision: int) -> None:
        """Until the caches have seen `revision`. Raises Timeout (504, ResourceVersionTooLarge) when patience runs out."""
        if revision <= self.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turn += 1
        heapq.heappush(self._waiting, (revision, self._turn, future))
        try:
            async with asyncio.timeout(self.patience):
                await future
        except TimeoutError:
            raise too_large(revision, self.revision) from None
        finally:
            if not future.done() or future.cancelled():
                self._waiting = [waiting for waiting in self._waiting if waiting[2] is not future]
                heapq.heapify(self._waiting)

    async def catch_up(self) -> None:
        """Until the caches have seen what the store has now: what a most-recent read waits for."""
        await self.reach(await self.store.current_revision())
