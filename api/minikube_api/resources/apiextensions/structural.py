"""Findings in the schema of a version, and the schemas inside a schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minikube_api.resources.apiextensions import structural_nodes
from minikube_api.resources.checks import Errors

Object = dict[str, Any]


def schema_problems(schema: Object, path: str, *, has_status: bool = False) -> Errors:
    """What is wrong with an openAPIV3Schema; `has_status`: the version's status subresource is on."""
    return structural_nodes.problems(schema, path, has_status=has_status)


def findings(schema: Object, path: str, *, has_status: bool = False) -> tuple[Errors, Errors | None]:
    """(findings at nodes, findings on the structural form), the latter None when it can't be asked for."""
    return structural_nodes.findings(schema, path, has_status=has_status)


def parts(schema: Object, path: str) -> Iterator[tuple[Object, str]]:
    """The schemas directly inside a schema, with their field paths."""
    for name in ("properties", "definitions", "patternProperties"):
        for key, part in sorted((schema.get(name) or {}).items()):
            yield part, f"{path}.{name}[{key}]"
    for name in ("allOf", "anyOf", "oneOf"):
        for i, part in enumerate(schema.get(name) or ()):
            yield part, f"{path}.{name}[{i}]"
    for name in ("items", "not", "additionalProperties", "additionalItems"):
        if isinstance(part := schema.get(name), dict):
            yield part, f"{path}.{name}"
