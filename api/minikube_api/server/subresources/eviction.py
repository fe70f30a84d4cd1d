"""pods/eviction: a delete that asks the PodDisruptionBudgets first (policy/v1 Eviction, the eviction API of the documentation)."""

from __future__ import annotations

import orjson

from minikube_api.cache.requests import ListRequest, Selection
from minikube_api.meta import objects, selectors
from minikube_api.meta.errors import BadRequest, Forbidden, NotFound, StatusError, TooManyRequests
from minikube_api.resources.resource import Registry, Resource
from minikube_api.schema import builtin
from minikube_api.server import codecs, views
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.deleting import DeleteOptions, Deleter
from minikube_api.server.negotiation import View
from minikube_api.server.options import write_options
from minikube_api.server.storage import Changed
from minikube_api.server.writing import WRITE_ATTEMPTS, Write, Writer, too_busy

_SUCCESS = orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
#: pods a budget may have marked and not yet seen gone (MaxDisruptedPodSize)
_MAX_DISRUPTED = 2000
_VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


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
        name = eviction["metadata"].get("name", "")
        if name and name != request.info.name:
            raise BadRequest("name in URL does not match name in Eviction object")
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
        write = self._writer.begin(request, resource, "DELETE", options)
        entry = await self._writer.storage.current(resource, write.namespace, write.name)
        if entry is None:
            raise NotFound.object("pods", write.name)
        pod = entry.tree()
        if not _free_to_go(pod):
            await self._ask_budgets(write, pod, dry_run=deletion.dry_run)
        if not deletion.dry_run:
            await self._mark(write)
        write.subresource = write.context.subresource = ""
        await self._deleter.delete_object(write, deletion)
        return views.encoded(201, _SUCCESS, view)

    async def _mark(self, write: Write) -> None:
        """The DisruptionTarget condition, that tells controllers why the pod went."""
        storage = self._writer.storage
        entry = await storage.current(write.resource, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                raise NotFound.object("pods", write.name)
            pod = entry.tree()
            conditions = pod.setdefault("status", {}).setdefault("conditions", [])
            conditions[:] = [c for c in conditions if c.get("type") != "DisruptionTarget"]
            conditions.append(
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "lastProbeTime": None,
                    "lastTransitionTime": write.context.now,
                    "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting",
                }
            )
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
        labels = objects.labels(pod)
        found = [e for e in page.items if _selects(e.tree(), labels)]
        if not found:
            return
        if len(found) > 1:
            why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise StatusError(why, reason="InternalError", details={"causes": [{"message": why}]})
        entry = found[0]
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                return
            budget = entry.tree()
            if not takes_disruption(budget, pod, write.context.now) or dry_run:
                return
            budget["metadata"].pop("resourceVersion", None)
            try:
                await storage.put(budgets, write.namespace, entry.name, budget, expect=entry.revision)
                return
            except Changed as error:
                entry = error.current
        raise too_busy()


def _free_to_go(pod: Object) -> bool:
    """Pods that run nothing, or are on their way out already, ask nobody."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or objects.is_deleting(pod)


def _selects(budget: Object, labels: dict[str, str]) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and selectors.from_label_selector(selector).matches(labels)


def takes_disruption(budget: Object, pod: Object, now: str) -> bool:
    """Count the eviction against the budget, in place; False when it does not count. Raises TooManyRequests and Forbidden."""
    name = budget["metadata"]["name"]
    spec, status = budget.get("spec") or {}, budget.setdefault("status", {})
    healthy, desired = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    if not _ready(pod):
        policy = spec.get("unhealthyPodEvictionPolicy") or "IfHealthyBudget"
        if policy == "AlwaysAllow" or (healthy >= desired and desired > 0):
            return False
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise Forbidden(f'poddisruptionbudgets.policy "{name}" is forbidden: pdb disruptions allowed is negative')
    if len(status.get("disruptedPods") or {}) > _MAX_DISRUPTED:
        raise Forbidden(
            f'poddisruptionbudgets.policy "{name}" is forbidden: DisruptedPods map too big - too many evictions not confirmed by PDB controller'
        )
    if allowed == 0:
        raise _refused(f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently", None)
    status["disruptionsAllowed"] = allowed - 1
    status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = now
    return True


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _refused(why: str, retry_after: int | None) -> TooManyRequests:
    causes = [{"reason": "DisruptionBudget", "message": why}]
    return TooManyRequests(_VIOLATED, details={"causes": causes}, retry_after_seconds=retry_after)
