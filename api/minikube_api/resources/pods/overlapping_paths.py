"""Warnings about files of a volume that stand at, or below, each other's paths (warningsForOverlappingVirtualPaths)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minikube_api.meta.field_errors import quote

Object = dict[str, Any]
#: a path and what puts a file there
Placed = tuple[str, str]


def warnings(volumes: Any) -> list[str]:
    return [text for volume in volumes for text in _of_volume(volume)]


def _of_volume(volume: Object) -> Iterator[str]:
    name = volume.get("name") or ""
    for kind, field, word in (
        ("configMap", "name", "ConfigMap "),
        ("secret", "secretName", "Secret "),
        ("downwardAPI", "", "DownwardAPI"),
    ):
        if (source := volume.get(kind)) is not None:
            what = word + (quote(source.get(field) or "") if field else "")
            for text in _overlaps([[(item.get("path") or "", "") for item in source.get("items") or ()]]):
                yield f"volume {quote(name)} ({what}): overlapping paths: {text}"
    if (projected := volume.get("projected")) is None:
        return
    sources = projected.get("sources") or ()
    yield from (f"volume {quote(name)} (Projected) has no sources provided" for one in sources if not any(one.values()))
    for text in _overlaps([_paths(one) for one in sources]):
        yield f"volume {quote(name)} (Projected): overlapping paths: {text}"


def _paths(source: Object) -> list[Placed]:
    for kind, word in (("configMap", "ConfigMap "), ("secret", "Secret "), ("downwardAPI", "DownwardAPI")):
        if (tree := source.get(kind)) is not None:
            what = word + (quote(tree.get("name") or "") if kind != "downwardAPI" else "")
            return [(item.get("path") or "", what) for item in tree.get("items") or ()]
    if (token := source.get("serviceAccountToken")) is not None:
        return [(token.get("path") or "", "ServiceAccountToken")]
    return []


def _overlaps(groups: list[list[Placed]]) -> Iterator[str]:
    before: list[Placed] = []
    for path, source in (placed for group in groups for placed in group):
        one = (path.rstrip("/"), source)
        for other in before:
            a, b = f"{one[0]}/", f"{other[0]}/"
            if a.startswith(b) or b.startswith(a):
                yield f"{_shown(one)} with {_shown(other)}"
        before.append(one)


def _shown(placed: Placed) -> str:
    path, source = placed
    return f"{quote(path)} ({source})" if source else quote(path)
