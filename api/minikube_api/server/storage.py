"""Where objects are kept: one store, one cacher per storage prefix, and the mapping of store sentinels to API errors.

The only module of the server that calls the store; everything else reads through cachers and writes through here.
"""

from __future__ import annotations

from collections.abc import Callable

from minikube_api.cache import entries
from minikube_api.cache.cacher import Cacher
from minikube_api.cache.feed import Feed
from minikube_api.meta.errors import InternalError, ServiceUnavailable
from minikube_api.resources.resource import Registry, Resource
from minikube_api.server.context import Object
from minikube_api.store.contract import CompareFailed, Revision, Store, StoreClosed, StoreFailed

#: kube-apiserver's --event-ttl
EVENT_TTL = 3600.0


class Changed(Exception):
    """The object is not at the revision that was read; `current` is the entry that stands there now, or None."""

    def __init__(self, current: entries.Entry | None) -> None:
        super().__init__("changed")
        self.current = current


class Storage:
    """All kinds' objects. `feed.run()` must be running."""

    def __init__(self, store: Store, registry: Registry, *, event_ttl: float = EVENT_TTL) -> None:
        self.store = store
        self._registry = registry
        self.feed = Feed(store)
        self._event_ttl = event_ttl
        self._cachers: dict[str, Cacher] = {}

    def cacher(self, resource: Resource) -> Cacher:
        cacher = self._cachers.get(resource.storage_prefix)
        if cacher is None:
            cacher = self._cachers[resource.storage_prefix] = Cacher(
                self.feed, resource.storage_prefix, namespaced=resource.namespaced, fields=self._fields(resource)
            )
        return cacher

    def _fields(self, resource: Resource) -> Callable[[Object], dict[str, str]]:
        """Selectable fields under the names of all versions that share the storage (core and events.k8s.io Events)."""
        sharing = [r for r in self._registry if r.storage_prefix == resource.storage_prefix and r.selectable_names]
        # versions that are stored as they are come first: conversions may take the tree apart
        sharing.sort(key=lambda r: r.from_storage is not None)
        if len(sharing) < 2:
            return sharing[0].selectable_fields if sharing else resource.selectable_fields

        def fields(tree: Object) -> dict[str, str]:
            found: dict[str, str] = {}
            for version in sharing:
                obj = tree if version.from_storage is None else version.from_storage(tree)
                if not isinstance(obj, dict):
                    # a webhook converts: selection can't wait for it, and takes the fields of what is stored
                    obj.close()
                    obj = tree
                found |= version.selectable_fields(obj)
            return found

        return fields

    def forget(self, prefix: str) -> None:
        """End the cache of a kind that changed or is gone: its watches close, the next use loads it anew."""
        cacher = self._cachers.pop(prefix, None)
        if cacher is not None:
            self.feed.remove(cacher)
            cacher.close()

    def close_watches(self) -> None:
        for cacher in self._cachers.values():
            cacher.close()

    async def current(self, resource: Resource, namespace: str, name: str) -> entries.Entry | None:
        """The object to base a write on. What the cache has is good enough: a stale one fails the compare and is read again."""
        cacher = self.cacher(resource)
        entry = await cacher.get(namespace, name, resource_version="0")
        if entry is None:
            entry = await cacher.get(namespace, name, resource_version="")
        return entry

    async def put(self, resource: Resource, namespace: str, name: str, tree: Object, *, expect: int) -> tuple[bytes, Revision]:
        """Write the stored form; returns (body with its resourceVersion, revision) once readers see it. Raises Changed."""
        key = resource.key(namespace, name)
        value = entries.encode(tree)
        ttl = self._event_ttl if resource.plural == "events" else None
        try:
            revision = await self.store.put(key, value, expect=expect, ttl=ttl)
        except CompareFailed as error:
            raise Changed(self._entry(resource, error)) from error
        except (StoreFailed, StoreClosed) as error:
            raise unavailable(error) from error
        await self.cacher(resource).wait(revision)
        return entries.splice(value, revision), revision

    async def delete(self, resource: Resource, namespace: str, name: str, *, expect: int) -> Revision:
        """Delete at `expect`. Raises Changed (current None: it is gone already)."""
        try:
            revision = await self.store.delete(resource.key(namespace, name), expect=expect)
        except CompareFailed as error:
            raise Changed(self._entry(resource, error)) from error
        except (StoreFailed, StoreClosed) as error:
            raise unavailable(error) from error
        await self.cacher(resource).wait(revision)
        return revision

    def _entry(self, resource: Resource, error: CompareFailed) -> entries.Entry | None:
        found = error.current
        if found is None:
            return None
        rest = found.key[len(resource.storage_prefix) :]
        namespace, _, name = rest.rpartition("/")
        body = entries.splice(found.value, found.mod_revision)
        return entries.Entry(found.key, namespace, name, found.mod_revision, body, resource.selectable_fields)


def unavailable(error: Exception) -> Exception:
    if isinstance(error, StoreClosed):
        return ServiceUnavailable("the server is shutting down")
    return InternalError(f"Internal error occurred: {error}")
