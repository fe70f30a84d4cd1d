"""What is written as protobuf is what is read again: every kind, with trees made at random from its schema."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from minikube_api.schema import builtin, decoding, protobuf, protobuf_writing, storing
from minikube_api.schema.model import Schema

KINDS = sorted({(body.group, body.version, body.kind) for body in builtin.kinds()})
SCALARS: dict[str, Any] = {
    "string": lambda rng: rng.choice(["", "a", "ünï", "x" * 300]),
    "integer": lambda rng: rng.choice([0, 1, 7, 127, 128, 70000, -1, -70000]),
    "number": lambda rng: rng.choice([0.5, 1.5, -2.25]),
    "boolean": lambda rng: rng.random() < 0.5,
    "int-or-string": lambda rng: rng.choice([0, 80, -1, "http", "50%"]),
    "quantity": lambda rng: rng.choice(["1", "100m", "2Gi", "0"]),
    "time": lambda rng: rng.choice(["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:01Z"]),
    "microtime": lambda rng: rng.choice(["2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.654321Z"]),
    "duration": lambda rng: "5s",
    "bytes": lambda rng: rng.choice(["", "AP8=", "YWJj"]),
}
#: nodes that table and schema call "any", by the names of their fields
PROPS = {"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-int-or-string": True, "default": {"a": [1]}}}}
OWN: dict[str, list[Any]] = {
    "items": [PROPS, [PROPS, {}]],
    "additionalItems": [True, False, PROPS],
    "additionalProperties": [True, False, PROPS],
    "dependencies": [{"a": ["b", "c"]}, {"a": PROPS}],
}
#: fields of gates that are off, which the program that the table was read from no longer has
GONE = {"nodeAllocatableResourceClaimStatuses", "nodeAllocatableResourceMappings"}


def made(schema: Schema, rng: random.Random, depth: int, field: str = "") -> Any:
    if schema.type == "object":
        keep = 0.9 if depth < 3 else 0.5 if depth < 6 else 0.0
        chosen = [name for name in schema.fields if rng.random() < keep and name not in {"apiVersion", "kind", *GONE}]
        return {name: made(schema.fields[name], rng, depth + 1, name) for name in chosen}
    if schema.type == "array":
        assert schema.items is not None
        # protobuf has no empty list, and one field's JSON has
        return [made(schema.items, rng, depth + 1) for _ in range(rng.randrange(field == "policies", 3))]
    if schema.type == "map":
        assert schema.values is not None
        inner = made(schema.values, rng, depth + 1)
        return dict.fromkeys(rng.sample(["b", "a", "c.example.com/x"], rng.randrange(3)), inner)
    if schema.type == "any":
        return rng.choice(OWN.get(field, [{"a": [1, None, {"b": "c"}]}]))
    return SCALARS[schema.type](rng)


@pytest.mark.parametrize(("group", "version", "kind"), [pytest.param(*gvk, id="/".join(gvk)) for gvk in KINDS])
def test_every_kind_reads_as_it_was_written(group: str, version: str, kind: str) -> None:
    api_version = f"{group}/{version}" if group else version
    schema = builtin.load(group, version, kind)
    for seed in range(6):
        tree = {"apiVersion": api_version, "kind": kind, **made(schema, random.Random(seed), 0)}
        for _ in range(2):  # what the first time fills in whole is filled in inside the second time
            decoding.check(tree, schema, kind=kind, api_version=api_version, validation="Ignore")
        storing.without_empty_lists(tree, schema)
        again = protobuf.decode(protobuf_writing.encode(tree))
        decoding.check(again, schema, kind=kind, api_version=api_version, validation="Ignore")
        assert again == tree


def test_the_envelope_names_the_kind_and_leaves_encoding_and_content_type_empty() -> None:
    body = protobuf_writing.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}})
    about = b"\x0a\x02v1\x12\x09ConfigMap"
    raw = b"\x0a\x03\x0a\x01a" + b"\x12\x06\x0a\x01k\x12\x01v"
    assert body == b"k8s\0" + b"\x0a" + bytes([len(about)]) + about + b"\x12" + bytes([len(raw)]) + raw + b"\x1a\x00\x22\x00"


def test_fields_go_by_number_and_maps_by_key() -> None:
    made_first = protobuf_writing.encode(
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "1", "a": "2"}, "metadata": {"name": "a"}}
    )
    other = protobuf_writing.encode(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "2", "b": "1"}}
    )
    assert made_first == other


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_list_of_written_messages_is_the_list(version: str) -> None:
    items = [{"metadata": {"name": name}} for name in ("a", "b")]
    metadata = {"resourceVersion": "7", "remainingItemCount": 3}
    one = protobuf_writing.message(f"meta.k8s.io/{version}", "PartialObjectMetadata")
    kind = "PartialObjectMetadataList"
    listed = protobuf_writing.list_envelope(f"meta.k8s.io/{version}", kind, metadata, [one(item) for item in items])
    whole = {"apiVersion": f"meta.k8s.io/{version}", "kind": kind, "metadata": metadata, "items": items}
    assert listed == protobuf_writing.encode(whole)
    assert protobuf.decode(listed) == whole


def test_an_event_is_framed_by_its_length_and_holds_an_envelope() -> None:
    body = protobuf_writing.encode({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 410})
    chunk = protobuf_writing.event_frame("ERROR", body) + protobuf_writing.event_frame("ADDED", body)
    (size,) = struct.unpack(">I", chunk[:4])
    assert chunk[4 : 4 + size].startswith(b"\x0a\x05ERROR\x12")
    assert body in chunk[4 : 4 + size]
    assert [frame[:7] for frame in protobuf_writing.frames(chunk)] == [b"\x0a\x05ERROR", b"\x0a\x05ADDED"]


def test_a_kind_without_a_message_is_refused() -> None:
    with pytest.raises(protobuf_writing.WireProblem, match='no kind "Widget"'):
        protobuf_writing.encode({"apiVersion": "example.com/v1", "kind": "Widget"})
