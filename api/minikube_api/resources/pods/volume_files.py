"""Files that volumes put into a directory: relative paths, modes and keys."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.resources.checks import Errors

Object = dict[str, Any]

_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def mode(value: int | None, path: str) -> Errors:
    return [err.invalid(path, value, _MODE)] if value is not None and not 0 <= value <= 0o777 else []


def no_backsteps(where: str) -> bool:
    return ".." not in where.split("/")


def descending_path(where: str, path: str) -> Errors:
    """A relative path that never steps up (validateLocalDescendingPath)."""
    errors: Errors = []
    if where.startswith("/"):
        errors.append(err.invalid(path, where, "must be a relative path"))
    if not no_backsteps(where):
        errors.append(err.invalid(path, where, "must not contain '..'"))
    return errors


def non_reserved_path(where: str, path: str) -> Errors:
    errors = descending_path(where, path)
    if where.startswith("..") and not where.startswith("../"):
        errors.append(err.invalid(path, where, "must not start with '..'"))
    return errors


def file_path(where: str | None, path: str) -> Errors:
    return non_reserved_path(where, path) if where else [err.required(path)]


def key_path(item: Object, path: str) -> Errors:
    errors: Errors = [] if item.get("key") else [err.required(f"{path}.key")]
    return errors + file_path(item.get("path"), f"{path}.path") + mode(item.get("mode"), f"{path}.mode")
