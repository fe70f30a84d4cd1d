"""Structural pruning and defaulting of custom resources.

What the schema does not name goes, unless x-kubernetes-preserve-unknown-fields keeps it; metadata and embedded metadata keep
what ObjectMeta has. Nulls that a schema does not allow go, or become the default. All in place, on trees the caller owns.
Source: apiextensions-apiserver's pruning, defaulting and objectmeta packages.
"""

from __future__ import annotations

from typing import Any

import orjson

from minikube_api.schema import builtin, decoding
from minikube_api.schema.custom import OBJECT_META, Structural, child_path

_TYPE_META = ("apiVersion", "kind", "metadata")


def prune(obj: Any, root: Structural, *, is_root: bool = True) -> list[str]:
    """Drop unknown fields; returns their paths, `spec.items[0].x`, sorted."""
    found: list[str] = []
    _prune(obj, root, "", found, type_meta=is_root or root.embedded)
    found.sort()
    return found


def _prune(value: Any, node: Structural, path: str, found: list[str], *, type_meta: bool = False) -> None:
    if isinstance(value, dict):
        drop: list[str] = []
        known = node.properties
        for key, part in value.items():
            if type_meta and key in _TYPE_META:
                continue
            child = known.get(key)
            if child is None:
                child = node.values
                if child is None:
                    if node.preserve or node.open_map:
                        continue
                    drop.append(key)
                    continue
            at = child_path(path, key)
            if isinstance(part, dict | list):
                _prune(part, child, at, found, type_meta=child.embedded)
        for key in drop:
            found.append(child_path(path, key))
            del value[key]
    elif isinstance(value, list) and node.items is not None:
        for i, part in enumerate(value):
            if isinstance(part, dict | list):
                _prune(part, node.items, f"{path}[{i}]", found, type_meta=node.items.embedded)
    elif isinstance(value, list) and not node.preserve:
        for i, part in enumerate(value):
            if isinstance(part, dict | list):
                _prune(part, _NOTHING, f"{path}[{i}]", found)


_NOTHING = Structural({})


def coerce_metadata(obj: dict[str, Any], kind: str, api_version: str, validation: str) -> list[str]:
    """Clean the root's metadata as ObjectMeta; returns findings on unknown fields. Raises BadRequest for values of wrong types."""
    meta = obj.get("metadata")
    if meta is None:
        obj["metadata"] = {}
        return []
    wrapped = {"metadata": meta}
    found = decoding.check(wrapped, _meta_root(), kind=kind, api_version=api_version, validation=validation)  # type: ignore[arg-type]
    obj["metadata"] = wrapped.get("metadata") or {}
    return found


_roots: list[Any] = []


def _meta_root() -> Any:
    if not _roots:
        from minikube_api.schema.model import Schema

        _roots.append(Schema("object", name="PartialObjectMetadata", fields={"metadata": builtin.definition(OBJECT_META)}))
    return _roots[0]


def prune_embedded(value: Any, node: Structural, path: str = "", *, is_root: bool = True) -> list[str]:
    """Drop what is no ObjectMeta from the metadata of embedded objects; wrong types are left for validation to name."""
    if not node.embeds:
        return []
    found: list[str] = []
    if node.embedded and not is_root and isinstance(value, dict) and isinstance(value.get("metadata"), dict):
        found += _prune_meta(value, child_path(path, "metadata"))
    if isinstance(value, dict):
        for key, part in value.items():
            child = node.properties.get(key) or node.values
            if child is not None and child.embeds:
                found += prune_embedded(part, child, child_path(path, key), is_root=False)
    elif isinstance(value, list) and node.items is not None:
        for i, part in enumerate(value):
            found += prune_embedded(part, node.items, f"{path}[{i}]", is_root=False)
    return found


def _prune_meta(owner: dict[str, Any], path: str) -> list[str]:
    known = builtin.definition(OBJECT_META).fields
    meta = owner["metadata"]
    unknown = [key for key in meta if key not in known]
    for key in unknown:
        del meta[key]
    return [child_path(path, key) for key in unknown]


# ---- defaulting


def fill(obj: Any, root: Structural) -> None:
    """Put defaults where fields are missing, or null without being nullable; nulls without a default go."""
    _fill(obj, root, is_root=True)


def fill_value(value: Any, node: Structural) -> None:
    """The same for a part of an object."""
    _fill(value, node)


def _fill(value: Any, node: Structural, *, is_root: bool = False) -> None:
    if not node.fills:
        return
    if isinstance(value, dict):
        for name, child in node.properties.items():
            if is_root and name in _TYPE_META:
                continue
            if name not in value:
                if child.has_default:
                    value[name] = _copied(child.default)
                else:
                    continue
            elif value[name] is None and not child.nullable:
                if child.has_default:
                    value[name] = _copied(child.default)
                else:
                    del value[name]
                    continue
            _fill(value[name], child)
        if node.values is not None:
            _fill_values(value, node)
    elif isinstance(value, list) and node.items is not None:
        child = node.items
        for i, part in enumerate(value):
            if part is None and not child.nullable and child.has_default:
                value[i] = _copied(child.default)
            _fill(value[i], child)


def _fill_values(value: dict[str, Any], node: Structural) -> None:
    child = node.values
    assert child is not None
    gone: list[str] = []
    for key, part in value.items():
        if key in node.properties:
            continue
        if part is None and not child.nullable:
            if child.has_default:
                value[key] = _copied(child.default)
            else:
                gone.append(key)
                continue
        _fill(value[key], child)
    for key in gone:
        del value[key]


def _copied(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value)) if isinstance(value, dict | list) else value
