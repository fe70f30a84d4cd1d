"""Namespace controller: empties a namespace that is being deleted, says how far it is, and finalizes it.

Source: pkg/controller/namespace/deletion. Contents are found by discovery, so custom resources count too. Pods go first (KEP-5080: policies
and secrets must outlive the pods that they guard).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from minikube_api.client.raw import METADATA_LIST
from minikube_api.meta import conditions, times
from minikube_api.meta.errors import Conflict, MethodNotAllowed, NotFound, StatusError
from minikube_api.schema.typed.core_v1 import Namespace, Pod
from minikube_py.controllers.discovery import Discovered, ServedResource, discover
from minikube_py.controllers.runner import Controller, Key, Result

FINALIZER: Final = "kubernetes"
#: Seconds that content with finalizers is given, as Kubernetes estimates.
FINALIZER_ESTIMATE: Final = 15


@dataclass(slots=True)
class Progress:
    """What one pass over the contents found."""

    discovery_failures: list[str] = field(default_factory=list)
    content_failures: list[str] = field(default_factory=list)
    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    estimate: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.remaining and not self.content_failures and not self.discovery_failures


class NamespaceController(Controller):
    name = "namespace-controller"
    identity = "namespace-controller"
    workers = 10

    def setup(self) -> None:
        self._namespaces = self.informers.informer(Namespace)
        self._pods = self.informers.informer(Pod)
        self._namespaces.on_add(self._changed)
        self._namespaces.on_update(lambda _, new: self._changed(new))
        self._pods.on_delete(self._pod_deleted)

    def _changed(self, namespace: Namespace) -> None:
        if namespace.metadata.deletionTimestamp is not None:
            self.enqueue(namespace)

    def _pod_deleted(self, pod: Pod) -> None:
        """The rest of a namespace waits for its last pod."""
        namespace = self._namespaces.get("", pod.metadata.namespace)
        if namespace is not None and not self._pods.list(pod.metadata.namespace):
            self._changed(namespace)

    async def reconcile(self, key: Key) -> Result | None:
        try:
            namespace = await self.client.raw.get(f"/api/v1/namespaces/{key.name}")
        except NotFound:
            return None
        if not namespace["metadata"].get("deletionTimestamp"):
            return None
        if (namespace.get("status") or {}).get("phase") != "Terminating":
            namespace = await self._write_status(namespace, {"phase": "Terminating"})
        if not (namespace.get("spec") or {}).get("finalizers"):
            return None
        progress = await self._empty(key.name)
        wanted = with_progress((namespace.get("status") or {}).get("conditions"), progress, times.now(self.clock))
        if wanted != (namespace.get("status") or {}).get("conditions"):
            namespace = await self._write_status(namespace, {"conditions": wanted})
        if progress.content_failures or progress.discovery_failures:
            raise RuntimeError(f"namespace {key.name}: {', '.join(progress.content_failures + progress.discovery_failures)}")
        if progress.remaining:
            return Result(progress.estimate / 2 + 1)
        await self._finalize(namespace)
        return None

    async def _write_status(self, namespace: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        body = {**namespace, "status": {**(namespace.get("status") or {}), **status}}
        path = f"/api/v1/namespaces/{namespace['metadata']['name']}/status"
        return await self.client.raw.update(path, body)

    async def _finalize(self, namespace: dict[str, Any]) -> None:
        left = [f for f in namespace["spec"].get("finalizers") or () if f != FINALIZER]
        body = {**namespace, "spec": {**namespace["spec"], "finalizers": left}}
        try:
            await self.client.raw.update(f"/api/v1/namespaces/{namespace['metadata']['name']}/finalize", body)
        except NotFound:
            pass  # gone, which is what was wanted
        except Conflict as error:
            if "UID" not in error.message:
                raise

    async def _empty(self, namespace: str) -> Progress:
        """Delete all contents; what is left is counted."""
        progress = Progress()
        try:
            discovered = await discover(self.client.raw)
        except StatusError as error:
            progress.discovery_failures.append(str(error))
            return progress
        progress.discovery_failures += discovered.failures
        contents = deletable(discovered)
        pods = [r for r in contents if r.qualified == "pods"]
        for resource in pods:
            await self._empty_one(namespace, resource, progress)
        if progress.remaining or progress.content_failures:
            return progress
        for resource in contents:
            if resource not in pods:
                await self._empty_one(namespace, resource, progress)
        return progress

    async def _empty_one(self, namespace: str, resource: ServedResource, progress: Progress) -> None:
        try:
            items = await self._list(namespace, resource)
            if items:
                await self._delete(namespace, resource, items)
                items = await self._list(namespace, resource)
        except (NotFound, MethodNotAllowed):
            return  # the resource went away (a CRD was deleted)
        except StatusError as error:
            progress.content_failures.append(f"{resource.qualified}: {error}")
            return
        if not items:
            return
        progress.remaining[resource.qualified] = len(items)
        for item in items:
            for finalizer in item["metadata"].get("finalizers") or ():
                progress.finalizers[finalizer] = progress.finalizers.get(finalizer, 0) + 1
                progress.estimate = max(progress.estimate, FINALIZER_ESTIMATE)
            if resource.qualified == "pods":
                grace = item["metadata"].get("deletionGracePeriodSeconds") or 0
                progress.estimate = max(progress.estimate, grace)

    async def _list(self, namespace: str, resource: ServedResource) -> list[dict[str, Any]]:
        answer = await self.client.raw.get(resource.path(namespace), accept=METADATA_LIST + ",application/json")
        return answer.get("items") or []

    async def _delete(self, namespace: str, resource: ServedResource, items: list[dict[str, Any]]) -> None:
        options = {"propagationPolicy": "Background"}
        if "deletecollection" in resource.verbs:
            await self.client.raw.delete(resource.path(namespace), options)
            return
        for item in items:
            try:
                await self.client.raw.delete(resource.path(namespace, item["metadata"]["name"]), options)
            except NotFound:
                pass  # gone already


def deletable(discovered: Discovered) -> list[ServedResource]:
    """Namespaced resources that can be listed and deleted, each once."""
    return [r for r in discovered.preferred(("list", "delete")) if r.namespaced]


def with_progress(current: list[dict[str, Any]] | None, progress: Progress, now: str) -> list[dict[str, Any]]:
    """The namespace's five deletion conditions after a pass. Pure; a condition that is as before keeps its time."""
    result = list(current or ())
    for new in conditions_of(progress):
        old = conditions.find(result, new["type"])
        if old is not None and all(old.get(k) == v for k, v in new.items()):
            continue
        result = conditions.with_condition(result, new, now=now)
    return result


def conditions_of(progress: Progress) -> list[dict[str, str]]:
    def condition(type: str, failed: str, ok: tuple[str, str], bad_reason: str) -> dict[str, str]:
        reason, message = (bad_reason, failed) if failed else ok
        return {"type": type, "status": "True" if failed else "False", "reason": reason, "message": message}

    def failures(prefix: str, errors: list[str]) -> str:
        return f"{prefix}, {len(errors)} remaining: {', '.join(errors)}" if errors else ""

    remaining = ", ".join(f"{name} has {n} resource instances" for name, n in sorted(progress.remaining.items()))
    finalizers = ", ".join(f"{name} in {n} resource instances" for name, n in sorted(progress.finalizers.items()))
    return [
        condition(
            "NamespaceDeletionDiscoveryFailure",
            failures("Discovery failed for some groups", progress.discovery_failures),
            ("ResourcesDiscovered", "All resources successfully discovered"),
            "DiscoveryFailed",
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            "GroupVersionParsingFailed",
        ),
        condition(
            "NamespaceDeletionContentFailure",
            failures("Failed to delete all resource types", progress.content_failures),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            "ContentDeletionFailed",
        ),
        condition(
            "NamespaceContentRemaining",
            f"Some resources are remaining: {remaining}" if remaining else "",
            ("ContentRemoved", "All content successfully removed"),
            "SomeResourcesRemain",
        ),
        condition(
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {finalizers}" if finalizers else "",
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            "SomeFinalizersRemain",
        ),
    ]
