"""Endpoints controller: the older Endpoints object for every Service with a selector (still read by many programs)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from minikube_api.meta.errors import AlreadyExists, NotFound, StatusError
from minikube_api.schema.typed.core_v1 import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    ObjectReference,
    Pod,
    Service,
)
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers import endpoints_of, pods
from minikube_py.controllers.runner import Context, Controller, Key, Result, key_of, namespace_terminating

MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
MAX_ADDRESSES: Final = 1000


class EndpointsController(Controller):
    name = "endpoints-controller"
    identity = "endpoint-controller"
    component = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sizes: dict[Key, int] = {}

    def setup(self) -> None:
        self._services = self.informers.informer(Service)
        self._pods = self.informers.informer(Pod)
        self._endpoints = self.informers.informer(Endpoints)
        self._services.add_index(endpoints_of.SELECTOR_INDEX, endpoints_of.selector_entry)
        self._pods.add_index(endpoints_of.LABEL_INDEX, endpoints_of.labels_of)
        self._services.on_change(self.enqueue)
        self._pods.on_add(self._pod_changed)
        self._pods.on_delete(self._pod_changed)
        self._pods.on_update(self._pod_updated)
        self._endpoints.on_update(lambda _, new: self.enqueue_paced(key_of(new), self._sizes.get(key_of(new), 0)))
        self._endpoints.on_delete(self.enqueue)

    def _pod_changed(self, pod: Pod) -> None:
        for service in endpoints_of.services_of(self._services, pod):
            self.enqueue_paced(key_of(service), self._sizes.get(key_of(service), 0))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if endpoints_of.has_changed(old, new):
            self._pod_changed(new)
            if old.metadata.labels != new.metadata.labels:
                self._pod_changed(old)

    async def reconcile(self, key: Key) -> Result | None:
        service = self._services.get(*key)
        current = self._endpoints.get(*key)
        if service is None:
            self._sizes.pop(key, None)
            await self._delete(current)
            return None
        if not service.spec.selector or service.spec.type == "ExternalName":
            return None
        selected = endpoints_of.selected_pods(self._pods, service)
        self._sizes[key] = len(selected)
        wanted = endpoints_object(service, selected)
        if current is None:
            try:
                await self.client.create(wanted)
            except StatusError as error:
                if namespace_terminating(error):
                    return None
                if not isinstance(error, AlreadyExists):
                    message = f"Failed to create endpoint for service {key}: {error}"
                    self.recorder.event(service, "Warning", "FailedToCreateEndpoint", message)
                raise
            return None
        annotations = {k: v for k, v in current.metadata.annotations.items() if k != OVER_CAPACITY}
        annotations |= wanted.metadata.annotations
        metadata = replace(current.metadata, labels=wanted.metadata.labels, annotations=annotations)
        if metadata != current.metadata or _comparable(current.subsets) != _comparable(wanted.subsets):
            await self.client.update(replace(current, metadata=metadata, subsets=wanted.subsets))
        return None

    async def _delete(self, current: Endpoints | None) -> None:
        """Of a deleted service: only what this controller made."""
        if current is None or MANAGED_BY not in current.metadata.labels:
            return
        try:
            await self.client.delete(Endpoints, current.metadata.name, namespace=current.metadata.namespace)
        except NotFound:
            pass  # gone already


def endpoints_object(service: Service, selected: Iterable[Pod]) -> Endpoints:
    """The Endpoints of these pods, cut at 1000 addresses. Pure."""
    reserved = (MANAGED_BY, endpoints_of.HEADLESS)
    labels = endpoints_of.without(service.metadata.labels, reserved) | {MANAGED_BY: "endpoint-controller"}
    if endpoints_of.is_headless(service):
        labels[endpoints_of.HEADLESS] = ""
    subsets, is_cut = truncate(subsets_of(service, selected))
    return Endpoints(
        metadata=ObjectMeta(
            name=service.metadata.name,
            namespace=service.metadata.namespace,
            labels=labels,
            annotations={OVER_CAPACITY: "truncated"} if is_cut else {},
        ),
        subsets=subsets,
    )


def subsets_of(service: Service, selected: Iterable[Pod]) -> tuple[EndpointSubset, ...]:
    """Ports that are served by the same addresses make one subset."""
    family = endpoints_of.families(service)[0]
    by_port: dict[tuple[Any, ...], dict[EndpointAddressKey, bool]] = {}
    known: dict[EndpointAddressKey, EndpointAddress] = {}
    tolerant = bool(service.spec.publishNotReadyAddresses)
    for pod in selected:
        if not endpoints_of.should_be_endpoint(pod, include_terminating=tolerant):
            continue
        ip = next((a for a in endpoints_of.addresses(pod) if endpoints_of.family(a) == family), None)
        if ip is None:
            continue
        address_key = (ip, pod.metadata.uid)
        known[address_key] = _address(service, pod, ip)
        is_ready = tolerant or pods.is_ready(pod)
        ports = [
            (p.name or "", number, p.protocol or "TCP", p.appProtocol or "")
            for p in service.spec.ports
            if (number := endpoints_of.find_port(pod, p)) is not None
        ]
        if not service.spec.ports and endpoints_of.is_headless(service):
            ports = [()]  # type: ignore[list-item]
        for port in ports:
            by_port.setdefault(port, {})[address_key] = is_ready
    groups: dict[frozenset[tuple[EndpointAddressKey, bool]], list[tuple[Any, ...]]] = {}
    for port, addresses in by_port.items():
        groups.setdefault(frozenset(addresses.items()), []).append(port)
    subsets = []
    for group, port_keys in groups.items():
        ordered = sorted(group)
        subsets.append(
            EndpointSubset(
                addresses=tuple(known[key] for key, is_ready in ordered if is_ready),
                notReadyAddresses=tuple(known[key] for key, is_ready in ordered if not is_ready),
                ports=tuple(
                    EndpointPort(name=k[0] or None, port=k[1], protocol=k[2], appProtocol=k[3] or None)
                    for k in sorted(port_keys)
                    if k
                ),
            )
        )
    return tuple(sorted(subsets, key=lambda s: [(p.name or "", p.port) for p in s.ports]))


EndpointAddressKey = tuple[str, str]


def _address(service: Service, pod: Pod, ip: str) -> EndpointAddress:
    return EndpointAddress(
        ip=ip,
        hostname=endpoints_of.hostname(pod, service),
        nodeName=pod.spec.nodeName or None,
        targetRef=ObjectReference(kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid),
    )


def truncate(subsets: tuple[EndpointSubset, ...]) -> tuple[tuple[EndpointSubset, ...], bool]:
    """At most 1000 addresses over all subsets, ready ones first; each subset keeps its share."""
    ready = sum(len(s.addresses) for s in subsets)
    not_ready = sum(len(s.notReadyAddresses) for s in subsets)
    if ready + not_ready <= MAX_ADDRESSES:
        return subsets, False
    ready_kept = min(ready, MAX_ADDRESSES)
    not_ready_kept = MAX_ADDRESSES - ready_kept
    cut = []
    for s in subsets:
        addresses = s.addresses[: _share(len(s.addresses), ready, ready_kept)]
        others = s.notReadyAddresses[: _share(len(s.notReadyAddresses), not_ready, not_ready_kept)]
        if addresses or others:
            cut.append(replace(s, addresses=addresses, notReadyAddresses=others))
    return tuple(cut), True


def _share(part: int, whole: int, kept: int) -> int:
    return part if whole <= kept else part * kept // whole


def _comparable(subsets: tuple[EndpointSubset, ...]) -> Any:
    """Equal for the same endpoints in another order; resourceVersions of targets don't count."""

    def address(a: EndpointAddress) -> tuple[Any, ...]:
        ref = a.targetRef
        return (a.ip, a.nodeName or "", a.hostname or "", ref.uid if ref is not None else "")

    return sorted(
        (
            sorted((p.name or "", p.port, p.protocol or "TCP", p.appProtocol or "") for p in s.ports),
            sorted(map(address, s.addresses)),
            sorted(map(address, s.notReadyAddresses)),
        )
        for s in subsets
    )
