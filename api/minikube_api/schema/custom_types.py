"""CEL types of custom resource schemas: what `self` and `oldSelf` are.

Source: k8s.io/apiserver's pkg/cel/common (schemas.go, values.go) and escaping.go. Conversions take a value as the JSON has it, or
as it was converted already.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from minikube_api.cel import types, values
from minikube_api.cel.types import Field, Type
from minikube_api.schema.custom import Structural

_RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_identifier = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def escaped(name: str) -> str | None:
    """A property's name as an identifier; None when there is none, and rules can't reach it."""
    if name in _RESERVED:
        return f"__{name}__"
    made = re.sub(r"__|\.|-|/", lambda match: _ESCAPES[match[0]], name)
    return made if _identifier.fullmatch(made) else None


def _double(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _timestamp(value: Any) -> Any:
    return values.timestamp(value if "T" in value.upper() else value + "T00:00:00Z") if isinstance(value, str) else value


def _duration(value: Any) -> Any:
    return values.duration(value) if isinstance(value, str) else value


def _bytes(value: Any) -> Any:
    return base64.b64decode(value) if isinstance(value, str) else value


_FORMATS = {
    "date": Type("timestamp", types.TIMESTAMP.name, convert=_timestamp),
    "date-time": Type("timestamp", types.TIMESTAMP.name, convert=_timestamp),
    "datetime": Type("timestamp", types.TIMESTAMP.name, convert=_timestamp),
    "duration": Type("duration", types.DURATION.name, convert=_duration),
    "byte": Type("bytes", convert=_bytes),
}
_NUMBER = Type("double", convert=_double)
_INTEGER = Type("int", convert=_whole)
_META = Type(
    "object", "objectMeta", fields={"name": Field(types.STRING, "name"), "generateName": Field(types.STRING, "generateName")}
)


def type_of(node: Structural, *, is_root: bool = False) -> Type | None:
    """None: rules can't see values of this schema (untyped, kept unknown fields)."""
    if node.int_or_string:
        return types.DYN
    if node.type == "array":
        return _list(node)
    if node.type == "object":
        if node.values is not None:
            item = type_of(node.values)
            return None if item is None else types.map_of(types.STRING, item, _entries(item))
        return _object(node, is_root=is_root)
    if node.type == "string":
        return _FORMATS.get(node.raw.get("format") or "", types.STRING)
    return {"boolean": types.BOOL, "number": _NUMBER, "integer": _INTEGER}.get(node.type)


def _list(node: Structural) -> Type | None:
    item = type_of(node.items) if node.items is not None else None
    if item is None:
        return None
    convert = item.convert
    wrap: Any = None
    if node.list_type == "set":
        wrap = values.SetList
    elif node.list_type == "map":

        def wrap(items: Any) -> Any:
            made = values.KeyedList(items)
            made.keys = node.list_keys
            return made

    if convert is None and wrap is None:
        return types.list_of(item)

    def whole(items: Any) -> Any:
        if not isinstance(items, list):
            return items
        parts = items if convert is None else [convert(part) for part in items]
        return parts if wrap is None else wrap(parts)

    return types.list_of(item, whole)


def _entries(item: Type) -> types.Convert | None:
    convert = item.convert
    if convert is None:
        return None
    return lambda tree: {key: convert(part) for key, part in tree.items()} if isinstance(tree, dict) else tree


def _object(node: Structural, *, is_root: bool) -> Type:
    fields: dict[str, Field] = {}
    for name, part in node.properties.items():
        kind = type_of(part)
        plain = escaped(name)
        if kind is not None and plain is not None:
            fields[plain] = Field(kind, name)
    if is_root or node.embedded:
        fields["apiVersion"] = Field(types.STRING, "apiVersion")
        fields["kind"] = Field(types.STRING, "kind")
        fields["metadata"] = Field(_META, "metadata")
    return Type("object", f"object@{id(node):x}", fields=fields)
