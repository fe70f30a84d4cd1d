"""JSON trees as Kubernetes' protobuf: the way back of `schema.protobuf`, over the same table of messages.

What a tree leaves out is left out on the wire too: to Go, a zero value and an absent one read alike (the fields that tell them apart
are pointers, and those are absent in JSON just when they are nil). Fields go in the order of their numbers, maps in that of their keys, as
Go's generated code writes them. Source: protobuf's encoding guide; apimachinery's `runtime.Unknown` and `streaming` framers.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

import orjson

from minikube_api.meta import times
from minikube_api.schema import protobuf
from minikube_api.schema.protobuf import PREFIX, WireProblem

#: a value as the bytes of one field, key included
Writer = Callable[[Any], bytes]
#: a value as the bytes of a message or text, without key and length
Content = Callable[[Any], bytes]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROPS = "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
#: contentEncoding and contentType of an Unknown that holds protobuf: both empty, both written
_UNKNOWN_TAIL = b"\x1a\x00\x22\x00"


def encode(tree: dict[str, Any]) -> bytes:
    """An object with apiVersion and kind as an envelope: `k8s\\0` and a `runtime.Unknown`. Raises WireProblem for kinds without a message."""
    api_version, kind = tree.get("apiVersion", ""), tree.get("kind", "")
    return envelope(api_version, kind, message(api_version, kind)(tree))


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    about = _block(1, api_version.encode()) + _block(2, kind.encode())
    return b"".join((PREFIX, _block(1, about), _block(2, raw), _UNKNOWN_TAIL))


def message(api_version: str, kind: str) -> Content:
    """The writer of a kind's message. Raises WireProblem when no message is known."""
    return _message(protobuf.message_of(api_version, kind))


def list_envelope(api_version: str, kind: str, metadata: dict[str, Any], items: Iterable[bytes]) -> bytes:
    """A list of messages that are written already."""
    first, second = (2, 1) if api_version == "meta.k8s.io/v1beta1" else (1, 2)
    head = _block(first, _message("apimachinery.pkg.apis.meta.v1.ListMeta")(metadata))
    body = b"".join([_block(second, item) for item in items])
    return envelope(api_version, kind, head + body if first < second else body + head)


def event_frame(kind: str, body: bytes) -> bytes:
    """A meta.k8s.io WatchEvent round an enveloped object, behind its length (four bytes, big-endian)."""
    event = _block(1, kind.encode()) + _block(2, _block(1, body))
    return struct.pack(">I", len(event)) + event


def frames(chunk: bytes) -> Iterable[bytes]:
    """The messages of whole frames, for connections that frame them otherwise."""
    at = 0
    while at < len(chunk):
        (size,) = struct.unpack_from(">I", chunk, at)
        yield chunk[at + 4 : at + 4 + size]
        at += 4 + size


# ---- the wire


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _block(number: int, raw: bytes) -> bytes:
    return b"%b%b%b" % (_varint(number << 3 | 2), _varint(len(raw)), raw)


def _delimited(number: int, content: Content) -> Writer:
    key = _varint(number << 3 | 2)

    def write(value: Any) -> bytes:
        raw = content(value)
        return b"%b%b%b" % (key, _varint(len(raw)), raw)

    return write


def _integer(number: int) -> Writer:
    key = _varint(number << 3)
    return lambda value: key + _varint(int(value))


def _double(number: int) -> Writer:
    key = _varint(number << 3 | 1)
    return lambda value: key + struct.pack("<d", value)


# ---- messages


@cache
def _message(name: str) -> Content:
    """The writer of a message's content; fields are compiled when first met."""
    own = _OWN.get(name.rsplit(".", 1)[-1])
    if own is not None and name.startswith(("apimachinery.", "apiextensions-apiserver.")):
        return own
    if name == "items":
        return _items
    table = protobuf.fields_of(name)
    numbers = {field: int(number) for number, (field, _) in table.items() if field}
    inlined = {int(number): spec[2:] for number, (field, spec) in table.items() if not field}
    writers: dict[str, tuple[int, Writer | None]] = {}

    def compile_field(field: str) -> tuple[int, Writer | None]:
        number = numbers.get(field)
        if number is not None:
            made: tuple[int, Writer | None] = (number, _writer(number, table[str(number)][1]))
        else:
            # a field of a message that JSON inlines, or one that has no place on the wire (apiVersion, kind)
            made = (next((n for n, inner in inlined.items() if _holds(inner, field)), 0), None)
        writers[field] = made
        return made

    def write(tree: dict[str, Any]) -> bytes:
        parts: list[tuple[int, bytes]] = []
        below: dict[int, dict[str, Any]] = {}
        for field, value in tree.items():
            if value is None:
                continue
            number, writer = writers.get(field) or compile_field(field)
            if writer is not None:
                parts.append((number, writer(value)))
            elif number:
                below.setdefault(number, {})[field] = value
        parts += [(number, _block(number, _message(inlined[number])(part))) for number, part in below.items()]
        parts.sort(key=_by_number)
        return b"".join([raw for _, raw in parts])

    return write


def _by_number(part: tuple[int, bytes]) -> int:
    return part[0]


@cache
def _holds(name: str, field: str) -> bool:
    """Whether JSON knows a field of a message, perhaps of one inside it that it inlines."""
    return any(known == field or (not known and _holds(spec[2:], field)) for known, spec in protobuf.fields_of(name).values())


def _writer(number: int, spec: str) -> Writer:
    if spec.startswith("[]"):
        one = _writer(number, spec[2:])
        return lambda values: b"".join([one(value) for value in values])
    if spec.startswith("{}"):
        inner = "@items" if spec[2:4] == "[]" else spec[2:]
        key, value = _writer(1, "string"), _writer(2, inner)
        entry = _delimited(number, lambda pair: key(pair[0]) + value(pair[1]))
        return lambda values: b"".join([entry(pair) for pair in sorted(values.items())])
    if spec[0] == "@":
        return _delimited(number, _message(spec[1:]))
    if spec == "string":
        return _delimited(number, str.encode)
    if spec == "bytes":
        return _delimited(number, base64.b64decode)
    return _double(number) if spec == "double" else _integer(number)


# ---- types that encode themselves


def _items(values: list[str]) -> bytes:
    return b"".join([_block(1, value.encode()) for value in values])


@lru_cache(maxsize=1024)
def _time(text: str) -> bytes:
    moment = times.parse_datetime(text) - _EPOCH
    return b"\x08" + _varint(moment.days * 86400 + moment.seconds) + b"\x10" + _varint(moment.microseconds * 1000)


def _quantity(value: Any) -> bytes:
    return _block(1, str(value).encode())


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + _block(3, value.encode())
    return b"\x08\x00\x10" + _varint(value) + b"\x1a\x00"


def _raw(value: Any) -> bytes:
    return _block(1, orjson.dumps(value))


def _props(value: dict[str, Any]) -> bytes:
    return _message(_PROPS)(value)


def _props_or_array(value: Any) -> bytes:
    return b"".join([_block(2, _props(part)) for part in value]) if isinstance(value, list) else _block(1, _props(value))


def _props_or_bool(value: Any) -> bytes:
    return _varint(8) + bytes((value,)) if isinstance(value, bool) else b"\x08\x01" + _block(2, _props(value))


def _props_or_strings(value: Any) -> bytes:
    return b"".join([_block(2, text.encode()) for text in value]) if isinstance(value, list) else _block(1, _props(value))


_OWN: dict[str, Content] = {
    "Time": _time,
    "MicroTime": _time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "RawExtension": _raw,
    "FieldsV1": _raw,
    "JSON": _raw,
    "JSONSchemaPropsOrArray": _props_or_array,
    "JSONSchemaPropsOrBool": _props_or_bool,
    "JSONSchemaPropsOrStringArray": _props_or_strings,
}

__all__ = ["WireProblem", "encode", "envelope", "event_frame", "frames", "list_envelope", "message"]
