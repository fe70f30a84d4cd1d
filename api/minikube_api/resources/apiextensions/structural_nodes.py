"""Rules of a CRD's OpenAPI v3 schema that hold at every node: which keywords there are, list and map types, rules' form.

Source: ValidateCustomResourceDefinitionOpenAPISchema (apiextensions-apiserver, pkg/apis/apiextensions/validation). CEL expressions are
compiled by the server's CEL engine, and defaults checked against the schema by its validator of custom objects, not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.resources.apiextensions import field_paths, internal_form, structural_form
from minikube_api.resources.apiextensions.structural_form import EMBEDDED, LIST_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE
from minikube_api.resources.checks import Errors

Object = dict[str, Any]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_META = frozenset({"metadata", "apiVersion", "kind"})
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
#: keywords by which a status can be taken out of the root's properties without losing anything
_BESIDE_STATUS = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength", "MinLength",
    "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties", "ExternalDocs", "Example",
    "XPreserveUnknownFields", "XValidations",
)  # fmt: skip
_EXTENSIONS = {
    "XPreserveUnknownFields": PRESERVE, "XValidations": "x-kubernetes-validations",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an object a node is: inside its metadata, and why defaults may not be given there ("" = they may)."""

    in_meta: bool = False
    no_defaults: str = ""


def problems(schema: Object, path: str, *, has_status: bool = False) -> Errors:
    """All findings in the schema of a version; `has_status`: its status subresource is on."""
    nodes, form = findings(schema, path, has_status=has_status)
    return nodes + (form or [])


def findings(schema: Object, path: str, *, has_status: bool = False) -> tuple[Errors, Errors | None]:
    """(findings at nodes, findings on the structural form): None when keywords that no structural schema knows forbid to ask."""
    errors: Errors = _root_with_status(schema, path) if has_status else []
    if schema.get("nullable"):
        errors.append(err.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    found = _node(schema, path, Place(), root=True)
    errors += found
    if any(error.reason == "FieldValueForbidden" and error.path.endswith(_UNSUPPORTED) for error in found):
        return errors, None
    return errors, structural_form.problems(schema, path)


def _root_with_status(schema: Object, path: str) -> Errors:
    if schema.get("type") not in (None, "", "object"):
        detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        return [err.invalid(f"{path}.type", schema["type"], detail)]
    allowed = {_EXTENSIONS.get(name, name[0].lower() + name[1:]) for name in _BESIDE_STATUS}
    if any(value and key not in allowed for key, value in schema.items()):
        listed = " ".join(_BESIDE_STATUS)
        detail = f"only [{listed}] fields are allowed at the root of the schema if the status subresource is enabled"
        return [err.invalid(path, internal_form.shown_schema(schema), detail)]
    return []


def _node(schema: Object, path: str, place: Place, *, root: bool = False) -> Errors:
    errors = _keywords(schema, path, place)
    additional = schema.get("additionalProperties")
    if additional is not None:
        errors += _additional(schema, additional, path, place)
    for name, part in sorted((schema.get("properties") or {}).items()):
        inner = place
        if (root or schema.get(EMBEDDED)) and name in _META:
            inner = Place(in_meta=True, no_defaults=f"in top-level {name}" if root else place.no_defaults)
        errors += _node(part, f"{path}.properties[{name}]", inner)
    if (negated := schema.get("not")) is not None:
        errors += _node(negated, f"{path}.not", place)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for i, part in enumerate(schema.get(junctor) or ()):
            errors += _node(part, f"{path}.{junctor}[{i}]", place)
    items = schema.get("items")
    if isinstance(items, dict):
        errors += _node(items, f"{path}.items", place)
    for name, part in sorted((schema.get("definitions") or {}).items()):
        errors += _node(part, f"{path}.definitions[{name}]", place)
    return errors + _collections(schema, path) + _rules(schema, path)


def _keywords(schema: Object, path: str, place: Place) -> Errors:
    """specStandardValidatorV3: what OpenAPI v3 has and Kubernetes supports."""
    errors: Errors = []
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        errors.append(err.not_supported(f"{path}.type", kind, TYPES))
    if schema.get("default") is not None and place.no_defaults:
        errors.append(err.forbidden(f"{path}.default", f"must not be set {place.no_defaults}"))
    for name in _UNSUPPORTED:
        if schema.get(name):
            errors.append(err.forbidden(f"{path}.{name}", f"{name} is not supported"))
    if kind == "null":
        errors.append(err.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative"))
    if isinstance(schema.get("items"), list):
        errors.append(err.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if kind == "array" and schema.get("items") is None:
        errors.append(err.required(f"{path}.items", "must be specified"))
    if place.in_meta and schema.get(EMBEDDED):
        errors.append(err.forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta"))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(err.forbidden(f"{path}.uniqueItems", detail))
    if schema.get(PRESERVE) is False:
        errors.append(err.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined"))
    return errors


def _additional(schema: Object, additional: Any, path: str, place: Place) -> Errors:
    where = f"{path}.additionalProperties"
    errors: Errors = []
    if schema.get("properties"):
        errors.append(err.forbidden(where, "additionalProperties and properties are mutual exclusive"))
    if additional is False:
        errors.append(err.forbidden(where, "additionalProperties cannot be set to false"))
    if isinstance(additional, dict):
        if place.in_meta:
            place = replace(place, no_defaults="inside additionalProperties applying to object metadata")
        errors += _node(additional, where, place)
    return errors


def _needs_type(schema: Object, wanted: str, because: str, path: str) -> Errors:
    kind, detail, where = schema.get("type") or "", f"must be {wanted} if {because} is specified", f"{path}.type"
    if kind == wanted:
        return []
    return [err.invalid(where, kind, detail) if kind else err.required(where, detail)]


def _collections(schema: Object, path: str) -> Errors:
    """x-kubernetes-map-type, -list-type, -list-map-keys."""
    errors: Errors = []
    map_type, list_type, keys = schema.get(MAP_TYPE), schema.get(LIST_TYPE), schema.get(LIST_KEYS) or []
    if map_type is not None:
        errors += _needs_type(schema, "object", MAP_TYPE, path)
        if map_type not in ("atomic", "granular"):
            errors.append(err.not_supported(f"{path}.{MAP_TYPE}", map_type, ("atomic", "granular")))
    if list_type is not None:
        wrong = _needs_type(schema, "array", LIST_TYPE, path)
        errors += wrong
        if not wrong and list_type not in ("atomic", "set", "map"):
            errors.append(err.not_supported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "set", "map")))
    if keys and list_type != "map":
        detail, where = f"must be map if {LIST_KEYS} is non-empty", f"{path}.{LIST_TYPE}"
        errors.append(err.required(where, detail) if list_type is None else err.invalid(where, list_type, detail))
    if list_type == "map":
        errors += _list_map(schema, keys, path)
    items = schema.get("items")
    if list_type in ("set", "map") and isinstance(items, dict):
        errors += _items(items, list_type, keys, f"{path}.items")
    return errors


def _list_map(schema: Object, keys: list[str], path: str) -> Errors:
    items, errors = schema.get("items"), []
    if not keys:
        errors.append(err.required(f"{path}.{LIST_KEYS}", f"must not be empty if {LIST_TYPE} is map"))
    if items is None:
        errors.append(err.required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map"))
    if not isinstance(items, dict):
        return errors
    if items.get("type") != "object":
        detail = f"must be object if parent array's {LIST_TYPE} is map"
        errors.append(err.invalid(f"{path}.items.type", items.get("type") or "", detail))
        return errors
    listed = items.get("properties") or {}
    for i, key in enumerate(keys):
        if key not in listed:
            errors.append(err.invalid(f"{path}.{LIST_KEYS}", keys, "entries must all be names of item properties"))
        elif listed[key].get("type") in ("array", "object"):
            detail = f"must be a scalar type if parent array's {LIST_TYPE} is map"
            errors.append(err.invalid(f"{path}.items.properties[{key}].type", listed[key]["type"], detail))
        if key in keys[:i]:
            errors.append(err.invalid(f"{path}.{LIST_KEYS}", keys, "must not contain duplicate entries"))
    return errors


def _items(items: Object, list_type: str, keys: list[str], path: str) -> Errors:
    """Items of sets and maps are there, and compared as a whole (set) or by keys that are always there (map)."""
    errors: Errors = []
    if items.get("nullable"):
        errors.append(err.forbidden(f"{path}.nullable", f"cannot be nullable when {LIST_TYPE} is {list_type}"))
    if list_type == "set":
        detail = f"must be atomic as item of a list with {LIST_TYPE}=set"
        if items.get("type") == "array" and items.get(LIST_TYPE) not in (None, "atomic"):
            errors.append(err.invalid(f"{path}.{LIST_TYPE}", items[LIST_TYPE], detail))
        if items.get("type") == "object" and items.get(MAP_TYPE) != "atomic":
            errors.append(err.invalid(f"{path}.{MAP_TYPE}", items.get(MAP_TYPE), detail))
        return errors
    for key in keys:
        part = (items.get("properties") or {}).get(key)
        if part is None:
            continue
        where, told = f"{path}.properties[{key}]", f"this property is in {LIST_KEYS}, so it"
        if key not in (items.get("required") or ()) and part.get("default") is None:
            errors.append(err.required(f"{where}.default", f"{told} must have a default or be a required property"))
        if part.get("nullable"):
            errors.append(err.forbidden(f"{where}.nullable", f"{told} cannot be nullable"))
    return errors


def _rules(schema: Object, path: str) -> Errors:
    """The form of x-kubernetes-validations."""
    errors: Errors = []
    for i, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        at = f"{path}.x-kubernetes-validations[{i}]"
        text, message, said = (rule.get("rule") or "").strip(), rule.get("message") or "", rule.get("messageExpression") or ""
        if not text:
            errors.append(err.required(f"{at}.rule", "rule is not specified"))
        elif message and not message.strip():
            errors.append(err.invalid(f"{at}.message", message, "message must be non-empty if specified"))
        elif "\n" in message.strip():
            errors.append(err.invalid(f"{at}.message", message, "message must not contain line breaks"))
        elif "\n" in text and not message:
            errors.append(err.required(f"{at}.message", "message must be specified if rule contains line breaks"))
        if said and not said.strip():
            errors.append(err.required(f"{at}.messageExpression", "messageExpression must be non-empty if specified"))
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            errors.append(err.not_supported(f"{at}.reason", rule["reason"], _REASONS))
        where = rule.get("fieldPath") or ""
        if where and not where.strip():
            errors.append(err.invalid(f"{at}.fieldPath", where, "fieldPath must be non-empty if specified"))
        if "\n" in where:
            errors.append(err.invalid(f"{at}.fieldPath", where, "fieldPath must not contain line breaks"))
        if where and not _leads_somewhere(where, schema):
            errors.append(err.invalid(f"{at}.fieldPath", where, "fieldPath must be a valid path"))
    return errors


def _leads_somewhere(path: str, schema: Object) -> bool:
    try:
        field_paths.resolve(path, schema)
    except field_paths.NoField:
        return False
    return True
