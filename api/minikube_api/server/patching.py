"""The four kinds of patch: JSON, merge, strategic merge, apply. Reading, applying, and the words of their failures."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from minikube_api.meta import field_errors, patches
from minikube_api.meta.errors import BadRequest, Invalid, StatusError, UnsupportedMediaType
from minikube_api.resources.resource import Resource, WriteContext
from minikube_api.schema import decoding, syntax, yaml_bodies
from minikube_api.server import tracking
from minikube_api.server.context import Object, Request
from minikube_api.server.negotiation import media_type_of
from minikube_api.server.options import WriteOptions

PatchType = Literal["json", "merge", "strategic", "apply"]

_TYPES: dict[str, PatchType] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


def read(request: Request, resource: Resource, body: bytes) -> Patch:
    """The patch of a request, parsed. Raises UnsupportedMediaType and BadRequest."""
    patch_type = _TYPES.get(media_type_of(request.headers.get("Content-Type", "")))
    if patch_type is None or (patch_type == "strategic" and resource.custom):
        raise UnsupportedMediaType("415: Unsupported Media Type", details={})
    if patch_type == "apply":
        return Patch(patch_type, _apply_body(body))
    try:
        document = decoding.parse_json(body)
    except syntax.SyntaxProblem as problem:
        prefix = "" if patch_type == "strategic" else "error decoding patch: "
        raise BadRequest(f"{prefix}{problem}") from None
    if patch_type == "json":
        patches.check_operations(document)
    elif not isinstance(document, dict):
        why = f"json: cannot unmarshal {_json_kind(document)} into Go value of type map[string]interface {{}}"
        raise BadRequest(why if patch_type == "strategic" else "error decoding patch: " + why)
    return Patch(patch_type, document)


def _apply_body(body: bytes) -> Object:
    try:
        tree, duplicates = yaml_bodies.load(body)
    except yaml_bodies.YamlProblem as problem:
        raise BadRequest(f"error decoding YAML: error converting YAML to JSON: {problem}") from problem
    if duplicates:
        found = yaml_bodies.duplicate_finding(duplicates)
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {found}")
    if not isinstance(tree, dict):
        raise BadRequest("error decoding YAML: json: cannot unmarshal into Go value of type map[string]interface {}")
    return tree


def _json_kind(value: Any) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


class Patch:
    """A parsed patch of one of the four types."""

    def __init__(self, patch_type: PatchType, document: Any) -> None:
        self.type = patch_type
        self.document = document

    @property
    def is_apply(self) -> bool:
        return self.type == "apply"

    def applied_to(
        self, current: Object, resource: Resource, options: WriteOptions, context: WriteContext, manager: str
    ) -> Object:
        """The patched object. `current` is an own tree of the request's version, resourceVersion included."""
        if self.type == "apply":
            return self._apply(current, resource, options, context, manager)
        if self.type == "json":
            made = patches.json_patch(current, self.document)
        elif self.type == "merge":
            made = patches.merge_patch(current, self.document)
        else:
            from minikube_api.schema import strategic

            made = strategic.patch(current, self.document, resource.schema)
            made["apiVersion"], made["kind"] = resource.api_version, resource.kind
        return self._checked(made, resource, options, context)

    def _checked(self, made: Any, resource: Resource, options: WriteOptions, context: WriteContext) -> Object:
        if resource.custom:
            return self._checked_custom(made, resource, options, context)
        if not isinstance(made, dict) or made.get("kind") != resource.kind or made.get("apiVersion") != resource.api_version:
            raise self._refused(made, _wrong_type(made, resource))
        try:
            warnings = decoding.check(
                made,
                resource.schema,
                kind=resource.kind,
                api_version=resource.api_version,
                validation=options.field_validation,  # type: ignore[arg-type]
            )
        except BadRequest as error:
            marker = f"cannot be handled as a {resource.kind}: "
            raise self._refused(made, error.message.partition(marker)[2] or error.message) from error
        for text in warnings:
            if text not in context.warnings:
                context.warnings.append(text)
        if not isinstance(made.get("metadata"), dict):
            made["metadata"] = {}
        return made

    def _checked_custom(self, made: Any, resource: Any, options: WriteOptions, context: WriteContext) -> Object:
        from minikube_api.server.crds import bodies

        if not isinstance(made, dict):
            raise self._refused(made, _wrong_type(made, resource))
        for text in bodies.clean(made, resource, options.field_validation):
            if text not in context.warnings:
                context.warnings.append(text)
        return made

    def _refused(self, made: Any, why: str) -> StatusError:
        shown = orjson.dumps(made).decode()
        return Invalid.object("", "", "", [field_errors.invalid("patch", shown, why)])

    def new_object(self, resource: Resource, options: WriteOptions, context: WriteContext, manager: str) -> Object:
        """What apply makes of nothing."""
        meta = self.document.get("metadata")
        if meta is None or (isinstance(meta, dict) and not meta.get("name")):
            self.document["metadata"] = {**(meta or {}), "name": context.name}
        return self._apply(None, resource, options, context, manager)

    def _apply(
        self, current: Object | None, resource: Resource, options: WriteOptions, context: WriteContext, manager: str
    ) -> Object:
        made = tracking.apply(
            current,
            self.document,
            resource,
            manager,
            context.subresource,
            context.now,
            force=bool(options.force),
        )
        return self._checked(made, resource, options, context)


def _wrong_type(made: Any, resource: Resource) -> str:
    if not isinstance(made, dict):
        return "json: cannot unmarshal into Go value of type map[string]interface {}"
    given = f"{made.get('apiVersion', '')}, Kind={made.get('kind', '')}"
    return f"unable to decode {given} into {resource.api_version}, Kind={resource.kind}"
