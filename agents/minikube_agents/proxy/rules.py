"""From Services and EndpointSlices to rules as data, pure: which address and port leads to which endpoints.

Sources: the Service documentation ("Virtual IPs and Service Proxies"), KEP-1669 (terminating endpoints), KEP-2086 (internal
traffic policy), KEP-2433 and KEP-3015 (topology hints, PreferSameNode). Backends (`nft`, `userspace`) only render what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from minikube_api.schema.typed.core_v1 import Service, ServicePort
from minikube_api.schema.typed.discovery_v1 import Endpoint, EndpointSlice

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """An address that traffic may be sent to."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRules:
    """All that a node does for one port of one Service, for one IP family.

    `internal` are the targets of ClusterIPs, `external` those of node ports, external IPs and load balancers. An empty
    tuple means reject, None means drop without an answer (policy Local while the endpoints are elsewhere).
    """

    service: str
    port_name: str
    protocol: str
    port: int
    cluster_ips: tuple[str, ...]
    external_ips: tuple[str, ...] = ()
    node_port: int = 0
    internal: tuple[Target, ...] | None = ()
    external: tuple[Target, ...] | None = ()
    #: seconds of ClientIP affinity, 0 = none
    affinity_seconds: int = 0
    #: external traffic keeps its source address (policy Local)
    keep_source: bool = False
    source_ranges: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.service}:{self.port_name}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a proxy knows of its own node."""

    name: str
    zone: str = ""


def is_proxied(service: Service) -> bool:
    """Headless, ExternalName and Services of another proxy are not this proxy's."""
    spec = service.spec
    if PROXY_NAME_LABEL in service.metadata.labels:
        return False
    return spec.type != "ExternalName" and spec.clusterIP not in (None, "", "None")


def plan(service: Service, slices: Iterable[EndpointSlice], node: NodeInfo) -> tuple[PortRules, ...]:
    """The rules of a Service on a node (IPv4), ordered by port; empty when it is not proxied."""
    if not is_proxied(service):
        return ()
    spec = service.spec
    pieces = [s for s in slices if s.addressType == "IPv4"]
    cluster_ips = tuple(ip for ip in (spec.clusterIPs or (spec.clusterIP or "",)) if "." in ip)
    if not cluster_ips:
        return ()
    balancer = service.status.loadBalancer
    external = [*spec.externalIPs, *(i.ip or "" for i in balancer.ingress if (i.ipMode or "VIP") == "VIP")]
    affinity = 0
    if spec.sessionAffinity == "ClientIP":
        config = spec.sessionAffinityConfig
        affinity = (config.clientIP.timeoutSeconds if config and config.clientIP else None) or 10800
    rules = []
    for port in spec.ports:
        found = endpoints(pieces, port)
        internal = choose(found, node, local=spec.internalTrafficPolicy == "Local")
        outside = choose(found, node, local=spec.externalTrafficPolicy == "Local")
        rules.append(
            PortRules(
                service=f"{service.metadata.namespace}/{service.metadata.name}",
                port_name=port.name or "",
                protocol=(port.protocol or "TCP").lower(),
                port=port.port,
                cluster_ips=cluster_ips,
                external_ips=tuple(dict.fromkeys(ip for ip in external if "." in ip)),
                node_port=port.nodePort or 0,
                internal=internal,
                external=outside,
                affinity_seconds=affinity,
                keep_source=spec.externalTrafficPolicy == "Local",
                source_ranges=tuple(r for r in spec.loadBalancerSourceRanges if "." in r),
            )
        )
    return tuple(rules)


@dataclass(frozen=True, slots=True)
class Found:
    """An endpoint of one service port with what choosing needs."""

    target: Target
    ready: bool
    serving: bool
    terminating: bool
    node: str
    for_nodes: frozenset[str]
    for_zones: frozenset[str]


def endpoints(slices: Iterable[EndpointSlice], port: ServicePort) -> list[Found]:
    """Every endpoint that serves `port`; an endpoint in two slices counts once, as ready if one says so."""
    found: dict[Target, Found] = {}
    for piece in slices:
        number = _slice_port(piece, port)
        if number is None:
            continue
        for endpoint in piece.endpoints or ():
            for ip in (endpoint.addresses or ())[:1]:
                one = _found(endpoint, Target(ip, number))
                if one.target not in found or (one.ready and not found[one.target].ready):
                    found[one.target] = one
    return sorted(found.values(), key=lambda f: f.target)


def _slice_port(piece: EndpointSlice, port: ServicePort) -> int | None:
    for candidate in piece.ports or ():
        if (candidate.name or "") == (port.name or "") and (candidate.protocol or "TCP") == (port.protocol or "TCP"):
            return candidate.port
    return None


def _found(endpoint: Endpoint, target: Target) -> Found:
    conditions, hints = endpoint.conditions, endpoint.hints
    ready = conditions.ready is not False
    serving = ready if conditions.serving is None else conditions.serving
    return Found(
        target=target,
        ready=ready,
        serving=serving,
        terminating=bool(conditions.terminating),
        node=endpoint.nodeName or "",
        for_nodes=frozenset(h.name for h in (hints.forNodes if hints else ())),
        for_zones=frozenset(h.name for h in (hints.forZones if hints else ())),
    )


def choose(found: list[Found], node: NodeInfo, *, local: bool) -> tuple[Target, ...] | None:
    """The targets a node uses: ready ones, else those that still serve while terminating; own ones only when `local`."""
    if local:
        mine = _usable([f for f in found if f.node == node.name])
        if mine:
            return tuple(f.target for f in mine)
        return None if _usable(found) else ()
    usable = _usable(found)
    if usable and usable[0].ready:
        usable = _by_topology(usable, node)
    return tuple(f.target for f in usable)


def _usable(found: list[Found]) -> list[Found]:
    return [f for f in found if f.ready] or [f for f in found if f.serving and f.terminating]


def _by_topology(ready: list[Found], node: NodeInfo) -> list[Found]:
    """Hints count only when every endpoint has them, and only when some endpoint is meant for this node or zone."""
    if all(f.for_nodes for f in ready):
        near = [f for f in ready if node.name in f.for_nodes]
        if near:
            return near
    if node.zone and all(f.for_zones for f in ready):
        return [f for f in ready if node.zone in f.for_zones] or ready
    return ready
