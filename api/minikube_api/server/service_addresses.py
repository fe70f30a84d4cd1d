"""IPAddress objects of allocated cluster IPs, and the default ServiceCIDR `kubernetes` (KEP-1880).

Allocation itself is `allocation`'s, inside the write of a Service; these objects tell of it. They follow the Services through their
cacher, so what a crash left out or over is made good at the next start.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from minikube_api.cache.entries import Entry
from minikube_api.cache.requests import ListRequest
from minikube_api.cache.watching import Change
from minikube_api.meta import times
from minikube_api.server.allocation import cluster_ips
from minikube_api.server.context import Object, UserInfo

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

BASE = "/apis/networking.k8s.io/v1"
_MANAGED = "ipaddress.kubernetes.io/managed-by"
_ALLOCATOR = "ipallocator.k8s.io"
_USER = UserInfo("system:apiserver", groups=("system:masters",))


class ServiceAddresses:
    """`await load()` once Services are there, `await run()` as a task from then on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._owners: dict[str, tuple[str, str]] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()

    async def load(self) -> None:
        registry = self._server.registry
        services, addresses = registry.get("", "v1", "services"), registry.get("networking.k8s.io", "v1", "ipaddresses")
        if services is None or addresses is None:
            return
        cacher = self._server.storage.cacher(services)
        await cacher.load()
        cacher.listeners.append(self._follow)
        for entry in cacher.index.span("", None):
            self._took(entry)
        page = await self._server.storage.cacher(addresses).list(ListRequest(resource_version="0"))
        for entry in page.items:
            tree = entry.tree()
            if (tree["metadata"].get("labels") or {}).get(_MANAGED) == _ALLOCATOR:
                self._queue(entry.name)
        if registry.get("networking.k8s.io", "v1", "servicecidrs") is not None:
            await self._default_range()

    def _follow(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.previous is not None:
                for ip in cluster_ips(change.previous.tree()):
                    self._owners.pop(ip, None)
                    self._queue(ip)
            if change.current is not None:
                self._took(change.current)

    def _took(self, entry: Entry) -> None:
        for ip in cluster_ips(entry.tree()):
            self._owners[ip] = (entry.namespace, entry.name)
            self._queue(ip)

    def _queue(self, ip: str) -> None:
        self._dirty.add(ip)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            for ip in sorted(dirty):
                await self._settle(ip)

    async def _settle(self, ip: str) -> None:
        resource = self._server.registry.get("networking.k8s.io", "v1", "ipaddresses")
        assert resource is not None
        entry = await self._server.storage.current(resource, "", ip)
        owner = self._owners.get(ip)
        if entry is not None:
            tree = entry.tree()
            wanted = None if owner is None else address(ip, *owner)["spec"]
            if tree.get("spec") == wanted:
                return
            if (tree["metadata"].get("labels") or {}).get(_MANAGED) != _ALLOCATOR:
                return  # somebody else's
            await self._ask("DELETE", f"{BASE}/ipaddresses/{ip}")
        if owner is not None:
            await self._ask("POST", f"{BASE}/ipaddresses", address(ip, *owner))

    async def _default_range(self) -> None:
        cidr = str(self._server.allocator.network)
        head = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}}
        await self._ask("POST", f"{BASE}/servicecidrs", {**head, "spec": {"cidrs": [cidr]}})
        resource = self._server.registry.get("networking.k8s.io", "v1", "servicecidrs")
        assert resource is not None
        entry = await self._server.storage.current(resource, "", "kubernetes")
        if entry is None or (entry.tree().get("status") or {}).get("conditions"):
            return
        now = times.now(self._server.clock)
        message = "Kubernetes default Service CIDR is ready"
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now, "reason": "", "message": message}
        await self._ask("PATCH", f"{BASE}/servicecidrs/kubernetes/status", {"status": {"conditions": [ready]}})

    async def _ask(self, method: str, path: str, body: Object | None = None) -> None:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        transport = self._server.transport(_USER, "kube-apiserver")
        data = None if body is None else orjson.dumps(body)
        answer = await transport.request(method, path, headers={"Content-Type": kind}, body=data)
        if answer.status >= 400 and answer.status not in (404, 409):
            log.warning("service addresses: %s", answer.body.decode())


def address(ip: str, namespace: str, name: str) -> Object:
    """The IPAddress of a Service's cluster IP."""
    labels = {"ipaddress.kubernetes.io/ip-family": f"IPv{ipaddress.ip_address(ip).version}", _MANAGED: _ALLOCATOR}
    parent = {"resource": "services", "namespace": namespace, "name": name}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": ip, "labels": labels},
        "spec": {"parentRef": parent},
    }
