"""The internal form of a CRD: what its versions share stands once, and bad values are printed as Go prints untagged structs.

Validation of kube-apiserver works on internal types. They keep schema, subresources, columns and selectable fields at the top
when all versions have the same, so field paths say `spec.validation` and not `spec.versions[0].schema`.
Source: apiextensions-apiserver's pkg/apis/apiextensions/v1/conversion.go and types_jsonschema.go.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

#: fields of a version that move to the top when all versions agree, and what they are called there
SHARED = {
    "schema": "validation", "subresources": "subresources", "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}  # fmt: skip


def shared(versions: list[Object]) -> frozenset[str]:
    """The fields in which all versions agree."""
    if not versions:
        return frozenset()
    return frozenset(field for field in SHARED if all(v.get(field) == versions[0].get(field) for v in versions))


def shown_versions(versions: list[Object] | None) -> list[Object] | None:
    """`spec.versions` in messages."""
    if not versions:
        return None
    at_top = shared(versions)
    return [_version({key: value for key, value in version.items() if key not in at_top}) for version in versions]


def _version(version: Object) -> Object:
    schema, columns, fields = (version.get(name) for name in ("schema", "additionalPrinterColumns", "selectableFields"))
    return {
        "Name": version.get("name") or "",
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": None if schema is None else {"OpenAPIV3Schema": _optional(schema.get("openAPIV3Schema"))},
        "Subresources": _subresources(version.get("subresources")),
        "AdditionalPrinterColumns": [_column(column) for column in columns] if columns else None,
        "SelectableFields": [{"JSONPath": field.get("jsonPath") or ""} for field in fields] if fields else None,
    }


def _subresources(tree: Object | None) -> Object | None:
    if tree is None:
        return None
    scale = tree.get("scale")
    return {
        "Status": tree.get("status"),
        "Scale": scale
        and {
            "SpecReplicasPath": scale.get("specReplicasPath") or "",
            "StatusReplicasPath": scale.get("statusReplicasPath") or "",
            "LabelSelectorPath": scale.get("labelSelectorPath"),
        },
    }


def _column(column: Object) -> Object:
    texts = {name: column.get(key) or "" for name, key in _COLUMN_TEXTS}
    return {**texts, "Priority": column.get("priority") or 0, "JSONPath": column.get("jsonPath") or ""}


_COLUMN_TEXTS = (("Name", "name"), ("Type", "type"), ("Format", "format"), ("Description", "description"))


def _optional(schema: Any) -> Object | None:
    return shown_schema(schema) if isinstance(schema, dict) else None


def _listed(schemas: list[Object] | None) -> list[Object] | None:
    return [shown_schema(schema) for schema in schemas] if schemas else None


def _mapped(schemas: Object | None) -> Object | None:
    return {name: shown_schema(schema) for name, schema in sorted(schemas.items())} if schemas else None


def _items(items: Any) -> Object | None:
    if items is None:
        return None
    if isinstance(items, list):
        return {"Schema": None, "JSONSchemas": _listed(items)}
    return {"Schema": shown_schema(items), "JSONSchemas": None}


def _or_bool(value: Any) -> Object | None:
    if value is None:
        return None
    return {"Allows": value is not False, "Schema": _optional(value)}


def _docs(docs: Object | None) -> Object | None:
    return docs and {"Description": docs.get("description") or "", "URL": docs.get("url") or ""}


def _dependencies(tree: Object | None) -> Object | None:
    if not tree:
        return None
    return {
        name: {"Schema": _optional(part), "Property": part if isinstance(part, list) else None}
        for name, part in sorted(tree.items())
    }


def _rule(rule: Object) -> Object:
    texts = {name: rule.get(name[0].lower() + name[1:]) or "" for name in ("Rule", "Message", "MessageExpression")}
    place = {"Reason": rule.get("reason"), "FieldPath": rule.get("fieldPath") or ""}
    return {**texts, **place, "OptionalOldSelf": rule.get("optionalOldSelf")}


def shown_schema(schema: Object) -> Object:
    """JSONSchemaProps in messages: every field, in the order of the Go struct."""
    text, flag, value = (lambda name: schema.get(name) or ""), (lambda name: bool(schema.get(name))), schema.get
    return {
        "ID": text("id"), "Schema": text("$schema"), "Ref": value("$ref"), "Description": text("description"),
        "Type": text("type"), "Nullable": flag("nullable"), "Format": text("format"), "Title": text("title"),
        "Default": value("default"), "Maximum": value("maximum"), "ExclusiveMaximum": flag("exclusiveMaximum"),
        "Minimum": value("minimum"), "ExclusiveMinimum": flag("exclusiveMinimum"), "MaxLength": value("maxLength"),
        "MinLength": value("minLength"), "Pattern": text("pattern"), "MaxItems": value("maxItems"), "MinItems": value("minItems"),
        "UniqueItems": flag("uniqueItems"), "MultipleOf": value("multipleOf"), "Enum": value("enum"),
        "MaxProperties": value("maxProperties"), "MinProperties": value("minProperties"), "Required": value("required"),
        "Items": _items(value("items")), "AllOf": _listed(value("allOf")), "OneOf": _listed(value("oneOf")),
        "AnyOf": _listed(value("anyOf")), "Not": _optional(value("not")), "Properties": _mapped(value("properties")),
        "AdditionalProperties": _or_bool(value("additionalProperties")),
        "PatternProperties": _mapped(value("patternProperties")), "Dependencies": _dependencies(value("dependencies")),
        "AdditionalItems": _or_bool(value("additionalItems")), "Definitions": _mapped(value("definitions")),
        "ExternalDocs": _docs(value("externalDocs")), "Example": value("example"),
        "XPreserveUnknownFields": value("x-kubernetes-preserve-unknown-fields"),
        "XEmbeddedResource": flag("x-kubernetes-embedded-resource"), "XIntOrString": flag("x-kubernetes-int-or-string"),
        "XListMapKeys": value("x-kubernetes-list-map-keys"), "XListType": value("x-kubernetes-list-type"),
        "XMapType": value("x-kubernetes-map-type"),
        "XValidations": [_rule(rule) for rule in value("x-kubernetes-validations") or ()] or None,
    }  # fmt: skip
