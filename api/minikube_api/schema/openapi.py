"""/openapi/v2 and /openapi/v3, made when first asked for and kept until the served resources change.

The server gives what it serves as `Served` records (its own `Resource` has the same attributes) and, for custom resources, the
schema of each version as the CRD holds it. kubectl 1.37 reads v3 for explain, apply, diff and edit; v2 is for older clients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from minikube_api.schema import builtin, openapi_merging, openapi_protobuf
from minikube_api.schema.openapi_paths import Body, PathResource, paths
from minikube_api.schema.openapi_schemas import META, Dialect, Tree, custom_definitions, custom_name, definitions


class ServedSubresource(Protocol):
    """`resources.Subresource`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...


class Served(Protocol):
    """`resources.Resource`, as far as OpenAPI needs it."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...
    @property
    def verbs(self) -> tuple[str, ...]: ...
    @property
    def subresources(self) -> Mapping[str, ServedSubresource]: ...


#: (group, version, kind) of a custom resource -> its openAPIV3Schema ({} when the CRD gives none); None for built-in kinds
CustomSchema = Callable[[str, str, str], Tree | None]
#: paths of the v3 index that are no group versions
_OTHER_PATHS = (".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version")
_SECURITY = {
    "BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}
}


class Documents:
    """The documents of one server. `version` counts changes of what is served (`Registry.version`).

    `others` are the v2 parts of aggregated API servers (`openapi_merging.of_version`), each behind a digest of it.
    """

    def __init__(
        self,
        served: Callable[[], Iterable[Served]],
        custom: CustomSchema,
        version: Callable[[], int],
        others: Callable[[], Sequence[tuple[str, Tree]]] = tuple,
    ) -> None:
        self._served = served
        self._others = others
        self._custom = custom
        self._version = version
        self._seen = -1
        self._by_path: dict[str, list[Served]] = {}
        self._hashes: dict[str, str] = {}
        self._bodies: dict[tuple[str, Callable[[Tree], bytes]], tuple[str, bytes]] = {}

    def index(self) -> bytes:
        """/openapi/v3: a URL with a content hash for each group version."""
        self._refresh()
        entries = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(path)}"}
            for path in sorted((*self._by_path, *_OTHER_PATHS, *self._groups()))
        }
        return orjson.dumps({"paths": entries})

    def v3(self, path: str) -> tuple[bytes, str] | None:
        """(document, ETag without quotes) of `apis/apps/v1`, `api/v1`, `version`...; None when there is none (404)."""
        self._refresh()
        if path in self._by_path:
            return self._kept(path, lambda: self._v3_document(self._by_path[path]))
        if path in _OTHER_PATHS or path in self._groups():
            return self._kept(path, lambda: _v3(_plain_path(path), {}))
        return None

    def v2(self) -> tuple[bytes, str]:
        """(the one document of /openapi/v2 as JSON, ETag without quotes)."""
        self._refresh()
        return self._kept("", self._v2_document)

    def v2_protobuf(self) -> tuple[bytes, str]:
        """The same in gnostic's protobuf form (`openapi_protobuf.CONTENT_TYPE`)."""
        self._refresh()
        return self._kept("", self._v2_document, openapi_protobuf.encode)

    def _kept(self, path: str, make: Callable[[], Tree], encode: Callable[[Tree], bytes] = orjson.dumps) -> tuple[bytes, str]:
        tag = self._hash(path)
        key = (path, encode)
        known = self._bodies.get(key)
        if known is None or known[0] != tag:
            known = self._bodies[key] = (tag, encode(make()))
        return known[1], tag

    def _refresh(self) -> None:
        if self._version() == self._seen:
            return
        self._seen = self._version()
        self._by_path, self._hashes = {}, {}
        for resource in self._served():
            self._by_path.setdefault(_path_of(resource), []).append(resource)

    def _groups(self) -> set[str]:
        """`apis/apps`: a group without version has a document too."""
        return {path.rpartition("/")[0] for path in self._by_path if path.startswith("apis/")}

    def _hash(self, path: str) -> str:
        """Changes exactly when the document does: of what it is made from, so that the index need not make every document."""
        if path not in self._hashes:
            parts: list[Any] = [builtin.release(), path]
            for resource in self._by_path.get(path, ()) if path else self._served():
                parts.append([resource.group, resource.version, resource.kind, resource.plural, resource.verbs])
                parts.append(sorted(resource.subresources))
                parts.append(self._custom(resource.group, resource.version, resource.kind))
            if not path:
                parts += [digest for digest, _ in self._others()]
            digest = hashlib.sha512(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
            self._hashes[path] = digest.upper()
        return self._hashes[path]

    def _v3_document(self, resources: list[Served]) -> Tree:
        listed, schemas = self._parts(resources, "v3")
        return _v3(paths(listed, "v3"), schemas)

    def _v2_document(self) -> Tree:
        listed, schemas = self._parts(self._served(), "v2")
        document: Tree = {
            "swagger": "2.0",
            "info": _info(),
            "paths": paths(listed, "v2"),
            "definitions": schemas,
            "securityDefinitions": _SECURITY,
            "security": [{"BearerToken": []}],
        }
        if others := self._others():
            openapi_merging.merge(document, [part for _, part in others])
        return document

    def _parts(self, resources: Iterable[Served], dialect: Dialect) -> tuple[list[PathResource], dict[str, Tree]]:
        """(the resources with their subresources, the definitions that their operations name)."""
        listed: list[PathResource] = []
        own: dict[str, Tree] = {}
        roots = {META + "Patch", META + "DeleteOptions", META + "Status"}
        for resource in resources:
            group, version, kind = resource.group, resource.version, resource.kind
            schema = self._custom(group, version, kind)
            if schema is not None:
                own |= custom_definitions(group, version, kind, schema, dialect)
                roots |= {META + "ObjectMeta", META + "ListMeta"}
            for name, body, verbs in self._operations(resource):
                if body.definition and body.definition not in own:
                    roots.add(body.definition)
                    if "list" in verbs:
                        roots.add(body.definition + "List")
                listed.append(PathResource(group, version, name, resource.namespaced, verbs, body, custom=schema is not None))
        return listed, dict(sorted((definitions(roots, dialect) | own).items()))

    def _operations(self, resource: Served) -> Iterable[tuple[str, Body, tuple[str, ...]]]:
        yield resource.plural, self._body(resource.group, resource.version, resource.kind), resource.verbs
        for name, sub in resource.subresources.items():
            yield f"{resource.plural}/{name}", self._body(sub.group, sub.version, sub.kind), sub.verbs

    def _body(self, group: str, version: str, kind: str) -> Body:
        if self._custom(group, version, kind) is not None:
            return Body(group, version, kind, custom_name(group, version, kind))
        known = builtin.is_kind(group, version, kind)
        return Body(group, version, kind, builtin.definition_of(group, version, kind) if known else "")


def _info() -> Tree:
    return {"title": "Kubernetes", "version": f"v{builtin.release()}"}


def _path_of(resource: Served) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _v3(found: Tree, schemas: dict[str, Tree]) -> Tree:
    components: Tree = {"securitySchemes": _SECURITY}
    if schemas:
        components["schemas"] = schemas
    return {"openapi": "3.0.0", "info": _info(), "paths": found, "components": components}


def _plain_path(path: str) -> Tree:
    """The one GET of a path outside the group versions."""
    shown = f"/{path}/" if path.startswith("api") else f"/{path}"
    answers = {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}}
    return {shown: {"get": {"description": "get information", "responses": answers}}}
