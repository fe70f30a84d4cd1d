"""kube-proxy: informers mark services dirty, one loop plans them and gives the changes to the backend.

Changes are gathered for `min_sync_seconds` after the first so that a rollout costs few transactions; a failed transaction starts the
backend anew with everything, with back-off.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from minikube_agents.proxy.backends import Backend, BackendError
from minikube_agents.proxy.rules import PROXY_NAME_LABEL, SERVICE_NAME_LABEL, NodeInfo, PortRules, plan
from minikube_api.client.client import Client
from minikube_api.client.informers import InformerFactory
from minikube_api.schema.typed.core_v1 import Node, Service
from minikube_api.schema.typed.discovery_v1 import EndpointSlice

log = logging.getLogger(__name__)

ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True, kw_only=True)
class Options:
    """`node` may be empty: a proxy for a place that is no node (the host of an all-in-one cluster) has no local endpoints."""

    node: str = ""
    min_sync_seconds: float = 0.02
    retry_seconds: float = 1.0
    retry_max_seconds: float = 30.0


class Proxy:
    """Runs until cancelled. `ready` is set after the first full sync."""

    def __init__(self, client: Client, backend: Backend, options: Options, *, factory: InformerFactory | None = None) -> None:
        self.backend, self.options = backend, options
        self._owns_factory = factory is None
        self.factory = factory if factory is not None else InformerFactory(client)
        self.services = self.factory.informer(Service)
        self.slices = self.factory.informer(EndpointSlice)
        self.nodes = self.factory.informer(Node, field_selector=f"metadata.name={options.node}") if options.node else None
        self.slices.add_index("proxy-service", _service_keys)
        self.ready = asyncio.Event()
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._planned: dict[str, dict[str, PortRules]] = {}
        self._watch_changes()

    def _watch_changes(self) -> None:
        self.services.on_add(lambda s: self._mark(_key(s)))
        self.services.on_update(lambda old, new: self._mark(_key(new)))
        self.services.on_delete(lambda s: self._mark(_key(s)))
        self.slices.on_add(lambda s: self._mark(*_service_keys(s)))
        self.slices.on_update(lambda old, new: self._mark(*_service_keys(old), *_service_keys(new)))
        self.slices.on_delete(lambda s: self._mark(*_service_keys(s)))

    def _mark(self, *keys: str) -> None:
        self._dirty.update(keys)
        if keys:
            self._wake.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if self._owns_factory:
                    group.create_task(self.factory.run(), name="proxy-informers")
                for informer in (self.services, self.slices, *([self.nodes] if self.nodes else [])):
                    await informer.synced()
                await self._loop()
        finally:
            await self.backend.close()

    async def _loop(self) -> None:
        started, delay = False, self.options.retry_seconds
        while True:
            try:
                if not started:
                    await self._begin()
                    started = True
                    self.ready.set()
                await self._sync()
                delay = self.options.retry_seconds
            except BackendError as error:
                log.error("sync failed, all rules will be written again in %.0f s: %s", delay, error)
                started = False
                await asyncio.sleep(delay)
                delay = min(delay * 2, self.options.retry_max_seconds)
                continue
            await self._wake.wait()
            await asyncio.sleep(self.options.min_sync_seconds)

    async def _begin(self) -> None:
        await self.backend.start()
        self._planned = {}
        self._dirty = {_key(s) for s in self.services.list()}
        await self._sync()

    async def _sync(self) -> None:
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        changes: dict[str, PortRules | None] = {}
        planned: dict[str, dict[str, PortRules]] = {}
        for key in sorted(dirty):
            planned[key] = new = {rules.key: rules for rules in self._plan(key)}
            old = self._planned.get(key, {})
            changes.update({k: None for k in old if k not in new})
            changes.update({k: rules for k, rules in new.items() if old.get(k) != rules})
        if changes:
            await self.backend.apply(changes)
        for key, new in planned.items():
            if new:
                self._planned[key] = new
            else:
                self._planned.pop(key, None)

    def _plan(self, key: str) -> tuple[PortRules, ...]:
        namespace, name = key.split("/", 1)
        service = self.services.get(namespace, name)
        if service is None:
            return ()
        return plan(service, self.slices.index("proxy-service", key), self._node())

    def _node(self) -> NodeInfo:
        node = self.nodes.get("", self.options.node) if self.nodes else None
        return NodeInfo(self.options.node, node.metadata.labels.get(ZONE_LABEL, "") if node else "")


def _key(obj: Service) -> str:
    return f"{obj.metadata.namespace}/{obj.metadata.name}"


def _service_keys(piece: EndpointSlice) -> list[str]:
    labels = piece.metadata.labels
    name = labels.get(SERVICE_NAME_LABEL)
    return [f"{piece.metadata.namespace}/{name}"] if name and PROXY_NAME_LABEL not in labels else []
