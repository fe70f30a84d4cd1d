"""From a request to the verb that serves it. Tables instead of routes: the registry says what exists, the verbs what may be done."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping

from minikube_api.meta import field_errors
from minikube_api.meta.errors import BadRequest, MethodNotAllowed, NotFound, qualified
from minikube_api.resources.resource import Registry, Resource
from minikube_api.server import reading
from minikube_api.server.context import Answer, Reply, Request
from minikube_api.server.deleting import Deleter
from minikube_api.server.discovery import Discovery
from minikube_api.server.health import NOT_FOUND
from minikube_api.server.negotiation import JSON, PLAIN, PROTOBUF, Scope, View, negotiate, pretty
from minikube_api.server.storage import Storage
from minikube_api.server.websockets import over_websocket, send_events, send_messages
from minikube_api.server.websockets import wanted as websocket_wanted
from minikube_api.server.writing import Writer

#: serves a subresource with a body or a protocol of its own
SubresourceHandler = Callable[[Request, Resource, View], Awaitable[Reply]]
#: serves a kind that is computed, not stored (reviews, bindings, component statuses)
VirtualHandler = Callable[[Request, Resource, View], Awaitable[Reply]]

#: subresources with the kind of their parent, that are one more way to write the same object
_SAME_OBJECT = frozenset({"status", "finalize", "approval", "ephemeralcontainers", "resize"})

#: subresources that answer with what was sent
_CREATED_ONLY = frozenset({"binding", "eviction", "token"})

#: built-in versions that kube-apiserver warns of on every request (the kinds' APILifecycle facts)
_DEPRECATED = {
    ("", "v1", "endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "v1", "componentstatuses"): "v1 ComponentStatus is deprecated in v1.19+",
}


def deprecation(resource: Resource) -> str:
    if resource.custom:
        return resource.deprecation_warning
    return _DEPRECATED.get((resource.group, resource.version, resource.plural), "")


def method_not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource", details={})


def not_supported(resource: Resource, verb: str) -> MethodNotAllowed:
    """What a custom resource's handler says of a verb (NewMethodNotSupported)."""
    details = {"group": resource.group, "kind": resource.plural}
    return MethodNotAllowed(
        f'{verb} is not supported on resources of kind "{qualified(resource.plural, resource.group)}"', details=details
    )


def no_such_path() -> NotFound:
    return NotFound("the server could not find the requested resource", details={})


class Router:
    """Dispatches resource requests. `subresources` and `virtual` are open: other rooms of the server add theirs."""

    def __init__(
        self, registry: Registry, discovery: Discovery, storage: Storage, writer: Writer, deleter: Deleter, rng: random.Random
    ) -> None:
        self.registry = registry
        self.discovery = discovery
        self.storage = storage
        self.writer = writer
        self.deleter = deleter
        self.rng = rng
        #: by subresource name, for whatever resource lists it in discovery
        self.subresources: dict[str, SubresourceHandler] = {}
        #: by (group, plural)
        self.virtual: dict[tuple[str, str], VirtualHandler] = {}

    def find(self, request: Request) -> Resource | Answer:
        """The resource of a request, or the answer when there is none. Raises MethodNotAllowed and NotFound."""
        info = request.info
        resource = self.registry.get(info.group, info.version, info.resource)
        if request.path.startswith("//"):
            return NOT_FOUND
        if resource is None:
            if self.discovery.built_in(info.group):
                raise no_such_path()
            return NOT_FOUND
        if resource.custom:
            return self._find_custom(request, resource)
        if info.namespace and not resource.namespaced and info.resource != "namespaces":
            raise no_such_path()
        if info.subresource:
            sub = resource.subresources.get(info.subresource)
            if sub is None or (info.parts and info.subresource != "proxy"):
                raise no_such_path()
            if info.verb not in sub.verbs or request.method == "HEAD":
                raise method_not_allowed()
            return resource
        verb = info.verb
        if resource.namespaced and not info.namespace:
            # of all namespaces there is only the list
            if info.named or "list" not in resource.verbs:
                raise no_such_path()
            if verb not in ("list", "watch"):
                raise method_not_allowed()
        if verb in ("get", "list", "watch") and request.method != "GET":
            raise method_not_allowed()
        if verb not in resource.verbs or (verb == "create" and info.name):
            raise method_not_allowed()
        if verb in ("update", "patch") and not info.name:
            raise method_not_allowed()
        return resource

    def _find_custom(self, request: Request, resource: Resource) -> Resource | Answer:
        """Custom resources have no routes: the scope decides, then the subresource, then the verb (crdHandler)."""
        info = request.info
        if bool(info.namespace) != resource.namespaced and (info.namespace or info.verb not in ("list", "watch")):
            return NOT_FOUND
        if info.subresource:
            sub = resource.subresources.get(info.subresource)
            if sub is None:
                raise NotFound.object(resource.plural, info.name, resource.group)
            if info.verb not in sub.verbs:
                raise not_supported(resource, info.verb)
        elif info.verb not in resource.verbs:
            raise not_supported(resource, info.verb)
        elif not info.named and info.verb in ("update", "patch"):
            raise BadRequest("name must be provided")
        return resource

    async def serve(self, request: Request) -> Reply:
        resource = self.find(request)
        if isinstance(resource, Answer):
            return resource
        info = request.info
        view = view_of(request, resource)
        if deprecated := deprecation(resource):
            request.warn(deprecated)
        if info.subresource and info.subresource not in _SAME_OBJECT:
            handler = self.subresources.get(info.subresource)
            if handler is None:
                raise no_such_path()
            return await handler(request, resource, view)
        virtual = self.virtual.get((info.group, info.resource))
        if virtual is not None:
            return await virtual(request, resource, view)
        if "get" not in resource.verbs:
            # computed kinds whose room of the server is not there
            raise no_such_path()
        verb = info.verb
        if verb == "get":
            return await reading.get(self.storage, request, resource, view)
        if verb == "list":
            return await reading.list_(self.storage, request, resource, view)
        if verb == "watch":
            stream = await reading.watch(self.storage, request, resource, view, self.rng)
            send = send_messages if view.media_type == PROTOBUF else send_events
            return over_websocket(stream, send) if websocket_wanted(request) else stream
        if verb == "create":
            if resource.terminating:
                raise MethodNotAllowed("create not allowed while custom resource definition is terminating", details={})
            return await self.writer.create(request, resource, view)
        if verb == "update":
            return await self.writer.update(request, resource, view)
        if verb == "patch":
            return await self.writer.patch(request, resource, view)
        if verb == "delete":
            return await self.deleter.delete(request, resource, view)
        return await self.deleter.delete_collection(request, resource, view)


def has_columns(resource: Resource, subresource: str) -> bool:
    """What is only created has none: reviews, bindings, evictions, tokens."""
    if subresource:
        return subresource not in _CREATED_ONLY
    return "get" in resource.verbs or "list" in resource.verbs


def view_of(request: Request, resource: Resource) -> View:
    """Raises NotAcceptable, and BadRequest for a Table that can't be made as asked."""
    accept = request.headers.get("Accept", "")
    if accept in ("", "*/*", JSON):
        view = PLAIN
    else:
        info = request.info
        watches = info.verb == "watch"
        view = negotiate(
            accept,
            Scope(
                tables=has_columns(resource, info.subresource),
                messages=not resource.custom,
                lists=watches or info.verb == "list",
                watches=watches,
            ),
        )
        if view.form == "Table":
            check_include(request.query.get("includeObject", ""))
    return pretty(view) if wants_pretty(request.query, request.headers) else view


def check_include(include: str) -> None:
    """ValidateTableOptions. Raises BadRequest."""
    if include not in ("", "None", "Metadata", "Object"):
        problem = field_errors.invalid("includeObject", include, "must be 'Metadata', 'Object', 'None', or empty")
        raise BadRequest(f"Unable to convert to Table as requested: {problem}")


#: what Go's strconv.ParseBool takes for true
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


def wants_pretty(query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    """?pretty decides; without it people (browsers, curl, wget) get it."""
    if query.get("pretty"):
        return query["pretty"] in _TRUE
    agent = headers.get("User-Agent", "")
    return agent.startswith(("curl", "Wget", "Mozilla/5.0"))
