"""What plug-ins read of the cluster: objects through the caches, decoded once per revision. Never modify what it gives."""

from __future__ import annotations

from minikube_api.cache.entries import Entry
from minikube_api.cache.requests import Selection
from minikube_api.meta.errors import Forbidden, qualified
from minikube_api.resources.resource import Registry, Resource
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation
from minikube_api.server.storage import Storage

_REMEMBERED = 2048


class Lister:
    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry
        self._trees: dict[tuple[str, int], Object] = {}

    def resource(self, group: str, plural: str) -> Resource | None:
        return self._registry.get(group, "v1", plural)

    async def get(self, group: str, plural: str, namespace: str, name: str) -> Object | None:
        """The newest object the cache has; one that it lacks is looked for in what the store has now."""
        resource = self.resource(group, plural)
        if resource is None:
            return None
        entry = await self._storage.current(resource, namespace, name)
        return None if entry is None else self._tree(entry)

    async def list(self, group: str, plural: str, namespace: str = "") -> list[Object]:
        resource = self.resource(group, plural)
        if resource is None:
            return []
        cacher = self._storage.cacher(resource)
        await cacher.load()
        matches = Selection(namespace=namespace).matches
        prefix = f"{cacher.prefix}{namespace}/" if namespace and resource.namespaced else cacher.prefix
        end = prefix[:-1] + "0"
        return [self._tree(e) for e in cacher.index.span(prefix, end) if matches(e)]

    def _tree(self, entry: Entry) -> Object:
        key = (entry.key, entry.revision)
        found = self._trees.get(key)
        if found is None:
            if len(self._trees) >= _REMEMBERED:
                self._trees.clear()
            found = self._trees[key] = entry.tree()
        return found


class Plugin:
    """Base of plug-ins: handles create and update of anything, changes and refuses nothing."""

    name = ""
    operations: frozenset[Operation] = frozenset({"CREATE", "UPDATE"})

    def handles(self, operation: Operation) -> bool:
        return operation in self.operations

    async def admit(self, attributes: AdmissionAttributes) -> None:
        return

    async def validate(self, attributes: AdmissionAttributes) -> None:
        return


def is_pod(attributes: AdmissionAttributes) -> bool:
    """The write is of a pod itself, not of a subresource."""
    resource = attributes.resource
    return resource.group == "" and resource.plural == "pods" and not attributes.subresource


def forbidden(attributes: AdmissionAttributes, why: str) -> Forbidden:
    """A refusal worded as apiserver's `admission.NewForbidden`: an object without a name yet goes by its generateName."""
    name = attributes.name
    if not name:
        metadata = (attributes.obj or {}).get("metadata") or {}
        name = metadata.get("name") or metadata.get("generateName") or "Unknown"
    resource = attributes.resource
    details = {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural}
    return Forbidden(f'{qualified(resource.plural, resource.group)} "{name}" is forbidden: {why}', details=details)


def is_kind(attributes: AdmissionAttributes, group: str, plural: str) -> bool:
    """The write is of the kind itself, not of a subresource."""
    resource = attributes.resource
    return resource.plural == plural and resource.group == group and not attributes.subresource
