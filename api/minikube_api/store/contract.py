"""The store's contract, in etcd's verbs: what memory, sqlite and etcd provide and the watch cache relies on.

One global revision counter; every write has a revision of its own (= resourceVersion). Keys are strings such as
`/registry/pods/default/web`; values are opaque bytes. Nothing but `minikube_api.cache` and `minikube_api.server` uses it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NewType, Protocol

Revision = NewType("Revision", int)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key with its value, the revision that created it and the revision of its last write."""

    key: str
    value: bytes
    create_revision: Revision
    mod_revision: Revision


@dataclass(frozen=True, slots=True)
class Event:
    """One committed write. `current` is None for a deletion; `previous` is None for a creation."""

    key: str
    revision: Revision
    current: KeyValue | None
    previous: KeyValue | None


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """Events in revision order, possibly none; every event up to and including `revision` has been delivered (progress)."""

    events: tuple[Event, ...]
    revision: Revision


@dataclass(frozen=True, slots=True)
class RangeResult:
    """`kvs` in key order as of `revision`; `more` says that `limit` cut the answer; `count` is the number of keys without limit."""

    kvs: list[KeyValue]
    revision: Revision
    more: bool
    count: int


class StoreError(Exception):
    """Base of what a store raises."""


class CompareFailed(StoreError):
    """The key's mod revision is not the expected one; `current` is what stands there now (None: absent)."""

    def __init__(self, key: str, current: KeyValue | None) -> None:
        super().__init__(f"compare failed on {key}")
        self.key = key
        self.current = current


class Compacted(StoreError):
    """The revision asked for has been compacted away; `compact_revision` is the oldest still readable."""

    def __init__(self, compact_revision: Revision) -> None:
        super().__init__(f"required revision has been compacted (oldest is {compact_revision})")
        self.compact_revision = compact_revision


class FutureRevision(StoreError):
    """The revision asked for has not been reached yet."""

    def __init__(self, current: Revision) -> None:
        super().__init__(f"required revision is a future revision (current is {current})")
        self.current = current


class StoreFailed(StoreError):
    """The medium failed (full disk, failed fsync, corrupt file). The store takes no more writes; the server must stop."""


class StoreClosed(StoreError):
    """The store has been closed."""


class Store(Protocol):
    """All methods raise StoreClosed after `close` and StoreFailed once the medium has failed."""

    async def get(self, key: str) -> KeyValue | None:
        """The key's newest state."""
        ...

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: Revision | None = None) -> RangeResult:
        """Keys with `prefix`, from `start` (inclusive) in key order, at `revision` (default: newest); limit 0 = all.

        Raises Compacted or FutureRevision.
        """
        ...

    async def put(self, key: str, value: bytes, *, expect: Revision | int | None = None, ttl: float | None = None) -> Revision:
        """Write one key; returns when durable. `expect`: 0 = must be absent, n = its mod revision, None = whatever is there.

        `ttl` seconds after this write the key is deleted unless written again. Raises CompareFailed.
        Cancelling the caller does not undo a write that is already queued.
        """
        ...

    async def delete(self, key: str, *, expect: Revision | int | None = None) -> Revision:
        """Delete one key; the deletion has a revision of its own. Raises CompareFailed (also when the key is absent)."""
        ...

    def watch(self, prefix: str, *, after: Revision) -> AsyncIterator[WatchBatch]:
        """Every event with a revision greater than `after`, in order, without gap or duplicate; then live, with progress.

        Raises Compacted, on the call or while iterating, when `after` is older than the compact revision. A consumer that stays behind loses nothing:
        it reads the backlog from the log.
        """
        ...

    async def current_revision(self) -> Revision: ...

    async def compact(self, revision: Revision) -> None:
        """Forget history before `revision`; the state at `revision` stays readable."""
        ...

    async def close(self) -> None: ...
