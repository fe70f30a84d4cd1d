"""The cluster's services as the DNS zone sees them, read from informers at question time (nothing is copied).

`changes` counts what happened: the answer cache of `server` is valid for one count only.
"""

from __future__ import annotations

from collections.abc import Iterable

from minikube_agents.dns.records import EndpointInfo, PortInfo, ServiceInfo
from minikube_api.client.informers import InformerFactory
from minikube_api.schema.typed.core_v1 import Namespace, Service
from minikube_api.schema.typed.discovery_v1 import EndpointSlice

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class InformerZone:
    """The `Zone` of `records` over three shared informers."""

    def __init__(self, factory: InformerFactory) -> None:
        self.changes = 0
        self.services = factory.informer(Service)
        self.slices = factory.informer(EndpointSlice)
        self.namespaces = factory.informer(Namespace)
        self.services.add_index("dns-cluster-ip", lambda s: s.spec.clusterIPs)
        self.slices.add_index("dns-service", _service_of)
        self.slices.add_index("dns-address", lambda s: [a for e in s.endpoints or () for a in e.addresses or ()])
        for informer in (self.services, self.slices, self.namespaces):
            informer.on_add(lambda obj: self._changed())
            informer.on_update(lambda old, new: self._changed())
            informer.on_delete(lambda obj: self._changed())

    def _changed(self) -> None:
        self.changes += 1

    async def synced(self) -> None:
        for informer in (self.services, self.slices, self.namespaces):
            await informer.synced()

    def namespace_exists(self, namespace: str) -> bool:
        return self.namespaces.get("", namespace) is not None

    def service(self, namespace: str, name: str) -> ServiceInfo | None:
        service = self.services.get(namespace, name)
        return self._info(service) if service is not None else None

    def services_by_cluster_ip(self, ip: str) -> Iterable[ServiceInfo]:
        return [self._info(s) for s in self.services.index("dns-cluster-ip", ip)]

    def services_by_endpoint_ip(self, ip: str) -> Iterable[ServiceInfo]:
        keys = {k for s in self.slices.index("dns-address", ip) for k in _service_of(s)}
        found = [self.service(*key.split("/", 1)) for key in sorted(keys)]
        return [s for s in found if s is not None and s.headless]

    def _info(self, service: Service) -> ServiceInfo:
        spec = service.spec
        name, namespace = service.metadata.name or "", service.metadata.namespace or ""
        if spec.type == "ExternalName":
            return ServiceInfo(name, namespace, external_name=spec.externalName or "")
        ports = tuple(PortInfo(p.name or "", p.protocol or "TCP", p.port) for p in spec.ports)
        if spec.clusterIP != "None":
            ips = tuple(spec.clusterIPs) or ((spec.clusterIP,) if spec.clusterIP else ())
            return ServiceInfo(name, namespace, cluster_ips=ips, ports=ports)
        return ServiceInfo(name, namespace, headless=True, ports=ports, endpoints=self._endpoints(namespace, name))

    def _endpoints(self, namespace: str, name: str) -> tuple[EndpointInfo, ...]:
        found: dict[tuple[str, str], EndpointInfo] = {}
        slices = sorted(self.slices.index("dns-service", f"{namespace}/{name}"), key=lambda s: s.metadata.name or "")
        for piece in slices:
            if piece.addressType not in ("IPv4", "IPv6"):
                continue
            ports = tuple(PortInfo(p.name or "", p.protocol or "TCP", p.port or 0) for p in piece.ports or ())
            for endpoint in piece.endpoints or ():
                if endpoint.conditions.ready is False:
                    continue
                for ip in endpoint.addresses or ():
                    found.setdefault((ip, endpoint.hostname or ""), EndpointInfo(ip, endpoint.hostname or "", ports))
        return tuple(found.values())


def _service_of(piece: EndpointSlice) -> list[str]:
    name = piece.metadata.labels.get(SERVICE_NAME_LABEL)
    return [f"{piece.metadata.namespace}/{name}"] if name else []
