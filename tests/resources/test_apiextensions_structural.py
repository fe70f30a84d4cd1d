"""Schemas of custom resources: what is refused, where and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from minikube_api.resources.apiextensions import internal_form, structural

ROOT = "spec.validation.openAPIV3Schema"
STRING = {"type": "string"}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": STRING}}


def found(schema: dict[str, Any], **kwargs: Any) -> list[str]:
    return sorted(str(e).removeprefix(ROOT).removeprefix(".") for e in structural.schema_problems(schema, ROOT, **kwargs))


def of(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": part}}


A = "properties[a]"


@pytest.mark.parametrize(
    "part",
    [
        pytest.param({"x-kubernetes-int-or-string": True}, id="int-or-string-alone"),
        pytest.param(
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, id="int-or-string-any-of"
        ),
        pytest.param(
            {
                "x-kubernetes-int-or-string": True,
                "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "a"}],
            },
            id="int-or-string-all-of",
        ),
        pytest.param({"x-kubernetes-preserve-unknown-fields": True}, id="preserve-without-type"),
        pytest.param({"type": "object", "additionalProperties": STRING}, id="map"),
        pytest.param(
            {"type": "array", "items": NAMED, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            id="list-map",
        ),
        pytest.param({"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}, id="set"),
        pytest.param(
            {"type": "string", "anyOf": [{"minLength": 2}, {"pattern": "^x"}], "not": {"enum": ["y"]}}, id="junctors-narrow"
        ),
        pytest.param(
            {"type": "object", "properties": {"metadata": {"type": "array", "items": STRING}}}, id="metadata-not-at-root"
        ),
    ],
)
def test_structural_schemas_are_let_through(part: dict[str, Any]) -> None:
    assert found(of(part)) == []


@pytest.mark.parametrize(
    ("part", "finding"),
    [
        pytest.param({}, f"{A}.type: Required value: must not be empty for specified object fields", id="no-type"),
        pytest.param(
            {"type": "array", "items": {"nullable": True}},
            f"{A}.items.type: Required value: must not be empty for specified array items",
            id="items-without-type",
        ),
        pytest.param({"type": "array"}, f"{A}.items: Required value: must be specified", id="no-items"),
        pytest.param(
            {"type": "text"},
            f'{A}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"',
            id="unknown-type",
        ),
        pytest.param(
            {"type": "string", "oneOf": [{"type": "string"}]},
            f"{A}.oneOf[0].type: Forbidden: must be empty to be structural",
            id="type-in-one-of",
        ),
        pytest.param(
            {"type": "object", "not": {"properties": {"metadata": {}}}},
            f"{A}.not.properties[metadata]: Forbidden: must not be specified in a nested context",
            id="metadata-in-not",
        ),
        pytest.param(
            {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING},
            f"{A}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            id="additional-and-properties",
        ),
        pytest.param(
            {"type": "array", "items": STRING, "uniqueItems": True},
            f"{A}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            id="unique-items",
        ),
        pytest.param({"type": "string", "$ref": "x"}, f"{A}.$ref: Forbidden: $ref is not supported", id="ref"),
        pytest.param(
            {"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
            f"{A}.x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
            id="int-or-string-preserving",
        ),
        pytest.param(
            {
                "type": "array",
                "items": {**NAMED, "nullable": True},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
            f"{A}.items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map",
            id="nullable-items",
        ),
        pytest.param(
            {"type": "array", "items": NAMED, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "name"]},
            f'{A}.x-kubernetes-list-map-keys: Invalid value: ["name","name"]: must not contain duplicate entries',
            id="same-key-twice",
        ),
        pytest.param(
            {"type": "string", "x-kubernetes-validations": [{"rule": " "}]},
            f"{A}.x-kubernetes-validations[0].rule: Required value: rule is not specified",
            id="rule-without-text",
        ),
        pytest.param(
            {"type": "string", "x-kubernetes-validations": [{"rule": "self\n== ''"}]},
            f"{A}.x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks",
            id="rule-of-lines",
        ),
    ],
)
def test_a_part_is_refused(part: dict[str, Any], finding: str) -> None:
    assert found(of(part)) == [finding]


@pytest.mark.parametrize(
    ("schema", "finding"),
    [
        pytest.param({}, "type: Required value: must not be empty at the root", id="no-type"),
        pytest.param({"type": "string"}, 'type: Invalid value: "string": must be object at the root', id="no-object"),
        pytest.param(
            {"type": "object", "nullable": True}, "nullable: Forbidden: nullable cannot be true at the root", id="nullable"
        ),
        pytest.param(
            {"type": "object", "additionalProperties": STRING},
            "additionalProperties: Forbidden: must not be used at the root",
            id="map",
        ),
        pytest.param(
            {"type": "object", "properties": {"kind": {"type": "integer"}}},
            'properties[kind].type: Invalid value: "integer": must be string',
            id="kind",
        ),
        pytest.param(
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": of(STRING)}}}},
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            id="metadata",
        ),
        pytest.param(
            {"type": "object", "allOf": [{"properties": {"ghost": {"minimum": 3}}}]},
            f"properties[ghost]: Required value: because it is defined in {ROOT}.allOf[0].properties[ghost]",
            id="only-in-all-of",
        ),
    ],
)
def test_the_root_has_rules_of_its_own(schema: dict[str, Any], finding: str) -> None:
    assert found(schema) == [finding]


def test_metadata_may_narrow_names() -> None:
    names = {"name": {"type": "string", "maxLength": 9}, "generateName": STRING}
    assert found({"type": "object", "properties": {"metadata": {"type": "object", "properties": names}}}) == []


def test_a_status_subresource_limits_the_root() -> None:
    schema = {"type": "object", "properties": {"a": STRING}, "oneOf": [{"required": ["a"]}]}
    assert found(schema) == []
    [finding] = found(schema, has_status=True)
    assert finding.startswith(': Invalid value: {"ID":"","Schema":"","Ref":null,"Description":""')
    assert finding.endswith("XValidations] fields are allowed at the root of the schema if the status subresource is enabled")


def test_unsupported_keywords_hide_the_structural_findings() -> None:
    assert found({"type": "object", "properties": {"a": {"patternProperties": {"x": STRING}}}}) == [
        f"{A}.patternProperties: Forbidden: patternProperties is not supported"
    ]


def test_parts_are_those_directly_inside() -> None:
    schema = {"properties": {"b": STRING, "a": STRING}, "items": STRING, "allOf": [STRING], "additionalProperties": True}
    assert [path for _, path in structural.parts(schema, "r")] == ["r.properties[a]", "r.properties[b]", "r.allOf[0]", "r.items"]


def test_versions_are_shown_without_what_they_share() -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": schema},
        {"name": "v2", "schema": schema, "deprecated": True},
    ]
    first, second = internal_form.shown_versions(versions) or []
    assert first == {
        "Name": "v1", "Served": True, "Storage": True, "Deprecated": False, "DeprecationWarning": None, "Schema": None,
        "Subresources": None, "AdditionalPrinterColumns": None, "SelectableFields": None,
    }  # fmt: skip
    assert (second["Name"], second["Deprecated"], second["Schema"]) == ("v2", True, None)
    other = {"openAPIV3Schema": {"type": "object", "description": "d"}}
    shown = internal_form.shown_versions([{**versions[0], "schema": other}, versions[1]]) or []
    assert shown[0]["Schema"]["OpenAPIV3Schema"]["Description"] == "d"
