"""The scale subresource (autoscaling/v1 Scale): replicas of whatever has them, read and written without knowing the kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import orjson

from minikube_api.cache.entries import Entry
from minikube_api.meta.errors import Conflict, NotFound
from minikube_api.resources.resource import Resource
from minikube_api.resources.scale import custom_scale_of, custom_scaled, scale_of
from minikube_api.resources.scale import scaled as scaled_object
from minikube_api.schema import builtin, managed_scale
from minikube_api.server import codecs, patching, tracking, views
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.negotiation import View
from minikube_api.server.options import WriteOptions, write_options
from minikube_api.server.routing import method_not_allowed
from minikube_api.server.update_rules import asked_revision, check_name
from minikube_api.server.writing import Write, Writer

_GROUP, _VERSION, _KIND = "autoscaling", "v1", "Scale"


def shown(resource: Resource, obj: Object) -> Object:
    paths = resource.scale_paths
    return scale_of(obj) if paths is None else custom_scale_of(obj, paths)


class Scales:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def serve(self, request: Request, resource: Resource, view: View) -> Answer:
        if request.info.verb == "get":
            entry = await self._current(request, resource, latest=True)
            return views.encoded(200, orjson.dumps(shown(resource, await views.tree_of(resource, entry))), view)
        if request.info.verb == "update":
            return await self._update(request, resource, view)
        if request.info.verb == "patch":
            return await self._patch(request, resource, view)
        raise method_not_allowed()

    async def _current(self, request: Request, resource: Resource, *, latest: bool = False) -> Entry:
        info = request.info
        entry = await self._writer.storage.cacher(resource).get(info.namespace, info.name, "" if latest else "0")
        if entry is None:
            raise NotFound.object(resource.plural, info.name, resource.group)
        return entry

    async def _update(self, request: Request, resource: Resource, view: View) -> Answer:
        options = write_options(request, "UpdateOptions")
        schema = builtin.load(_GROUP, _VERSION, _KIND)
        body = await request.read_body()
        scale = codecs.decode_kind(body, request, schema, _KIND, f"{_GROUP}/{_VERSION}", options.field_validation)
        check_name(scale, request.info.name)
        write = self._writer.begin(request, resource, "UPDATE", options)
        return await self._write(write, lambda before: {**scale, "metadata": dict(scale["metadata"])}, view)

    async def _patch(self, request: Request, resource: Resource, view: View) -> Answer:
        as_scale = _as_scale(resource)
        patch = patching.read(request, as_scale, await request.read_body())
        options: WriteOptions = write_options(request, "PatchOptions", apply=patch.is_apply)
        write = self._writer.begin(request, resource, "UPDATE", options)

        def patched(before: Object) -> Object:
            # an own tree: the one from before is compared with it
            own = before if patch.is_apply else orjson.loads(orjson.dumps(before))
            scale = patch.applied_to(own, as_scale, options, write.context, write.manager)
            check_name(scale, write.name)
            return scale

        return await self._write(write, patched, view, tracked=patch.is_apply)

    async def _write(self, write: Write, scaled: Callable[[Object], Object], view: View, *, tracked: bool = False) -> Answer:
        """`scaled` makes the new Scale of the one from before; `tracked` when it has its managedFields already."""
        resource = write.resource
        paths = resource.scale_paths
        path = managed_scale.REPLICAS if paths is None else tuple(f"f:{part}" for part in paths.spec.split("."))

        def change(obj: Object) -> Object:
            meta = obj["metadata"]
            before = scale_of(obj) if paths is None else custom_scale_of(obj, paths, to_change=True)
            if entries := managed_scale.to_scale(meta.get("managedFields"), path):
                before["metadata"]["managedFields"] = entries
            scale = scaled(before)
            if not tracked:
                tracking.track(_as_scale(resource), scale, before, write.manager, "scale", write.context.now)
            self._check(write, scale, meta)
            entries = managed_scale.to_parent(
                meta.get("managedFields"), scale["metadata"].get("managedFields"), resource.api_version, path
            )
            made = scaled_object(obj, scale) if paths is None else custom_scaled(obj, scale, paths)
            if entries:
                made["metadata"]["managedFields"] = entries
            else:
                made["metadata"].pop("managedFields", None)
            write.tracked = True
            return made

        body, _ = await self._writer.change(write, change)
        return views.encoded(200, orjson.dumps(shown(resource, orjson.loads(body))), view)

    def _check(self, write: Write, scale: Object, meta: Object) -> None:
        """Preconditions: the revision and the identity that the Scale names. Raises Conflict."""
        asked = asked_revision(scale)
        if asked and str(asked) != meta.get("resourceVersion"):
            raise Conflict.object(write.resource.plural, write.name, write.resource.group)
        uid = scale["metadata"].get("uid")
        if uid and uid != meta.get("uid"):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.get('uid', '')}"
            raise Conflict.object(f"{write.resource.plural}/scale", write.name, write.resource.group, why)


def _as_scale(resource: Resource) -> Resource:
    return dataclasses.replace(
        resource,
        group=_GROUP,
        version=_VERSION,
        kind=_KIND,
        load_schema=lambda: builtin.load(_GROUP, _VERSION, _KIND),
        subresources={},
        custom=False,
    )
