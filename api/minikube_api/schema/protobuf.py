"""Kubernetes' protobuf bodies, decoded to JSON trees: `k8s\\0` and a `runtime.Unknown` with the object inside (`protobuf_writing` is the way back).

The wire format is read by hand, driven by the generated table `protobuf.jsonl` (message -> number -> JSON name and type); a
message is compiled when first met. Go writes the zero values of its non-pointer fields, so `decoding.check` has to follow.
Source: protobuf's encoding guide; apimachinery's `runtime.Unknown` and the `.proto` files of the API.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from minikube_api.meta import times
from minikube_api.schema import builtin

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
PREFIX = b"k8s\0"
_TABLE = Path(__file__).with_name("protobuf.jsonl")
_META = "apimachinery.pkg.apis.meta.v1."
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

#: takes what the wire gave: bytes, or an int for a varint
Reader = Callable[[Any], Any]


class WireProblem(ValueError):
    """The bytes are no protobuf body of a known kind."""


def decode(body: bytes) -> dict[str, Any]:
    """The object in an envelope, with apiVersion and kind. Raises WireProblem."""
    if body[:4] != PREFIX:
        raise WireProblem("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        tree = _envelope(body[4:])
    except (IndexError, struct.error) as error:
        raise WireProblem("unexpected EOF") from error
    except UnicodeDecodeError as error:
        raise WireProblem("string field contains invalid UTF-8") from error
    except orjson.JSONDecodeError as error:
        raise WireProblem(f"invalid JSON in the message: {error}") from error
    if not isinstance(tree, dict):
        raise WireProblem("the message holds no object")
    return tree


def _envelope(data: bytes) -> dict[str, Any]:
    about: dict[str, str] = {}
    raw, content_type = b"", ""
    for number, _, value in _wire(data):
        if number == 1:
            about = {("apiVersion" if n == 1 else "kind"): _text(v) for n, _, v in _wire(_bytes(value)) if n in (1, 2)}
        elif number == 2:
            raw = _bytes(value)
        elif number == 4:
            content_type = _text(value)
    if content_type == "application/json":
        return orjson.loads(raw)
    api_version, kind = about.get("apiVersion", ""), about.get("kind", "")
    tree = _message(message_of(api_version, kind))(raw)
    return {"apiVersion": api_version, "kind": kind, **tree}


def message_of(api_version: str, kind: str) -> str:
    """The message of a kind. Raises WireProblem."""
    group, _, version = api_version.rpartition("/")
    if builtin.is_kind(group, version, kind):
        return builtin.load(group, version, kind).definition.removeprefix("io.k8s.")
    if (api_version, kind) == ("meta.k8s.io/v1beta1", "PartialObjectMetadataList"):
        return "apimachinery.pkg.apis.meta.v1beta1.PartialObjectMetadataList"
    # of one layout in both versions
    name = f"api.apidiscovery.v2.{kind}" if group == "apidiscovery.k8s.io" else _META + kind
    if name.encode() in _lines():
        return name
    raise WireProblem(f'no kind "{kind}" is registered for version "{api_version}"')


def _bytes(value: Any) -> bytes:
    """A value that must be of the wire type LENGTH, as Go's generated code has it."""
    if type(value) is not bytes:
        raise WireProblem("proto: wrong wireType = 0")
    return value


def _text(value: Any) -> str:
    return _bytes(value).decode()


def _number(value: Any) -> int:
    if type(value) is not int:
        raise WireProblem("proto: wrong wireType = 2")
    return value


def _wire(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(field number, wire type, value) of a message; the value is an int or bytes."""
    data = _bytes(data)
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == _LENGTH:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise WireProblem(f"proto: illegal wireType {kind}")
        if at + size > end:
            raise WireProblem("unexpected EOF")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while shift < 70:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + 1
        shift += 7
    raise WireProblem("proto: integer overflow")


@cache
def _lines() -> dict[bytes, bytes]:
    return dict(line.split(b"\t", 1) for line in _TABLE.read_bytes().split(b"\n") if line)


def fields_of(name: str) -> dict[str, tuple[str, str]]:
    """Field number of a message -> (JSON name, "" = inlined; type). A message that the table lacks has no fields."""
    return orjson.loads(_lines().get(name.encode(), b"{}"))


@cache
def _message(name: str) -> Reader:
    """The reader of a message; those that encode themselves in JSON have their own."""
    own = _OWN.get(name.rsplit(".", 1)[-1])
    if own is not None and name.startswith(("apimachinery.", "apiextensions-apiserver.")):
        return own
    if name == "items":
        return _items
    fields: dict[int, tuple[str, str, Reader]] = {}
    specs = fields_of(name)

    def read(data: bytes) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for number, wire, value in _wire(data):
            entry = fields.get(number)
            if entry is None:
                spec = specs.get(str(number))
                if spec is None:
                    continue
                entry = fields[number] = (spec[0], *_reader(spec[1]))
            field, shape, reader = entry
            if shape == "":
                tree[field] = reader(value)
            elif shape == "[]":
                found = tree.setdefault(field, [])
                if wire == _LENGTH and reader in (_signed, _unsigned, _bool):
                    found.extend(reader(part) for part in _packed(value))
                else:
                    found.append(reader(value))
            elif shape == "{}":
                key, part = _entry(value, reader)
                tree.setdefault(field, {})[key] = part
            else:
                tree.update(reader(value))
        return tree

    return read


def _reader(spec: str) -> tuple[str, Reader]:
    """(shape: "", "[]", "{}" or "^"; reader of one element)."""
    for shape in ("[]", "{}", "^"):
        if spec.startswith(shape):
            inner = spec[len(shape) :]
            below, reader = _reader(inner)
            if below == "[]":  # a map of lists has a message round each list
                return shape, _items
            return shape, reader
    if spec[0] == "@":
        return "", _message(spec[1:])
    return "", _SCALARS[spec]


def _entry(data: bytes, reader: Reader) -> tuple[str, Any]:
    key, value = "", None
    for number, _, part in _wire(data):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = reader(part)
    return key, value


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _signed(value: int) -> int:
    value = _number(value)
    return value - (1 << 64) if value >> 63 else value


def _unsigned(value: int) -> int:
    return _number(value)


def _bool(value: int) -> bool:
    return bool(_number(value))


def _double(value: bytes) -> float:
    number = struct.unpack("<d", _bytes(value))[0]
    if not math.isfinite(number):
        raise WireProblem("a number that JSON does not have")
    return number


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "bytes": lambda value: base64.b64encode(_bytes(value)).decode(),
    "bool": _bool,
    "int": _signed,
    "uint": _unsigned,
    "double": _double,
}


def _items(data: bytes) -> list[str]:
    return [_text(value) for number, _, value in _wire(data) if number == 1]


def _parts(data: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in _wire(data)}


def _time(data: bytes) -> str | None:
    parts = _parts(data)
    return times.format_time(_signed(parts.get(1, 0))) if data else None


def _micro_time(data: bytes) -> str | None:
    parts = _parts(data)
    return times.format_micro(_signed(parts.get(1, 0)) + _number(parts.get(2, 0)) // 1000 / 1_000_000) if data else None


def _quantity(data: bytes) -> str:
    return _text(_parts(data).get(1, b"0"))


def _int_or_string(data: bytes) -> int | str:
    parts = _parts(data)
    return _text(parts.get(3, b"")) if parts.get(1, 0) == 1 else _signed(parts.get(2, 0))


def _raw(data: bytes) -> Any:
    raw = _bytes(_parts(data).get(1, b""))
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise WireProblem(f"raw JSON inside protobuf: {error}") from None


def _props(data: bytes) -> Any:
    return _message("apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")(data)


def _props_or_array(data: bytes) -> Any:
    many = [_props(value) for number, _, value in _wire(data) if number == 2]
    parts = _parts(data)
    return many or (_props(parts[1]) if 1 in parts else None)


def _props_or_bool(data: bytes) -> Any:
    parts = _parts(data)
    return _props(parts[2]) if 2 in parts else bool(parts.get(1, 0))


def _props_or_strings(data: bytes) -> Any:
    parts = _parts(data)
    return _props(parts[1]) if 1 in parts else [_text(v) for number, _, v in _wire(data) if number == 2]


_OWN: dict[str, Reader] = {
    "Time": _time,
    "MicroTime": _micro_time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "RawExtension": _raw,
    "FieldsV1": _raw,
    "JSON": _raw,
    "JSONSchemaPropsOrArray": _props_or_array,
    "JSONSchemaPropsOrBool": _props_or_bool,
    "JSONSchemaPropsOrStringArray": _props_or_strings,
}
