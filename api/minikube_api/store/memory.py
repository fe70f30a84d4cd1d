"""The log in memory: for tests, and clusters that need not outlive their process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from minikube_api.store.contract import CompareFailed, Event, KeyValue, RangeResult, Revision, WatchBatch
from minikube_api.store.log import FIRST_REVISION, Expiry, Write, compared, prefix_end


class MemoryLog:
    """`_history` has, for each key, its states in order: (revision, state), None for a deletion. States are never modified."""

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self.compact_revision = FIRST_REVISION
        self._keys: list[str] = []
        self._history: dict[str, list[tuple[Revision, KeyValue | None]]] = {}
        self._events: list[Event] = []

    async def commit(self, writes: Sequence[Write]) -> list[Event | CompareFailed]:
        return [self._apply(write) for write in writes]

    def _apply(self, write: Write) -> Event | CompareFailed:
        history = self._history.get(write.key)
        standing = history[-1][1] if history else None
        failed = compared(write, standing)
        if failed is not None:
            return failed
        revision = self.revision = Revision(self.revision + 1)
        current = None
        if write.value is not None:
            created = revision if standing is None else standing.create_revision
            current = KeyValue(write.key, write.value, created, revision)
        if history is None:
            history = self._history[write.key] = []
            insort(self._keys, write.key)
        history.append((revision, current))
        event = Event(write.key, revision, current, standing)
        self._events.append(event)
        return event

    async def get(self, key: str) -> KeyValue | None:
        history = self._history.get(key)
        return history[-1][1] if history else None

    async def range(self, prefix: str, start: str, limit: int, revision: Revision) -> RangeResult:
        found = list(self._states(prefix, start, revision))
        count = len(found)
        return RangeResult(found[:limit] if limit else found, revision, bool(limit) and count > limit, count)

    def _states(self, prefix: str, start: str, revision: Revision) -> Iterator[KeyValue]:
        first = bisect_left(self._keys, start)
        end = prefix_end(prefix)
        last = len(self._keys) if end is None else bisect_left(self._keys, end)
        for key in self._keys[first:last]:
            history = self._history[key]
            at = bisect_right(history, revision, key=lambda state: state[0])
            state = history[at - 1][1] if at else None
            if state is not None:
                yield state

    async def events(self, prefix: str, after: Revision, limit: int) -> WatchBatch:
        found: list[Event] = []
        for event in self._events[bisect_right(self._events, after, key=lambda event: event.revision) :]:
            if event.key.startswith(prefix):
                found.append(event)
                if len(found) == limit:
                    return WatchBatch(tuple(found), event.revision)
        return WatchBatch(tuple(found), self.revision)

    async def expiries(self) -> Iterable[Expiry]:
        return ()

    async def compact(self, revision: Revision) -> None:
        self.compact_revision = revision
        cut = bisect_right(self._events, revision, key=lambda event: event.revision)
        touched = {event.key for event in self._events[:cut]}
        del self._events[:cut]
        for key in touched:
            history = self._history[key]
            newest = bisect_right(history, revision, key=lambda state: state[0]) - 1
            if newest >= 0 and history[newest][1] is None:
                newest += 1
            del history[: max(newest, 0)]
            if not history:
                del self._history[key]
                del self._keys[bisect_left(self._keys, key)]

    async def close(self) -> None:
        self._events.clear()
