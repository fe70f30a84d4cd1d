"""The built-in kinds: their schemas and the facts of their resources, from one generated table, each read when first asked for.

`builtin.jsonl` has a header line and a line a definition; only the header and the places of the lines are read at first, a
definition is compiled into a `Schema` when something reaches it, and is shared from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from minikube_api.schema.model import Schema

_TABLE = Path(__file__).with_name("builtin.jsonl")
_DESCRIPTIONS = Path(__file__).with_name("descriptions.jsonl")
_NO_FACTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SubresourceFacts:
    """A subresource of a served resource; group, version and kind are those of its body."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What discovery says of a served resource. `columns` are (name, type, format, priority) of its Table."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    columns: tuple[tuple[str, str, str, int], ...]
    subresources: tuple[SubresourceFacts, ...]


#: lists for which defaulting tells empty from absent (validation refuses the empty ones, so that none is ever answered)
_KEPT_EMPTY = {"api.autoscaling.v2.HPAScalingRules": frozenset({"policies"})}


class _Table:
    """The parsed header and the unparsed lines of the definitions."""

    def __init__(self, path: Path) -> None:
        head, *lines = path.read_bytes().split(b"\n")
        self.header: dict[str, Any] = orjson.loads(head)
        self._lines = dict(line.split(b"\t", 1) for line in lines if line)
        self.definitions = {(group, version, kind): name for group, version, kind, name in self.header["kinds"]}
        self._nodes: dict[str, Schema] = {}

    def facts(self, name: str) -> dict[str, Any]:
        return orjson.loads(self._lines[name.encode()])

    def names(self) -> list[str]:
        return [name.decode() for name in self._lines]

    def node(self, name: str) -> Schema:
        """The compiled definition. A recursive one finds its own node, whose fields are filled in place."""
        node = self._nodes.get(name)
        if node is not None:
            return node
        facts = self.facts(name)
        if "t" in facts:
            node = self._nodes[name] = Schema(facts["t"])
            return node
        node = self._nodes[name] = Schema(
            "object",
            name=name.rsplit(".", 1)[-1],
            definition=f"io.k8s.{name}",
            required=frozenset(facts.get("q", ())),
            map_type=facts.get("mt", ""),
            omit_zero=frozenset(facts.get("o", ())) - _KEPT_EMPTY.get(name, frozenset()),
            always=facts.get("a", {}),
        )
        for field, spec in facts["f"].items():
            node.fields[field] = self.field(spec)
        return node

    def field(self, spec: str | dict[str, Any]) -> Schema:
        if isinstance(spec, str):
            if spec[0] == "@":
                return self.node(spec[1:])
            return _scalar(spec)
        kind = spec["t"]
        if kind[0] == "@":
            node = replace(self.node(kind[1:]))
            node.map_type = spec.get("mt", node.map_type)
        else:
            node = replace(_scalar(kind))
            node.map_type = spec.get("mt", "")
        if "i" in spec:
            node.items = self.field(spec["i"])
        if "v" in spec:
            node.values = self.field(spec["v"])
        node.go_type = spec.get("g", "")
        node.list_type = spec.get("lt", "")
        node.list_map_keys = tuple(spec.get("lk", ()))
        node.patch_strategy = frozenset(spec["ps"].split(",")) if "ps" in spec else _NO_FACTS
        node.patch_merge_key = spec.get("pk", "")
        node.default = spec.get("d")
        node.enum = tuple(spec.get("e", ()))
        return node


@cache
def _scalar(spec: str) -> Schema:
    kind, _, form = spec.partition("/")
    return Schema(kind, format=form)  # pyrefly: ignore[bad-argument-type]


@cache
def _table() -> _Table:
    return _Table(_TABLE)


def load(group: str, version: str, kind: str) -> Schema:
    """The schema of a built-in kind, of its list (`PodList`), or of a subresource's body (`Scale`). Raises KeyError."""
    table = _table()
    return table.node(table.definitions[group, version, kind])


def is_kind(group: str, version: str, kind: str) -> bool:
    """Whether `load` knows it."""
    return (group, version, kind) in _table().definitions


def definition(name: str) -> Schema:
    """The schema of a definition by its OpenAPI name, `io.k8s.api.core.v1.PodSpec`. Raises KeyError."""
    return _table().node(name.removeprefix("io.k8s."))


def facts(name: str) -> dict[str, Any]:
    """A definition's line of the table as it is written there. Raises KeyError. For OpenAPI, which needs no compiled nodes."""
    return _table().facts(name.removeprefix("io.k8s."))


def definition_of(group: str, version: str, kind: str) -> str:
    """`io.k8s.api.core.v1.Pod`. Raises KeyError."""
    return "io.k8s." + _table().definitions[group, version, kind]


def release() -> str:
    """The Kubernetes release of the table, `1.36.0`."""
    return _table().header["release"]


@cache
def kinds() -> tuple[KindFacts, ...]:
    """Every served resource, subresources inside, in discovery's order."""
    subresources: dict[tuple[str, str, str], list[SubresourceFacts]] = {}
    for group, version, body, resource, _, _, verbs, *_ in _table().header["resources"]:
        plural, _, name = resource.partition("/")
        if name:
            facts = SubresourceFacts(name, body[0], body[1], body[2], tuple(verbs))
            subresources.setdefault((group, version, plural), []).append(facts)
    resources = [line for line in _table().header["resources"] if "/" not in line[3]]
    return tuple(
        KindFacts(
            group=group,
            version=version,
            kind=body[2],
            plural=plural,
            singular=singular,
            namespaced=namespaced,
            verbs=tuple(verbs),
            short_names=tuple(short),
            categories=tuple(categories),
            columns=tuple((name, kind, form, priority) for name, kind, form, priority in columns),
            subresources=tuple(subresources.get((group, version, plural), ())),
        )
        for group, version, body, plural, singular, namespaced, verbs, short, categories, columns in resources
    )


@cache
def _descriptions() -> dict[bytes, bytes]:
    return dict(line.split(b"\t", 1) for line in _DESCRIPTIONS.read_bytes().split(b"\n") if line)


def descriptions(name: str) -> dict[str, str]:
    """Texts of a definition (`io.k8s.api.core.v1.PodSpec`): field -> description, "" -> its own."""
    return orjson.loads(_descriptions()[name.removeprefix("io.k8s.").encode()])
