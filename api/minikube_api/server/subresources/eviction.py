"""pods/eviction: a delete that asks the PodDisruptionBudgets first (policy/v1 Eviction, the eviction API of the documentation)."""

from __future__ import annotations

import orjson

from minikube_api.cache.requests import ListRequest, Selection
from minikube_api.meta import objects
from minikube_api.meta.errors import NotFound
from minikube_api.resources.pods import subresources
from minikube_api.resources.resource import Registry, Resource
from minikube_api.schema import builtin
from minikube_api.server import codecs, views
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.deleting import DeleteOptions, Deleter
from minikube_api.server.negotiation import View
from minikube_api.server.options import WriteOptions, write_options
from minikube_api.server.storage import Changed
from minikube_api.server.writing import WRITE_ATTEMPTS, Write, Writer, too_busy

_SUCCESS = orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


class Evictions:
    def __init__(self, writer: Writer, deleter: Deleter, registry: Registry) -> None:
        self._writer = writer
        self._deleter = deleter
        self._registry = registry

    async def serve(self, request: Request, resource: Resource, view: View) -> Answer:
        options = write_options(request, "CreateOptions")
        body = await request.read_body()
        schema = builtin.load("policy", "v1", "Eviction")
        eviction = codecs.decode_kind(body, request, schema, "Eviction", "policy/v1", options.field_validation)
        subresources.check_eviction(eviction, request.info.name)
        asked = eviction.get("deleteOptions") or {}
        preconditions = asked.get("preconditions") or {}
        deletion = DeleteOptions(
            asked.get("gracePeriodSeconds"),
            asked.get("propagationPolicy") or "",
            asked.get("orphanDependents"),
            preconditions.get("uid") or "",
            preconditions.get("resourceVersion") or "",
            options.dry_run or bool(asked.get("dryRun")),
        )
        await self._admit(request, resource, eviction, options)
        write = self._writer.begin(request, resource, "DELETE", options)
        entry = await self._writer.storage.current(resource, write.namespace, write.name)
        if entry is None:
            raise NotFound.object("pods", write.name)
        pod = entry.tree()
        if not subresources.ignores_budget(pod):
            await self._ask_budgets(write, pod, dry_run=deletion.dry_run)
        if not deletion.dry_run:
            await self._mark(write)
        write.subresource = write.context.subresource = ""
        await self._deleter.delete_object(write, deletion, admit=False)
        return views.encoded(201, _SUCCESS, view)

    async def _admit(self, request: Request, resource: Resource, eviction: Object, options: WriteOptions) -> None:
        """An eviction is admitted as the creation of an Eviction; the deletion that follows is not asked about again."""
        write = self._writer.begin(request, resource, "CREATE", options)
        attributes = self._writer.attributes(write, eviction)
        await self._writer.admission.admit(attributes)
        await self._writer.admission.validate(attributes)

    async def _mark(self, write: Write) -> None:
        """The DisruptionTarget condition, that tells controllers why the pod went."""
        storage = self._writer.storage
        entry = await storage.current(write.resource, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                raise NotFound.object("pods", write.name)
            pod = subresources.mark_evicted(entry.tree(), write.context.now)
            pod["metadata"].pop("resourceVersion", None)
            try:
                await storage.put(write.resource, write.namespace, write.name, pod, expect=entry.revision)
                return
            except Changed as error:
                entry = error.current
        raise too_busy()

    async def _ask_budgets(self, write: Write, pod: Object, *, dry_run: bool) -> None:
        budgets = self._registry.get("policy", "v1", "poddisruptionbudgets")
        if budgets is None:
            return
        storage = self._writer.storage
        page = await storage.cacher(budgets).list(ListRequest(selection=Selection(namespace=write.namespace)))
        trees = [entry.tree() for entry in page.items]
        chosen = subresources.one_budget(subresources.budgets_of(pod, trees))
        if chosen is None:
            return
        name = objects.name(chosen)
        entry = await storage.current(budgets, write.namespace, name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                return
            budget = entry.tree()
            if subresources.spared_by_health(pod, budget):
                return
            subresources.take_disruption(budget, write.name, write.context.now)
            if dry_run:
                return
            budget["metadata"].pop("resourceVersion", None)
            try:
                await storage.put(budgets, write.namespace, name, budget, expect=entry.revision)
                return
            except Changed as error:
                entry = error.current
        raise too_busy()
