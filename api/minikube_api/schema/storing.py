"""What the stored form cannot say: Kubernetes keeps built-in kinds as protobuf, which knows no empty list, so that one becomes null.

Only lists that Go writes always can be empty here (`limits: []`); decoding drops the others. Managed fields are those of the request,
where an empty list is still one; so this comes last. Custom resources, CustomResourceDefinitions and APIServices are kept as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from minikube_api.schema.model import Schema

Walk = Callable[[Any], None]


def without_empty_lists(tree: dict[str, Any], schema: Schema) -> None:
    """Set the lists to null, in place."""
    walk = _walk(schema)
    if walk is not None:
        walk(tree)


@cache
def _walk(schema: Schema) -> Walk | None:
    """None when there is nothing to find below."""
    if not _reaches(schema, set()):
        return None
    if schema.type == "object":
        lists = tuple(_written_lists(schema))
        below = tuple(name for name, field in schema.fields.items() if _reaches(field, set()))
        walks: dict[str, Walk | None] = {}

        def walk_object(tree: Any) -> None:
            if type(tree) is not dict:
                return
            for name in lists:
                if tree.get(name) == []:
                    tree[name] = None
            for name in below:
                part = tree.get(name)
                if part:
                    # found late: types may hold themselves
                    if name not in walks:
                        walks[name] = _walk(schema.fields[name])
                    if (inner := walks[name]) is not None:
                        inner(part)

        return walk_object
    inner = schema.items if schema.type == "array" else schema.values
    assert inner is not None

    def walk_parts(tree: Any) -> None:
        each = _walk(inner)
        if each is not None and tree:
            for part in tree if type(tree) is list else tree.values():
                each(part)

    return walk_parts


def _written_lists(schema: Schema) -> list[str]:
    return [name for name, zero in schema.always.items() if zero is None and schema.fields[name].type == "array"]


def _reaches(schema: Schema, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if schema.type == "object":
        return bool(_written_lists(schema)) or any(_reaches(field, seen) for field in schema.fields.values())
    inner = schema.items if schema.type == "array" else schema.values if schema.type == "map" else None
    return inner is not None and _reaches(inner, seen)
