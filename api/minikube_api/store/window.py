"""The newest committed events in memory, and the watchers that follow them.

Watchers hold only a revision: one that is behind the window reads the log until it catches up, so none is ever dropped here
and none makes another wait.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from minikube_api.store.contract import Compacted, Event, Revision, StoreClosed, StoreError, WatchBatch

_BACKLOG = 1000
Backlog = Callable[[str, Revision, int], Awaitable[WatchBatch]]


class Window:
    """Holds about `keep` events; `revision` is what watchers may see, all committed."""

    def __init__(self, revision: Revision, keep: int = 256) -> None:
        self.revision = revision
        #: every event after this revision is in `_events`
        self.start = revision
        self._keep = keep
        self._events: list[Event] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._ended: StoreError | None = None

    def publish(self, events: Sequence[Event]) -> None:
        """Events of one commit, in order. The newest commit always stays in the window."""
        if not events:
            return
        held = self._events
        if len(held) > 2 * self._keep:
            self.start = held[-self._keep - 1].revision
            del held[: -self._keep]
        held.extend(events)
        self.revision = events[-1].revision
        self._wake()

    def end(self, error: StoreError) -> None:
        """Watchers raise `error` (nothing, for StoreClosed: they end) when they have seen what was published."""
        self._ended = error
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _changed(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _since(self, prefix: str, after: Revision) -> tuple[Event, ...]:
        held = self._events
        first = bisect_right(held, after, key=lambda event: event.revision)
        return tuple(event for event in held[first:] if event.key.startswith(prefix))

    async def follow(
        self, prefix: str, after: Revision, backlog: Backlog, compact_revision: Callable[[], Revision]
    ) -> AsyncIterator[WatchBatch]:
        """What `Store.watch` yields. Cancelling it (or closing the generator) leaves nothing behind.

        Compaction passes by a watcher inside the window; only one that needs the log again gets Compacted.
        """
        while True:
            if after < self.start:
                batch = await backlog(prefix, after, _BACKLOG)
                if after < compact_revision():
                    raise Compacted(compact_revision())
            elif after < self.revision:
                batch = WatchBatch(self._since(prefix, after), self.revision)
            elif self._ended is not None:
                if isinstance(self._ended, StoreClosed):
                    return
                raise self._ended
            else:
                await self._changed()
                continue
            after = batch.revision
            yield batch
