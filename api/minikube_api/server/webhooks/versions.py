"""The objects of one write in the version that a webhook's rule names (matchPolicy Equivalent), and back again after changes.

Versions of a kind share their stored form, so every conversion goes through it. Subresources with a body of their own (Scale,
Eviction, connect options) have one form only.
"""

from __future__ import annotations

import orjson

from minikube_api.resources.resource import Registry, Resource
from minikube_api.resources.scale import scale_of
from minikube_api.resources.scale import scaled as scaled_object
from minikube_api.server import views
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes

Kind = tuple[str, str, str]


def kind_of(attributes: AdmissionAttributes, resource: Resource | None = None) -> Kind:
    """(group, version, kind) of what is written, in a version of the resource."""
    resource = resource or attributes.resource
    if attributes.kind is not None:
        return attributes.kind
    sub = resource.subresources.get(attributes.subresource) if attributes.subresource else None
    if sub is not None:
        return sub.group, sub.version, sub.kind
    return resource.group, resource.version, resource.kind


def equivalents(registry: Registry, resource: Resource) -> list[Resource]:
    """Other served versions of the same stored kind, as they were registered."""
    return [r for r in registry if r.storage_prefix == resource.storage_prefix and r is not resource]


class Versions:
    """`await of(resource)` gives (object, old object); `set` puts a changed object back into the attributes, in place."""

    def __init__(self, attributes: AdmissionAttributes) -> None:
        self._attributes = attributes
        group, version, kind = kind_of(attributes)
        own = attributes.resource
        self._scale = kind == "Scale" and own.kind != "Scale"
        self._convertible = not self._scale and (group, version, kind) == (own.group, own.version, own.kind)
        self._old: dict[tuple[str, str, str], Object | None] = {}

    async def of(self, resource: Resource) -> tuple[Object | None, Object | None]:
        key = (resource.group, resource.version, resource.plural)
        if key not in self._old:
            self._old[key] = await self._convert(self._attributes.old, self._attributes.resource, resource)
        return await self._convert(self._attributes.obj, self._attributes.resource, resource), self._old[key]

    async def _convert(self, tree: Object | None, source: Resource, target: Resource) -> Object | None:
        if tree is None:
            return None
        if self._scale:
            return scale_of(tree)
        if source is target or not self._convertible:
            return tree
        copied: Object = orjson.loads(orjson.dumps(tree))
        return await views.converted(target, await views.to_stored(source, copied))

    async def set(self, resource: Resource, changed: Object) -> None:
        """Take what a webhook made of the object. Raises what conversion raises."""
        current = self._attributes.obj
        assert current is not None
        if self._scale:
            scaled_object(current, changed)
            return
        own = self._attributes.resource
        if resource is not own and self._convertible:
            changed = await views.converted(own, await views.to_stored(resource, changed))
        current.clear()
        current.update(changed)
