"""Reads the generator's inputs: the published schemas and the facts read off a server."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RELEASE = "v1.36.0"


def definitions(wheel: Path) -> dict[str, dict[str, Any]]:
    """Definition name (`io.k8s.api.core.v1.Pod`) -> JSON schema, of Kubernetes `RELEASE`."""
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(f"kubernetes_validate/kubernetes-json-schema/{RELEASE}-local/_definitions.json")
    return json.loads(raw)["$defs"]


@dataclass(frozen=True)
class ResourceLine:
    """One line of resources.tsv."""

    group: str
    version: str
    kind: str
    resource: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    scope: str
    verbs: tuple[str, ...]

    @property
    def body(self) -> tuple[str, str, str]:
        """(group, version, kind) of the body; written `group/version/Kind` when it is not the resource's own group."""
        parts = self.kind.rsplit("/", 2)
        if len(parts) == 3:
            return parts[0], parts[1], parts[2]
        return self.group, self.version, self.kind


def resource_lines(tsv: Path) -> list[ResourceLine]:
    lines = []
    for line in tsv.read_text().splitlines()[1:]:
        group, version, kind, resource, singular, short, categories, scope, verbs = line.split("\t")
        lines.append(
            ResourceLine(group, version, kind, resource, singular, _split(short), _split(categories), scope, _split(verbs))
        )
    return lines


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def reference(schema: dict[str, Any]) -> str:
    """The definition that a `$ref` names, or ""."""
    return schema.get("$ref", "").rsplit("/", 1)[-1]


def kind_definitions(schemas: dict[str, dict[str, Any]]) -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> definition. DeleteOptions and the like, which every group lists, keep one name."""
    found: dict[tuple[str, str, str], str] = {}
    for name, schema in schemas.items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            found[gvk["group"], gvk["version"], gvk["kind"]] = name
    return found
