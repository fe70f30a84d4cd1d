"""How objects look on the wire: another version, a Table, metadata only, YAML, pretty.

Objects of the stored version go out as the cache holds them; whatever else is rendered from a tree. Sources: API concepts,
"Receiving resources as Tables" and "Metadata-only fetches".
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from minikube_api.cache.cacher import Cacher
from minikube_api.cache.entries import Entry
from minikube_api.cache.renderings import Rendering
from minikube_api.meta.errors import NotAcceptable
from minikube_api.resources.resource import Resource
from minikube_api.server.context import Answer, Object
from minikube_api.server.negotiation import JSON, PROTOBUF, YAML, View

#: how many objects are rendered before the loop may do something else
_BATCH = 100


class _Meta(msgspec.Struct):
    metadata: msgspec.Raw


_meta_decoder = msgspec.json.Decoder(_Meta)


def stored_here(resource: Resource) -> bool:
    """Whether stored bytes are this version's bytes."""
    return resource.from_storage is None


async def tree_of(resource: Resource, entry: Entry) -> Object:
    """A fresh tree of the entry in the resource's version."""
    return await converted(resource, entry.tree())


async def converted(resource: Resource, tree: Object) -> Object:
    if resource.from_storage is None:
        return tree
    made = resource.from_storage(tree)
    return await made if inspect.isawaitable(made) else made


def ordered(tree: Object) -> bytes:
    """JSON with apiVersion, kind and metadata first, as stored bytes have it."""
    head = {"apiVersion": tree["apiVersion"], "kind": tree["kind"], "metadata": tree["metadata"]}
    return orjson.dumps({**head, **{key: value for key, value in tree.items() if key not in head}})


async def to_stored(resource: Resource, tree: Object) -> Object:
    if resource.to_storage is None:
        return tree
    made = resource.to_storage(tree)
    return await made if inspect.isawaitable(made) else made


def metadata_bytes(body: bytes) -> bytes:
    """The raw bytes of `metadata`, without decoding the object."""
    return bytes(_meta_decoder.decode(body).metadata)


def partial(body: bytes, version: str) -> bytes:
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (
        version.encode(),
        metadata_bytes(body),
    )


def _untyped(body: bytes) -> bytes:
    """An object as member of a typed list: without apiVersion and kind, which stored and rendered bytes begin with."""
    return b"{" + body[body.index(b'"metadata":{') :]


def keeps_type(resource: Resource) -> bool:
    """Items of custom resources are unstructured and carry their apiVersion and kind in lists."""
    return resource.custom


# Tables


def column_definitions(resource: Resource) -> list[Object]:
    return [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in resource.columns
    ]


def row(resource: Resource, tree: Object, body: bytes, include: str, version: str, now: float) -> Object:
    """One TableRow; `include` is includeObject: None, Metadata or Object."""
    if include == "None":
        shown: Any = None
    elif include == "Object":
        shown = orjson.Fragment(body)
    else:
        shown = orjson.Fragment(partial(body, version))
    made: Object = {"cells": resource.cells(tree, now), "object": shown}
    if conditions := resource.row_conditions(tree):
        made["conditions"] = conditions
    return made


def table(version: str, metadata: Object, rows: list[Object], columns: list[Object]) -> bytes:
    return orjson.dumps(
        {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": metadata,
            "columnDefinitions": columns,
            "rows": rows,
        }
    )


# whole answers


async def object_body(resource: Resource, entry: Entry, view: View, include: str) -> bytes:
    """One object as the view wants it, as JSON."""
    if resource.from_storage is None:
        body = entry.body
        tree = None
    else:
        tree = await tree_of(resource, entry)
        body = ordered(tree)
    return view_of(resource, body, tree, view, include, entry.revision)


def view_of(resource: Resource, body: bytes, tree: Object | None, view: View, include: str, revision: int | str) -> bytes:
    """JSON `body` (and its tree, if at hand) of one object in the view's form."""
    if not view.form:
        return body
    if view.form == "Table":
        tree = orjson.loads(body) if tree is None else tree
        made = row(resource, tree, body, include, view.version, time.time())
        return table(view.version, {"resourceVersion": str(revision)}, [made], column_definitions(resource))
    if view.form == "PartialObjectMetadataList":
        raise other_form(resource, view.form, f"is not a list ({go_type(resource)})")
    return partial(body, view.version)


def other_form(resource: Resource, form: str, why: str) -> NotAcceptable:
    """Metadata of a list asked for one object, or the other way round."""
    return NotAcceptable(f"you requested {form}, but the requested object {why}")


def go_type(resource: Resource, suffix: str = "") -> str:
    """The internal Go type that kube-apiserver holds: `*core.Pod`, `*core.PodList`."""
    if resource.custom:
        return f"*unstructured.Unstructured{suffix}"
    group = resource.storage_version[0]
    package = "core" if group in ("", "events.k8s.io") else group.split(".")[0]
    return f"*{package}.{resource.kind}{suffix}"


async def list_body(
    resource: Resource, items: Sequence[Entry], bodies: Sequence[bytes] | None, metadata: Object, view: View, include: str
) -> bytes:
    """A list as the view wants it, as JSON. `bodies` are the items in the resource's version (None: as stored)."""
    sources = [entry.body for entry in items] if bodies is None else bodies
    if view.form == "Table":
        rows: list[Object] = []
        now = time.time()
        for i, body in enumerate(sources):
            rows.append(row(resource, orjson.loads(body), body, include, view.version, now))
            if i % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)
        return table(view.version, metadata, rows, column_definitions(resource))
    check_list_form(resource, view)
    if view.form:
        kind, api_version = "PartialObjectMetadataList", f"meta.k8s.io/{view.version}"
        parts = []
        for i, body in enumerate(sources):
            parts.append(partial(body, view.version))
            if i % _BATCH == _BATCH - 1:
                await asyncio.sleep(0)
    else:
        kind, api_version = list_kind(resource), resource.api_version
        cut = (lambda body: body) if keeps_type(resource) else _untyped
        if keeps_type(resource):
            # an unstructured list always says whether there is more
            metadata = {"continue": "", **metadata}
        parts = [cut(body) for body in sources]
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.encode(),
        api_version.encode(),
        orjson.dumps(metadata),
    )
    return b"%b%b]}" % (head, b",".join(parts))


def check_list_form(resource: Resource, view: View) -> None:
    """Raises NotAcceptable for the metadata of one object where there is a list."""
    if view.form == "PartialObjectMetadata":
        raise other_form(resource, view.form, f"is a list ({go_type(resource, 'List')})")


async def list_message(resource: Resource, cacher: Cacher, items: Sequence[Entry], metadata: Object, view: View) -> bytes:
    """A list as protobuf; what each item is there is kept by the cache."""
    from minikube_api.schema import protobuf_writing

    check_list_form(resource, view)
    if view.form:
        api_version, kind, item = f"meta.k8s.io/{view.version}", view.form, "PartialObjectMetadata"
    else:
        api_version, kind, item = resource.api_version, list_kind(resource), resource.kind
    write = protobuf_writing.message(api_version, item)
    plain = rendering(resource, View(), "")

    async def message(entry: Entry) -> bytes:
        body = partial(entry.body, view.version) if view.form else await json_of(plain, entry)
        return write(orjson.loads(body))

    key = (resource.group, resource.version, resource.plural, view.form, view.version, "message")
    messages = await cacher.rendered(items, Rendering(key=key, bookmark=plain.bookmark, render=message))
    return protobuf_writing.list_envelope(api_version, kind, metadata, messages)


def list_kind(resource: Resource) -> str:
    return resource.list_kind or resource.kind + "List"


def rendering(resource: Resource, view: View, include: str) -> Rendering:
    """What a watcher of this resource and view sees, for the cache to memoise."""
    as_json = json_rendering(resource, view, include)
    return protobuf_rendering(as_json) if view.media_type == PROTOBUF else as_json


def protobuf_rendering(as_json: Rendering) -> Rendering:
    from minikube_api.schema import protobuf_writing

    def bookmark(revision: int, initial_end: bool) -> bytes:
        return protobuf_writing.encode(orjson.loads(as_json.bookmark(revision, initial_end)))

    async def render(entry: Entry) -> bytes:
        return protobuf_writing.encode(orjson.loads(await json_of(as_json, entry)))

    return Rendering(key=(as_json.key, PROTOBUF), bookmark=bookmark, render=render, frame=protobuf_writing.event_frame)


async def json_of(as_json: Rendering, entry: Entry) -> bytes:
    if as_json.render is None:
        return entry.body
    made = as_json.render(entry)
    return await made if inspect.isawaitable(made) else made


def json_rendering(resource: Resource, view: View, include: str) -> Rendering:
    def bookmark(revision: int, initial_end: bool) -> bytes:
        metadata: Object = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if view.form == "Table":
            kind = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{view.version}", "metadata": metadata}
            only = [{"cells": [None] * len(resource.columns), "object": kind}]
            return table(view.version, {"resourceVersion": str(revision)}, only, column_definitions(resource))
        kind_name, api_version = resource.kind, resource.api_version
        if view.form:
            kind_name, api_version = "PartialObjectMetadata", f"meta.k8s.io/{view.version}"
        made: Object = {"kind": kind_name, "apiVersion": api_version, "metadata": metadata}
        if not view.form and not keeps_type(resource):
            for key, value in resource.schema.always.items():
                made.setdefault(key, value)
        return orjson.dumps(made)

    key = (resource.group, resource.version, resource.plural, view.form, view.version, include)
    if not view.form and stored_here(resource):
        return Rendering(key=key, bookmark=bookmark)

    if view.form == "Table":

        def rows(columns: list[Object] | None) -> Any:
            async def render(entry: Entry) -> bytes:
                tree = await tree_of(resource, entry)
                body = entry.body if stored_here(resource) else ordered(tree)
                made = row(resource, tree, body, include, view.version, time.time())
                shown: Object = {"kind": "Table", "apiVersion": f"meta.k8s.io/{view.version}"}
                shown["metadata"] = {"resourceVersion": str(entry.revision)}
                shown["columnDefinitions"] = columns
                shown["rows"] = [made]
                return orjson.dumps(shown)

            return render

        return Rendering(key=key, bookmark=bookmark, render=rows(None), first=rows(column_definitions(resource)))

    if view.form:

        def metadata_only(entry: Entry) -> bytes:
            return partial(entry.body, view.version)

        return Rendering(key=key, bookmark=bookmark, render=metadata_only)

    async def version(entry: Entry) -> bytes:
        return ordered(await tree_of(resource, entry))

    convert_many = getattr(resource, "from_storage_many", None)
    if convert_many is None:
        return Rendering(key=key, bookmark=bookmark, render=version)

    async def versions(entries: Sequence[Entry], convert: Any = convert_many) -> list[bytes]:
        return [ordered(tree) for tree in await convert([entry.tree() for entry in entries])]

    return Rendering(key=key, bookmark=bookmark, render=version, render_many=versions)


def encoded(status: int, body: bytes, view: View) -> Answer:
    """JSON bytes as the media type that was negotiated."""
    if view.media_type == PROTOBUF:
        from minikube_api.schema import protobuf_writing

        return Answer(status, protobuf_writing.encode(orjson.loads(body)), PROTOBUF)
    if view.media_type == YAML:
        return Answer(status, to_yaml(orjson.loads(body)), YAML)
    if view.pretty:
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2) + b"\n"
    return Answer(status, body, JSON)


def to_yaml(tree: Any) -> bytes:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(tree, Dumper=dumper, default_flow_style=False, sort_keys=True, allow_unicode=True).encode()
