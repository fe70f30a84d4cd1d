"""pods/binding and bindings: the scheduler's word on where a pod runs, written straight to the pod (pod registry, BindingREST)."""

from __future__ import annotations

import orjson

from minikube_api.meta import objects
from minikube_api.meta.errors import NotFound
from minikube_api.resources.pods import subresources
from minikube_api.resources.resource import Resource
from minikube_api.schema import builtin
from minikube_api.server import codecs, views
from minikube_api.server.context import Answer, Request
from minikube_api.server.negotiation import View
from minikube_api.server.options import write_options
from minikube_api.server.storage import Changed
from minikube_api.server.writing import WRITE_ATTEMPTS, Writer, too_busy

_SUCCESS = orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


class Bindings:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._pods: Resource | None = None

    async def serve(self, request: Request, resource: Resource, view: View) -> Answer:
        options = write_options(request, "CreateOptions")
        body = await request.read_body()
        schema = builtin.load("", "v1", "Binding")
        binding = codecs.decode_kind(body, request, schema, "Binding", "v1", options.field_validation)
        name = request.info.name or objects.name(binding)
        subresources.check_binding(binding, name)
        pods = resource if resource.plural == "pods" else self._pods_of(request)
        write = self._writer.begin(request, pods, "CREATE", options)
        write.name = write.context.name = name
        write.subresource = write.context.subresource = "binding"
        write.kind = ("", "v1", "Binding")
        await self._writer.mutate(write, binding)
        await self._writer.validate(write, binding)
        storage = self._writer.storage
        entry = await storage.current(pods, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                raise NotFound.object("pods", write.name)
            pod = subresources.bind(entry.tree(), binding, write.context.now)
            if options.dry_run:
                break
            pod["metadata"].pop("resourceVersion", None)
            try:
                await storage.put(pods, write.namespace, write.name, pod, expect=entry.revision)
                break
            except Changed as error:
                entry = error.current
        else:
            raise too_busy()
        return views.encoded(201, _SUCCESS, view)

    def _pods_of(self, request: Request) -> Resource:
        if self._pods is None:
            raise NotFound.object("pods", request.info.name)
        return self._pods

    def use(self, pods: Resource) -> None:
        """The Pod resource, for the bindings collection, whose requests do not name it."""
        self._pods = pods
