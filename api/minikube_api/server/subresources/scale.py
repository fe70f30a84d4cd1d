"""The scale subresource (autoscaling/v1 Scale): replicas of whatever has them, read and written without knowing the kind."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson

from minikube_api.cache.entries import Entry
from minikube_api.meta.errors import Conflict, NotFound
from minikube_api.resources.resource import Resource
from minikube_api.resources.scale import custom_scale_of, custom_scaled, scale_of
from minikube_api.resources.scale import scaled as scaled_object
from minikube_api.schema import builtin
from minikube_api.server import codecs, patching, views
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.negotiation import View
from minikube_api.server.options import WriteOptions, write_options
from minikube_api.server.routing import method_not_allowed
from minikube_api.server.writing import Write, Writer, asked_revision, check_name

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
        return await self._write(write, lambda obj: scale, view)

    async def _patch(self, request: Request, resource: Resource, view: View) -> Answer:
        as_scale = dataclasses.replace(
            resource,
            group=_GROUP,
            version=_VERSION,
            kind=_KIND,
            load_schema=lambda: builtin.load(_GROUP, _VERSION, _KIND),
            subresources={},
            custom=False,
        )
        patch = patching.read(request, as_scale, await request.read_body())
        options: WriteOptions = write_options(request, "PatchOptions", apply=patch.is_apply)
        write = self._writer.begin(request, resource, "UPDATE", options)

        def patched(obj: Object) -> Object:
            return patch.applied_to(shown(resource, obj), as_scale, options, write.context, write.manager)

        return await self._write(write, patched, view)

    async def _write(self, write: Write, scaled: Any, view: View) -> Answer:
        def change(obj: Object) -> Object:
            scale = scaled(obj)
            asked = asked_revision(scale)
            if asked and str(asked) != obj["metadata"].get("resourceVersion"):
                raise Conflict.object(write.resource.plural, write.name, write.resource.group)
            paths = write.resource.scale_paths
            return scaled_object(obj, scale) if paths is None else custom_scaled(obj, scale, paths)

        body, _ = await self._writer.change(write, change)
        return views.encoded(200, orjson.dumps(shown(write.resource, orjson.loads(body))), view)
