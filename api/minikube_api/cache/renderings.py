"""How a watcher or list wants to see objects: as stored, in another version, as Table rows, as metadata only.

The caller (the server) gives a `Rendering`; equal keys mean equal bytes. Rendered bytes are memoised per (object revision,
rendering key) under a cap in bytes, so a thousand equal watchers cost one rendering.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Protocol

from minikube_api.cache.entries import Entry


class Bookmark(Protocol):
    def __call__(self, revision: int, initial_end: bool) -> bytes:
        """The object of a BOOKMARK event; `initial_end` asks for the annotation k8s.io/initial-events-end."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """`render` makes the JSON of an entry (one event's object, one list item); it may be async (conversion webhooks).

    `render` None is the stored form itself. `first` renders the first event of a watch differently (a Table's
    columnDefinitions go out once). `key` must tell renderings apart within one kind. `frame` makes an event of its type and its object's
    bytes; None is a line of JSON. `render_many`: the same for a list's items together, where each by itself costs a call.
    """

    key: Hashable
    bookmark: Bookmark
    render: Callable[[Entry], bytes | Awaitable[bytes]] | None = None
    first: Callable[[Entry], bytes | Awaitable[bytes]] | None = None
    frame: Callable[[str, bytes], bytes] | None = None
    render_many: Callable[[Sequence[Entry]], Awaitable[Sequence[bytes]]] | None = None


class RenderedBytes:
    """Memo of rendered bytes, oldest use dropped first; `limit` in bytes. One per feed, shared by all kinds."""

    def __init__(self, limit: int = 16 << 20) -> None:
        self.limit = limit
        self.size = 0
        self.hits = 0
        self.misses = 0
        self._memo: dict[tuple[Hashable, ...], bytes] = {}

    def get(self, entry: Entry, rendering: Rendering) -> bytes | None:
        """The bytes when no work is needed for them."""
        if rendering.render is None:
            return entry.body
        memo = self._memo
        key = (entry.key, entry.revision, rendering.key)
        found = memo.get(key)
        if found is not None:
            self.hits += 1
            memo[key] = memo.pop(key)
        return found

    async def render(self, entry: Entry, rendering: Rendering) -> bytes:
        found = self.get(entry, rendering)
        if found is not None:
            return found
        assert rendering.render is not None
        made = rendering.render(entry)
        body = await made if isawaitable(made) else made
        self._keep((entry.key, entry.revision, rendering.key), body)
        return body

    async def render_many(self, entries: Sequence[Entry], rendering: Rendering) -> None:
        """Keep the renderings of all that are not there yet; what finds no room is rendered again by itself."""
        missing = [entry for entry in entries if self.get(entry, rendering) is None]
        if not missing or rendering.render_many is None:
            return
        for entry, body in zip(missing, await rendering.render_many(missing), strict=True):
            self._keep((entry.key, entry.revision, rendering.key), body)

    def _keep(self, key: tuple[Hashable, ...], body: bytes) -> None:
        self.misses += 1
        memo = self._memo
        old = memo.pop(key, None)
        self.size += len(body) - (0 if old is None else len(old))
        memo[key] = body
        while self.size > self.limit and memo:
            oldest = next(iter(memo))
            self.size -= len(memo.pop(oldest))
