"""Pruning, defaulting, value validation and rules over compiled schemas, without a server."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.schema import custom_lists, custom_pruning, custom_rules, custom_values, jsonpaths
from minikube_api.schema.custom import structural


def prop(schema: Any) -> Any:
    return structural({"type": "object", "properties": {"x": schema}})


VALUES = [
    pytest.param({"type": "integer"}, "a", 'x: Invalid value: "string": x in body must be of type integer: "string"', id="type"),
    pytest.param(
        {"type": "integer"}, 1.5, 'x: Invalid value: "number": x in body must be of type integer: "number"', id="fraction"
    ),
    pytest.param({"type": "integer"}, 2.0, "", id="whole number"),
    pytest.param({"type": "number"}, 2, "", id="integer is a number"),
    pytest.param({"type": "string", "nullable": True}, None, "", id="null"),
    pytest.param({"type": "string"}, None, 'x: Invalid value: "null": x in body must be of type string: "null"', id="no null"),
    pytest.param({"type": "string", "maxLength": 1}, "ab", "x: Too long: may not be more than 1 byte", id="too long"),
    pytest.param(
        {"type": "string", "minLength": 3}, "ab", 'x: Invalid value: "ab": x in body should be at least 3 chars long', id="short"
    ),
    pytest.param(
        {"type": "string", "pattern": "^a$"}, "a\n", "x: Invalid value: \"a\\n\": x in body should match '^a$'", id="pattern"
    ),
    pytest.param(
        {"type": "string", "format": "ipv4"}, "1.2", 'x: Invalid value: "1.2": x in body must be of type ipv4: "1.2"', id="format"
    ),
    pytest.param({"type": "string", "format": "strange"}, "1.2", "", id="unknown format"),
    pytest.param(
        {"type": "integer", "minimum": 2}, 1, "x: Invalid value: 1: x in body should be greater than or equal to 2", id="minimum"
    ),
    pytest.param({"type": "integer", "enum": [1, 2]}, 3, 'x: Unsupported value: 3: supported values: "1", "2"', id="enum"),
    pytest.param({"x-kubernetes-int-or-string": True}, "5", "", id="int or string"),
    pytest.param(
        {"x-kubernetes-int-or-string": True},
        True,
        'x: Invalid value: "boolean": x in body must be of type integer,string: "boolean"',
        id="either",
    ),
    pytest.param(
        {"type": "array", "items": {"type": "string"}, "minItems": 2},
        ["a"],
        "x: Invalid value: 1: x in body should have at least 2 items",
        id="few",
    ),
    pytest.param(
        {"type": "array", "items": {"type": "string"}, "maxItems": 1},
        ["a", "b"],
        "x: Too many: 2: must have at most 1 item",
        id="many",
    ),
    pytest.param({"type": "object", "required": ["y"]}, {}, "x.y: Required value", id="required"),
]


@pytest.mark.parametrize(("schema", "value", "finding"), VALUES)
def test_values_are_judged_in_kubernetes_words(schema: Any, value: Any, finding: str) -> None:
    found = [str(error) for error in custom_values.problems({"x": value}, prop(schema))]
    assert found == ([finding] if finding else [])


def test_unchanged_values_are_let_through_and_changed_ones_judged() -> None:
    root = structural(
        {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}},
                },
                "plain": {"type": "array", "items": {"type": "integer", "maximum": 5}},
            },
        }
    )
    old = {"items": [{"k": "a", "v": 9}, {"k": "b", "v": 1}], "plain": [9, 1]}
    new = {"items": [{"k": "b", "v": 7}, {"k": "a", "v": 9}], "plain": [9, 2]}
    assert [e.path for e in custom_values.problems(new, root, old)] == ["items[0].v", "plain[0]"]


def test_a_set_names_each_repeated_value_once() -> None:
    root = prop({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}})
    assert [str(e) for e in custom_lists.duplicates({"x": ["a", "b", "a", "a"]}, root)] == ['x[2]: Duplicate value: "a"']


ESCAPED = "!has(self.a__dash__b__dot__c) || self.a__dash__b__dot__c < 3"
RULED = {
    "type": "object",
    "properties": {
        "x": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "may not shrink"}]},
        "y": {
            "type": "integer",
            "x-kubernetes-validations": [{"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": True}],
        },
        "t": {"type": "string", "format": "date-time", "x-kubernetes-validations": [{"rule": "self.getFullYear() > 2000"}]},
        "set": {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": "string"},
            "x-kubernetes-validations": [{"rule": "self == oldSelf"}],
        },
        "n": {"type": "number", "x-kubernetes-validations": [{"rule": "self / 2.0 < 3.0"}]},
        "a-b.c": {"type": "integer"},
        "namespace": {"type": "integer"},
    },
    "x-kubernetes-validations": [{"rule": ESCAPED}, {"rule": "!has(self.__namespace__) || self.__namespace__ < 3"}],
}

RULES = [
    pytest.param({"x": 1}, None, [], id="no transition on create"),
    pytest.param({"x": 1}, {"x": 2}, ["x: Invalid value: 1: may not shrink"], id="transition"),
    pytest.param({"x": 1}, {}, [], id="no old value"),
    pytest.param({"y": 2}, None, ["y: Invalid value: 2: failed rule: oldSelf.hasValue() || self == 1"], id="optional old"),
    pytest.param({"y": 2}, {"y": 3}, [], id="optional old there"),
    pytest.param(
        {"t": "1999-01-01T00:00:00Z"},
        None,
        ['t: Invalid value: "1999-01-01T00:00:00Z": failed rule: self.getFullYear() > 2000'],
        id="time",
    ),
    pytest.param({"set": ["a", "b"]}, {"set": ["b", "a"]}, [], id="set order"),
    pytest.param({"n": 8}, None, ["n: Invalid value: 8: failed rule: self / 2.0 < 3.0"], id="number"),
    pytest.param({"n": 8}, {"n": 8}, [], id="ratcheting"),
    pytest.param({"a-b.c": 5}, None, [f"<nil>: Invalid value: failed rule: {ESCAPED}"], id="escaped"),
    pytest.param(
        {"namespace": 5},
        None,
        ["<nil>: Invalid value: failed rule: !has(self.__namespace__) || self.__namespace__ < 3"],
        id="keyword",
    ),
]


@pytest.mark.parametrize(("obj", "old", "findings"), RULES)
def test_rules(obj: Any, old: Any, findings: list[str]) -> None:
    rules = custom_rules.compiled(structural(RULED))
    assert [str(error) for error in rules.problems(obj, old)] == findings


PATHS = [
    pytest.param(".spec.a", [1], id="member"),
    pytest.param(".spec.l[1].n", ["y"], id="index"),
    pytest.param(".spec.l[-1].n", ["y"], id="from the end"),
    pytest.param(".spec.l[*].n", ["x", "y"], id="all"),
    pytest.param('.spec.l[?(@.n=="y")].v', [2], id="filter"),
    pytest.param(".spec['d.o']", [3], id="quoted"),
    pytest.param(".spec.d\\.o", [3], id="escaped"),
    pytest.param("..n", ["x", "y"], id="descent"),
    pytest.param(".spec.none.deep", [], id="missing"),
]


@pytest.mark.parametrize(("path", "values"), PATHS)
def test_json_paths(path: str, values: list[Any]) -> None:
    tree = {"spec": {"a": 1, "l": [{"n": "x", "v": 1}, {"n": "y", "v": 2}], "d.o": 3}}
    assert jsonpaths.parse(path)(tree) == values


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".[?(@.a==b)]"])
def test_broken_json_paths_are_refused(path: str) -> None:
    with pytest.raises(jsonpaths.PathProblem):
        jsonpaths.parse(path)


_TREE = structural(
    {
        "type": "object",
        "properties": {
            "a": {
                "type": "object",
                "properties": {"b": {"type": "string", "default": "d"}, "c": {"type": "array", "items": {"type": "object"}}},
            },
            "m": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}},
            },
        },
    }
)
_any = st.recursive(
    st.none() | st.integers(-99, 99) | st.text(max_size=2),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abcmxz"), v, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abcmxz"), _any, max_size=5))
def test_pruning_and_defaulting_are_idempotent(tree: dict[str, Any]) -> None:
    custom_pruning.prune(tree, _TREE)
    custom_pruning.fill(tree, _TREE)
    before = orjson.dumps(tree)
    assert custom_pruning.prune(tree, _TREE) == []
    custom_pruning.fill(tree, _TREE)
    assert orjson.dumps(tree) == before
