"""Deletion: grace periods, finalizers, preconditions, propagation, collections.

Sources: the registry's `BeforeDelete` and `updateForGracefulDeletionAndFinalizers`, the pod strategy's `CheckGracefulDelete`,
the namespace registry, and the garbage collection page of the documentation. What is decided is pure (`plan`); `Deleter` acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from minikube_api.cache.entries import Entry
from minikube_api.cache.requests import ListRequest, Selection
from minikube_api.meta import field_errors, times
from minikube_api.meta.errors import Conflict, FieldError, Invalid, NotFound
from minikube_api.resources.resource import Resource
from minikube_api.server import codecs, reading, views
from minikube_api.server.context import Answer, Object, Request, truthy
from minikube_api.server.negotiation import View
from minikube_api.server.options import WriteOptions, dry_run_problems, list_options
from minikube_api.server.storage import Changed
from minikube_api.server.writing import WRITE_ATTEMPTS, Write, Writer, too_busy, with_revision

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"

#: kinds that answer a delete with the object instead of a Status (ReturnDeletedObject)
RETURNS_OBJECT = frozenset(
    {
        ("", "persistentvolumeclaims"),
        ("", "persistentvolumes"),
        ("", "pods"),
        ("", "podtemplates"),
        ("", "resourcequotas"),
        ("", "serviceaccounts"),
        ("", "services"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "resourceclaims"),
        ("resource.k8s.io", "resourceclaimtemplates"),
        ("resource.k8s.io", "resourceslices"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "volumeattributesclasses"),
    }
)
#: kinds whose dependents are orphaned unless the request says otherwise (DefaultGarbageCollectionPolicy)
_ORPHANS = frozenset({("batch", "v1", "jobs")})


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    grace_period: int | None = None
    propagation: str = ""
    orphan: bool | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def delete_options(request: Request, body: bytes) -> DeleteOptions:
    """From the body if there is one, else from the query, as kube-apiserver does. Raises BadRequest and Invalid."""
    tree: Object = {}
    if body:
        tree = codecs.decode_options(body, request, "DeleteOptions")
    else:
        query = request.query
        if (grace := request.integer("gracePeriodSeconds")) is not None:
            tree["gracePeriodSeconds"] = grace
        if "propagationPolicy" in query:
            tree["propagationPolicy"] = query["propagationPolicy"]
        if "orphanDependents" in query:
            tree["orphanDependents"] = truthy(query["orphanDependents"])
        if "dryRun" in query:
            tree["dryRun"] = request.values("dryRun")
        tree["preconditions"] = {key: query[key] for key in ("uid", "resourceVersion") if query.get(key)}
    preconditions = tree.get("preconditions") or {}
    options = DeleteOptions(
        tree.get("gracePeriodSeconds"),
        tree.get("propagationPolicy") or "",
        tree.get("orphanDependents"),
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        bool(tree.get("dryRun")),
    )
    errors = _problems(tree.get("propagationPolicy"), options.orphan, tree.get("dryRun") or [])
    if errors:
        raise Invalid.object("meta.k8s.io", "DeleteOptions", "", errors)
    return options


def options_seen(options: DeleteOptions) -> Object:
    """The DeleteOptions that admission sees."""
    made: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    if options.grace_period is not None:
        made["gracePeriodSeconds"] = options.grace_period
    conditions = {"uid": options.uid, "resourceVersion": options.resource_version}
    if asked := {key: value for key, value in conditions.items() if value}:
        made["preconditions"] = asked
    if options.orphan is not None:
        made["orphanDependents"] = options.orphan
    if options.propagation:
        made["propagationPolicy"] = options.propagation
    if options.dry_run:
        made["dryRun"] = ["All"]
    return made


def _problems(policy: str | None, orphan: bool | None, dry_run: list[str]) -> list[FieldError]:
    """ValidateDeleteOptions."""
    errors: list[FieldError] = []
    if policy is not None and orphan is not None:
        errors.append(
            field_errors.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if policy not in (None, "Orphan", "Foreground", "Background"):
        errors.append(field_errors.not_supported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]))
    return errors + dry_run_problems(dry_run)


@dataclass(slots=True)
class Plan:
    """`mark`: write `obj` first; `delete`: then remove the object; neither: nothing is left to do."""

    obj: Object
    mark: bool
    delete: bool


def plan(resource: Resource, obj: Object, options: DeleteOptions, now: str) -> Plan:
    """What a delete does to `obj` (an own tree, changed in place)."""
    meta = obj["metadata"]
    check_preconditions(resource, meta, options)
    graceful, pending = _grace(resource, obj, options, now)
    if pending:
        return Plan(obj, mark=False, delete=False)
    finalizers = _finalizers(resource, meta.get("finalizers") or [], options)
    changed = finalizers != (meta.get("finalizers") or [])
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    if graceful is None:
        if not finalizers:
            return Plan(obj, mark=False, delete=True)
        marked = _mark(meta, now)
        return Plan(obj, mark=marked or changed, delete=False)
    return Plan(obj, mark=True, delete=not finalizers and graceful == 0)


def _mark(meta: Object, now: str) -> bool:
    """markAsDeleting. Says whether anything changed."""
    if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") == 0:
        return False
    if not meta.get("deletionTimestamp"):
        if meta.get("generation"):
            meta["generation"] += 1
        meta["deletionTimestamp"] = now
    meta["deletionGracePeriodSeconds"] = 0
    return True


def check_preconditions(resource: Resource, meta: Object, options: DeleteOptions) -> None:
    if options.uid and options.uid != meta.get("uid"):
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta.get('uid')}). "
            "The object might have been deleted and then recreated"
        )
        raise Conflict.object(resource.kind, meta["name"], resource.storage_version[0], why)
    if options.resource_version and options.resource_version != meta.get("resourceVersion"):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in "
            f"record ({meta.get('resourceVersion')}). The object might have been modified"
        )
        raise Conflict.object(resource.kind, meta["name"], resource.storage_version[0], why)


def _grace(resource: Resource, obj: Object, options: DeleteOptions, now: str) -> tuple[int | None, bool]:
    """(seconds of grace, or None for kinds without; whether a deletion is pending already and stays as it is)."""
    if resource.group or resource.plural != "pods":
        return None, False
    meta = obj["metadata"]
    if meta.get("deletionTimestamp"):
        before = meta.get("deletionGracePeriodSeconds")
        if before is None:
            return None, False
        if options.grace_period is None or options.grace_period >= before:
            return before, True
        period = max(options.grace_period, 0)
        began = times.parse(meta["deletionTimestamp"]) - before
        meta["deletionTimestamp"] = times.format_time(began + period)
        meta["deletionGracePeriodSeconds"] = period
        return period, False
    period = pod_grace(obj, options.grace_period)
    meta["deletionTimestamp"] = times.format_time(times.parse(now) + period)
    meta["deletionGracePeriodSeconds"] = period
    if meta.get("generation"):
        meta["generation"] += 1
    return period, False


def pod_grace(pod: Object, asked: int | None) -> int:
    """The pod strategy's CheckGracefulDelete: none for pods that are not scheduled or have ended."""
    spec = pod.get("spec") or {}
    period = asked
    if period is None:
        period = spec.get("terminationGracePeriodSeconds")
        if period is None:
            period = 30
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    return 1 if period < 0 else period


def _finalizers(resource: Resource, existing: list[str], options: DeleteOptions) -> list[str]:
    """deletionFinalizersForGarbageCollection."""
    kept = [f for f in existing if f not in (ORPHAN, FOREGROUND)]
    policy = options.propagation
    if options.orphan is not None:
        orphan, foreground = options.orphan, False
    elif policy:
        orphan, foreground = policy == "Orphan", policy == "Foreground"
    elif ORPHAN in existing or FOREGROUND in existing:
        orphan, foreground = ORPHAN in existing, FOREGROUND in existing
    else:
        orphan, foreground = (resource.group, resource.version, resource.plural) in _ORPHANS, False
    if orphan:
        kept.append(ORPHAN)
    if foreground:
        kept.append(FOREGROUND)
    return kept


def plan_namespace(resource: Resource, obj: Object, options: DeleteOptions, now: str) -> Plan:
    """Namespaces end in two phases: marked Terminating here, removed when spec.finalizers and metadata.finalizers are empty."""
    meta = obj["metadata"]
    check_preconditions(resource, meta, options)
    if meta.get("deletionTimestamp"):
        if (obj.get("spec") or {}).get("finalizers"):
            return Plan(obj, mark=False, delete=False)
        return Plan(obj, mark=False, delete=not meta.get("finalizers"))
    meta["deletionTimestamp"] = now
    obj.setdefault("status", {})["phase"] = "Terminating"
    finalizers = _finalizers(resource, meta.get("finalizers") or [], options)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    return Plan(obj, mark=True, delete=not finalizers and not (obj.get("spec") or {}).get("finalizers"))


def plan_definition(resource: Resource, obj: Object, options: DeleteOptions, now: str) -> Plan:
    """A CustomResourceDefinition stays, with a finalizer, until its instances are gone (customresourcedefinition/etcd.go)."""
    meta = obj["metadata"]
    if meta.get("deletionTimestamp"):
        return plan(resource, obj, options, now)
    check_preconditions(resource, meta, options)
    from minikube_api.server.crds import naming

    naming.mark_deleted(obj, now)
    return Plan(obj, mark=True, delete=False)


def _planner(resource: Resource) -> Callable[[Resource, Object, DeleteOptions, str], Plan]:
    if not resource.group and resource.plural == "namespaces":
        return plan_namespace
    if resource.group == "apiextensions.k8s.io" and resource.plural == "customresourcedefinitions":
        return plan_definition
    return plan


class Deleter:
    """delete and deletecollection of any Resource."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._storage = writer.storage

    async def delete(self, request: Request, resource: Resource, view: View) -> Answer:
        options = delete_options(request, await request.read_body())
        self._warn_of_orphans(request, resource, options)
        write = self._begin(request, resource, request.info.name, request.info.namespace, options)
        body, gone = await self.delete_object(write, options)
        if gone and not self._returns_object(resource):
            return views.encoded(200, orjson.dumps(_success(resource, write, body)), view)
        return self._writer.answer(write, 200, body, 0, view)

    def _returns_object(self, resource: Resource) -> bool:
        return (resource.group, resource.plural) in RETURNS_OBJECT

    def _begin(self, request: Request, resource: Resource, name: str, namespace: str, options: DeleteOptions) -> Write:
        write = self._writer.begin(request, resource, "DELETE", WriteOptions(dry_run=options.dry_run))
        write.name = write.context.name = name
        write.namespace = write.context.namespace = namespace if resource.namespaced else ""
        return write

    async def delete_object(
        self, write: Write, options: DeleteOptions, entry: Entry | None = None, *, admit: bool = True
    ) -> tuple[bytes, bool]:
        """(the object's last JSON, whether it is gone). Raises NotFound, Conflict and what admission says."""
        resource, storage = write.resource, self._storage
        write.options_tree = options_seen(options)
        if entry is None:
            entry = await storage.current(resource, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                raise NotFound.object(resource.plural, write.name, resource.storage_version[0])
            await self._writer.base_on(write, entry)
            if admit:
                await self._writer.validate_delete(write)
            obj = await views.tree_of(resource, entry)
            decided = _planner(resource)(resource, obj, options, write.context.now)
            try:
                return await self._act(write, entry, decided)
            except Changed as error:
                entry = error.current
        raise too_busy()

    async def _act(self, write: Write, entry: Entry, decided: Plan) -> tuple[bytes, bool]:
        resource, storage, obj = write.resource, self._storage, decided.obj
        revision: int = entry.revision
        body = with_revision(obj, revision)
        if write.options.dry_run:
            return body, decided.delete
        if decided.mark:
            stored = await views.to_stored(resource, _without_revision(obj))
            body, revision = await storage.put(resource, write.namespace, write.name, stored, expect=revision)
            if not views.stored_here(resource):
                body = with_revision(obj, revision)
        if decided.delete:
            await storage.delete(resource, write.namespace, write.name, expect=revision)
            self._writer.give_back(write, obj)
        return body, decided.delete

    def _warn_of_orphans(self, request: Request, resource: Resource, options: DeleteOptions) -> None:
        if (resource.group, resource.version, resource.plural) in _ORPHANS and not options.propagation and options.orphan is None:
            request.warn(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
                "or set propagationPolicy=Orphan to suppress this warning"
            )

    async def delete_collection(self, request: Request, resource: Resource, view: View) -> Answer:
        body = await request.read_body()
        options = delete_options(request, body)
        chosen = list_options(request)
        selection: Selection = reading.selection_of(resource, chosen, request.info.namespace)
        page = await self._storage.cacher(resource).list(
            ListRequest(selection=selection, limit=chosen.limit, continue_token=chosen.continue_)
        )
        self._warn_of_orphans(request, resource, options)
        for entry in page.items:
            write = self._begin(request, resource, entry.name, entry.namespace, options)
            try:
                await self.delete_object(write, options, entry)
            except NotFound:
                continue
        metadata: Object = {"resourceVersion": str(page.revision)}
        if page.continue_token:
            metadata["continue"] = page.continue_token
        bodies = None
        if not views.stored_here(resource):
            bodies = [views.ordered(await views.tree_of(resource, entry)) for entry in page.items]
        return views.encoded(200, await views.list_body(resource, page.items, bodies, metadata, view, ""), view)


def _without_revision(obj: Object) -> Object:
    obj["metadata"].pop("resourceVersion", None)
    return obj


def _success(resource: Resource, write: Write, body: bytes) -> Object:
    details: dict[str, Any] = {"name": write.name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = orjson.loads(body)["metadata"].get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
