"""The way of a read: get, list, watch. Everything is answered by the cache; this module speaks options, views and words.

Sources: API concepts, "Resource versions", "Efficient detection of changes", "Retrieving large results sets in chunks".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import orjson

from minikube_api.cache.requests import ListRequest, Selection, WatchRequest
from minikube_api.cache.watching import Watch
from minikube_api.meta import selectors
from minikube_api.meta.errors import BadRequest, Expired, NotFound, StatusError, Timeout
from minikube_api.resources.resource import Resource
from minikube_api.server import views
from minikube_api.server.context import Answer, Object, Request, Stream
from minikube_api.server.negotiation import JSON, PROTOBUF, View
from minikube_api.server.options import ListOptions, list_options
from minikube_api.server.storage import Storage

#: kube-apiserver's --min-request-timeout: a watch without timeoutSeconds ends after this to twice this many seconds
MIN_WATCH_SECONDS = 1800


async def get(storage: Storage, request: Request, resource: Resource, view: View) -> Answer:
    info = request.info
    revision = request.query.get("resourceVersion", "")
    entry = await storage.cacher(resource).get(info.namespace, info.name, resource_version=revision)
    if entry is None:
        raise NotFound.object(resource.plural, info.name, resource.storage_version[0])
    body = await views.object_body(resource, entry, view, request.query.get("includeObject", ""))
    return views.encoded(200, body, view)


def selection_of(resource: Resource, options: ListOptions, namespace: str) -> Selection:
    """What the options select. Raises BadRequest for selectors that can't be parsed or fields that the kind can't be selected by."""
    labels = selectors.parse_labels(options.label_selector) if options.label_selector else None
    if not options.field_selector:
        return Selection(namespace=namespace, labels=labels)
    fields = selectors.parse_fields(options.field_selector)
    name = node_name = ""
    for requirement in fields.requirements:
        field, operator, value = requirement.field, requirement.operator, requirement.value
        if problem := resource.field_label_problem(field):
            raise BadRequest(problem)
        if operator != "!=":
            if field == "metadata.name":
                name = value
            elif field == "spec.nodeName":
                node_name = value
    return Selection(namespace=namespace, name=name, node_name=node_name, labels=labels, fields=fields)


async def list_(storage: Storage, request: Request, resource: Resource, view: View) -> Answer:
    options = list_options(request)
    selection = selection_of(resource, options, request.info.namespace)
    cacher = storage.cacher(resource)
    page = await cacher.list(
        ListRequest(
            selection=selection,
            resource_version=options.resource_version,
            match=options.match,  # type: ignore[arg-type]
            limit=options.limit,
            continue_token=options.continue_,
        )
    )
    metadata: Object = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        metadata["continue"] = page.continue_token
    if page.remaining:
        metadata["remainingItemCount"] = page.remaining
    if view.media_type == PROTOBUF:
        return Answer(200, await views.list_message(resource, cacher, page.items, metadata, view), PROTOBUF)
    bodies = None
    if not views.stored_here(resource):
        plain = views.rendering(resource, View(), "")
        bodies = await cacher.rendered(page.items, plain)
    include = request.query.get("includeObject", "")
    body = await views.list_body(resource, page.items, bodies, metadata, view, include)
    return views.encoded(200, body, view)


async def watch(storage: Storage, request: Request, resource: Resource, view: View, rng: random.Random) -> Stream:
    """An endless answer of event lines. A version that is too old gives an ERROR event, as kube-apiserver does."""
    options = list_options(request, watch=True)
    selection = selection_of(resource, options, request.info.namespace)
    seconds = float(options.timeout_seconds or 0)
    if seconds <= 0:
        seconds = MIN_WATCH_SECONDS * (1.0 + rng.random())
    initial = options.send_initial_events
    if initial is None and options.resource_version in ("", "0"):
        initial = True  # a watch of old is one of the new kind (SetListOptionsDefaults)
    wanted = WatchRequest(
        selection=selection,
        resource_version=options.resource_version,
        send_initial_events=initial,
        bookmarks=options.bookmarks,
    )
    rendering = views.rendering(resource, view, request.query.get("includeObject", ""))
    content_type = f"{PROTOBUF};stream=watch" if view.media_type == PROTOBUF else JSON
    opening = storage.cacher(resource).watch(wanted, rendering, timeout=seconds)
    try:
        events = await opening.__aenter__()
    except (Expired, Timeout) as error:
        return Stream(200, _only(error_event(error, view)), content_type)
    return Stream(200, WatchLines(opening, events, seconds), content_type)


async def _only(line: bytes) -> AsyncIterator[bytes]:
    yield line


class WatchLines:
    """Chunks of whole lines until the time is up, the cache ends the watch or the reader closes it."""

    def __init__(self, opening: AbstractAsyncContextManager[Watch], events: Watch, seconds: float) -> None:
        self._opening = opening
        self._events = events
        self._timer = asyncio.get_running_loop().call_later(seconds, events.end, "closed")

    def __aiter__(self) -> WatchLines:
        return self

    async def __anext__(self) -> bytes:
        return await self._events.__anext__()

    async def aclose(self) -> None:
        self._timer.cancel()
        await self._opening.__aexit__(None, None, None)


def error_event(error: StatusError, view: View) -> bytes:
    if view.media_type == PROTOBUF:
        from minikube_api.schema import protobuf_writing

        return protobuf_writing.event_frame("ERROR", protobuf_writing.encode(error.status()))
    return b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.status())
