"""EndpointSliceMirroring controller: Endpoints that a user keeps for a Service without selector, as EndpointSlices (KEP-752)."""

from __future__ import annotations

from typing import Any, Final

from minikube_api.meta.errors import StatusError
from minikube_api.schema.typed.core_v1 import EndpointAddress, Endpoints, Service
from minikube_api.schema.typed.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from minikube_py.controllers import endpoints_of, owners, slices
from minikube_py.controllers.endpointslice import SERVICE_INDEX, carry_out, delete_slices, service_of
from minikube_py.controllers.pending import PendingWrites
from minikube_py.controllers.runner import Controller, Key, Result

CONTROLLER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
#: Addresses of one subset beyond this are left out.
MAX_PER_SUBSET: Final = 1000


class EndpointSliceMirroringController(Controller):
    name = "endpointslice-mirroring-controller"
    identity = "endpointslicemirroring-controller"
    component = "endpoint-slice-mirroring-controller"

    def setup(self) -> None:
        self._services = self.informers.informer(Service)
        self._endpoints = self.informers.informer(Endpoints)
        self._slices = self.informers.informer(EndpointSlice)
        self._slices.add_index(SERVICE_INDEX, service_of)
        self._endpoints.on_change(self.enqueue)
        self._services.on_change(self.enqueue)
        self._pending = PendingWrites(self._slices, self.clock)
        self._slices.on_add(self._slice_changed)
        self._slices.on_update(lambda _, new: self._slice_changed(new))
        self._slices.on_delete(lambda slice_: self._slice_changed(slice_, deleted=True))

    def _slice_changed(self, slice_: EndpointSlice, *, deleted: bool = False) -> None:
        labels = slice_.metadata.labels
        if labels.get(slices.MANAGED_BY) == CONTROLLER and slices.SERVICE_NAME in labels:
            key = Key(slice_.metadata.namespace, labels[slices.SERVICE_NAME])
            self._pending.observe(key, slice_, deleted=deleted)
            self.queue.add(key)

    async def reconcile(self, key: Key) -> Result | None:
        if self._pending.is_behind(key):
            return Result(1.0)  # the event of the missing write enqueues it before
        existing = self._slices.index(SERVICE_INDEX, f"{CONTROLLER} {key}")
        endpoints, service = self._endpoints.get(*key), self._services.get(*key)
        if endpoints is None or service is None or service.spec.selector or not should_mirror(endpoints):
            await delete_slices(self.client, existing, key, self._pending)
            return None
        plan = slices.Plan()
        labels = endpoints_of.without(endpoints.metadata.labels, (slices.SERVICE_NAME, slices.MANAGED_BY))
        labels |= {slices.SERVICE_NAME: key.name, slices.MANAGED_BY: CONTROLLER}
        annotations = endpoints_of.without(
            endpoints.metadata.annotations,
            ("kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time"),
        )
        for family in ("IPv4", "IPv6"):
            wanted = mirrored(endpoints, family)
            present = [s for s in existing if s.addressType == family]
            if not wanted:
                plan.delete += present
                continue
            part = slices.plan(
                wanted,
                present,
                address_type=family,
                name=key.name,
                namespace=key.namespace,
                labels=labels,
                owner=owners.controller_reference(endpoints),
                annotations=annotations,
            )
            plan.create += part.create
            plan.update += part.update
            plan.delete += part.delete
        try:
            await carry_out(self.client, plan, key, self._pending)
        except (StatusError, OSError) as error:
            message = f"Error updating mirrored EndpointSlices for Endpoints {key}: {error}"
            self.recorder.event(endpoints, "Warning", "FailedToUpdateEndpointSlices", message)
            raise
        return None


def should_mirror(endpoints: Endpoints) -> bool:
    return endpoints.metadata.labels.get(SKIP_MIRROR) != "true" and LEADER not in endpoints.metadata.annotations


def mirrored(endpoints: Endpoints, family: str) -> slices.Wanted:
    """The subsets' addresses of one family, grouped by ports. Pure."""
    groups: slices.Wanted = {}
    for subset in endpoints.subsets:
        ports = tuple(
            EndpointPort(name=p.name or "", port=p.port, protocol=p.protocol or "TCP", appProtocol=p.appProtocol)
            for p in subset.ports
        )
        listed: dict[Any, Endpoint] = {}
        for address, is_ready in (
            *((a, True) for a in subset.addresses),
            *((a, False) for a in subset.notReadyAddresses),
        ):
            if endpoints_of.family(address.ip) == family and len(listed) < MAX_PER_SUBSET:
                endpoint = _endpoint(address, is_ready)
                listed[slices.identity(endpoint)] = endpoint
        if listed:
            groups.setdefault(slices.ports_key(ports), (ports, {}))[1].update(listed)
    return groups


def _endpoint(address: EndpointAddress, is_ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(address.ip,),
        conditions=EndpointConditions(ready=is_ready),
        hostname=address.hostname or None,
        nodeName=address.nodeName or None,
        targetRef=address.targetRef,
    )
