"""/openapi/v2 in its protobuf form, gnostic's `openapi.v2.Document`, which client-go's discovery client insists on.

Only what our own document holds is written. Source of the field numbers: gnostic's OpenAPIv2.proto.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from minikube_api.schema.openapi_schemas import Tree

#: what clients ask for, and what the server answers with: a media type holds no @
ACCEPTED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

Writer = Callable[[Any], bytes]


def encode(document: Tree) -> bytes:
    """The `Document` message of an OpenAPI v2 tree."""
    return b"".join((
        _text(1, document["swagger"]),
        _block(2, _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])),
        _block(8, _named(2, document["paths"], _path_item)),
        _block(9, _named(1, document["definitions"], _schema)),
        _block(12, _named(1, {"BearerToken": []}, _texts)),
        _block(13, _named(1, document["securityDefinitions"], _security)),
    ))  # fmt: skip


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _block(number: int, raw: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _text(number: int, value: str) -> bytes:
    return _block(number, value.encode()) if value else b""


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + b"\1" if value else b""


def _list(number: int, values: Iterable[str]) -> bytes:
    return b"".join(_block(number, value.encode()) for value in values)


def _texts(values: list[str]) -> bytes:
    return _list(1, values)


def _named(number: int, parts: Tree, writer: Writer) -> bytes:
    """A map as gnostic has it: repeated messages of name and value."""
    return b"".join(_block(number, _text(1, name) + _block(2, writer(part))) for name, part in parts.items())


def _any(value: Any) -> bytes:
    """JSON is YAML."""
    return _text(2, json.dumps(value, separators=(",", ":")) + "\n")


def _extensions(number: int, tree: Tree) -> bytes:
    return _named(number, {name: value for name, value in tree.items() if name.startswith("x-")}, _any)


def _path_item(item: Tree) -> bytes:
    methods = (("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8))
    return b"".join(_block(number, _operation(item[method])) for method, number in methods if method in item) + _parameters(
        9, item.get("parameters", ())
    )


def _operation(operation: Tree) -> bytes:
    return b"".join((
        _list(1, operation.get("tags", ())),
        _text(3, operation.get("description", "")),
        _text(5, operation.get("operationId", "")),
        _list(6, operation.get("produces", ())),
        _list(7, operation.get("consumes", ())),
        _parameters(8, operation.get("parameters", ())),
        _block(9, _named(1, operation["responses"], _response)),
        _list(10, operation.get("schemes", ())),
        _extensions(13, operation),
    ))  # fmt: skip


def _parameters(number: int, parameters: Iterable[Tree]) -> bytes:
    return b"".join(_block(number, _block(1, _parameter(parameter))) for parameter in parameters)


def _parameter(parameter: Tree) -> bytes:
    name, text, required = parameter["name"], parameter.get("description", ""), parameter.get("required", False)
    if parameter["in"] == "body":
        body = _text(1, text) + _text(2, name) + _text(3, "body") + _flag(4, required) + _block(5, _schema(parameter["schema"]))
        return _block(1, body)
    head = _flag(1, required) + _text(2, parameter["in"]) + _text(3, text) + _text(4, name)
    if parameter["in"] == "query":
        return _block(2, _block(3, head + _text(6, parameter["type"]) + _flag(21, parameter.get("uniqueItems", False))))
    return _block(2, _block(4, head + _text(5, parameter["type"]) + _flag(20, parameter.get("uniqueItems", False))))


def _response(response: Tree) -> bytes:
    schema = _block(2, _block(1, _schema(response["schema"]))) if "schema" in response else b""
    return _block(1, _text(1, response["description"]) + schema)


def _security(definition: Tree) -> bytes:
    about = _text(1, definition["type"]) + _text(2, definition["name"]) + _text(3, definition["in"])
    return _block(2, about + _text(4, definition["description"]))


def _schema(schema: Tree) -> bytes:
    parts = [
        _text(1, schema.get("$ref", "")),
        _text(2, schema.get("format", "")),
        _text(3, schema.get("title", "")),
        _text(4, schema.get("description", "")),
        _text(13, schema.get("pattern", "")),
        _list(19, schema.get("required", ())),
    ]
    if "enum" in schema:
        parts.append(b"".join(_block(20, _any(value)) for value in schema["enum"]))
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        parts.append(_block(21, _block(1, _schema(extra))))
    elif isinstance(extra, bool):
        parts.append(_block(21, _varint(2 << 3) + bytes([extra])))
    if "type" in schema:
        parts.append(_block(22, _text(1, schema["type"])))
    if isinstance(schema.get("items"), dict):
        parts.append(_block(23, _block(1, _schema(schema["items"]))))
    if "properties" in schema:
        parts.append(_block(25, _named(1, schema["properties"], _schema)))
    parts.append(_extensions(31, schema))
    return b"".join(parts)
