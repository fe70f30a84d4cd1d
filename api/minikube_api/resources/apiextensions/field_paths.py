"""Field paths that definitions name: `.spec.a` and `.spec['b.c']` of rules and selectable fields, followed through a schema.

Source: ValidFieldPath of apiextensions-apiserver's pkg/apiserver/schema/cel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


class NoField(ValueError):
    """The path is none, or leads nowhere; the text says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """`path` as messages write it: `spec.a`, `spec.labels[b]`."""

    path: str
    schema: Object


_token = re.compile(r"[.\[\]]|'(?:[^'\\]|\\.)*'|[^.\[\]]+")


def resolve(text: str, schema: Object, *, brackets: bool = True) -> Found:
    """Raises NoField."""
    tokens = _token.findall(text)
    path, at = "", 0
    while at < len(tokens):
        opening = tokens[at]
        if opening == "[":
            if not brackets:
                raise NoField("array notation is not allowed")
            name = _quoted(tokens, at)
            at += 3
        elif opening == ".":
            if at + 1 >= len(tokens):
                raise NoField("unexpected end of JSON path")
            name = tokens[at + 1]
            at += 2
        else:
            raise NoField(f"expected [ or . but got: {opening}")
        path, schema = _step(path, name, schema)
    return Found(path, schema)


def _quoted(tokens: list[str], at: int) -> str:
    if at + 1 >= len(tokens):
        raise NoField("unexpected end of JSON path")
    name = tokens[at + 1]
    if len(name) < 2 or name[0] != "'" or name[-1] != "'":
        raise NoField(f"expected single quoted string but got {name}")
    if at + 2 >= len(tokens):
        raise NoField("unexpected end of JSON path")
    if tokens[at + 2] != "]":
        raise NoField(f"expected ] but got {tokens[at + 2]}")
    return re.sub(r"\\(.)", r"\1", name[1:-1])


def _step(path: str, name: str, schema: Object) -> tuple[str, Object]:
    properties, more = schema.get("properties"), schema.get("additionalProperties")
    if properties:
        if name not in properties:
            raise NoField("does not refer to a valid field")
        return (f"{path}.{name}" if path else name), properties[name]
    if isinstance(more, dict):
        return f"{path}[{name}]", more
    raise NoField("does not refer to a valid field")
