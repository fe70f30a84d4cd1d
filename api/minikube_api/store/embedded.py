"""The store over a local log: group commit, watchers, leases and compaction, the same for memory and sqlite.

One task writes. Whatever was queued while a commit ran goes as one batch when it ends, so under load the price of a commit is
shared and alone a write waits for nothing. Events are published before writers are told, so that whoever follows the store has
been woken first. When the medium fails, the failed batch and everything after it gets StoreFailed; nothing is retried.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from minikube_api.meta.times import Clock
from minikube_api.store.contract import (
    Compacted,
    CompareFailed,
    Event,
    FutureRevision,
    KeyValue,
    RangeResult,
    Revision,
    StoreClosed,
    StoreError,
    StoreFailed,
    WatchBatch,
)
from minikube_api.store.leases import Leases
from minikube_api.store.log import Expiry, Log, Write
from minikube_api.store.window import Window

_log = logging.getLogger(__name__)
#: writes in one commit at most: bounds how long the first of them waits for the last
_BATCH = 512


class EmbeddedStore:
    """A `Store` on a `Log`. `start` and `close` are a pair; between them three tasks run (writer, leases, compaction)."""

    def __init__(self, log: Log, *, clock: Clock, compaction_interval: float | None) -> None:
        self._log = log
        self._clock = clock
        self._interval = compaction_interval
        self._window = Window(log.revision)
        self._leases = Leases()
        self._pending: list[tuple[Write, asyncio.Future[Revision]]] = []
        self._queued = asyncio.Event()
        self._ended: StoreError | None = None
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for expiry in await self._log.expiries():
            self._leases.add(expiry)
        self._tasks.append(asyncio.create_task(self._write(), name="store-writer"))
        self._tasks.append(asyncio.create_task(self._expire(), name="store-leases"))
        if self._interval is not None:
            self._tasks.append(asyncio.create_task(self._compact(self._interval), name="store-compaction"))

    # reads

    async def get(self, key: str) -> KeyValue | None:
        self._check()
        return await self._log.get(key)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: Revision | None = None) -> RangeResult:
        self._check()
        current = self._window.revision
        at = current if revision is None else revision
        if at > current:
            raise FutureRevision(current)
        if at < self._log.compact_revision:
            raise Compacted(self._log.compact_revision)
        result = await self._log.range(prefix, max(prefix, start), limit, at)
        if at < self._log.compact_revision:
            raise Compacted(self._log.compact_revision)
        return result

    async def current_revision(self) -> Revision:
        self._check()
        return self._window.revision

    def watch(self, prefix: str, *, after: Revision) -> AsyncIterator[WatchBatch]:
        self._check()
        if after < self._log.compact_revision:
            raise Compacted(self._log.compact_revision)
        return self._window.follow(prefix, after, self._log.events, lambda: self._log.compact_revision)

    # writes

    async def put(self, key: str, value: bytes, *, expect: Revision | int | None = None, ttl: float | None = None) -> Revision:
        return await self._queue(Write(key, value, expect, None if ttl is None else self._clock.time() + ttl))

    async def delete(self, key: str, *, expect: Revision | int | None = None) -> Revision:
        return await self._queue(Write(key, None, expect))

    def _queue(self, write: Write) -> asyncio.Future[Revision]:
        self._check()
        future: asyncio.Future[Revision] = asyncio.get_running_loop().create_future()
        self._pending.append((write, future))
        self._queued.set()
        return future

    async def _write(self) -> None:
        while True:
            while not self._pending:
                if self._closing:
                    return
                self._queued.clear()
                await self._queued.wait()
            batch = self._pending[:_BATCH]
            del self._pending[:_BATCH]
            try:
                outcomes = await self._log.commit([write for write, _ in batch])
            except Exception as error:
                self._fail(error, batch)
                return
            self._settle(batch, outcomes)

    def _settle(self, batch: list[tuple[Write, asyncio.Future[Revision]]], outcomes: list[Event | CompareFailed]) -> None:
        self._window.publish([outcome for outcome in outcomes if isinstance(outcome, Event)])
        for (write, future), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Event) and write.expires is not None:
                self._leases.add(Expiry(write.expires, write.key, outcome.revision))
            if future.done():  # the caller was cancelled; the write stands
                continue
            if isinstance(outcome, Event):
                future.set_result(outcome.revision)
            else:
                future.set_exception(outcome)

    def _fail(self, error: Exception, batch: list[tuple[Write, asyncio.Future[Revision]]]) -> None:
        failed = error if isinstance(error, StoreFailed) else StoreFailed(f"{type(error).__name__}: {error}")
        _log.error("the store failed and takes no more writes: %s", failed, exc_info=error)
        self._ended = failed
        self._window.end(failed)
        for _, future in [*batch, *self._pending]:
            if not future.done():
                future.set_exception(StoreFailed(str(failed)))
        self._pending.clear()

    # in the background

    async def _expire(self) -> None:
        """Deletes what has outlived its lease; a lost compare means that it was renewed."""
        while True:
            now = self._clock.time()
            due = self._leases.due(now)
            if due:
                writes = [self._queue(Write(expiry.key, None, expiry.revision)) for expiry in due]
                for outcome in await asyncio.gather(*writes, return_exceptions=True):
                    if isinstance(outcome, StoreFailed | StoreClosed):
                        return
                continue
            await self._leases.wait(self._clock, now)

    async def _compact(self, interval: float) -> None:
        """Forgets what is older than one interval, as kube-apiserver does with etcd."""
        revision = self._window.revision
        while True:
            await self._clock.sleep(interval)
            previous, revision = revision, self._window.revision
            try:
                await self.compact(previous)
            except StoreFailed as error:
                self._fail(error, [])
                return

    async def compact(self, revision: Revision) -> None:
        self._check()
        if revision > self._window.revision:
            raise FutureRevision(self._window.revision)
        if revision > self._log.compact_revision:
            await self._log.compact(revision)

    async def close(self) -> None:
        """Queued writes are still done; then the log is closed. Harmless when repeated."""
        if self._closing:
            return
        self._closing = True
        writer, *others = self._tasks
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._queued.set()
        await writer
        if self._ended is None:
            self._ended = StoreClosed("the store is closed")
        self._window.end(self._ended)
        await self._log.close()

    def _check(self) -> None:
        if self._ended is not None:
            raise type(self._ended)(str(self._ended))
        if self._closing:
            raise StoreClosed("the store is closed")
