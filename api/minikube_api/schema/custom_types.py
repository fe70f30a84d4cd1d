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


#: bytes of the largest request; the longest string is shorter by its quotes
_REQUEST = 3 * 1024 * 1024
_LONGEST = _REQUEST - 2
#: (least bytes of JSON, most characters) of formats that are no plain strings in CEL
_FORMATS: dict[str, tuple[str, str, types.Convert, int, int]] = {
    "date": ("timestamp", types.TIMESTAMP.name, _timestamp, 12, 10),
    "date-time": ("timestamp", types.TIMESTAMP.name, _timestamp, 21, 30),
    "datetime": ("timestamp", types.TIMESTAMP.name, _timestamp, 21, 30),
    "duration": ("duration", types.DURATION.name, _duration, 3, 30),
}
_NUMBER = Type("double", convert=_double)
_INTEGER = Type("int", convert=_whole)
_BOOLEAN = Type("bool", floor=4)
_INT_OR_STRING = Type("dyn", size=_LONGEST)
#: keys of maps: nothing bounds them, and estimates take none for it
_KEY = Type("string", floor=2)
_PLAIN = Type("string", size=_LONGEST, floor=2)
_META = Type(
    "object", "objectMeta", fields={"name": Field(_PLAIN, "name"), "generateName": Field(_PLAIN, "generateName")}, floor=2
)


def type_of(node: Structural, *, is_root: bool = False) -> Type | None:
    """None: rules can't see values of this schema (untyped, kept unknown fields)."""
    if node.int_or_string:
        return _INT_OR_STRING
    if node.type == "array":
        return _list(node)
    if node.type == "object":
        if node.values is not None:
            item = type_of(node.values, is_root=node.values.embedded)
            return (
                None
                if item is None
                else types.map_of(_KEY, item, _entries(item), size=_most(node, "maxProperties", item.floor + 6))
            )
        return _object(node, is_root=is_root)
    if node.type == "string":
        return _string(node)
    return {"boolean": _BOOLEAN, "number": _NUMBER, "integer": _INTEGER}.get(node.type)


def _most(node: Structural, keyword: str, each: int) -> int:
    """The most entries: as told, or as fit into a request."""
    told = node.raw.get(keyword)
    return (_REQUEST - 2) // each if told is None else max(int(told), 0)


def _string(node: Structural) -> Type:
    form = node.raw.get("format") or ""
    if form in _FORMATS:
        kind, name, convert, least, longest = _FORMATS[form]
        return Type(kind, name, convert=convert, size=longest, floor=least)
    told = node.raw.get("maxLength")
    size = _LONGEST if told is None else max(int(told), 0)
    if form == "byte":
        return Type("bytes", convert=_bytes, size=size, floor=2)
    if told is None and node.raw.get("enum"):
        size = max((len(value) for value in node.raw["enum"] if isinstance(value, str)), default=0)
    return _PLAIN if size == _LONGEST else Type("string", size=size, floor=2)


def _list(node: Structural) -> Type | None:
    item = type_of(node.items, is_root=node.items.embedded) if node.items is not None else None
    if item is None:
        return None
    convert = item.convert
    size = _most(node, "maxItems", item.floor + 1)
    wrap: Any = None
    if node.list_type == "set":
        wrap = values.SetList
    elif node.list_type == "map":

        def wrap(items: Any) -> Any:
            made = values.KeyedList(items)
            made.keys = node.list_keys
            return made

    if convert is None and wrap is None:
        return types.list_of(item, size=size)

    def whole(items: Any) -> Any:
        if not isinstance(items, list):
            return items
        parts = items if convert is None else [convert(part) for part in items]
        return parts if wrap is None else wrap(parts)

    return types.list_of(item, whole, size=size)


def _entries(item: Type) -> types.Convert | None:
    convert = item.convert
    if convert is None:
        return None
    return lambda tree: {key: convert(part) for key, part in tree.items()} if isinstance(tree, dict) else tree


def _object(node: Structural, *, is_root: bool) -> Type:
    fields: dict[str, Field] = {}
    required = node.raw.get("required") or ()
    floor = 2
    for name, part in node.properties.items():
        kind = type_of(part, is_root=part.embedded)
        if kind is None:
            continue
        plain = escaped(name)
        if plain is not None:
            fields[plain] = Field(kind, name)
        if name in required and not part.has_default:
            floor += len(name) + kind.floor + 4
    if is_root or node.embedded:
        fields["apiVersion"] = Field(_PLAIN, "apiVersion")
        fields["kind"] = Field(_PLAIN, "kind")
        fields["metadata"] = Field(_META, "metadata")
    return Type("object", f"object@{id(node):x}", fields=fields, floor=floor)
