"""What makes a schema structural: every value's type is told outside of logical junctors, which may only narrow it.

Source: apiextensions-apiserver's pkg/apiserver/schema/validation.go; the Kubernetes documentation "Specifying a structural schema".
"""

from __future__ import annotations

from typing import Any, Literal

from minikube_api.meta import expressions
from minikube_api.meta import field_errors as err
from minikube_api.resources.checks import Errors

Object = dict[str, Any]
Level = Literal["root", "item", "field"]

_TYPE_NEEDED = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_JUNCTORS = ("allOf", "anyOf", "oneOf")
PRESERVE, EMBEDDED, INT_OR_STRING = (
    f"x-kubernetes-{name}" for name in ("preserve-unknown-fields", "embedded-resource", "int-or-string")
)
LIST_TYPE, LIST_KEYS, MAP_TYPE = (f"x-kubernetes-{name}" for name in ("list-type", "list-map-keys", "map-type"))
_EMPTY, _UNDEFINED, _FALSE = (f"must be {word} to be structural" for word in ("empty", "undefined", "false"))
#: fields that say what a value is, so that junctors may not hold them
_OUTSIDE_JUNCTORS = {
    "type": _EMPTY, "additionalProperties": _UNDEFINED, "default": _UNDEFINED, "title": _EMPTY, "description": _EMPTY,
    "nullable": _FALSE, PRESERVE: _FALSE, EMBEDDED: _FALSE, INT_OR_STRING: _FALSE, LIST_KEYS: _EMPTY, LIST_TYPE: _UNDEFINED,
    MAP_TYPE: _UNDEFINED, "x-kubernetes-validations": _EMPTY,
}  # fmt: skip
#: here an empty or false value counts too: they are pointers in Go
_POINTERS = frozenset({"additionalProperties", "default", LIST_TYPE, MAP_TYPE})


def problems(schema: Object, path: str) -> Errors:
    """ValidateStructural of the schema of a version."""
    return _invariants(schema, "root", path) + _completeness(schema, schema, path, path)


def _invariants(schema: Object, level: Level, path: str) -> Errors:
    errors: Errors = []
    if isinstance(items := schema.get("items"), dict):
        errors += _invariants(items, "item", f"{path}.items")
    for name, part in sorted((schema.get("properties") or {}).items()):
        errors += _invariants(part, "field", f"{path}.properties[{name}]")
    errors += _additional(schema, level, path) + _extensions(schema, path)
    union = schema.get(INT_OR_STRING)
    skip = bool(union) and _types(schema.get("anyOf")) == _UNION
    skip_first = bool(union) and bool(all_of := schema.get("allOf")) and _types(all_of[0].get("anyOf")) == _UNION
    errors += _values(schema, path, skip_any=skip, skip_first_all=skip_first)
    return errors + _types_told(schema, level, path) + _metadata_told(schema, level, path)


_UNION = [{"type": "integer"}, {"type": "string"}]


def _types(listed: Any) -> list[Object]:
    return [{key: value for key, value in part.items() if value is not None} for part in listed or ()]


def _additional(schema: Object, level: Level, path: str) -> Errors:
    additional = schema.get("additionalProperties")
    if additional is None:
        return []
    where = f"{path}.additionalProperties"
    errors: Errors = [err.forbidden(where, "must not be used at the root")] if level == "root" else []
    return errors + (_invariants(additional, "field", where) if isinstance(additional, dict) else [])


def _extensions(schema: Object, path: str) -> Errors:
    if not schema.get(INT_OR_STRING):
        return []
    detail = f"must be false if {INT_OR_STRING} is true"
    return [err.invalid(f"{path}.{name}", True, detail) for name in (PRESERVE, EMBEDDED) if schema.get(name)]


def _types_told(schema: Object, level: Level, path: str) -> Errors:
    kind, errors = schema.get("type") or "", []
    embedded = schema.get(EMBEDDED)
    if embedded and kind != "object":
        detail, where = f"must be object if {EMBEDDED} is true", f"{path}.type"
        errors.append(err.invalid(where, kind, detail) if kind else err.required(where, detail))
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        errors.append(err.required(f"{path}.type", _TYPE_NEEDED[level]))
    if embedded and schema.get("additionalProperties") is not None:
        errors.append(err.forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set"))
    if level == "root" and kind and kind != "object":
        errors.append(err.invalid(f"{path}.type", kind, "must be object at the root"))
    if embedded and not schema.get(PRESERVE) and not schema.get("properties"):
        errors.append(err.required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}"))
    return errors


def _metadata_told(schema: Object, level: Level, path: str) -> Errors:
    """apiVersion, kind and metadata of an object may be named, but not changed."""
    listed = schema.get("properties") or {}
    checked = level == "root" or bool(schema.get(EMBEDDED))
    errors: Errors = []
    for name in ("kind", "apiVersion"):
        if checked and name in listed and listed[name].get("type") != "string":
            errors.append(err.invalid(f"{path}.properties[{name}].type", listed[name].get("type") or "", "must be string"))
    meta, where = listed.get("metadata"), f"{path}.properties[metadata]"
    if meta is None:
        return errors
    if checked and meta.get("type") != "object":
        errors.append(err.invalid(f"{where}.type", meta.get("type") or "", "must be object"))
    if level == "root":
        said = {key for key, value in meta.items() if value and key not in ("type", "default")}
        if said - {"properties"} or set(meta.get("properties") or ()) - {"name", "generateName"}:
            detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(err.forbidden(where, detail))
    return errors


def _values(schema: Object, path: str, *, skip_any: bool = False, skip_first_all: bool = False) -> Errors:
    """What narrows a value: junctors and patterns. The junctors by which int-or-string is written are let through."""
    errors: Errors = []
    for i, part in enumerate(() if skip_any else schema.get("anyOf") or ()):
        errors += _nested(part, f"{path}.anyOf[{i}]")
    for i, part in enumerate(schema.get("allOf") or ()):
        errors += _nested(part, f"{path}.allOf[{i}]", skip_any=skip_first_all and i == 0)
    for i, part in enumerate(schema.get("oneOf") or ()):
        errors += _nested(part, f"{path}.oneOf[{i}]")
    if (negated := schema.get("not")) is not None:
        errors += _nested(negated, f"{path}.not")
    if pattern := schema.get("pattern"):
        errors += _pattern(pattern, f"{path}.pattern")
    return errors


def _pattern(pattern: str, path: str) -> Errors:
    why = expressions.problem(pattern)
    return [err.invalid(path, pattern, f"must be a valid regular expression, but isn't: {why}")] if why else []


def _nested(schema: Object, path: str, *, skip_any: bool = False) -> Errors:
    """A schema inside a junctor: it may only narrow."""
    errors = _values(schema, path, skip_any=skip_any)
    listed = schema.get("properties") or {}
    if isinstance(items := schema.get("items"), dict):
        errors += _nested(items, f"{path}.items")
    for name, part in sorted(listed.items()):
        errors += _nested(part, f"{path}.properties[{name}]")
    for name, detail in _OUTSIDE_JUNCTORS.items():
        value = schema.get(name)
        if value is not None and (value or name in _POINTERS):
            errors.append(err.forbidden(f"{path}.{name}", detail))
    if "metadata" in listed:
        errors.append(err.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    return errors


def _completeness(values: Object, schema: Object | None, path: str, values_path: str) -> Errors:
    """What junctors at the root speak of must be specified outside of them. (Those further inside are not looked at.)"""
    if schema is None:
        return [err.required(path, f"because it is defined in {values_path}")]
    errors: Errors = []
    if (negated := values.get("not")) is not None:
        errors += _nested_completeness(negated, schema, path, f"{values_path}.not")
    for junctor in _JUNCTORS:
        for i, part in enumerate(values.get(junctor) or ()):
            errors += _nested_completeness(part, schema, path, f"{values_path}.{junctor}[{i}]")
    return errors


def _nested_completeness(values: Object, schema: Object | None, path: str, values_path: str) -> Errors:
    errors = _completeness(values, schema, path, values_path)
    if schema is None:
        return errors
    if isinstance(items := values.get("items"), dict):
        own = schema.get("items")
        own = own if isinstance(own, dict) else None
        errors += _nested_completeness(items, own, f"{path}.items", f"{values_path}.items")
    own_properties = schema.get("properties") or {}
    for name, part in sorted((values.get("properties") or {}).items()):
        key = f"properties[{name}]"
        errors += _nested_completeness(part, own_properties.get(name), f"{path}.{key}", f"{values_path}.{key}")
    return errors
