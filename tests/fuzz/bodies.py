"""Bodies for fuzzing: objects that follow a kind's schema more or less, and what becomes of them when they are damaged.

A body starts as a tree that walks the schema (so that it comes past decoding into defaulting and validation), gets values of wrong
types here and there, and at last its bytes may be cut, flipped or doubled. Everything is drawn from one `random.Random`, whose seed
hypothesis chooses: examples stay small to draw, and a failure is one number.
"""

from __future__ import annotations

import random
from typing import Any

import orjson
import yaml

from minikube_api.resources.resource import Resource
from minikube_api.schema.model import Schema

#: plausible and wicked texts
TEXTS = (
    "", "a", "web", "default", "Always", "Never", "x" * 64, "y" * 254, "UPPER", "a/b", "a.b/c", "../..", "%2F", "a b", "é", "\u0000", "\ud7ff",
    "💥", "-1", "0", "80", "http", "10.0.0.1", "::1", "1Gi", "100m", "1e3", "25%", "150%", "2026-01-01T00:00:00Z", "9999-99-99T99:99:99Z",
    "30s", "*/5 * * * *", "In", "Exists", "ClusterIP", "TCP", "RollingUpdate", "$(VAR)", "$patch", "kubernetes.io/hostname", "null", "{}",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 80, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**53, 2**63 - 1, -(2**63), 0.5, -0.0, 1e300)
#: names of directives and of fields that code looks for
KEYS = (
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "metadata",
    "spec",
    "status",
    "name",
    "a",
)

Tree = Any


def junk(rng: random.Random, depth: int = 3) -> Tree:
    kind = rng.randrange(8 if depth else 5)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return rng.choice(NUMBERS)
    if kind <= 4:
        return rng.choice(TEXTS)
    if kind == 5:
        return [junk(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS + TEXTS): junk(rng, depth - 1) for _ in range(rng.randrange(4))}


def value(rng: random.Random, schema: Schema, *, density: float, depth: int = 9) -> Tree:
    """A value for a schema; one in forty is something else."""
    if rng.random() < 0.025:
        return junk(rng)
    match schema.type:
        case "object":
            if depth <= 0:
                return {}
            chosen = {}
            for name, field in schema.fields.items():
                if name in schema.required or rng.random() < density:
                    chosen[name] = value(rng, field, density=density * 0.8, depth=depth - 1)
            if rng.random() < 0.03:
                chosen[rng.choice(KEYS + TEXTS)] = junk(rng)
            return chosen
        case "map":
            values = schema.values or Schema("string")
            return {rng.choice(TEXTS): value(rng, values, density=density, depth=depth - 1) for _ in range(rng.randrange(3))}
        case "array":
            items = schema.items or Schema("string")
            return [value(rng, items, density=density, depth=depth - 1) for _ in range(rng.randrange(3))] if depth > 0 else []
        case "integer" | "number":
            return rng.choice(NUMBERS)
        case "boolean":
            return rng.random() < 0.5
        case "int-or-string" | "quantity":
            return rng.choice(TEXTS) if rng.random() < 0.5 else rng.choice(NUMBERS)
        case "any":
            return junk(rng)
        case "bytes":
            return rng.choice(("", "YQ==", "!", "YQ"))
        case _:
            return rng.choice(schema.enum) if schema.enum and rng.random() < 0.8 else rng.choice(TEXTS)


def whole(rng: random.Random, resource: Resource, name: str) -> dict[str, Tree]:
    tree = value(rng, resource.schema, density=rng.choice((0.05, 0.2, 0.5)))
    if not isinstance(tree, dict):
        tree = {}
    tree["apiVersion"], tree["kind"] = resource.api_version, resource.kind
    if rng.random() < 0.8:
        metadata = tree["metadata"] if isinstance(tree.get("metadata"), dict) and rng.random() < 0.2 else {}
        tree["metadata"] = {**metadata, "name": name}
    return tree


def damage(rng: random.Random, raw: bytes) -> bytes:
    """Cut, flipped, doubled, or with bytes that no text has."""
    if not raw:
        return raw
    at = rng.randrange(len(raw))
    return rng.choice(
        (
            raw[:at],
            raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :],
            raw[:at] + raw[at // 2 :],
            raw[:at] + rng.randbytes(3) + raw[at:],
            raw + raw,
            b"\xef\xbb\xbf" + raw,
            b"[" * 20_000,
            b'{"a":' * 20_000,
        )
    )


def json_patch(rng: random.Random, tree: dict[str, Tree]) -> list[Tree]:
    paths: list[str] = [
        "",
        "/",
        "/metadata/labels/a",
        "/spec",
        "/metadata/name",
        "/metadata/finalizers/-",
        "/nothing/here",
        "no-slash",
        "/~2",
    ]

    def walk(node: Tree, path: str) -> None:
        paths.append(path)
        if isinstance(node, dict):
            for key, child in node.items():
                walk(child, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
        elif isinstance(node, list):
            for i, child in enumerate(node):
                walk(child, f"{path}/{i}")

    walk(tree, "")
    operations = ("add", "remove", "replace", "move", "copy", "test", "jump")
    return [
        {
            "op": rng.choice(operations),
            "path": rng.choice(paths),
            **({"value": junk(rng)} if rng.random() < 0.8 else {}),
            **({"from": rng.choice(paths)} if rng.random() < 0.3 else {}),
        }
        if rng.random() < 0.97
        else junk(rng)
        for _ in range(rng.randrange(1, 4))
    ]


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def chunk(number: int, raw: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def message(rng: random.Random, depth: int = 5) -> bytes:
    """A protobuf message of random fields: most wire types, nested, some that do not fit."""
    out = b""
    for _ in range(rng.randrange(5)):
        number = rng.choice((1, 1, 2, 2, 3, 4, 5, 7, 8, 11, 30, 1000))
        kind = rng.randrange(6)
        if kind == 0:
            out += varint(number << 3) + varint(rng.choice((0, 1, 80, 2**31, 2**63, 2**64 - 1)))
        elif kind == 1 and depth:
            out += chunk(number, rng.choice(TEXTS).encode())
        elif kind == 2:
            out += varint(number << 3 | rng.choice((1, 3, 4, 5, 7))) + rng.randbytes(rng.randrange(9))
        elif depth:
            out += chunk(number, message(rng, depth - 1))
    return out


def protobuf(rng: random.Random, resource: Resource, name: str) -> bytes:
    about = chunk(1, resource.api_version.encode()) + chunk(
        2, rng.choice((resource.kind, resource.kind, "DeleteOptions", "Nothing")).encode()
    )
    named = chunk(1, chunk(1, name.encode()) + (message(rng, 2) if rng.random() < 0.3 else b""))
    return b"k8s\0" + chunk(1, about) + chunk(2, named + message(rng)) + chunk(4, rng.choice((b"", b"", b"application/json")))


JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
)  # fmt: skip
OTHERS = ("text/plain", "application/cbor", "application/json;charset=latin-1", "*/*", ";", "")


def body(rng: random.Random, resource: Resource, name: str, *, patch: bool) -> tuple[bytes, str]:
    """(bytes, content type)."""
    tree: Tree = whole(rng, resource, name)
    media_type = rng.choice(PATCHES) if patch else rng.choice((JSON, JSON, YAML, PROTOBUF))
    if media_type == PATCHES[0]:
        tree = json_patch(rng, tree)
    elif rng.random() < 0.05:
        tree = junk(rng)
    if media_type == PROTOBUF:
        raw = protobuf(rng, resource, name)
    elif media_type in (YAML, PATCHES[3]) and rng.random() < 0.5:
        raw = yaml.safe_dump(tree, allow_unicode=True).encode()
    else:
        raw = orjson.dumps(tree)
    if rng.random() < 0.1:
        raw = damage(rng, raw)
    if rng.random() < 0.03:
        media_type = rng.choice(OTHERS)
    return raw, media_type
