"""Closures that reach into values: fields, elements, their optional forms, presence, and maps that literals build."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minikube_api.cel import types
from minikube_api.cel.types import Field
from minikube_api.cel.values import NONE, EvaluationError, Optional

Activation = dict[str, Any]
Code = Callable[[Activation], Any]


def no_such_key(key: Any) -> EvaluationError:
    return EvaluationError(f"no such key: {key}")


def selector(code: Code, found: Field) -> Code:
    name, convert = found.json, found.type.convert

    def select(env: Activation) -> Any:
        value = code(env)
        if type(value) is not dict and not isinstance(value, dict):
            get = getattr(value, "select", None)
            if get is None:
                raise EvaluationError("no such overload")
            return get(name)
        try:
            part = value[name]
        except KeyError:
            raise no_such_key(name) from None
        return part if convert is None else convert(part)

    return select


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Optional):
        return value.value if value.present else NONE
    return value


def optional_selector(code: Code, found: Field) -> Code:
    name, convert = found.json, found.type.convert

    def select(env: Activation) -> Optional:
        value = _unwrapped(code(env))
        if value is NONE:
            return NONE
        if not isinstance(value, dict):
            raise EvaluationError("no such overload")
        if name not in value:
            return NONE
        part = value[name]
        return Optional(True, part if convert is None else convert(part))

    return select


def tester(code: Code, name: str, wrapped: bool) -> Code:
    def test(env: Activation) -> bool:
        value = code(env)
        if wrapped or isinstance(value, Optional):
            value = _unwrapped(value)
            if value is NONE:
                return False
        if not isinstance(value, dict):
            has = getattr(value, "has", None)
            if has is None:
                raise EvaluationError("no such overload")
            return bool(has(name))
        return name in value

    return test


_MISSING = object()


def _element(value: Any, key: Any) -> Any:
    """The element, or _MISSING. Raises EvaluationError for what has no elements."""
    if isinstance(value, list):
        if isinstance(key, bool) or not isinstance(key, int | float) or key != int(key):
            raise EvaluationError(f"unsupported index type '{type(key).__name__}' in list")
        return value[int(key)] if 0 <= key < len(value) else _MISSING
    if isinstance(value, dict):
        if isinstance(key, bool) and not any(isinstance(k, bool) for k in value):
            return _MISSING
        return value.get(key, _MISSING)
    get = getattr(value, "select", None)
    if get is None:
        raise EvaluationError("no such overload")
    return get(key)


def indexer(code: Code, key: Code, convert: types.Convert | None) -> Code:
    def index(env: Activation) -> Any:
        value, at = code(env), key(env)
        found = _element(value, at)
        if found is _MISSING:
            raise EvaluationError(f"index out of bounds: {at}") if isinstance(value, list) else no_such_key(at)
        return found if convert is None else convert(found)

    return index


def optional_indexer(code: Code, key: Code, convert: types.Convert | None) -> Code:
    def index(env: Activation) -> Optional:
        value = _unwrapped(code(env))
        if value is NONE:
            return NONE
        found = _element(value, key(env))
        if found is _MISSING:
            return NONE
        return Optional(True, found if convert is None else convert(found))

    return index


def map_builder(entries: list[tuple[Code, Code, bool]]) -> Code:
    def build(env: Activation) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key_code, code, optional in entries:
            key, value = key_code(env), code(env)
            if optional:
                if not value.present:
                    continue
                value = value.value
            if key in made:
                raise EvaluationError(f"Failed with repeated key '{key}'")
            made[key] = value
        return made

    return build
