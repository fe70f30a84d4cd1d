"""pods/binding and bindings: the scheduler's word on where a pod runs, written straight to the pod (pod registry, BindingREST)."""

from __future__ import annotations

import orjson

from minikube_api.meta import field_errors, objects
from minikube_api.meta.errors import BadRequest, Conflict, NotFound, StatusError
from minikube_api.resources.resource import Resource
from minikube_api.schema import builtin
from minikube_api.server import codecs, views
from minikube_api.server.context import Answer, Object, Request
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
        name = binding["metadata"].get("name", "")
        if request.info.name and name and name != request.info.name:
            raise BadRequest("name in URL does not match name in Binding object")
        _check(binding)
        pods = resource if resource.plural == "pods" else self._pods_of(request)
        write = self._writer.begin(request, pods, "CREATE", options)
        write.name = write.context.name = request.info.name or name
        write.subresource = write.context.subresource = "binding"
        await self._writer.mutate(write, binding)
        await self._writer.validate(write, binding)
        storage = self._writer.storage
        entry = await storage.current(pods, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                raise NotFound.object("pods", write.name)
            pod = entry.tree()
            assign(pod, binding, write.context.now)
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


def _check(binding: Object) -> None:
    target = binding.get("target") or {}
    problems = []
    if target.get("kind") not in (None, "", "Node"):
        problems.append(field_errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        problems.append(field_errors.required("target.name"))
    if problems:
        texts = [str(problem) for problem in problems]
        # an aggregate of field errors that nobody made an API error of: a plain 500, as in kube-apiserver
        raise StatusError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]", reason="")


def assign(pod: Object, binding: Object, now: str) -> None:
    """Write the binding into the pod. Raises Conflict when it can't be bound."""
    name = pod["metadata"]["name"]
    spec = pod["spec"]
    uid = binding["metadata"].get("uid")
    if uid and uid != pod["metadata"].get("uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod['metadata'].get('uid')}"
        raise Conflict.object("pods/binding", name, why=why)
    if objects.is_deleting(pod):
        raise Conflict.object("pods/binding", name, why=f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        raise Conflict.object("pods/binding", name, why=why)
    if spec.get("schedulingGates"):
        raise Conflict.object("pods/binding", name, why=f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for part in ("annotations", "labels"):
        given = binding["metadata"].get(part)
        if given:
            pod["metadata"][part] = {**(pod["metadata"].get(part) or {}), **given}
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    for i, condition in enumerate(conditions):
        if condition.get("type") == "PodScheduled":
            if condition.get("status") == "True":
                scheduled["lastTransitionTime"] = condition.get("lastTransitionTime")
            conditions[i] = scheduled
            return
    conditions.append(scheduled)
