"""Local APIServices of custom resources: made when a group version appears, removed when it goes (kube-aggregator's autoregister).

Those of built-in groups are among the bootstrap objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from minikube_api.cache.watching import Change
from minikube_api.server.aggregation.following import GROUP, PLURAL
from minikube_api.server.context import Object, UserInfo

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

_MANAGED = "kube-aggregator.kubernetes.io/automanaged"
_USER = UserInfo("system:apiserver", groups=("system:masters",))


class Registrar:
    """`await load()` at start, `await run()` as a task from then on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._dirty: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._served: dict[str, set[tuple[str, str]]] = {}

    async def load(self) -> None:
        resource = self._server.registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        if resource is None:
            return
        cacher = self._server.storage.cacher(resource)
        await cacher.load()
        cacher.listeners.append(self._follow)
        for entry in cacher.index.span("", None):
            self._put(entry.name, entry.tree())
        services = self._server.registry.get(GROUP, "v1", PLURAL)
        if services is not None:
            held = self._server.storage.cacher(services)
            await held.load()
            held.listeners.append(self._follow_services)
            for entry in held.index.span("", None):
                self._seen(entry.tree())

    def _follow(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.current is None:
                self._put(change.entry.name, None)
            else:
                self._put(change.current.name, change.current.tree())

    def _follow_services(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._seen(change.entry.tree())

    def _seen(self, tree: Object) -> None:
        """One of ours was changed or removed by somebody, or is left over from before."""
        if (tree["metadata"].get("labels") or {}).get(_MANAGED) == "true":
            self._queue({(tree["spec"].get("group", ""), tree["spec"].get("version", ""))})

    def _put(self, name: str, definition: Object | None) -> None:
        before = self._served.pop(name, set())
        now: set[tuple[str, str]] = set()
        if definition is not None:
            spec = definition["spec"]
            now = {(spec["group"], v["name"]) for v in spec.get("versions") or () if v.get("served")}
            self._served[name] = now
        self._queue(before ^ now)

    def _queue(self, group_versions: set[tuple[str, str]]) -> None:
        if group_versions:
            self._dirty |= group_versions
            self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            for group, version in sorted(dirty):
                await self._settle(group, version)

    async def _settle(self, group: str, version: str) -> None:
        resource = self._server.registry.get(GROUP, "v1", PLURAL)
        if resource is None:
            return
        name = f"{version}.{group}"
        wanted = any((group, version) in served for served in self._served.values())
        entry = await self._server.storage.current(resource, "", name)
        path = f"/apis/{GROUP}/v1/{PLURAL}"
        if wanted and entry is None:
            await self._ask("POST", path, service(group, version))
        elif not wanted and entry is not None and (entry.tree()["metadata"].get("labels") or {}).get(_MANAGED) == "true":
            await self._ask("DELETE", f"{path}/{name}")

    async def _ask(self, method: str, path: str, body: Object | None = None) -> None:
        transport = self._server.transport(_USER, "kube-aggregator")
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        answer = await transport.request(method, path, headers=headers, body=data)
        if answer.status >= 400 and answer.status not in (404, 409):
            log.warning("local APIServices: %s", answer.body.decode())


def service(group: str, version: str) -> Object:
    """The local APIService of a custom resource's group version."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {_MANAGED: "true"}},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100},
    }
