"""Planning of EndpointSlices: which slices to create, update and delete so that they hold the wanted endpoints. Pure.

Source: k8s.io/endpointslice reconciler (KEP-752). Slices hold at most 100 endpoints; changed slices are filled first, and a slice that
needs no change is not rewritten just to pack better, so that a change of one pod costs one write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from minikube_api.schema.typed.core_v1 import Node, ObjectReference, Pod, Service
from minikube_api.schema.typed.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from minikube_api.schema.typed.meta_v1 import ObjectMeta, OwnerReference
from minikube_py.controllers import endpoints_of, pods

SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
CONTROLLER: Final = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS: Final = 100
ZONE: Final = "topology.kubernetes.io/zone"

Ports = tuple[EndpointPort, ...]
#: The wanted state of one address type: ports -> endpoints by identity
Wanted = dict[tuple[Any, ...], tuple[Ports, dict[Any, Endpoint]]]


@dataclass(slots=True)
class Plan:
    create: list[EndpointSlice] = field(default_factory=list)
    update: list[EndpointSlice] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)


def identity(endpoint: Endpoint) -> Any:
    """What makes two endpoints the same one."""
    ref = endpoint.targetRef
    return (ref.uid if ref is not None else None, endpoint.addresses)


def ports_key(ports: Iterable[EndpointPort] | None) -> tuple[Any, ...]:
    listed = [(p.name or "", p.port, p.protocol or "", p.appProtocol or "") for p in ports or ()]
    return tuple(sorted(listed, key=repr))


def endpoint_of(pod: Pod, node: Node | None, service: Service, address_type: str) -> Endpoint | None:
    addresses = [a for a in endpoints_of.addresses(pod) if endpoints_of.family(a) == address_type]
    if not addresses:
        return None
    serving, terminating = pods.is_ready(pod), pod.metadata.deletionTimestamp is not None
    zone = node.metadata.labels.get(ZONE) if node is not None else None
    return Endpoint(
        addresses=tuple(addresses),
        conditions=EndpointConditions(
            ready=bool(service.spec.publishNotReadyAddresses) or (serving and not terminating),
            serving=serving,
            terminating=terminating,
        ),
        hostname=endpoints_of.hostname(pod, service),
        nodeName=pod.spec.nodeName or None,
        targetRef=ObjectReference(kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid),
        zone=zone,
        hints=hints(service.spec.trafficDistribution, zone, pod.spec.nodeName),
    )


def hints(distribution: str | None, zone: str | None, node: str | None) -> EndpointHints | None:
    """KEP-4444 and KEP-3015: trafficDistribution as hints for the proxies."""
    for_zones = (ForZone(name=zone),) if zone else ()
    if distribution in ("PreferClose", "PreferSameZone") and zone:
        return EndpointHints(forZones=for_zones)
    if distribution == "PreferSameNode" and node:
        return EndpointHints(forNodes=(ForNode(name=node),), forZones=for_zones)
    return None


def wanted_of(service: Service, selected: Iterable[Pod], nodes: Mapping[str, Node | None], address_type: str) -> Wanted:
    """The endpoints of the selected pods, grouped by the ports they serve (named target ports may differ from pod to pod)."""
    groups: Wanted = {}
    for pod in selected:
        if not endpoints_of.should_be_endpoint(pod, include_terminating=True):
            continue
        node = nodes.get(pod.spec.nodeName or "")
        endpoint = endpoint_of(pod, node, service, address_type)
        if endpoint is None:
            continue
        ports = tuple(
            EndpointPort(name=p.name or "", port=number, protocol=p.protocol or "TCP", appProtocol=p.appProtocol)
            for p in service.spec.ports
            if (number := endpoints_of.find_port(pod, p)) is not None
        )
        groups.setdefault(ports_key(ports), (ports, {}))[1][identity(endpoint)] = endpoint
    return groups


def labels_of(service: Service) -> dict[str, str]:
    """Labels of the service's slices: its own ones and those that name service and controller."""
    reserved = (SERVICE_NAME, MANAGED_BY, endpoints_of.HEADLESS)
    labels = endpoints_of.without(service.metadata.labels, reserved)
    if endpoints_of.is_headless(service):
        labels[endpoints_of.HEADLESS] = ""
    return labels | {SERVICE_NAME: service.metadata.name, MANAGED_BY: CONTROLLER}


def plan(
    wanted: Wanted,
    existing: Sequence[EndpointSlice],
    *,
    address_type: str,
    name: str,
    namespace: str,
    labels: dict[str, str],
    owner: OwnerReference,
    annotations: dict[str, str] | None = None,
) -> Plan:
    """Slices of one address type. With nothing wanted one empty slice stays, so that watchers see "no endpoints"."""
    result = Plan()
    by_ports: dict[tuple[Any, ...], list[EndpointSlice]] = {}
    for slice_ in existing:
        if owner not in slice_.metadata.ownerReferences:
            result.delete.append(slice_)  # of an earlier object of the same name
        else:
            by_ports.setdefault(ports_key(slice_.ports), []).append(slice_)
    if not wanted:
        wanted = {(): ((), {})}

    def fresh(ports: Ports, endpoints: Sequence[Endpoint]) -> EndpointSlice:
        return EndpointSlice(
            addressType=address_type,
            metadata=ObjectMeta(
                generateName=f"{name[:240]}-",
                namespace=namespace,
                labels=labels,
                annotations=annotations or {},
                ownerReferences=(owner,),
            ),
            ports=ports,
            endpoints=tuple(endpoints),
        )

    for key, (ports, endpoints) in wanted.items():
        slices = by_ports.pop(key, [])
        contents = fill(slices, dict(endpoints))
        for slice_, held in contents.kept:
            same_labels = slice_.metadata.labels == labels
            if not held and not (not endpoints and slice_ is slices[0]):
                result.delete.append(slice_)
            elif tuple(held) != (slice_.endpoints or ()) or not same_labels:
                metadata = replace(slice_.metadata, labels=labels)
                result.update.append(replace(slice_, endpoints=tuple(held), metadata=metadata))
        result.create += [fresh(ports, chunk) for chunk in contents.new]
        if not slices and not endpoints:
            result.create.append(fresh(ports, ()))
    for slices in by_ports.values():
        result.delete += slices
    # A slice that is deleted while another of the same kind is created is reused instead: one write, not two.
    while result.create and result.delete:
        reused = next((s for s in result.delete if owner in s.metadata.ownerReferences), None)
        if reused is None:
            break
        result.delete.remove(reused)
        new = result.create.pop()
        metadata = replace(reused.metadata, labels=labels)
        result.update.append(replace(reused, ports=new.ports, endpoints=new.endpoints, metadata=metadata))
    return result


@dataclass(slots=True)
class Contents:
    kept: list[tuple[EndpointSlice, list[Endpoint]]]
    new: list[list[Endpoint]]


def fill(slices: Sequence[EndpointSlice], missing: dict[Any, Endpoint]) -> Contents:
    """Distribute endpoints: each stays in the slice that holds it; the rest goes into changed slices, then into one with room, then new."""
    kept: list[tuple[EndpointSlice, list[Endpoint]]] = []
    changed: list[list[Endpoint]] = []
    unchanged: list[list[Endpoint]] = []
    for slice_ in slices:
        before = list(slice_.endpoints or ())
        held = [found for e in before if (found := missing.pop(identity(e), None)) is not None]
        kept.append((slice_, held))
        (unchanged if held == before else changed).append(held)
    rest = list(missing.values())
    for held in sorted(changed, key=len, reverse=True):
        room = MAX_ENDPOINTS - len(held)
        held += rest[:room]
        rest = rest[room:]
    if rest:
        with_room = [held for held in unchanged if len(held) + len(rest) <= MAX_ENDPOINTS]
        if with_room:
            # the fullest that takes all of it
            max(with_room, key=len).extend(rest)
            rest = []
    return Contents(kept, [rest[i : i + MAX_ENDPOINTS] for i in range(0, len(rest), MAX_ENDPOINTS)])
