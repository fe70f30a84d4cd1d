"""Shared informers: a local cache of one kind, kept current by a watch, with indexes and change handlers.

One informer a (kind, selectors) in a factory. The stream is WatchList (KEP-3157: a watch with `sendInitialEvents`); where the
server refuses it, list + watch. An expired resourceVersion (410) or a broken stream leads to a new list, with back-off; what
vanished meanwhile is given to the delete handlers. Handlers run synchronously in the order of events: they only enqueue keys.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import msgspec
import orjson

from minikube_api.client import interning, objects, paths
from minikube_api.client.client import Client
from minikube_api.client.raw import METADATA, METADATA_LIST
from minikube_api.meta.errors import BadRequest, Expired, Gone, Invalid, StatusError
from minikube_api.meta.times import SYSTEM, Clock
from minikube_api.schema.typed import Object

log = logging.getLogger(__name__)

T = TypeVar("T")
O = TypeVar("O", bound=Object)  # noqa: E741

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
#: Back-off of a failing list or watch, in seconds: first, last. (client-go: 0.8 to 30.)
FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 30.0
#: The server ends a watch after this many seconds to twice as many, so that watchers spread over servers (client-go's minWatchTimeout).
WATCH_SECONDS: Final = 300
#: Events handled in one go before other tasks get the loop.
_BATCH: Final = 64


class Source(Protocol[T]):
    """What an informer watches: a path, its Accept headers and how an object is decoded."""

    path: str
    accept: str
    accept_list: str

    def decode(self, body: msgspec.Raw) -> T: ...


class TypedSource(Generic[T]):
    accept = "application/json"
    accept_list = "application/json"

    def __init__(self, path: str, kind: type[T]) -> None:
        self.path = path
        self._kind = kind

    def decode(self, body: msgspec.Raw) -> T:
        return interning.decode(self._kind, body)


class MetadataSource(TypedSource[objects.PartialObjectMetadata]):
    """Any resource, metadata only: the server leaves spec and status out."""

    accept = METADATA + ",application/json"
    accept_list = METADATA_LIST + ",application/json"

    def __init__(self, path: str) -> None:
        super().__init__(path, objects.PartialObjectMetadata)


class TreeSource:
    """Any resource as JSON trees. `Informer.get` gives the tree itself: treat it as frozen."""

    accept = "application/json"
    accept_list = "application/json"

    def __init__(self, path: str) -> None:
        self.path = path

    def decode(self, body: msgspec.Raw) -> dict[str, Any]:
        return cast(dict[str, Any], orjson.loads(memoryview(body)))


Key = tuple[str, str]
IndexFunction = Callable[[Any], Iterable[str]]


def key_of(obj: Any) -> Key:
    """(namespace, name); the namespace of cluster-scoped objects is ""."""
    if isinstance(obj, Mapping):
        metadata = obj["metadata"]
        return metadata.get("namespace", ""), metadata["name"]
    return obj.metadata.namespace or "", obj.metadata.name


def version_of(obj: Any) -> str:
    return obj["metadata"].get("resourceVersion", "") if isinstance(obj, Mapping) else obj.metadata.resourceVersion or ""


class Informer(Generic[T]):
    """The cache of one source. Read methods never wait; what they give is frozen and shared."""

    def __init__(
        self,
        client: Client,
        source: Source[T],
        *,
        label_selector: str = "",
        field_selector: str = "",
        clock: Clock = SYSTEM,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.source = source
        self.resource_version = ""
        #: How often a whole list was read (1 after start); for metrics and tests.
        self.lists = 0
        self._client = client
        self._query = paths.list_query(label_selector=label_selector, field_selector=field_selector)
        self._clock = clock
        self._random = random
        self._objects: dict[str, dict[str, T]] = {}
        self._count = 0
        self._indexers: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {}
        self._add_handlers: list[Callable[[T], None]] = []
        self._update_handlers: list[Callable[[T, T], None]] = []
        self._delete_handlers: list[Callable[[T], None]] = []
        self._synced = asyncio.Event()
        self._watch_list = True

    # reading

    def get(self, namespace: str, name: str) -> T | None:
        return self._objects.get(namespace, _EMPTY).get(name)

    def list(self, namespace: str = "") -> list[T]:
        """All objects of the namespace, or of all namespaces when it is "". In no particular order."""
        if namespace:
            return list(self._objects.get(namespace, _EMPTY).values())
        return [obj for group in self._objects.values() for obj in group.values()]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return iter(self.list())

    def index(self, name: str, value: str) -> builtins.list[T]:
        """The objects that index `name` files under `value`."""
        return list(self._indexes[name].get(value, _EMPTY).values())

    def index_size(self, name: str, value: str) -> int:
        return len(self._indexes[name].get(value, _EMPTY))

    def index_values(self, name: str) -> builtins.list[str]:
        return list(self._indexes[name])

    def add_index(self, name: str, function: IndexFunction) -> None:
        """File each object under the values that `function` gives. Adding the same name again does nothing."""
        if name in self._indexers:
            return
        self._indexers[name] = function
        self._indexes[name] = {}
        for obj in self.list():
            self._file(name, function, key_of(obj), None, obj)

    # handlers

    def on_add(self, handler: Callable[[T], None]) -> None:
        """Objects that are there already are given at once."""
        self._add_handlers.append(handler)
        for obj in self.list():
            handler(obj)

    def on_update(self, handler: Callable[[T, T], None]) -> None:
        """`handler(old, new)`."""
        self._update_handlers.append(handler)

    def on_delete(self, handler: Callable[[T], None]) -> None:
        """Given the last state seen (an older one than the deleted, when the watch was broken meanwhile)."""
        self._delete_handlers.append(handler)

    def on_change(self, handler: Callable[[T], None]) -> None:
        """`handler(obj)` on every add, update (the new state) and delete."""
        self.on_add(handler)
        self.on_update(lambda _, new: handler(new))
        self.on_delete(handler)

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    async def synced(self) -> None:
        """Return once the first whole state is in the cache."""
        await self._synced.wait()

    # running

    async def run(self) -> None:
        """Keep the cache current until cancelled. Errors are logged and tried again with back-off."""
        backoff = FIRST_BACKOFF
        while True:
            started = self._clock.monotonic()
            try:
                await self._cycle()
                continue
            except (Expired, Gone) as error:
                log.debug("%s: %s; listing again", self.source.path, error)
                self.resource_version = ""
            except (StatusError, OSError, EOFError, msgspec.MsgspecError) as error:
                level = logging.DEBUG if isinstance(error, EOFError) else logging.WARNING
                log.log(level, "watch of %s failed: %s", self.source.path, error)
                if isinstance(error, StatusError) and error.status_code < 500 and error.status_code != 429:
                    self.resource_version = ""
            if self._clock.monotonic() - started > 2 * LAST_BACKOFF:
                backoff = FIRST_BACKOFF
            await self._clock.sleep(backoff * (1 + self._random()))
            backoff = min(backoff * 2, LAST_BACKOFF)

    async def _cycle(self) -> None:
        """One stream: from the whole state when there is no resourceVersion to go on from, else from there."""
        if self.resource_version:
            await self._watch(initial=False)
        elif self._watch_list:
            try:
                await self._watch(initial=True)
            except (Invalid, BadRequest) as error:
                log.info("%s: the server refuses a streaming list (%s); using list and watch", self.source.path, error)
                self._watch_list = False
        else:
            await self._list()
            await self._watch(initial=False)

    async def _list(self) -> None:
        response = await self._client.raw.send(
            "GET", self.source.path, query=self._query, headers={"accept": self.source.accept_list}
        )
        raw = _raw_list.decode(response.body)
        fresh: dict[Key, T] = {}
        for i, item in enumerate(raw.items or ()):
            obj = self.source.decode(item)
            fresh[key_of(obj)] = obj
            if i % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)
        await self._replace(fresh, raw.metadata.resourceVersion)

    async def _watch(self, *, initial: bool) -> None:
        """Follow the stream to its end. Raises EOFError when it ends at once (the server is in trouble)."""
        query = {
            **self._query,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_SECONDS * (1 + self._random()))),
        }
        fresh: dict[Key, T] | None = None
        if initial:
            fresh = {}
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = self.resource_version
        seen = 0
        async with aclosing(self._client.raw.watch_events(self.source.path, query=query, accept=self.source.accept)) as events:
            async for event in events:
                seen += 1
                if seen % _BATCH == 0:
                    await asyncio.sleep(0)
                if event.type == "BOOKMARK":
                    bookmark = _bookmark.decode(event.object).metadata
                    if fresh is None:
                        self.resource_version = bookmark.resourceVersion
                    elif bookmark.annotations.get(INITIAL_EVENTS_END) == "true":
                        await self._replace(fresh, bookmark.resourceVersion)
                        fresh = None
                elif fresh is None:
                    self._apply(event.type, self.source.decode(event.object))
                else:
                    obj = self.source.decode(event.object)
                    if event.type == "DELETED":
                        fresh.pop(key_of(obj), None)
                    else:
                        fresh[key_of(obj)] = obj
        if not seen or fresh is not None:
            raise EOFError("the stream ended before anything came")

    # changing

    async def _replace(self, fresh: dict[Key, T], resource_version: str) -> None:
        """Make the cache equal to a whole state; handlers hear the differences, in pieces that leave the loop to others in between.

        Cancelled on the way, the rest is missing: `resource_version` is set at the end, so that the next run lists again.
        """
        self.lists += 1
        gone = [obj for obj in self.list() if key_of(obj) not in fresh]
        for obj in gone:
            self._forget(key_of(obj))
        for i, (key, obj) in enumerate(fresh.items(), 1):
            old = self.get(*key)
            if old is None or version_of(old) != version_of(obj):
                self._keep(key, old, obj)
            if i % _BATCH == 0:
                await asyncio.sleep(0)
        self.resource_version = resource_version
        self._synced.set()

    def _apply(self, type: str, obj: T) -> None:
        self.resource_version = version_of(obj)
        key = key_of(obj)
        if type == "DELETED":
            self._forget(key, obj)
        else:
            self._keep(key, self.get(*key), obj)

    def _keep(self, key: Key, old: T | None, new: T) -> None:
        self._objects.setdefault(key[0], {})[key[1]] = new
        for name, function in self._indexers.items():
            self._file(name, function, key, old, new)
        if old is None:
            self._count += 1
            for add in self._add_handlers:
                add(new)
        else:
            for update in self._update_handlers:
                update(old, new)

    def _forget(self, key: Key, last: T | None = None) -> None:
        group = self._objects.get(key[0], _EMPTY)
        old = group.pop(key[1], None)
        if old is None:
            return
        if not group:
            del self._objects[key[0]]
        self._count -= 1
        for name, function in self._indexers.items():
            self._file(name, function, key, old, None)
        for delete in self._delete_handlers:
            delete(old if last is None else last)

    def _file(self, name: str, function: IndexFunction, key: Key, old: T | None, new: T | None) -> None:
        index = self._indexes[name]
        after = set(function(new)) if new is not None else set()
        for value in set(function(old)) - after if old is not None else ():
            entries = index[value]
            entries.pop(key, None)
            if not entries:
                del index[value]
        for value in after:
            index.setdefault(value, {})[key] = cast(T, new)


class InformerFactory:
    """Informers shared by the components that share this factory. `run()` runs them all, also those asked for later."""

    def __init__(self, client: Client, *, clock: Clock = SYSTEM, random: Callable[[], float] = random.random) -> None:
        self.client = client
        self._clock = clock
        self._random = random
        self._informers: dict[tuple[Any, ...], Informer[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    def informer(self, kind: type[O], *, namespace: str = "", label_selector: str = "", field_selector: str = "") -> Informer[O]:
        path = paths.kind_path(kind.API, namespace=namespace)
        return self._shared(TypedSource(path, kind), kind, label_selector, field_selector)

    def metadata_informer(self, path: str, *, label_selector: str = "") -> Informer[objects.PartialObjectMetadata]:
        """Metadata of any resource by its list path (`/apis/GROUP/VERSION/PLURAL`)."""
        return self._shared(MetadataSource(path), objects.PartialObjectMetadata, label_selector, "")

    def tree_informer(self, path: str, *, label_selector: str = "", field_selector: str = "") -> Informer[dict[str, Any]]:
        return self._shared(TreeSource(path), dict, label_selector, field_selector)

    def _shared(self, source: Source[T], view: type, label_selector: str, field_selector: str) -> Informer[T]:
        key = (source.path, view, label_selector, field_selector)
        informer = self._informers.get(key)
        if informer is None:
            informer = Informer(
                self.client,
                source,
                label_selector=label_selector,
                field_selector=field_selector,
                clock=self._clock,
                random=self._random,
            )
            self._informers[key] = informer
            if self._group is not None:
                self._group.create_task(informer.run(), name=f"informer {source.path}")
        return informer

    async def run(self) -> None:
        """Run the informers until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for informer in self._informers.values():
                    group.create_task(informer.run(), name=f"informer {informer.source.path}")
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[InformerFactory]:
        """`async with factory.running():` runs the informers for the time of the block."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run(), name="informers")
            try:
                await asyncio.sleep(0)
                yield self
            finally:
                task.cancel()

    async def synced(self) -> None:
        """Return once every informer asked for so far has its first whole state."""
        for informer in list(self._informers.values()):
            await informer.synced()

    def __iter__(self) -> Iterator[Informer[Any]]:
        return iter(list(self._informers.values()))


_EMPTY: dict[Any, Any] = {}
_raw_list = msgspec.json.Decoder(objects.RawList)
_bookmark = msgspec.json.Decoder(objects.PartialObjectMetadata)
