"""What an embedded store writes on: an append-only log of revisions. `embedded` adds queueing, watching and leases to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from minikube_api.store.contract import CompareFailed, Event, KeyValue, RangeResult, Revision, WatchBatch

#: the revision of an empty store, as etcd's: the first write gets 2
FIRST_REVISION = Revision(1)


@dataclass(slots=True)
class Write:
    """One queued write. `value` None deletes; `expires` is in seconds since the epoch."""

    key: str
    value: bytes | None
    expect: int | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Expiry:
    """Key `key` goes at `at` (seconds since the epoch) unless it was written after `revision`."""

    at: float
    key: str
    revision: Revision


class Log(Protocol):
    """Calls never overlap with `commit` except reads. Raises StoreFailed when the medium fails."""

    revision: Revision
    compact_revision: Revision

    async def commit(self, writes: Sequence[Write]) -> list[Event | CompareFailed]:
        """Apply all, each on what the ones before it left, durably and in one go; a failed compare fails only its own write."""
        ...

    async def get(self, key: str) -> KeyValue | None: ...

    async def range(self, prefix: str, start: str, limit: int, revision: Revision) -> RangeResult: ...

    async def events(self, prefix: str, after: Revision, limit: int) -> WatchBatch:
        """The next events of `prefix` after a revision, at most `limit`."""
        ...

    async def expiries(self) -> Iterable[Expiry]:
        """Leases that still stand (and perhaps some that do not: expiry compares)."""
        ...

    async def compact(self, revision: Revision) -> None: ...

    async def close(self) -> None: ...


def prefix_end(prefix: str) -> str | None:
    """The first key after all keys with `prefix`; None when there is no such key."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else None


def compared(write: Write, standing: KeyValue | None) -> CompareFailed | None:
    """The failed compare of a write against what stands at its key, or None when it may go on."""
    actual = 0 if standing is None else standing.mod_revision
    if (write.expect is not None and write.expect != actual) or (write.value is None and standing is None):
        return CompareFailed(write.key, standing)
    return None
