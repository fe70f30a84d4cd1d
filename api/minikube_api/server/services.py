"""Where a Service is reached from the API server: one of its ready endpoints (kube-apiserver's endpoint service resolver).

Webhooks, aggregated API servers and conversion webhooks name Services; the server stands outside the Service network, so it goes
to the endpoints themselves, through its Dialer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from minikube_api.cache.requests import ListRequest, Selection
from minikube_api.meta import selectors
from minikube_api.resources.resource import Registry
from minikube_api.server.context import Object
from minikube_api.server.storage import Storage


class Unresolvable(Exception):
    """A Service that leads nowhere; the text is kube-apiserver's. `reason` is that of an APIService's Available condition."""

    def __init__(self, message: str, reason: str, port_name: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.port_name = port_name


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


class ServiceResolver:
    def __init__(self, storage: Storage, registry: Registry, rng: random.Random) -> None:
        self._storage = storage
        self._registry = registry
        self._rng = rng

    async def resolve(self, namespace: str, name: str, port: int) -> Address:
        """Any ready endpoint. Raises Unresolvable."""
        found = await self.addresses(namespace, name, port)
        return self._rng.choice(found)

    async def addresses(self, namespace: str, name: str, port: int) -> list[Address]:
        """All ready endpoints of a Service's port, at least one. Raises Unresolvable."""
        services = self._registry.get("", "v1", "services")
        assert services is not None
        entry = await self._storage.cacher(services).get(namespace, name, "0")
        if entry is None:
            raise Unresolvable(f'service "{name}" not found', "ServiceNotFound")
        spec: Object = entry.tree().get("spec") or {}
        if spec.get("type") == "ExternalName":
            return [Address(spec.get("externalName", ""), port)]
        chosen = next((p for p in spec.get("ports") or () if p.get("port") == port), None)
        if chosen is None:
            raise Unresolvable(f'no service port {port} found for service "{name}"', "ServicePortError")
        found = await self._ready(namespace, name, chosen.get("name") or "")
        if not found:
            raise Unresolvable(f'no endpoints available for service "{name}"', "MissingEndpoints", chosen.get("name") or "")
        return found

    async def _ready(self, namespace: str, name: str, port_name: str) -> list[Address]:
        slices = self._registry.get("discovery.k8s.io", "v1", "endpointslices")
        assert slices is not None
        selection = Selection(namespace=namespace, labels=selectors.from_labels({"kubernetes.io/service-name": name}))
        page = await self._storage.cacher(slices).list(ListRequest(selection=selection, resource_version="0"))
        return [address for piece in page.items for address in ready_addresses(piece.tree(), port_name)]


def ready_addresses(piece: Object, port_name: str) -> list[Address]:
    """The ready endpoints of one EndpointSlice that serve a named port."""
    numbers = [p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
    if not numbers:
        return []
    return [
        Address(endpoint["addresses"][0], numbers[0])
        for endpoint in piece.get("endpoints") or ()
        if endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready") is not False
    ]
