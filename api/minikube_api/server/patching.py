"""The four kinds of patch: JSON, merge, strategic merge, apply. Reading, applying, and the words of their failures.

As in kube-apiserver the body is parsed when the patch meets its object: what is wrong with the options, or an object that is not there,
is told first. Source: pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from typing import Any, Literal

import orjson

from minikube_api.meta import field_errors, patches
from minikube_api.meta.errors import BadRequest, Invalid, StatusError, UnsupportedMediaType
from minikube_api.resources.resource import Resource, WriteContext
from minikube_api.schema import decoding, findings, managed, syntax, yaml_bodies
from minikube_api.schema.apply_merge import go_text
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
_OPERATION_FIELDS = frozenset(("op", "path", "from", "value"))
_MAP = "value of type map[string]interface {}"


def read(request: Request, resource: Resource, body: bytes) -> Patch:
    """The patch of a request, not parsed yet. Raises UnsupportedMediaType."""
    patch_type = _TYPES.get(media_type_of(request.headers.get("Content-Type", "")))
    if patch_type is None or (patch_type == "strategic" and resource.custom):
        raise UnsupportedMediaType("415: Unsupported Media Type", details={})
    return Patch(patch_type, body)


def _warn(context: WriteContext, texts: list[str]) -> None:
    for text in texts:
        if text not in context.warnings:
            context.warnings.append(text)


class Patch:
    """A patch of one of the four types. It is parsed once, however often a write is tried."""

    def __init__(self, patch_type: PatchType, body: bytes) -> None:
        self.type = patch_type
        self._body = body
        self._parsed: tuple[Any, list[str]] | None = None

    @property
    def is_apply(self) -> bool:
        return self.type == "apply"

    def applied_to(
        self, current: Object, resource: Resource, options: WriteOptions, context: WriteContext, manager: str
    ) -> Object:
        """The patched object. `current` is an own tree of the request's version, resourceVersion included."""
        if self.type == "apply":
            return self._apply(current, resource, options, context, manager)
        if self._parsed is None:
            self._parsed = _parse(self._body, self.type, options.field_validation)
        document, found = self._parsed
        if self.type == "json":
            made = patches.json_patch(current, document)
        elif self.type == "merge":
            made = patches.merge_patch(current, document)
        else:
            from minikube_api.schema import strategic

            made = strategic.patch(current, document, resource.schema)
            made["apiVersion"], made["kind"] = resource.api_version, resource.kind
        return self._checked(made, resource, options, context, found)

    def _checked(self, made: Any, resource: Resource, options: WriteOptions, context: WriteContext, found: list[str]) -> Object:
        """The result as the kind's decoder takes it; `found` is what a strict reading of the patch itself has to say."""
        if not isinstance(made, dict):
            raise self._refused(made, decoding.no_object(made))
        if not resource.custom:
            made["kind"], made["apiVersion"] = made.get("kind") or resource.kind, made.get("apiVersion") or resource.api_version
            if made["kind"] != resource.kind or made["apiVersion"] != resource.api_version:
                raise self._refused(made, _wrong_type(made, resource))
        # told at once with Strict, kept for the answer otherwise
        lenient = "Warn" if options.field_validation == "Strict" else options.field_validation
        try:
            if resource.custom:
                from minikube_api.server.crds import bodies

                more = bodies.clean(made, resource, lenient)  # type: ignore[arg-type]
            else:
                more = decoding.check(
                    made,
                    resource.schema,
                    kind=resource.kind,
                    api_version=resource.api_version,
                    validation=lenient,  # type: ignore[arg-type]
                )
        except BadRequest as error:
            marker = f"cannot be handled as a {resource.kind}: "
            why = error.message.partition(marker)[2] or error.message
            raise (self._unconvertible(made, resource, why) if self.is_apply else self._refused(made, why)) from error
        if found or more:
            if options.field_validation == "Strict":
                raise self._refused(made, findings.summary([*found, *more]))
            _warn(context, [*found, *more])
        if not isinstance(made.get("metadata"), dict):
            made["metadata"] = {}
        return made

    def _refused(self, made: Any, why: str) -> StatusError:
        # strategic merge works on trees and shows the patch, the others work on text and show the result
        shown = go_text(self._parsed[0]) if self.type == "strategic" and self._parsed else orjson.dumps(made).decode()
        return Invalid.object("", "", "", [field_errors.invalid("patch", shown, why)])

    def _unconvertible(self, made: Any, resource: Resource, why: str) -> StatusError:
        """Apply makes objects of trees, not of text: its failures have the converter's words, and no reason."""
        from minikube_api.schema import strategic

        document = self._parsed[0] if self._parsed else {}
        why = strategic.type_problem(made, resource.schema) or why
        return StatusError(
            f"failed to convert new object ({managed.described(document)}) to proper version: {why}", code=500, reason=""
        )

    def new_object(self, resource: Resource, options: WriteOptions, context: WriteContext, manager: str) -> Object:
        """What apply makes of nothing."""
        return self._apply(None, resource, options, context, manager)

    def _apply(
        self, current: Object | None, resource: Resource, options: WriteOptions, context: WriteContext, manager: str
    ) -> Object:
        if self._parsed is None:
            self._parsed = _parse_configuration(self._body)
        document, duplicates = self._parsed
        made = tracking.apply(
            current,
            document,
            resource,
            manager,
            context.subresource,
            context.now,
            force=bool(options.force),
        )
        if duplicates and options.field_validation == "Strict":
            found = yaml_bodies.duplicate_finding(duplicates)
            raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {found}")
        found = duplicates if options.field_validation == "Warn" else []
        return self._checked(made, resource, options, context, found)


def _parse_configuration(body: bytes) -> tuple[Object, list[str]]:
    """(what is applied, its repeated keys). Raises BadRequest."""
    try:
        tree, duplicates = yaml_bodies.load(body)
    except yaml_bodies.YamlProblem as problem:
        raise BadRequest(f"error decoding YAML: error converting YAML to JSON: {problem}") from problem
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        why = f"json: cannot unmarshal {findings.json_kind(tree)} into Go {_MAP}"
        raise BadRequest(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
    return tree, duplicates


def _parse(body: bytes, patch_type: PatchType, validation: str) -> tuple[Any, list[str]]:
    """(document, strict findings) of a patch in JSON. Raises BadRequest."""
    prefix = "" if patch_type == "strategic" else "error decoding patch: "
    found: list[str] = []
    try:
        document = decoding.parse_json(body)
        if isinstance(document, dict | list) and syntax.may_repeat_keys(body, document):
            spelled = syntax.pairs(body)
            found = findings.repeated(spelled)
            document = syntax.merged(spelled)
    except syntax.SyntaxProblem as problem:
        raise BadRequest(f"{prefix}{problem}") from None
    if patch_type == "json":
        document = patches.check_operations(document)
        found = [f"json patch {text}" for text in [*found, *_unknown(document)]]
    elif document is None:
        if patch_type == "merge":
            raise BadRequest("Invalid JSON Patch")
        document = {}
    elif not isinstance(document, dict):
        raise BadRequest(f"{prefix}json: cannot unmarshal {findings.json_kind(document)} into Go {_MAP}")
    return document, [] if validation == "Ignore" else found


def _unknown(operations: list[Object]) -> list[str]:
    return [
        f'unknown field "[{i}].{name}"'
        for i, operation in enumerate(operations)
        for name in operation
        if name not in _OPERATION_FIELDS
    ]


def _wrong_type(made: Object, resource: Resource) -> str:
    """What the decoder says of an object that its patch made something else."""
    try:
        decoding.refuse_other_kind(made["kind"], made["apiVersion"], resource.kind, resource.api_version)
    except BadRequest as refusal:
        return refusal.message.partition(": ")[2] or refusal.message
    raise AssertionError("the object is of the right kind")
