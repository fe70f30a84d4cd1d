"""Follows CustomResourceDefinitions: writes their conditions, keeps the Registry's records, removes instances of deleted ones.

Sources: apiextensions-apiserver's controllers (naming, establishing, finalizer) and customresource_handler.go. One task does what
takes time (status writes, clean-up); the records follow the definition's own event at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from minikube_api.cache.requests import ListRequest, Selection
from minikube_api.cache.watching import Change
from minikube_api.meta import times
from minikube_api.meta.errors import Conflict, NotFound, StatusError
from minikube_api.resources.apiextensions.definitions import condition_true
from minikube_api.resources.resource import Object, Resource
from minikube_api.server.context import UserInfo
from minikube_api.server.crds import naming

if TYPE_CHECKING:
    from minikube_api.schema.custom import Structural
    from minikube_api.server.crds.resources import CustomResource
    from minikube_api.server.crds.strategy import Rules
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
_USER = UserInfo("system:apiserver", groups=("system:masters",))
#: seconds between looks for instances that finalizers hold back
_LOOK = 0.5


class Definitions:
    """`await load()` before the server is ready; `await run()` as a task from then on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._served: dict[str, tuple[Object, list[CustomResource]]] = {}
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()

    # what the server asks

    def open_api_schema(self, group: str, version: str, kind: str) -> Object | None:
        """The openAPIV3Schema of a served custom resource; None for built-in kinds."""
        resource = self._server.registry.by_kind(group, version, kind)
        root: Structural | None = getattr(resource, "root", None)
        return None if root is None else root.raw

    # following

    @property
    def _resource(self) -> Resource:
        found = self._server.registry.get(GROUP, "v1", PLURAL)
        assert found is not None
        return found

    async def load(self) -> None:
        if self._server.registry.get(GROUP, "v1", PLURAL) is None:
            return
        cacher = self._server.storage.cacher(self._resource)
        await cacher.load()
        cacher.listeners.append(self._changed)
        page = await cacher.list(ListRequest(resource_version="0"))
        for entry in page.items:
            self._apply(entry.tree())
            self._queue(entry.name)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.current is None:
                assert change.previous is not None
                self._forget(change.previous.name)
                self._queue_group(change.previous.tree())
            else:
                self._apply(change.current.tree())
                self._queue(change.current.name)

    def _queue(self, name: str) -> None:
        self._dirty[name] = None
        self._wake.set()

    def _queue_group(self, definition: Object) -> None:
        """Names of a gone definition may be what others of the group wait for."""
        for name, (other, _) in self._served.items():
            if other["spec"].get("group") == definition["spec"].get("group"):
                self._queue(name)

    def _apply(self, definition: Object) -> None:
        """Make the Registry serve what the definition says, when it is established."""
        name = definition["metadata"]["name"]
        before = self._served.get(name)
        if before is not None and _same(before[0], definition):
            self._served[name] = (definition, before[1])
            return
        made: list[CustomResource] = []
        if condition_true(definition, "Established"):
            try:
                made = self._records(definition)
            except Exception:
                log.exception("the custom resource %s can't be served", name)
        registry = self._server.registry
        kept = {(r.group, r.version, r.plural) for r in made}
        for old in before[1] if before else ():
            if (old.group, old.version, old.plural) not in kept:
                registry.remove(old.group, old.version, old.plural)
        if before and before[1] and before[0]["spec"] != definition["spec"]:
            self._server.storage.forget(before[1][0].storage_prefix)
        for resource in made:
            registry.add(resource)
        self._served[name] = (definition, made)

    def _records(self, definition: Object) -> list[CustomResource]:
        """Imported with the first definition: a server without custom resources needs none of it."""
        from minikube_api.server.crds.conversion import Conversions
        from minikube_api.server.crds.resources import custom_resources

        return custom_resources(definition, Conversions(self._server).of(definition), _load_rules)

    def _forget(self, name: str) -> None:
        before = self._served.pop(name, None)
        for resource in before[1] if before else ():
            self._server.registry.remove(resource.group, resource.version, resource.plural)
        if before and before[1]:
            self._server.storage.forget(before[1][0].storage_prefix)

    # conditions and clean-up

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            cleaning: dict[str, asyncio.Task[None]] = {}
            while True:
                await self._wake.wait()
                self._wake.clear()
                names, self._dirty = list(self._dirty), {}
                for name in names:
                    held = self._served.get(name)
                    if held is None:
                        continue
                    meta = held[0]["metadata"]
                    if meta.get("deletionTimestamp"):
                        if naming.FINALIZER in (meta.get("finalizers") or ()) and (name not in cleaning or cleaning[name].done()):
                            cleaning[name] = group.create_task(self._clean(name), name=f"crd-clean-up-{name}")
                        continue
                    await self._settle(name, held[0])

    async def _settle(self, name: str, definition: Object) -> None:
        others = [other for other, _ in self._served.values()]
        now = times.now(self._server.clock)
        status = naming.status(definition, others, now)
        if status == definition.get("status"):
            return
        try:
            await self._write(definition, {"status": status}, "/status")
        except (Conflict, NotFound):
            return  # its next event brings it back
        except StatusError as error:
            log.warning("conditions of %s can't be written: %s", name, error)
        self._queue_others(definition)

    def _queue_others(self, definition: Object) -> None:
        for name, (other, _) in self._served.items():
            if name != definition["metadata"]["name"] and other["spec"].get("group") == definition["spec"].get("group"):
                if not condition_true(other, "NamesAccepted"):
                    self._queue(name)

    async def _write(self, definition: Object, change: Object, subresource: str = "") -> None:
        meta = definition["metadata"]
        patch: Object = {"metadata": {"resourceVersion": meta.get("resourceVersion")}}
        patch = {**change, "metadata": {**patch["metadata"], **change.get("metadata", {})}}
        path = f"/apis/{GROUP}/v1/{PLURAL}/{meta['name']}{subresource}"
        await self._call("PATCH", path, {"fieldManager": "kube-apiserver"}, patch)

    async def _call(self, method: str, path: str, query: dict[str, str], body: Any = None) -> Any:
        transport = self._server.transport(_USER, "kube-apiserver")
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        sent = orjson.dumps(body) if body is not None else None
        answer = await transport.request(method, path, query=query, headers=headers, body=sent)
        tree = orjson.loads(answer.body)
        if answer.status >= 400:
            raise StatusError.of(tree)
        return tree

    async def _clean(self, name: str) -> None:
        """Delete all instances, then let the definition go. Instances with finalizers keep it until they are gone."""
        try:
            message = "CustomResource deletion is in progress"
            await self._tell_termination(name, "True", "InstanceDeletionInProgress", message)
            await self._remove_instances(name)
            if not await self._tell_termination(name, "False", "InstanceDeletionCompleted", "removed all instances"):
                return
            while (held := self._served.get(name)) is not None:
                left = [f for f in held[0]["metadata"].get("finalizers") or () if f != naming.FINALIZER]
                try:
                    await self._write(held[0], {"metadata": {"finalizers": left or None}})
                except Conflict:
                    await self._server.clock.sleep(0.01)
                    continue
                return
        except NotFound:
            return
        except StatusError as error:
            log.warning("instances of %s can't be removed: %s", name, error)

    async def _tell_termination(self, name: str, status: str, reason: str, message: str) -> bool:
        """Write the condition Terminating; False when the definition is gone."""
        while (held := self._served.get(name)) is not None:
            conditions = [dict(c) for c in (held[0].get("status") or {}).get("conditions") or ()]
            naming.set_condition(conditions, "Terminating", status, reason, message, times.now(self._server.clock))
            try:
                await self._write(held[0], {"status": {"conditions": conditions}}, "/status")
            except Conflict:
                await self._server.clock.sleep(0.01)
                continue
            return True
        return False

    async def _remove_instances(self, name: str) -> None:
        while (held := self._served.get(name)) is not None and held[1]:
            resource = held[1][0]
            cacher = self._server.storage.cacher(resource)
            page = await cacher.list(ListRequest(selection=Selection()))
            if not page.items:
                return
            root = f"/apis/{resource.group}/{resource.version}"
            for namespace in sorted({entry.namespace for entry in page.items}):
                place = f"{root}/namespaces/{namespace}" if resource.namespaced else root
                await self._call("DELETE", f"{place}/{resource.plural}", {})
            page = await cacher.list(ListRequest(selection=Selection()))
            if not page.items:
                return
            await self._server.clock.sleep(_LOOK)


def _same(old: Object, new: Object) -> bool:
    """Whether both definitions are served alike."""
    return (
        old["spec"] == new["spec"]
        and condition_true(old, "Established") == condition_true(new, "Established")
        and (old.get("status") or {}).get("acceptedNames") == (new.get("status") or {}).get("acceptedNames")
        and bool(old["metadata"].get("deletionTimestamp")) == bool(new["metadata"].get("deletionTimestamp"))
        and old["metadata"].get("generation") == new["metadata"].get("generation")
    )


def _load_rules(root: Structural) -> Rules:
    from minikube_api.schema import custom_rules

    return custom_rules.compiled(root)
