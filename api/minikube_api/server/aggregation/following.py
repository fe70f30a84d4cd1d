"""The APIServices with a Service behind them, followed through their cacher; empty on most clusters, which is all a request pays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minikube_api.cache.watching import Change
from minikube_api.server.aggregation.forwarding import Backend
from minikube_api.server.context import Object, Reply, Request
from minikube_api.server.discovery import Elsewhere

if TYPE_CHECKING:
    from minikube_api.server.server import Server

GROUP, PLURAL = "apiregistration.k8s.io", "apiservices"


@dataclass(slots=True)
class Remote:
    """One group version served elsewhere, and what was learned of it."""

    name: str
    tree: Object
    backend: Backend
    #: entries of its aggregated discovery; None: never read
    resources: list[Object] | None = None
    #: the last reading succeeded
    current: bool = False
    #: its /openapi/v3 entry, if it has one
    open_api: Object = field(default_factory=dict)
    #: its part of /openapi/v2 behind a digest, and the ETag that it came with
    open_api_v2: tuple[str, Object] | None = None
    open_api_tag: str = ""

    @property
    def group_version(self) -> tuple[str, str]:
        return self.tree["spec"].get("group", ""), self.tree["spec"].get("version", "")

    @property
    def available(self) -> bool:
        conditions = (self.tree.get("status") or {}).get("conditions") or ()
        return any(c.get("type") == "Available" and c.get("status") == "True" for c in conditions)


class Aggregation:
    """`remote` by (group, version). `await load()` at start; `changed` is set when there is something new to check."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.remote: dict[tuple[str, str], Remote] = {}
        self._by_name: dict[str, Remote] = {}
        self.changed = asyncio.Event()
        self._closing: list[Backend] = []

    async def load(self) -> None:
        resource = self._server.registry.get(GROUP, "v1", PLURAL)
        if resource is None:
            return
        cacher = self._server.storage.cacher(resource)
        await cacher.load()
        cacher.listeners.append(self._follow)
        for entry in cacher.index.span("", None):
            self._put(entry.tree())
        self._publish()

    def _follow(self, changes: Sequence[Change]) -> None:
        before = dict(self._by_name)
        for change in changes:
            if change.current is None:
                self._drop(change.entry.name)
            else:
                self._put(change.current.tree())
        if before or self._by_name:
            self._publish()

    def _put(self, tree: Object) -> None:
        name = tree["metadata"]["name"]
        if (tree.get("spec") or {}).get("service") is None:
            self._drop(name)
            return
        known = self._by_name.get(name)
        if known is not None and known.tree["spec"] == tree["spec"]:
            known.tree = tree
            return
        self._drop(name)
        self._by_name[name] = Remote(name, tree, Backend(self._server, tree["spec"]))
        self.changed.set()

    def _drop(self, name: str) -> None:
        gone = self._by_name.pop(name, None)
        if gone is not None:
            self._closing.append(gone.backend)
            self.changed.set()

    def _publish(self) -> None:
        remote = {r.group_version: r for r in self._by_name.values()}
        moved = remote.keys() != self.remote.keys()
        self.remote = remote
        if moved:
            self.republish()

    def republish(self) -> None:
        """Discovery has changed: documents that show it are made anew."""
        self._server.registry.version += 1

    async def serve(self, request: Request) -> Reply | None:
        """The answer of another server; None when the path belongs to no group version served elsewhere."""
        group_version = group_version_of(request.path)
        found = self.remote.get(group_version) if group_version is not None else None
        if found is None:
            return None
        return await found.backend.serve(request, available=found.available)

    def remote_versions(self) -> dict[tuple[str, str], Elsewhere]:
        """What discovery shows of the others."""
        return {
            key: Elsewhere(
                remote.resources or [],
                remote.current,
                remote.tree["spec"].get("groupPriorityMinimum", 0),
                remote.open_api,
                remote.open_api_v2,
            )
            for key, remote in self.remote.items()
        }

    async def close_dropped(self) -> None:
        closing, self._closing = self._closing, []
        for backend in closing:
            await backend.close()

    async def close(self) -> None:
        self._closing += [remote.backend for remote in self._by_name.values()]
        await self.close_dropped()


def group_version_of(path: str) -> tuple[str, str] | None:
    """(group, version) of /apis/G/V and whatever is below it, and of its OpenAPI document."""
    parts = path.removeprefix("/openapi/v3").split("/", 4)
    return (parts[2], parts[3]) if len(parts) > 3 and parts[1] == "apis" and parts[3] else None
