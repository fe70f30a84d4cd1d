"""What must hold of custom resources beyond OpenAPI's keywords: unique items of sets and maps, sound embedded objects."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.schema.custom import Structural, child_path


def duplicates(value: Any, node: Structural, path: str = "") -> list[FieldError]:
    """Items of sets and maps that are there twice; a value that is there more often is named once."""
    if not node.unique:
        return []
    found: list[FieldError] = []
    if isinstance(value, dict):
        for key, part in value.items():
            child = node.properties.get(key) or node.values
            if child is not None:
                found += duplicates(part, child, child_path(path, key))
    elif isinstance(value, list):
        if node.list_type == "set":
            found += _repeated([(part, part) for part in value], path)
        elif node.list_type == "map":
            keys = [_key(part, node) for part in value]
            found += _repeated([(key, key) for key in keys], path)
        if node.items is not None:
            for i, part in enumerate(value):
                found += duplicates(part, node.items, f"{path}[{i}]")
    return found


def _key(item: Any, node: Structural) -> Any:
    if not isinstance(item, dict):
        return item
    return {name: item[name] for name in sorted(node.list_keys) if name in item}


def _repeated(pairs: list[tuple[Any, Any]], path: str) -> list[FieldError]:
    seen: set[str] = set()
    told: set[str] = set()
    found: list[FieldError] = []
    for i, (identity, value) in enumerate(pairs):
        text = err.go_json(identity)
        if text in seen and text not in told:
            told.add(text)
            found.append(err.duplicate(f"{path}[{i}]", value))
        seen.add(text)
    return found


def embedded_objects(value: Any, node: Structural, path: str = "", *, is_root: bool = True) -> list[tuple[str, dict[str, Any]]]:
    """(path, object) of every embedded resource below the root."""
    if not node.embeds:
        return []
    found: list[tuple[str, dict[str, Any]]] = []
    if node.embedded and not is_root and isinstance(value, dict):
        found.append((path, value))
    if isinstance(value, dict):
        for key, part in value.items():
            child = node.properties.get(key) or node.values
            if child is not None:
                found += embedded_objects(part, child, child_path(path, key), is_root=False)
    elif isinstance(value, list) and node.items is not None:
        for i, part in enumerate(value):
            found += embedded_objects(part, node.items, f"{path}[{i}]", is_root=False)
    return found


def type_problems(obj: dict[str, Any], path: str) -> list[FieldError]:
    """apiVersion and kind of an embedded object."""
    found: list[FieldError] = []
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if not version:
        found.append(err.required(child_path(path, "apiVersion")))
    elif isinstance(version, str) and version.count("/") > 1:
        found.append(err.invalid(child_path(path, "apiVersion"), version, f"unexpected GroupVersion string: {version}"))
    if not kind:
        found.append(err.required(child_path(path, "kind")))
    elif isinstance(kind, str) and (why := names.dns1035_label(kind.lower())):
        detail = "may have mixed case, but should otherwise match: " + ",".join(why)
        found.append(err.invalid(child_path(path, "kind"), kind, detail))
    return found
