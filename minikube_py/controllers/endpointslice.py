"""EndpointSlice controller: slices for every Service with a selector. Planning is in `slices`."""

from __future__ import annotations

from collections.abc import Sequence

from minikube_api.client.client import Client
from minikube_api.meta.errors import NotFound, StatusError
from minikube_api.schema.typed.core_v1 import Node, Pod, Service
from minikube_api.schema.typed.discovery_v1 import EndpointSlice
from minikube_py.controllers import endpoints_of, owners, slices
from minikube_py.controllers.pending import PendingWrites
from minikube_py.controllers.runner import Context, Controller, Key, Result, key_of, namespace_terminating

SERVICE_INDEX = "service"


def service_of(slice_: EndpointSlice) -> tuple[str, ...]:
    """Index of slices: by the service they belong to and who manages them."""
    labels = slice_.metadata.labels
    name, by = labels.get(slices.SERVICE_NAME), labels.get(slices.MANAGED_BY)
    return (f"{by} {slice_.metadata.namespace}/{name}",) if name and by else ()


class EndpointSliceController(Controller):
    name = "endpointslice-controller"
    identity = "endpointslice-controller"
    component = "endpoint-slice-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sizes: dict[Key, int] = {}

    def setup(self) -> None:
        self._services = self.informers.informer(Service)
        self._pods = self.informers.informer(Pod)
        self._nodes = self.informers.informer(Node)
        self._slices = self.informers.informer(EndpointSlice)
        self._services.add_index(endpoints_of.SELECTOR_INDEX, endpoints_of.selector_entry)
        self._pods.add_index(endpoints_of.LABEL_INDEX, endpoints_of.labels_of)
        self._slices.add_index(SERVICE_INDEX, service_of)
        self._services.on_change(self.enqueue)
        self._pods.on_add(self._pod_changed)
        self._pods.on_delete(self._pod_changed)
        self._pods.on_update(self._pod_updated)
        self._pending = PendingWrites(self._slices, self.clock)
        self._waiting: set[Key] = set()
        self._slices.on_add(self._slice_changed)
        self._slices.on_update(lambda _, new: self._slice_changed(new))
        self._slices.on_delete(lambda slice_: self._slice_changed(slice_, deleted=True))

    def _pod_changed(self, pod: Pod) -> None:
        for service in endpoints_of.services_of(self._services, pod):
            self.enqueue_paced(key_of(service), self._sizes.get(key_of(service), 0))

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if endpoints_of.has_changed(old, new):
            self._pod_changed(new)
            if old.metadata.labels != new.metadata.labels:
                self._pod_changed(old)

    def _slice_changed(self, slice_: EndpointSlice, *, deleted: bool = False) -> None:
        labels = slice_.metadata.labels
        if labels.get(slices.MANAGED_BY) != slices.CONTROLLER or slices.SERVICE_NAME not in labels:
            return
        key = Key(slice_.metadata.namespace, labels[slices.SERVICE_NAME])
        is_own = self._pending.observe(key, slice_, deleted=deleted)
        if key in self._waiting or not is_own:
            self._waiting.discard(key)
            self.queue.add(key)

    async def reconcile(self, key: Key) -> Result | None:
        service = self._services.get(*key)
        if service is None:
            self._sizes.pop(key, None)
        if service is None or not service.spec.selector or service.spec.type == "ExternalName":
            return None  # slices of a deleted service are the garbage collector's
        if service.metadata.deletionTimestamp is not None:
            return None
        if self._pending.is_behind(key):
            self._waiting.add(key)  # the event of the missing write enqueues it again
            return Result(1.0)
        existing = self._slices.index(SERVICE_INDEX, f"{slices.CONTROLLER} {key}")
        selected = endpoints_of.selected_pods(self._pods, service)
        self._sizes[key] = len(selected)
        nodes = {name: self._nodes.get("", name) for name in {pod.spec.nodeName or "" for pod in selected}}
        plan = slices.Plan()
        families = endpoints_of.families(service)
        plan.delete += [s for s in existing if s.addressType not in families]
        for family in families:
            part = slices.plan(
                slices.wanted_of(service, selected, nodes, family),
                [s for s in existing if s.addressType == family],
                address_type=family,
                name=service.metadata.name,
                namespace=service.metadata.namespace,
                labels=slices.labels_of(service),
                owner=owners.controller_reference(service),
            )
            plan.create += part.create
            plan.update += part.update
            plan.delete += part.delete
        try:
            await carry_out(self.client, plan, key, self._pending)
        except (StatusError, OSError) as error:
            message = f"Error updating Endpoint Slices for Service {key}: {error}"
            self.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise
        return None


async def carry_out(client: Client, plan: slices.Plan, key: Key, pending: PendingWrites) -> None:
    """Creations first: endpoints that move between slices are never missing in between."""
    for slice_ in plan.create:
        try:
            pending.written(key, await client.create(slice_))
        except StatusError as error:
            if not namespace_terminating(error):
                raise
    for slice_ in plan.update:
        pending.written(key, await client.update(slice_))
    await delete_slices(client, plan.delete, key, pending)


async def delete_slices(client: Client, doomed: Sequence[EndpointSlice], key: Key, pending: PendingWrites) -> None:
    for slice_ in doomed:
        pending.deleting(key, slice_)
        try:
            await client.delete(EndpointSlice, slice_.metadata.name, namespace=slice_.metadata.namespace)
        except NotFound:
            pending.not_deleted(key, slice_)  # gone already, which is what was wanted
        except BaseException:
            pending.not_deleted(key, slice_)
            raise
