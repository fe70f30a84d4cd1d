"""What Go's decoder reports about a tree: the first wrong value, and every unknown and duplicate field, in document order.

The slow and exact walk; `decoding` takes it only for bodies that have something to report. Paths in strict findings are those
of sigs.k8s.io/json (`spec.containers[0].foo`); type errors name the innermost Go struct and the path without indexes and keys.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from minikube_api.meta import go_times, quantities
from minikube_api.schema.model import Schema
from minikube_api.schema.syntax import Pairs

INT_RANGE = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1)}
_GO_TYPES = {
    "boolean": "bool", "string": "string", "number": "float64", "bytes": "[]uint8", "time": "v1.Time",
    "microtime": "v1.MicroTime", "quantity": "resource.Quantity", "int-or-string": "intstr.IntOrString",
}  # fmt: skip
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class WrongValue(ValueError):
    """A value that its Go type does not take; `str()` is Go's message."""


def strict(value: Any, schema: Schema) -> list[str]:
    """Unknown and duplicate fields, each once. Raises WrongValue for the first value of a wrong type.

    Objects may be dicts, or `Pairs` when duplicates are to be seen.
    """
    walk = _Walk()
    walk.value(value, schema, "", "", "")
    return list(dict.fromkeys(walk.found))


class _Walk:
    def __init__(self) -> None:
        self.found: list[str] = []

    def value(self, value: Any, schema: Schema, path: str, struct: str, fields: str) -> None:
        """`path` is for strict findings; `struct` and `fields` are the place as a type error names it."""
        if value is None or schema.type == "any":
            return
        if schema.type == "object":
            self._object(value, schema, path, struct, fields)
        elif schema.type == "map" and schema.values is not None:
            for key, part in self._entries(value, schema, path, struct, fields):
                self.value(part, schema.values, _join(path, key), struct, fields)
        elif schema.type == "array" and schema.items is not None:
            if not isinstance(value, list) or isinstance(value, Pairs):
                raise _wrong(value, go_type(schema), struct, fields)
            for index, part in enumerate(value):
                self.value(part, schema.items, f"{path}[{index}]", struct, fields)
        else:
            check_scalar(value, schema, struct, fields)

    def _object(self, value: Any, schema: Schema, path: str, struct: str, fields: str) -> None:
        for key, part in self._entries(value, schema, path, struct, fields):
            field = schema.fields.get(key)
            if field is not None:
                self.value(part, field, _join(path, key), schema.name, _join(fields, key))
            elif not schema.preserve_unknown:
                self.found.append(f'unknown field "{_join(path, key)}"')

    def _entries(self, value: Any, schema: Schema, path: str, struct: str, fields: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            yield from value.items()
            return
        if not isinstance(value, Pairs):
            raise _wrong(value, go_type(schema), struct, fields)
        seen: set[str] = set()
        for key, part in value:
            if key in seen and (schema.type == "map" or key in schema.fields):
                self.found.append(f'duplicate field "{_join(path, key)}"')
            seen.add(key)
            yield key, part


def check_scalar(value: Any, schema: Schema, struct: str, fields: str) -> None:
    """Raises WrongValue in Go's words when a leaf does not take `value`."""
    kind = schema.type
    if kind == "integer":
        check_integer(value, schema.format or "int64", go_type(schema), struct, fields)
    elif kind == "int-or-string":
        if not isinstance(value, str):
            check_integer(value, "int32", "int32", struct, fields)
    elif kind == "quantity":
        check_quantity(value)
    elif kind in ("time", "microtime"):
        if not isinstance(value, str):
            raise _wrong(value, "string", struct, fields)
        check_time(value, go_times.MICROS if kind == "microtime" else go_times.SECONDS)
    elif kind == "bytes":
        if not isinstance(value, str):
            raise _wrong(value, go_type(schema), struct, fields)
        check_base64(value)
    elif kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(value, go_type(schema), struct, fields)
    elif not isinstance(value, bool if kind == "boolean" else str):
        raise _wrong(value, go_type(schema), struct, fields)


def check_integer(value: Any, size: str, named: str, struct: str, fields: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, named, struct, fields)
    low, high = INT_RANGE.get(size, INT_RANGE["int64"])
    if isinstance(value, float) or not low <= value <= high:
        raise _wrong(value, named, struct, fields, literal=f"number {quantities.format_number(value)}")


def check_quantity(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongValue(quantities.FORMAT_WRONG)
    try:
        quantities.of(value.strip() if isinstance(value, str) else value)
    except quantities.QuantityError as error:
        raise WrongValue(str(error)) from None


def check_time(value: str, layout: str) -> None:
    if problem := go_times.problem(value, layout):
        raise WrongValue(problem)


def check_base64(value: str) -> bytes:
    """The bytes; WrongValue tells the place where Go's decoder stops. Line breaks are skipped, as there."""
    raw = value.encode()
    stop = _base64_stop(raw)
    if stop >= 0:
        raise WrongValue(f"illegal base64 data at input byte {stop}")
    return base64.b64decode(raw)


def _base64_stop(raw: bytes) -> int:
    """The offset that Go's CorruptInputError names, -1 when the text is good."""
    have = 0
    for at, byte in enumerate(raw):
        if byte in b"\r\n":
            continue
        if byte in _ALPHABET:
            have = (have + 1) % 4
            continue
        if byte != ord("=") or have < 2:
            return at
        rest = raw[at + 1 :].lstrip(b"\r\n")
        if have == 2:
            if rest[:1] != b"=":
                return len(raw) - len(rest)
            rest = rest[1:].lstrip(b"\r\n")
        return len(raw) - len(rest) if rest else -1
    return len(raw) - have if have else -1


def go_type(schema: Schema) -> str:
    """The node's Go type as `%s` of reflect.Type prints it."""
    if schema.go_type:
        return schema.go_type
    if schema.type == "object":
        return f"{schema.definition.rsplit('.', 2)[-2]}.{schema.name}" if schema.definition else schema.name
    if schema.type == "array" and schema.items is not None:
        return f"[]{go_type(schema.items)}"
    if schema.type == "map" and schema.values is not None:
        return f"map[string]{go_type(schema.values)}"
    if schema.type == "integer":
        return schema.format or "int64"
    return _GO_TYPES.get(schema.type, "interface {}")


def json_kind(value: Any) -> str:
    """`string`, `number`, `bool`, `array`, `object`: how Go calls a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) and not isinstance(value, Pairs) else "object"


def _wrong(value: Any, named: str, struct: str, fields: str, literal: str = "") -> WrongValue:
    where = f"Go struct field {struct}.{fields}" if fields else "Go value"
    return WrongValue(f"json: cannot unmarshal {literal or json_kind(value)} into {where} of type {named}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def repeated(value: Any, path: str = "") -> list[str]:
    """Keys that are there twice in one object, `duplicate field "spec.a"`."""
    found: list[str] = []
    if isinstance(value, Pairs):
        seen: set[str] = set()
        for key, part in value:
            at = f"{path}.{key}" if path else key
            if key in seen:
                found.append(f'duplicate field "{at}"')
            seen.add(key)
            found += repeated(part, at)
    elif isinstance(value, list):
        for i, part in enumerate(value):
            found += repeated(part, f"{path}[{i}]")
    return found


def summary(found: Iterable[str]) -> str:
    """The findings as one strict decoding error."""
    return "strict decoding error: " + ", ".join(found)
