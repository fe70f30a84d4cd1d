"""The watch cache of one kind: a sorted index of its entries, a window of recent changes, and its watchers."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager

from minikube_api.cache.entries import Entry, Fields, splice
from minikube_api.cache.feed import Feed
from minikube_api.cache.groups import Groups
from minikube_api.cache.index import EMPTY, Index
from minikube_api.cache.renderings import Rendering
from minikube_api.cache.requests import ListRequest, Page, Selection, WatchRequest
from minikube_api.cache.revisions import (
    LATEST,
    ContinueExpired,
    decode_continue,
    encode_continue,
    list_too_old,
    parse_resource_version,
    too_large,
    too_old,
)
from minikube_api.cache.snapshots import Snapshots
from minikube_api.cache.watching import PENDING_LIMIT, Bookmark, Change, Watch
from minikube_api.meta.errors import Expired
from minikube_api.store.contract import Compacted, Event, FutureRevision, KeyValue, Revision
from minikube_api.store.log import prefix_end

#: seconds between bookmarks, as kube-apiserver's bookmarkFrequency, and how long before a watch's deadline the last one goes
BOOKMARK_EVERY = 60.0
BOOKMARK_BEFORE_DEADLINE = 2.0
#: keys read from the store in one go while loading
_LOAD = 2000
#: entries a selector is tried on without giving the loop a turn
_STRETCH = 128
#: revisions that loading looks back at most
_HISTORY = 10_000


class Cacher:
    """One per storage prefix. Loads on first use. See the package's docstring for its use.

    `fields` gives the kind's selectable fields of a stored tree. `window` bounds the recent changes kept for watches that begin
    at an older revision, in events; `window_bytes` likewise.
    """

    def __init__(
        self,
        feed: Feed,
        prefix: str,
        *,
        namespaced: bool,
        fields: Fields | None = None,
        window: int = 4096,
        window_bytes: int = 8 << 20,
        pending_limit: int = PENDING_LIMIT,
    ) -> None:
        self.feed = feed
        self.prefix = prefix
        self.namespaced = namespaced
        self.index: Index = EMPTY
        self._fields = fields
        self._limits = (window, window_bytes)
        self._pending_limit = pending_limit
        self._changes: list[Change] = []
        self._changes_bytes = 0
        #: all changes after this revision are in `_changes`
        self._oldest = 0
        #: the revision the kind was loaded at: events up to it are in the index already
        self._floor = 0
        self._loaded = False
        self._loading = asyncio.Lock()
        self._early: list[Event] | None = None
        self._snapshots = Snapshots(feed.clock)
        self._groups = Groups()
        #: called with every batch of changes, before watchers; for indexes that must never be behind the cache
        self.listeners: list[Callable[[Sequence[Change]], None]] = []
        feed.add(self)

    # state

    @property
    def revision(self) -> int:
        """How far this kind has come; every event up to it has been given to the watchers."""
        return max(self.feed.revision, self._floor)

    @property
    def watchers(self) -> int:
        return sum(len(group.watches) for group in self._groups)

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else f"{self.prefix}{name}"

    def _entry(self, kv: KeyValue) -> Entry:
        namespace, _, name = kv.key[len(self.prefix) :].rpartition("/")
        body = splice(kv.value, kv.mod_revision)
        return Entry(kv.key, namespace, name, kv.mod_revision, body, self._fields)

    async def load(self) -> None:
        """Read the kind from the store, once. Events that arrive meanwhile are kept and applied after."""
        if self._loaded:
            return
        async with self._loading:
            if self._loaded:
                return
            self._early = []
            try:
                base, entries = await self._read_all()
                self.index = Index.of(entries)
                self._floor = self._oldest = base
                await self._read_since(base)
                self._loaded = True
                self._apply(self._early)
            finally:
                self._early = None

    async def _read_all(self) -> tuple[Revision, list[Entry]]:
        """The state as of when the feed started (or not much before now), so that watches may begin in the past."""
        store = self.feed.store
        base = Revision(max(self.feed.started, await store.current_revision() - _HISTORY))
        try:
            result = await store.range(self.prefix, limit=_LOAD, revision=base)
        except Compacted as error:
            result = await store.range(self.prefix, limit=_LOAD, revision=error.compact_revision)
        entries = [self._entry(kv) for kv in result.kvs]
        while result.more:
            start = result.kvs[-1].key + "\0"
            result = await store.range(self.prefix, start=start, limit=_LOAD, revision=result.revision)
            entries += [self._entry(kv) for kv in result.kvs]
        return result.revision, entries

    async def _read_since(self, base: Revision) -> None:
        current = await self.feed.store.current_revision()
        if base >= current:
            return
        batches = self.feed.store.watch(self.prefix, after=base)
        async with aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                self._apply(batch.events)
                self._floor = batch.revision
                if batch.revision >= current:
                    return

    def take(self, events: Sequence[Event]) -> None:
        """Called by the feed, in order: update the index, remember the changes, give them to the watchers."""
        if not self._loaded:
            if self._early is not None:
                self._early.extend(events)
            return
        self._apply(events)

    def _apply(self, events: Sequence[Event]) -> None:
        changes = []
        index = self.index
        for event in events:
            if event.revision <= self._floor:
                continue
            previous = index.get(event.key)
            if event.current is None:
                current = None
                index = index.remove(event.key)
            else:
                current = self._entry(event.current)
                index = index.put(current)
            if previous is not None:
                self._snapshots.replace(len(previous.body))
            if previous is not None or current is not None:
                changes.append(Change(event.revision, previous, current))
        self.index = index
        if changes:
            self._remember(changes)
            for listener in self.listeners:
                listener(changes)
            self._groups.offer(changes)

    def _remember(self, changes: list[Change]) -> None:
        self._changes += changes
        self._changes_bytes += sum(len(change.entry.body) for change in changes)
        most, most_bytes = self._limits
        if len(self._changes) <= most and self._changes_bytes <= most_bytes:
            return
        # an eighth at a time: dropping from the front of a list costs its whole length
        keep, size = max(most * 7 // 8, 1), most_bytes * 7 // 8
        drop = 0
        while drop < len(self._changes) - 1 and (len(self._changes) - drop > keep or self._changes_bytes > size):
            self._changes_bytes -= len(self._changes[drop].entry.body)
            drop += 1
        if drop:
            self._oldest = self._changes[drop - 1].revision
            del self._changes[:drop]

    async def wait(self, revision: int) -> None:
        """Until the cache has seen `revision`: after a write, before it is answered. Raises Timeout (504)."""
        if not self._loaded:
            await self.load()
        if revision > self.feed.revision and revision > self._floor:
            await self.feed.reach(revision)

    async def _fresh(self, resource_version: str) -> None:
        """ "" = all that the store has now, "0" = anything, "N" = not older than N."""
        if not self._loaded:
            await self.load()
        if resource_version == "":
            await self.feed.catch_up()
        elif resource_version != "0":
            await self.wait(parse_resource_version(resource_version))

    # get and list

    async def get(self, namespace: str, name: str, resource_version: str = "") -> Entry | None:
        await self._fresh(resource_version)
        return self.index.get(self.key(namespace, name))

    async def list(self, request: ListRequest) -> Page:
        """Raises BadRequest (token), Expired / ContinueExpired (410), Timeout (504)."""
        if request.continue_token:
            return await self._continue(request)
        if request.match == "Exact":
            revision = parse_resource_version(request.resource_version)
            await self._fresh(request.resource_version)
            return await self._page_at(request, self._bounds(request.selection)[0], revision)
        await self._fresh(request.resource_version)
        limit = 0 if request.resource_version == "0" else request.limit
        return await self._page(request, self.index, self._bounds(request.selection)[0], self.revision, limit)

    async def _continue(self, request: ListRequest) -> Page:
        prefix = self._bounds(request.selection)[0]
        start, revision = decode_continue(request.continue_token, prefix)
        if revision == LATEST:
            await self._fresh("")
            return await self._page(request, self.index, start, self.revision, request.limit)
        await self.load()
        try:
            return await self._page_at(request, start, revision)
        except Expired:
            last = start.removesuffix("\0")
            raise ContinueExpired(encode_continue(last, prefix, LATEST)) from None

    async def _page_at(self, request: ListRequest, start: str, revision: int) -> Page:
        """A page of the state at `revision`: from memory when it is kept, else from the store. Raises Expired."""
        index = self._snapshot_at(revision)
        if index is not None:
            return await self._page(request, index, start, revision, request.limit)
        prefix, _ = self._bounds(request.selection)
        try:
            result = await self.feed.store.range(prefix, start=start, revision=Revision(revision))
        except Compacted:
            raise list_too_old() from None
        except FutureRevision as error:
            raise too_large(revision, error.current) from None
        index = Index.of(self._entry(kv) for kv in result.kvs)
        return await self._page(request, index, start, revision, request.limit)

    def _snapshot_at(self, revision: int) -> Index | None:
        newest = self._changes[-1].revision if self._changes else self._floor
        if newest <= revision <= self.revision:
            return self.index
        return self._snapshots.get(revision)

    def _bounds(self, selection: Selection) -> tuple[str, str | None]:
        """The key range a selection can be in: (prefix, end)."""
        prefix = f"{self.prefix}{selection.namespace}/" if self.namespaced and selection.namespace else self.prefix
        return prefix, prefix_end(prefix)

    async def _page(self, request: ListRequest, index: Index, start: str, revision: int, limit: int) -> Page:
        """A page of one state; gives the loop turns while it looks for what a selector selects."""
        selection = request.selection
        prefix, end = self._bounds(selection)
        if selection.name and (selection.namespace or not self.namespaced):
            return Page(list(self._span(index, selection, start)), revision)
        narrowed = not selection.everything
        if limit <= 0 and not narrowed:
            return Page(list(index.span(start, end)), revision)
        matches = selection.matches
        items: list[Entry] = []
        more = False
        for looked, entry in enumerate(index.span(start, end), 1):
            if len(items) == limit > 0:
                more = True
                break
            if not narrowed or matches(entry):
                items.append(entry)
            if looked % _STRETCH == 0:
                await asyncio.sleep(0)
        if not more:
            return Page(items, revision)
        self._snapshots.keep(revision, index)
        remaining = None if narrowed else index.count(start, end) - len(items)
        return Page(items, revision, encode_continue(items[-1].key, prefix, revision), remaining)

    def _span(self, index: Index, selection: Selection, start: str) -> Iterable[Entry]:
        """The entries that lie where a selection can be: one when it names it."""
        if selection.name and (selection.namespace or not self.namespaced):
            entry = index.get(self.key(selection.namespace, selection.name))
            return [entry] if entry is not None and entry.key >= start and selection.matches(entry) else []
        return index.span(start, self._bounds(selection)[1])

    async def rendered(self, entries: Sequence[Entry], rendering: Rendering) -> Sequence[bytes]:
        """The entries in a rendering, in order; gives the loop turns."""
        memo = self.feed.rendered
        await memo.render_many(entries, rendering)
        bodies = []
        for count, entry in enumerate(entries):
            body = memo.get(entry, rendering)
            if body is None:
                if count % 32 == 31:
                    await asyncio.sleep(0)
                body = await memo.render(entry, rendering)
            bodies.append(body)
        return bodies

    # watch

    @asynccontextmanager
    async def watch(self, request: WatchRequest, rendering: Rendering, *, timeout: float | None = None) -> AsyncIterator[Watch]:
        """Open a watch; leaving the context closes it. `timeout`: seconds until the caller will end it (for the last bookmark).

        Raises Expired (410) or Timeout (504) on entering; kube-apiserver sends those as an ERROR event.
        """
        watch = await self._open(request, rendering)
        if request.bookmarks:
            now = self.feed.clock.monotonic()
            due = now + BOOKMARK_EVERY * random.uniform(0.8, 1.0)
            if timeout is not None:
                due = min(due, now + max(timeout - BOOKMARK_BEFORE_DEADLINE, 0.0))
            watch.bookmark_due = due
        try:
            yield watch
        finally:
            watch.end("closed")
            self._groups.leave(watch)

    async def _open(self, request: WatchRequest, rendering: Rendering) -> Watch:
        version = request.resource_version
        initial = request.send_initial_events
        if initial or version in ("", "0"):
            await self._fresh(version)
        else:
            await self.load()
        # from here on without a turn of the loop: what is read now and what is pushed later meet without gap or overlap
        watch = Watch(self._groups.join(request.selection, rendering), self.feed.rendered, limit=self._pending_limit)
        try:
            if initial or (initial is None and version in ("", "0")):
                self._begin(watch, request)
                if initial and request.bookmarks:
                    watch.push(Bookmark(self.revision, initial_end=True))
            elif version not in ("", "0"):
                self._replay(watch, parse_resource_version(version))
        except BaseException:
            self._groups.leave(watch)
            raise
        # what is held for the others is in this watch's beginning already
        watch.group.flush()
        watch.group.watches.add(watch)
        return watch

    def _begin(self, watch: Watch, request: WatchRequest) -> None:
        selection = request.selection
        watch.begin(self._span(self.index, selection, self._bounds(selection)[0]))

    def _replay(self, watch: Watch, after: int) -> None:
        """Changes after a revision, from the window."""
        if after < self._oldest:
            raise too_old(after, self._oldest)
        first = bisect_right(self._changes, after, key=lambda change: change.revision)
        covers = watch.group.selection.covers
        watch.replay([change for change in self._changes[first:] if covers(change.entry)], after)

    def tick(self, now: float) -> None:
        """Bookmarks that are due; called by the feed every second."""
        for group in self._groups:
            group.flush()
            for watch in tuple(group.watches):
                if watch.bookmark_due is not None and watch.bookmark_due <= now:
                    watch.push(Bookmark(self.revision))
                    watch.bookmark_due = now + BOOKMARK_EVERY
        self._snapshots.expire()

    def close(self) -> None:
        """End all watches."""
        for group in list(self._groups):
            for watch in tuple(group.watches):
                watch.end("closed")
