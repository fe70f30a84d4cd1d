"""Bodies of custom resources to trees: unstructured decoding, pruning, and the strict findings that clients may ask for."""

from __future__ import annotations

from typing import Any

import orjson

from minikube_api.meta.errors import BadRequest
from minikube_api.schema import builtin, custom, custom_pruning, decoding, findings, syntax, yaml_bodies
from minikube_api.server.context import Object
from minikube_api.server.crds.resources import CustomResource


def decode(body: bytes, resource: CustomResource, media_type: str, validation: str) -> tuple[Object, list[str]]:
    """(object, warnings) of a create or update. Raises BadRequest in kube-apiserver's words."""
    tree, notes = _parse(body, resource.kind, media_type)
    shown = body.decode("utf-8", "replace") if media_type not in decoding.YAML_TYPES else orjson.dumps(tree).decode()
    for field, name in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not tree.get(field):
            raise decoding.unrecognized(resource.kind, f"Object '{name}' is missing in '{shown}'", body)
    if tree["apiVersion"] != resource.api_version:
        raise BadRequest(
            f"the API version in the data ({tree['apiVersion']}) does not match the expected API version ({resource.api_version})"
        )
    return tree, clean(tree, resource, validation, notes)


def _parse(body: bytes, kind: str, media_type: str) -> tuple[Object, list[str]]:
    """(tree, findings of repeated keys)."""
    notes: list[str] = []
    if media_type in decoding.YAML_TYPES:
        try:
            tree, duplicates = yaml_bodies.load(body)
        except yaml_bodies.YamlProblem as problem:
            raise decoding.unrecognized(kind, str(problem), body) from None
        if duplicates:
            notes = [yaml_bodies.duplicate_finding(duplicates)]
    else:
        try:
            tree = decoding.parse_json(body)
            if isinstance(tree, dict) and syntax.may_repeat_keys(body, tree):
                spelled = syntax.pairs(body)
                notes = findings.repeated(spelled)
                tree = _last(spelled)
        except (syntax.SyntaxProblem, RecursionError) as problem:
            why = "exceeded max depth" if isinstance(problem, RecursionError) else str(problem)
            raise decoding.unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body) from None
    if not isinstance(tree, dict):
        why = f"json: cannot unmarshal {findings.json_kind(tree)} into Go value of type map[string]interface {{}}"
        raise decoding.unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body)
    return tree, notes


def _last(value: Any) -> Any:
    """The tree of pairs; of a repeated key the last value counts."""
    if isinstance(value, syntax.Pairs):
        return {key: _last(part) for key, part in value}
    return [_last(part) for part in value] if isinstance(value, list) else value


def clean(tree: Object, resource: CustomResource, validation: str, notes: list[str] | None = None) -> list[str]:
    """Prune an object in place and clean its metadata; returns warnings. Raises BadRequest for wrong metadata or with Strict."""
    found = [*(notes or ())]
    meta = tree.get("metadata")
    if meta is None:
        tree["metadata"] = {}
    else:
        schema = builtin.definition(custom.OBJECT_META)
        told = decoding.check(meta, schema, kind=resource.kind, api_version=resource.api_version)
        found += [text.replace(' field "', ' field "metadata.', 1) for text in told]
    found += [f'unknown field "{path}"' for path in custom_pruning.prune(tree, resource.root)]
    found += [f'unknown field "{path}"' for path in custom_pruning.prune_embedded(tree, resource.root)]
    if found and validation == "Strict":
        raise decoding.cannot_be_handled(resource.kind, resource.api_version, findings.summary(found))
    return [] if validation == "Ignore" else found
