"""Static types of CEL: what the checker knows of an expression, and how the value of a field becomes a CEL value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minikube_api.cel import values

Convert = Callable[[Any], Any]


class Type:
    """`name` is what messages print. `fields` are those of an object type: name in CEL -> Field."""

    __slots__ = ("convert", "fields", "floor", "item", "key", "kind", "name", "size")

    def __init__(
        self,
        kind: str,
        name: str = "",
        *,
        key: Type | None = None,
        item: Type | None = None,
        fields: Mapping[str, Field] | None = None,
        convert: Convert | None = None,
        size: int = 0,
        floor: int = 1,
    ) -> None:
        self.kind = kind
        self.name = name or kind
        self.key = key
        self.item = item
        self.fields = fields
        #: from the JSON value to the CEL value; None: it is one
        self.convert = convert
        #: of a declared type: the most characters or entries, and the fewest bytes of JSON, that a value has
        self.size = size
        self.floor = floor

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Type({self.name})"


class Field:
    """A field of an object: its type and its name in the JSON."""

    __slots__ = ("json", "type")

    def __init__(self, type_: Type, json: str) -> None:
        self.type = type_
        self.json = json


DYN = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")
NULL = Type("null", "null")
TIMESTAMP = Type("timestamp", "google.protobuf.Timestamp")
DURATION = Type("duration", "google.protobuf.Duration")
TYPE = Type("type")
ERROR = Type("error", "!error!")


def list_of(item: Type, convert: Convert | None = None, *, size: int = 0) -> Type:
    return Type("list", f"list({item})", item=item, convert=convert, size=size, floor=2)


def map_of(key: Type, item: Type, convert: Convert | None = None, *, size: int = 0) -> Type:
    return Type("map", f"map({key}, {item})", key=key, item=item, convert=convert, size=size, floor=2)


def optional_of(item: Type) -> Type:
    return Type("optional", f"optional_type({item})", item=item)


def opaque(name: str) -> Type:
    return Type("opaque", name)


def param(name: str) -> Type:
    return Type("param", name)


A, B = param("A"), param("B")
LIST, MAP = list_of(DYN), map_of(DYN, DYN)

Binding = dict[str, Type]


def assignable(to: Type, given: Type, binding: Binding) -> bool:
    """Whether a value of type `given` may stand where `to` is asked for; binds type parameters."""
    if to.kind == "param":
        bound = binding.get(to.name)
        if bound is None or bound.kind == "dyn":
            binding[to.name] = given
            return True
        if assignable(bound, given, binding):
            return True
        return bool(bound.kind == "list" and given.kind == "list" and bound.item is not None and bound.item.kind == "dyn")
    if to.kind in ("dyn", "error") or given.kind in ("dyn", "error"):
        return True
    if given.kind == "param":
        return True
    if to.kind != given.kind:
        return given.kind == "null" and to.kind in ("object", "timestamp", "duration", "opaque", "optional")
    if to.kind in ("list", "optional"):
        assert to.item is not None
        assert given.item is not None
        return assignable(to.item, given.item, binding)
    if to.kind == "map":
        assert to.item is not None and to.key is not None
        assert given.item is not None and given.key is not None
        return assignable(to.key, given.key, binding) and assignable(to.item, given.item, binding)
    if to.kind in ("object", "opaque"):
        return to.name == given.name
    return True


def substituted(type_: Type, binding: Binding) -> Type:
    """`type_` with bound parameters put in; unbound ones are dyn."""
    if type_.kind == "param":
        return binding.get(type_.name, DYN)
    if type_.kind in ("list", "optional") and type_.item is not None:
        item = substituted(type_.item, binding)
        if item is type_.item:
            return type_
        return list_of(item) if type_.kind == "list" else optional_of(item)
    if type_.kind == "map" and type_.item is not None and type_.key is not None:
        return map_of(substituted(type_.key, binding), substituted(type_.item, binding))
    return type_


def joined(a: Type, b: Type) -> Type:
    """The type of what may be either: the same, or dyn."""
    if a.name == b.name and a.kind == b.kind:
        return a
    if a.kind in ("dyn", "error"):
        return b if a.kind == "error" else DYN
    if b.kind == "null" and a.kind in ("object", "opaque"):
        return a
    return DYN


def of_value(type_: Type) -> Callable[[Any], bool]:
    """A test whether a run-time value is of the type."""
    return _TESTS.get(type_.kind) or (lambda value: getattr(value, "cel_type", None) == type_.name)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool | values.UInt)


_TESTS: dict[str, Callable[[Any], bool]] = {
    "dyn": lambda value: True,
    "param": lambda value: True,
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "uint": lambda value: isinstance(value, values.UInt),
    "double": lambda value: isinstance(value, float),
    "string": lambda value: isinstance(value, str),
    "bytes": lambda value: isinstance(value, bytes),
    "null": lambda value: value is None,
    "timestamp": lambda value: isinstance(value, values.Timestamp),
    "duration": lambda value: isinstance(value, values.Duration),
    "type": lambda value: isinstance(value, values.TypeValue),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
    "object": lambda value: isinstance(value, dict),
    "optional": lambda value: isinstance(value, values.Optional),
}
