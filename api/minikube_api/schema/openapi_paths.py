"""Paths of an OpenAPI document: the operations of each served resource, in the v2 and v3 dialects.

kubectl looks here for the GVK of a path (explain), for fieldValidation and dryRun among the parameters of patch, and for the
media types that patch takes (apply: strategic merge patch or not).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from minikube_api.schema.openapi_schemas import META, Dialect, Tree, gvk_tree, reference

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_ENCODINGS = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")


@dataclass(frozen=True)
class Body:
    """A kind as an operation's body: its GVK and the name of its definition ("" = no JSON body, as with exec)."""

    group: str
    version: str
    kind: str
    definition: str


@dataclass(frozen=True)
class PathResource:
    """A served resource or subresource (`pods`, `pods/status`)."""

    group: str
    version: str
    resource: str
    namespaced: bool
    verbs: tuple[str, ...]
    body: Body
    custom: bool = False


#: name -> (type, description)
_PARAMETERS = {
    "pretty": ("string", "If 'true', then the output is pretty printed."),
    "dryRun": ("string", "'All': every stage of the request is done, nothing is persisted."),
    "fieldManager": ("string", "Name of the actor that makes these changes; at most 128 printable characters."),
    "fieldValidation": ("string", "What happens to unknown and duplicate fields of the body: Ignore, Warn (default) or Strict."),
    "force": ("boolean", "Take over fields that others own; only for apply requests."),
    "allowWatchBookmarks": ("boolean", "Ask for BOOKMARK events in a watch."),
    "continue": ("string", "The token of the next page, from the previous answer of a limited list."),
    "fieldSelector": ("string", "Restrict the objects by their fields. Defaults to everything."),
    "labelSelector": ("string", "Restrict the objects by their labels. Defaults to everything."),
    "limit": ("integer", "The most objects that one answer may hold."),
    "resourceVersion": ("string", "Which versions the request may be served from."),
    "resourceVersionMatch": ("string", "How resourceVersion is applied to a list."),
    "sendInitialEvents": ("boolean", "Start a watch with synthetic events for the present state."),
    "timeoutSeconds": ("integer", "Time-out of a list or watch."),
    "watch": ("boolean", "Watch for changes and return them as a stream of events."),
    "gracePeriodSeconds": ("integer", "Seconds before the object is deleted; zero is at once."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "propagationPolicy": ("string", "Orphan, Background or Foreground: what happens to dependents."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("boolean", "Delete an object that cannot be decoded any more."),
}  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
#: verb of the API -> (HTTP method, x-kubernetes-action, on the collection, query parameters)
_VERBS: dict[str, tuple[str, str, bool, tuple[str, ...]]] = {
    "list": ("get", "list", True, _LIST),
    "create": ("post", "post", True, _WRITE),
    "deletecollection": ("delete", "deletecollection", True, tuple(dict.fromkeys((*_DELETE, *_LIST)))),
    "get": ("get", "get", False, ()),
    "update": ("put", "put", False, _WRITE),
    "patch": ("patch", "patch", False, (*_WRITE, "force")),
    "delete": ("delete", "delete", False, _DELETE),
}  # fmt: skip


def paths(resources: Iterable[PathResource], dialect: Dialect) -> Tree:
    found: Tree = {}
    for resource in resources:
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        scoped = f"{base}/namespaces/{{namespace}}" if resource.namespaced else base
        plural, _, subresource = resource.resource.partition("/")
        for verb in resource.verbs:
            if verb not in _VERBS:
                continue
            on_collection = _VERBS[verb][2] and not subresource
            path = f"{scoped}/{plural}" + ("" if on_collection else "/{name}") + (f"/{subresource}" if subresource else "")
            _add(found, path, resource, verb, dialect)
            if verb == "list" and resource.namespaced:
                _add(found, f"{base}/{plural}", resource, verb, dialect)
    return dict(sorted(found.items()))


def _add(found: Tree, path: str, resource: PathResource, verb: str, dialect: Dialect) -> None:
    method, action, _, query = _VERBS[verb]
    item = found.setdefault(path, {"parameters": _path_parameters(path, dialect)})
    body = resource.body
    operation: Tree = {
        "tags": [f"{resource.group.split('.')[0] or 'core'}_{resource.version}"],
        "description": _description(verb, resource),
        "operationId": _operation_id(verb, path, resource),
        "parameters": [_query(name, dialect) for name in query],
        "responses": _responses(verb, resource, dialect),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk_tree(body.group, body.version, body.kind),
    }
    _add_request_body(operation, verb, resource, dialect)
    if dialect == "v2":
        operation["produces"] = list(_ENCODINGS + (_STREAMS if verb == "list" else ()))
        operation["schemes"] = ["https"]
    item[method] = operation


def _query(name: str, dialect: Dialect) -> Tree:
    kind, text = _PARAMETERS[name]
    about: Tree = {"type": kind, "uniqueItems": True}
    head = {"name": name, "in": "query", "description": text}
    return head | about if dialect == "v2" else head | {"schema": about}


def _path_parameters(path: str, dialect: Dialect) -> list[Tree]:
    found = []
    for name, text in (
        ("name", "name of the object"),
        ("namespace", "object name and auth scope, such as for teams and projects"),
    ):
        if f"{{{name}}}" in path:
            about: Tree = {"type": "string", "uniqueItems": True}
            head: Tree = {"name": name, "in": "path", "description": text, "required": True}
            found.append(head | about if dialect == "v2" else head | {"schema": about})
    return [*found, _query("pretty", dialect)]


def _patch_types(resource: PathResource) -> list[str]:
    return [JSON_PATCH, MERGE_PATCH, *(() if resource.custom else (STRATEGIC_PATCH,)), APPLY_PATCH]


def _add_request_body(operation: Tree, verb: str, resource: PathResource, dialect: Dialect) -> None:
    definition = {
        "create": resource.body.definition,
        "update": resource.body.definition,
        "patch": META + "Patch",
        "delete": META + "DeleteOptions",
        "deletecollection": META + "DeleteOptions",
    }.get(verb, "")
    if not definition:
        return
    types = _patch_types(resource) if verb == "patch" else ["*/*"]
    required = verb in ("create", "update", "patch")
    schema = reference(definition, dialect)
    if dialect == "v2":
        operation["consumes"] = types
        about = {"name": "body", "in": "body", "schema": schema}
        operation["parameters"].insert(0, about | {"required": True} if required else about)
        return
    about = {"content": {media: {"schema": schema} for media in types}}
    operation["requestBody"] = about | {"required": True} if required else about


def _responses(verb: str, resource: PathResource, dialect: Dialect) -> Tree:
    definition = resource.body.definition
    if verb == "list":
        definition += "List"
    elif verb in ("delete", "deletecollection"):
        definition = META + "Status"
    codes = {"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201"), "delete": ("200", "202")}
    texts = {"200": "OK", "201": "Created", "202": "Accepted"}
    found: Tree = {}
    for code in codes.get(verb, ("200",)):
        found[code] = {"description": texts[code]}
        if resource.body.definition:
            found[code] |= _content(definition, verb, dialect)
    found["401"] = {"description": "Unauthorized"}
    return found


def _content(definition: str, verb: str, dialect: Dialect) -> Tree:
    schema = reference(definition, dialect)
    if dialect == "v2":
        return {"schema": schema}
    types = _ENCODINGS + (_STREAMS if verb == "list" else ())
    return {"content": {media: {"schema": schema} for media in types}}


def _description(verb: str, resource: PathResource) -> str:
    kind, (_, _, subresource) = resource.body.kind, resource.resource.partition("/")
    of = f"{subresource} of the specified {kind}" if subresource else f"the specified {kind}"
    return {
        "list": f"list or watch objects of kind {kind}",
        "create": f"create {subresource} of a {kind}" if subresource else f"create a {kind}",
        "deletecollection": f"delete collection of {kind}",
        "get": f"read {of}",
        "update": f"replace {of}",
        "patch": f"partially update {of}",
        "delete": f"delete a {kind}",
    }[verb]


_OPERATION_VERBS = {
    "list": "list", "create": "create", "deletecollection": "delete", "get": "read", "update": "replace",
    "patch": "patch", "delete": "delete",
}  # fmt: skip


def _operation_id(verb: str, path: str, resource: PathResource) -> str:
    """`listCoreV1NamespacedPod`, unique in a document."""
    plural, _, subresource = resource.resource.partition("/")
    group = "".join(part.capitalize() for part in resource.group.removesuffix(".k8s.io").split(".")) or "Core"
    where = "Namespaced" if "{namespace}" in path else ""
    what = {"deletecollection": "Collection"}.get(verb, "")
    every = "ForAllNamespaces" if verb == "list" and resource.namespaced and not where else ""
    # of a subresource's owner only the plural is known here; it tells it apart as well
    kind = plural.capitalize() if subresource else resource.body.kind
    return (
        f"{_OPERATION_VERBS[verb]}{group}{resource.version.capitalize()}{what}{where}{kind}"
        f"{''.join(part.capitalize() for part in subresource.split('/'))}{every}"
    )
