"""Bodies to trees: which decoder reads which media type, in the words of kube-apiserver's negotiated decoders."""

from __future__ import annotations

from typing import Any

from minikube_api.meta.errors import UnsupportedMediaType
from minikube_api.resources.resource import Resource
from minikube_api.schema import builtin, decoding, syntax, yaml_bodies
from minikube_api.schema.model import Schema
from minikube_api.server.context import Object, Request
from minikube_api.server.negotiation import JSON, KNOWN, PROTOBUF, YAML, media_type_of
from minikube_api.server.options import WriteOptions

_OPTIONS = "apimachinery.pkg.apis.meta.v1."


def decode(body: bytes, request: Request, resource: Resource, options: WriteOptions) -> Object:
    """The object of a create or update in the request's version. Raises BadRequest and UnsupportedMediaType; may add warnings."""
    if resource.custom:
        return _decode_custom(body, request, resource, options)
    return decode_kind(body, request, resource.schema, resource.kind, resource.api_version, options.field_validation)


def decode_kind(body: bytes, request: Request, schema: Schema, kind: str, api_version: str, validation: Any = "Warn") -> Object:
    """A body that must be of `kind` in `api_version` or say nothing of it. The tree has a `metadata`."""
    media_type = media_type_of(request.headers.get("Content-Type", "")) or JSON
    if media_type == PROTOBUF:
        tree = _protobuf(body, kind)
        warnings = decoding.check(tree, schema, kind=kind, api_version=api_version, validation="Ignore")
    elif media_type in (JSON, YAML):
        tree, warnings = decoding.decode(
            body, schema, kind=kind, api_version=api_version, media_type=media_type, validation=validation
        )
    else:
        raise unknown_format()
    for text in warnings:
        request.warn(text)
    if not isinstance(tree.get("metadata"), dict):
        tree["metadata"] = {}
    return tree


def _decode_custom(body: bytes, request: Request, resource: Any, options: WriteOptions) -> Object:
    from minikube_api.server.crds import bodies

    media_type = media_type_of(request.headers.get("Content-Type", "")) or JSON
    if media_type not in (JSON, YAML):
        raise unknown_format()
    tree, warnings = bodies.decode(body, resource, media_type, options.field_validation)
    for text in warnings:
        request.warn(text)
    return tree


def decode_options(body: bytes, request: Request, kind: str) -> Object:
    """DeleteOptions and the like: of group meta.k8s.io, but clients write the version of the resource."""
    media_type = media_type_of(request.headers.get("Content-Type", "")) or JSON
    schema = builtin.definition(_OPTIONS + kind)
    if media_type == PROTOBUF:
        tree = _protobuf(body, kind)
        decoding.check(tree, schema, kind=kind, validation="Ignore")
        return tree
    if media_type not in (JSON, YAML):
        raise unknown_format()
    try:
        tree = yaml_bodies.load(body)[0] if media_type == YAML else decoding.parse_json(body)
    except (yaml_bodies.YamlProblem, syntax.SyntaxProblem) as problem:
        raise decoding.unrecognized(kind, f"couldn't get version/kind; json parse error: {problem}", body) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise decoding.unrecognized(kind, "couldn't get version/kind; json parse error: not an object", body)
    if tree.get("kind", kind) != kind:
        raise decoding.unrecognized(kind, f'no kind "{tree["kind"]}" is registered', body)
    decoding.check(tree, schema, kind=kind, validation="Ignore")
    return tree


def _protobuf(body: bytes, kind: str) -> Object:
    from minikube_api.schema import protobuf

    try:
        return protobuf.decode(body)
    except protobuf.WireProblem as problem:
        raise decoding.unrecognized(kind, str(problem), body) from problem


def unknown_format() -> UnsupportedMediaType:
    listed = ", ".join(KNOWN)
    return UnsupportedMediaType(f"the body of the request was in an unknown format - accepted media types include: {listed}")
