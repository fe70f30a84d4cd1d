"""Indexes of past revisions that pages of a list go on from: kept for a while, and only as long as they hold little memory."""

from __future__ import annotations

from dataclasses import dataclass

from minikube_api.cache.index import Index
from minikube_api.meta.times import Clock

#: seconds
KEEP = 120.0
KEEP_BYTES = 16 << 20


@dataclass(slots=True)
class _Snapshot:
    index: Index
    until: float
    #: bytes replaced in the kind before this snapshot was taken
    replaced: int


class Snapshots:
    """A snapshot holds alive what has been replaced since it was taken: that is its price, and `limit` bounds it."""

    def __init__(self, clock: Clock, *, limit: int = KEEP_BYTES) -> None:
        self._clock = clock
        self._limit = limit
        self._replaced = 0
        self._held: dict[int, _Snapshot] = {}

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, revision: int, index: Index) -> None:
        until = self._clock.monotonic() + KEEP
        self._held.pop(revision, None)
        self._held[revision] = _Snapshot(index, until, self._replaced)

    def get(self, revision: int) -> Index | None:
        held = self._held.get(revision)
        return None if held is None else held.index

    def replace(self, size: int) -> None:
        """`size` bytes of entries have left the current index."""
        self._replaced += size
        if self._held:
            floor = self._replaced - self._limit
            for revision in [revision for revision, held in self._held.items() if held.replaced < floor]:
                del self._held[revision]

    def expire(self) -> None:
        if self._held:
            now = self._clock.monotonic()
            for revision in [revision for revision, held in self._held.items() if held.until <= now]:
                del self._held[revision]
