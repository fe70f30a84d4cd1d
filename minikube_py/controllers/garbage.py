"""Garbage collector: deletes what lost its owners, and carries out foreground and orphaning deletion. The graph is in `ownership`.

Source: pkg/controller/garbagecollector. Every listable, watchable and deletable resource is watched for its metadata only. Nothing is
deleted on the graph's word: object and owners are read again from the server first.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import msgspec

from minikube_api.client.informers import Informer, TypedSource
from minikube_api.client.objects import decode
from minikube_api.client.raw import METADATA, METADATA_LIST
from minikube_api.meta.errors import Conflict, MethodNotAllowed, NotFound, StatusError
from minikube_api.schema.typed.core_v1 import ObjectReference
from minikube_api.schema.typed.meta_v1 import OwnerReference
from minikube_py.controllers.discovery import Discovered, ServedResource, discover
from minikube_py.controllers.ownership import FOREGROUND, ORPHAN, Graph, GraphMetadata, GraphObject, Node, Work
from minikube_py.controllers.runner import Context, Controller, Key, Result

log = logging.getLogger(__name__)

#: Seconds between looks at discovery when no custom resource definition changed (aggregated APIs come and go silently).
RESYNC: Final = 300.0
#: Seconds before an object whose owner's kind is not served is looked at again.
UNKNOWN_KIND_PAUSE: Final = 30.0
#: Events don't own anything, and there are many; metrics are no objects.
IGNORED: Final = frozenset({"events", "events.events.k8s.io"})
_VERBS: Final = ("list", "watch", "delete")


class GraphSource(TypedSource[GraphObject]):
    accept = METADATA + ",application/json"
    accept_list = METADATA_LIST + ",application/json"

    def __init__(self, resource: ServedResource) -> None:
        super().__init__(resource.path(), GraphObject)

    def decode(self, body: msgspec.Raw) -> GraphObject:
        return decode(GraphObject, body)  # not shared with anyone: no interning


class GarbageCollector(Controller):
    """Keys are ("delete" | "orphan", uid)."""

    name = "garbage-collector-controller"
    identity = "generic-garbage-collector"
    component = "garbage-collector-controller"
    workers = 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph()
        self._discovered = Discovered(())
        self._monitors: dict[ServedResource, tuple[Informer[GraphObject], asyncio.Task[None]]] = {}
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()

    def setup(self) -> None:
        """The monitors depend on discovery, so `background` makes them."""

    async def synced(self) -> None:
        """Return once every monitor has its first state: nothing is deleted before."""
        await self._ready.wait()

    async def background(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                try:
                    await self._monitor(group)
                    self._ready.set()
                    pause = RESYNC
                except (StatusError, OSError) as error:
                    log.warning("garbage collector: discovery failed: %s", error)
                    pause = 5.0
                await self._until_changed(pause)

    async def _until_changed(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sleeping, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            changed.cancel()

    async def _monitor(self, group: asyncio.TaskGroup) -> None:
        """Watch what is served now, stop watching what is no longer."""
        self._discovered = await discover(self.client.raw)
        served = {r for r in self._discovered.preferred(_VERBS) if r.qualified not in IGNORED}
        for resource in self._monitors.keys() - served:
            if any(failure.startswith(f"{resource.group}/") for failure in self._discovered.failures):
                continue  # its group could not be asked: that says nothing about its objects
            _, task = self._monitors.pop(resource)
            task.cancel()
            for uid in self.graph.uids_of(resource.api_version, resource.kind):
                self._add(self.graph.forget(uid))
        fresh = []
        for resource in sorted(served - self._monitors.keys(), key=lambda r: r.qualified):
            informer = self._informer(resource)
            task = group.create_task(informer.run(), name=f"garbage collector {resource.qualified}")
            self._monitors[resource] = (informer, task)
            fresh.append(informer)
        for informer in fresh:
            await informer.synced()

    def _informer(self, resource: ServedResource) -> Informer[GraphObject]:
        informer: Informer[GraphObject] = Informer(self.client, GraphSource(resource), clock=self.clock)
        is_definition = resource.qualified == "customresourcedefinitions.apiextensions.k8s.io"

        def seen(obj: GraphObject) -> None:
            self._add(self.graph.observe(resource.api_version, resource.kind, obj.metadata))
            if is_definition:
                self._changed.set()

        def updated(old: GraphObject, new: GraphObject) -> None:
            if old.metadata.uid != new.metadata.uid:
                gone(old)  # deleted and made again while the watch was broken
            seen(new)

        def gone(obj: GraphObject) -> None:
            self._add(self.graph.forget(obj.metadata.uid))
            if is_definition:
                self._changed.set()

        informer.on_add(seen)
        informer.on_update(updated)
        informer.on_delete(gone)
        return informer

    def _add(self, work: Work) -> None:
        for uid in work.delete:
            self.queue.add(Key("delete", uid))
        for uid in work.orphan:
            self.queue.add(Key("orphan", uid))

    # work

    async def reconcile(self, key: Key) -> Result | None:
        await self._ready.wait()
        node = self.graph.nodes.get(key.name)
        if node is None:
            return None
        try:
            if key.namespace == "orphan":
                await self._orphan(node)
            else:
                await self._attempt_to_delete(node)
        except LookupError as error:
            # A kind that is not served (yet): its custom resource definition may come, or come back.
            log.debug("garbage collector: %s", error)
            return Result(UNKNOWN_KIND_PAUSE)
        return None

    async def _attempt_to_delete(self, node: Node) -> None:
        if node.is_deleting and not node.is_deleting_dependents:
            return  # its deletion is under way
        if not node.is_virtual and not node.owners and not node.is_deleting_dependents:
            return  # nothing could ask for its deletion
        latest = await self._read(node)
        if latest is None:
            if node.is_virtual:
                self._add(Work(delete=self.graph.drop_virtual(node.uid)))
            return  # a delete event is on its way
        if node.is_virtual:
            return  # it exists: its own watch will show it
        if node.is_deleting_dependents:
            await self._finish_foreground(node, latest)
            return
        if not latest.ownerReferences:
            return
        solid, dangling, waiting = await self._classify(node, latest.ownerReferences)
        if solid:
            if dangling or waiting:
                await self._drop_references(node, [ref.uid for ref in (*dangling, *waiting)])
        elif waiting and node.dependents:
            if any(dependent.is_deleting_dependents for dependent in node.dependents.values()):
                await self._unblock_owners(node, latest)  # a circle: nobody could go first
            await self._delete(node, latest, "Foreground")
        elif dangling or waiting:
            policy = "Background"
            if ORPHAN in latest.finalizers:
                policy = "Orphan"
            elif FOREGROUND in latest.finalizers:
                policy = "Foreground"
            await self._delete(node, latest, policy)

    async def _finish_foreground(self, node: Node, latest: GraphMetadata) -> None:
        blocking = node.blocking_dependents
        if not blocking:
            await self._remove_finalizer(node, latest, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.is_deleting_dependents:
                self.queue.add(Key("delete", dependent.uid))

    async def _classify(
        self, node: Node, references: tuple[OwnerReference, ...]
    ) -> tuple[list[OwnerReference], list[OwnerReference], list[OwnerReference]]:
        """Owners that are there, that are gone, and that wait for their dependents to go."""
        solid: list[OwnerReference] = []
        dangling: list[OwnerReference] = []
        waiting: list[OwnerReference] = []
        for ref in references:
            owner = await self._owner(node, ref)
            if owner is None:
                dangling.append(ref)
            elif owner.deletionTimestamp is not None and FOREGROUND in owner.finalizers:
                waiting.append(ref)
            else:
                solid.append(ref)
        return solid, dangling, waiting

    async def _owner(self, node: Node, ref: OwnerReference) -> GraphMetadata | None:
        """The owner that a reference means, or None when it does not exist."""
        resource = self._resource(ref.apiVersion, ref.kind)
        if resource.namespaced and not node.namespace:
            # A cluster-scoped object can't have a namespaced owner: the reference can't be resolved, so nothing follows from it.
            self.recorder.event(
                ObjectReference(apiVersion=node.api_version, kind=node.kind, name=node.name, uid=node.uid),
                "Warning",
                "OwnerRefInvalidNamespace",
                f"ownerRef [{ref.apiVersion}/{ref.kind}, namespace: , name: {ref.name}, uid: {ref.uid}] does not exist in"
                ' namespace ""',
            )
            return GraphMetadata(name=ref.name, uid=ref.uid)
        namespace = node.namespace if resource.namespaced else ""
        try:
            owner = await self._get(resource, namespace, ref.name)
        except NotFound:
            return None
        return owner if owner.uid == ref.uid else None

    def _resource(self, api_version: str, kind: str) -> ServedResource:
        resource = self._discovered.by_kind(api_version, kind)
        if resource is None:
            raise LookupError(f"unable to get REST mapping for {api_version}/{kind}")
        return resource

    async def _get(self, resource: ServedResource, namespace: str, name: str) -> GraphMetadata:
        response = await self.client.raw.send(
            "GET", resource.path(namespace, name), headers={"accept": METADATA + ",application/json"}
        )
        return decode(GraphObject, response.body).metadata

    async def _read(self, node: Node) -> GraphMetadata | None:
        """The object as it is now; None when it (with this uid) is gone."""
        resource = self._resource(node.api_version, node.kind)
        if resource.namespaced and not node.namespace:
            return None
        try:
            latest = await self._get(resource, node.namespace, node.name)
        except (NotFound, MethodNotAllowed):
            return None
        return latest if latest.uid == node.uid else None

    async def _delete(self, node: Node, latest: GraphMetadata, policy: str) -> None:
        log.debug("garbage collector deletes %s %s/%s (%s)", node.kind, node.namespace, node.name, policy)
        options = {
            "propagationPolicy": policy,
            "preconditions": {"uid": node.uid, "resourceVersion": latest.resourceVersion},
        }
        try:
            await self.client.raw.delete(self._path(node), options)
        except NotFound:
            pass  # gone already

    async def _orphan(self, owner: Node) -> None:
        latest = await self._read(owner)
        if latest is None or ORPHAN not in latest.finalizers:
            return
        for dependent in list(owner.dependents.values()):
            await self._drop_references(dependent, [owner.uid])
        await self._remove_finalizer(owner, latest, ORPHAN)

    async def _drop_references(self, node: Node, uids: list[str]) -> None:
        references = [{"$patch": "delete", "uid": uid} for uid in uids]
        strategic = {"metadata": {"uid": node.uid, "ownerReferences": references}}
        await self._patch(
            node,
            strategic,
            lambda latest: {"ownerReferences": [r for r in _refs(latest) if r["uid"] not in uids]},
        )

    async def _unblock_owners(self, node: Node, latest: GraphMetadata) -> None:
        unblocked = [{"uid": ref.uid, "blockOwnerDeletion": False} for ref in latest.ownerReferences if ref.blockOwnerDeletion]
        await self._patch(
            node,
            {"metadata": {"uid": node.uid, "ownerReferences": unblocked}},
            lambda fresh: {"ownerReferences": [{**r, "blockOwnerDeletion": False} for r in _refs(fresh)]},
        )

    async def _patch(self, node: Node, strategic: dict[str, Any], merge: Any) -> None:
        """A strategic merge patch; custom resources don't take it, so they get the whole list by a merge patch."""
        path = self._path(node)
        try:
            await self.client.raw.patch(path, strategic, type="strategic")
        except NotFound:
            pass  # gone, its references with it
        except Conflict:
            if await self._read(node) is not None:
                raise
        except StatusError as error:
            if error.status_code != 415:
                raise
            latest = await self._read(node)
            if latest is not None:
                body = {"metadata": {"uid": node.uid, "resourceVersion": latest.resourceVersion, **merge(latest)}}
                await self.client.raw.patch(path, body, type="merge")

    async def _remove_finalizer(self, node: Node, latest: GraphMetadata, finalizer: str) -> None:
        for _ in range(5):
            if finalizer not in latest.finalizers:
                return
            left = [f for f in latest.finalizers if f != finalizer]
            body = {"metadata": {"uid": node.uid, "resourceVersion": latest.resourceVersion, "finalizers": left}}
            try:
                await self.client.raw.patch(self._path(node), body, type="merge")
                return
            except NotFound:
                return
            except Conflict:
                fresh = await self._read(node)
                if fresh is None:
                    return
                latest = fresh
        raise TimeoutError(f"updateMaxRetries(5) has reached. The garbage collector will retry later for {node.name}")

    def _path(self, node: Node) -> str:
        return self._resource(node.api_version, node.kind).path(node.namespace, node.name)


def _refs(metadata: GraphMetadata) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(ref) for ref in metadata.ownerReferences]
