"""Projected volumes: several sources mapped into one directory (validateProjectionSources)."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.resources.checks import Errors
from minikube_api.resources.pods import environment, volume_files

Object = dict[str, Any]

#: an hour would be the default; tokens may not be asked for less than this
MIN_SECONDS, MAX_SECONDS = 600, 1 << 32


def projected(tree: Object, path: str) -> Errors:
    """Two files at one place are told at the volume itself, with what wanted the second."""
    errors = volume_files.mode(tree.get("defaultMode"), f"{path}.defaultMode")
    used: set[str] = set()
    for i, one in enumerate(tree.get("sources") or ()):
        at = f"{path}.sources[{i}]"
        given = [kind for kind in ("secret", "configMap", "downwardAPI", "serviceAccountToken") if one.get(kind) is not None]
        for kind in given:
            errors += _source(kind, one[kind], f"{at}.{kind}", path, used)
        if len(given) > 1:
            errors.append(err.forbidden(at, "may not specify more than 1 volume type"))
    return errors


def _source(kind: str, tree: Object, path: str, volume: str, used: set[str]) -> Errors:
    if kind == "serviceAccountToken":
        # where the token goes is told at the volume
        return _token(tree, path) + volume_files.file_path(tree.get("path"), f"{volume}.path")
    errors: Errors = []
    if kind == "downwardAPI":
        for item in tree.get("items") or ():
            errors += downward_file(item, path)
            errors += _taken(item.get("path"), item.get("path") or "", volume, used)
        return errors
    if not tree.get("name"):
        errors.append(err.required(f"{path}.name"))
    for i, item in enumerate(tree.get("items") or ()):
        errors += volume_files.key_path(item, f"{path}.items[{i}]")
        errors += _taken(item.get("path"), tree.get("name") or "", volume, used)
    return errors


def _taken(where: str | None, shown: str, path: str, used: set[str]) -> Errors:
    if not where:
        return []
    if where in used:
        return [err.invalid(path, shown, "conflicting duplicate paths")]
    used.add(where)
    return []


def _token(tree: Object, path: str) -> Errors:
    seconds = tree.get("expirationSeconds") or 0
    errors: Errors = []
    at = f"{path}.expirationSeconds"
    if seconds < MIN_SECONDS:
        errors.append(err.invalid(at, seconds, "may not specify a duration less than 10 minutes"))
    if seconds > MAX_SECONDS:
        errors.append(err.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"))
    return errors


def downward_file(item: Object, path: str) -> Errors:
    """`path` is that of the source: findings name no index."""
    errors = volume_files.file_path(item.get("path"), f"{path}.path")
    if item.get("fieldRef") is not None:
        errors += environment.field_ref(item["fieldRef"], environment.VOLUME_FIELDS, f"{path}.fieldRef")
        if item.get("resourceFieldRef") is not None:
            errors.append(err.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
    elif item.get("resourceFieldRef") is not None:
        errors += environment.resource_field_ref(item["resourceFieldRef"], f"{path}.resourceFieldRef", volume=True)
    else:
        errors.append(err.required(path, "one of fieldRef and resourceFieldRef is required"))
    return errors + volume_files.mode(item.get("mode"), f"{path}.mode")
