"""Watches: who sees which event, as what, and the bytes of it.

Equal watches (same selection, same rendering) form a group. A batch of changes is filtered and encoded once a group, whatever the
number of its watchers, and on the first watcher's pull. Nobody waits for a slow watcher: past its limit of pending events it is closed.

What a delivery costs is a write to each watcher's connection (20 to 30 us with TLS), whatever the number of its events. So a crowd is paced:
the first event after a pause goes out at once, what comes within the pace of it is held and goes out together. Whoever relies on the
group's state (a watch that joins or ends, a bookmark) flushes first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal

from minikube_api.cache.entries import Entry
from minikube_api.cache.renderings import RenderedBytes, Rendering
from minikube_api.cache.requests import Selection

Type = Literal["ADDED", "MODIFIED", "DELETED"]
_HEADS = {kind: f'{{"type":"{kind}","object":'.encode() for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")}
_TAIL = b"}\n"
#: pending events after which a watcher is slow
PENDING_LIMIT = 10_000
#: objects of the initial state looked at for one chunk
_INITIAL = 256
#: renderings made without giving the loop a turn
_STRETCH = 32
#: watchers of a group from which on deliveries are paced
CROWD = 16
#: seconds between two deliveries: so many a watcher (about a tenth of them is spent on writing), and at most
PACE_EACH = 0.0002
PACE_LIMIT = 0.05


class Change:
    """One committed write of a kind. One of `previous` and `current` may be None."""

    __slots__ = ("_gone", "current", "previous", "revision")

    def __init__(self, revision: int, previous: Entry | None, current: Entry | None) -> None:
        self.revision = revision
        self.previous = previous
        self.current = current
        self._gone: Entry | None = None

    @property
    def entry(self) -> Entry:
        entry = self.current or self.previous
        assert entry is not None
        return entry

    @property
    def gone(self) -> Entry:
        """The previous object with this revision: what DELETED carries."""
        gone = self._gone
        if gone is None:
            assert self.previous is not None
            gone = self._gone = self.previous.deleted_at(self.revision)
        return gone


class Delivery:
    """Events for all watchers of a group; encoded on the first pull, then shared."""

    __slots__ = ("_joined", "events")

    def __init__(self, events: Sequence[tuple[Type, Entry]]) -> None:
        self.events = events
        self._joined: bytes | None = None

    async def encode(self, rendering: Rendering, rendered: RenderedBytes) -> bytes:
        if self._joined is None:
            self._joined = b"".join(await _lines(self.events, rendering, rendered))
        return self._joined


async def _lines(events: Iterable[tuple[Type, Entry]], rendering: Rendering, rendered: RenderedBytes) -> list[bytes]:
    lines = []
    stretch = 0
    frame = rendering.frame
    for kind, entry in events:
        body = rendered.get(entry, rendering)
        if body is None:
            stretch += 1
            if stretch % _STRETCH == 0:
                await asyncio.sleep(0)
            body = await rendered.render(entry, rendering)
        lines.append(_HEADS[kind] + body + _TAIL if frame is None else frame(kind, body))
    return lines


class Bookmark:
    __slots__ = ("initial_end", "revision")

    def __init__(self, revision: int, initial_end: bool = False) -> None:
        self.revision = revision
        self.initial_end = initial_end


class Group:
    """Watchers with one selection and one rendering."""

    def __init__(self, selection: Selection, rendering: Rendering) -> None:
        self.selection = selection
        self.rendering = rendering
        self.watches: set[Watch] = set()
        self._plain = selection.labels is None and selection.fields is None
        self._held: list[tuple[Type, Entry]] = []
        self._timer: asyncio.TimerHandle | None = None
        #: loop time of the last delivery to a crowd
        self._delivered = 0.0

    def select(self, changes: Iterable[Change]) -> list[tuple[Type, Entry]]:
        """What these watchers see of changes in their namespace and of their name."""
        seen: list[tuple[Type, Entry]] = []
        if self._plain:
            for change in changes:
                current = change.current
                if current is None:
                    seen.append(("DELETED", change.gone))
                else:
                    seen.append(("ADDED" if change.previous is None else "MODIFIED", current))
            return seen
        matches = self.selection.matches
        for change in changes:
            current, previous = change.current, change.previous
            before = previous is not None and matches(previous)
            if current is not None and matches(current):
                seen.append(("MODIFIED" if before else "ADDED", current))
            elif before:
                seen.append(("DELETED", change.gone))
        return seen

    def offer(self, changes: Sequence[Change]) -> None:
        self._held += self.select(changes)
        if not self._held or self._timer is not None:
            return
        if len(self.watches) < CROWD:
            self.flush()
            return
        loop = asyncio.get_running_loop()
        due = self._delivered + min(len(self.watches) * PACE_EACH, PACE_LIMIT)
        if loop.time() >= due:
            self._delivered = loop.time()
            self.flush()
        else:
            self._timer = loop.call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._delivered = asyncio.get_running_loop().time()
        self.flush()

    def flush(self) -> None:
        """Give the watchers what is held for them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held = self._held
        if held:
            self._held = []
            delivery = Delivery(held)
            for watch in tuple(self.watches):
                watch.push(delivery, len(held))


class Watch:
    """An open watch: iterate for chunks of whole lines. Ends when it was too slow, or its kind is no longer served."""

    def __init__(self, group: Group, rendered: RenderedBytes, *, limit: int = PENDING_LIMIT) -> None:
        self.group = group
        #: monotonic seconds of the next bookmark; None: none wanted
        self.bookmark_due: float | None = None
        #: why the watch ended, for metrics: "", "slow" or "closed"
        self.ended: Literal["", "slow", "closed"] = ""
        self._rendered = rendered
        self._limit = limit
        #: None stands for an object that the selection leaves out
        self._initial: Iterator[tuple[Type, Entry] | None] | None = None
        self._queue: deque[Delivery | Bookmark] = deque()
        self._pending = 0
        self._after = 0
        self._waiter: asyncio.Future[None] | None = None
        self._headed = group.rendering.first is None

    def begin(self, entries: Iterable[Entry]) -> None:
        """Synthetic ADDED events before anything else; taken and selected piece by piece, so `entries` must not change any more."""
        selection = self.group.selection
        if selection.everything:
            self._initial = (("ADDED", entry) for entry in entries)
        else:
            self._initial = (("ADDED", entry) if selection.matches(entry) else None for entry in entries)

    def replay(self, changes: Sequence[Change], after: int) -> None:
        """Past changes first. `after` may lie in the future: then events up to it are not for this watch."""
        self._after = after
        seen = self.group.select(changes)
        self._initial = iter(seen) if seen else None

    def push(self, item: Delivery | Bookmark, events: int = 0) -> None:
        if self.ended:
            return
        if self._after and isinstance(item, Delivery):
            if item.events[0][1].revision <= self._after:
                item = Delivery([event for event in item.events if event[1].revision > self._after])
                events = len(item.events)
                if not events:
                    return
            else:
                self._after = 0
        self._pending += events
        if self._pending > self._limit:
            self.end("slow")
            return
        self._queue.append(item)
        self._wake()

    def end(self, why: Literal["slow", "closed"]) -> None:
        """No more events; what a slow watcher had pending is dropped."""
        if why == "closed" and not self.ended:
            self.group.flush()
        self.ended = self.ended or why
        if why == "slow":
            self._queue.clear()
            self._initial = None
        self.group.watches.discard(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk: one or more lines. Cancelling it while it waits loses nothing."""
        while True:
            if self._initial is not None:
                looked = list(islice(self._initial, _INITIAL))
                if len(looked) < _INITIAL:
                    self._initial = None
                events = [event for event in looked if event is not None]
                if events:
                    return await self._encode(Delivery(events))
                await asyncio.sleep(0)
                continue
            if self._queue:
                break
            if self.ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunks = []
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, Bookmark):
                rendering = self.group.rendering
                body = rendering.bookmark(item.revision, item.initial_end)
                frame = rendering.frame
                chunks.append(_HEADS["BOOKMARK"] + body + _TAIL if frame is None else frame("BOOKMARK", body))
            else:
                self._pending -= len(item.events)
                chunks.append(await self._encode(item))
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _encode(self, delivery: Delivery) -> bytes:
        rendering = self.group.rendering
        if self._headed:
            return await delivery.encode(rendering, self._rendered)
        assert rendering.first is not None
        self._headed = True
        head = Rendering(key=(rendering.key, "first"), bookmark=rendering.bookmark, render=rendering.first)
        lines = await _lines(delivery.events[:1], head, self._rendered)
        lines += await _lines(delivery.events[1:], rendering, self._rendered)
        return b"".join(lines)
