"""Merging an applied configuration, taking fields out, and what cannot be typed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.schema import apply_compare, apply_merge, apply_typing
from minikube_api.schema.apply_shapes import root_shape
from minikube_api.schema.model import Schema

STRING = Schema("string")
ITEM = Schema(
    "object", fields={"name": STRING, "value": Schema("integer"), "names": Schema("array", items=STRING, list_type="set")}
)
KIND = Schema(
    "object",
    fields={
        "data": Schema("map", values=STRING),
        "atom": Schema("map", values=STRING, map_type="atomic"),
        "items": Schema("array", items=ITEM, list_type="map", list_map_keys=("name",)),
        "set": Schema("array", items=STRING, list_type="set"),
        "flag": Schema("boolean"),
    },
)
SHAPE = root_shape(KIND)


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": n} for n in names]


@pytest.mark.parametrize(
    ("live", "applied", "order"),
    [
        ("abc", "zby", "azbcy"),
        ("azbcy", "ca", "zbcya"),
        ("", "ab", "ab"),
        ("ab", "", "ab"),
        ("abc", "cba", "cba"),
        ("xaybz", "ab", "xaybz"),
        ("ab", "xaby", "xaby"),
    ],
)
def test_applied_items_keep_their_order_and_others_their_place(live: str, applied: str, order: str) -> None:
    merged = apply_merge.merge({"items": named(*live)}, {"items": named(*applied)}, SHAPE)
    assert "".join(item["name"] for item in merged["items"]) == order


def test_items_merge_field_by_field_and_atoms_are_replaced() -> None:
    live = {"items": [{"name": "a", "value": 1}], "atom": {"x": "1"}, "data": {"k": "1"}}
    merged = apply_merge.merge(live, {"items": [{"name": "a", "names": ["q"]}], "atom": {"y": "2"}, "data": {"l": "2"}}, SHAPE)
    assert merged == {
        "items": [{"name": "a", "value": 1, "names": ["q"]}],
        "atom": {"y": "2"},
        "data": {"k": "1", "l": "2"},
    }
    assert live == {"items": [{"name": "a", "value": 1}], "atom": {"x": "1"}, "data": {"k": "1"}}


TEXT = st.sampled_from("abc")
OBJECT = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(TEXT, TEXT, min_size=1, max_size=3),
        "atom": st.dictionaries(TEXT, TEXT, min_size=1, max_size=3),
        "set": st.lists(TEXT, unique=True, min_size=1, max_size=3),
        "flag": st.booleans(),
        "items": st.lists(
            st.fixed_dictionaries(
                {"name": TEXT},
                optional={"value": st.integers(0, 2), "names": st.lists(TEXT, unique=True, min_size=1, max_size=2)},
            ),
            unique_by=lambda item: item["name"],
            min_size=1,
            max_size=3,
        ),
    },
)


@given(OBJECT, OBJECT)
def test_merging_twice_changes_nothing_more(live: dict[str, Any], applied: dict[str, Any]) -> None:
    once = apply_merge.merge(live, applied, SHAPE)
    assert apply_merge.merge(once, applied, SHAPE) == once


@given(OBJECT, OBJECT)
def test_merge_holds_all_that_was_applied_and_loses_no_field(live: dict[str, Any], applied: dict[str, Any]) -> None:
    merged = apply_merge.merge(live, applied, SHAPE)
    changed, _ = apply_compare.compare(merged, apply_merge.merge(merged, applied, SHAPE), SHAPE)
    assert not changed
    _, lost = apply_compare.compare(live, merged, SHAPE)
    assert not lost


@given(OBJECT)
def test_an_object_merges_with_nothing_to_itself(obj: dict[str, Any]) -> None:
    assert apply_merge.merge(obj, {}, SHAPE) == obj
    assert apply_merge.merge({}, obj, SHAPE) == obj
    assert apply_merge.merge(obj, obj, SHAPE) == obj


@given(OBJECT)
def test_taking_out_all_named_fields_leaves_nothing(obj: dict[str, Any]) -> None:
    everything = apply_merge.with_named_fields(apply_compare.field_set(obj, SHAPE), SHAPE)
    assert apply_merge.remove(obj, everything, SHAPE) == {}


@pytest.mark.parametrize(
    ("obj", "problem"),
    [
        pytest.param({"dta": {}}, (".dta", "field not declared in schema"), id="unknown-field"),
        pytest.param({"data": ["k"]}, (".data", "expected map, got &{[k]}"), id="list-for-a-map"),
        pytest.param({"items": {"a": 1}}, (".items", "expected list, got &{map[a:1]}"), id="map-for-a-list"),
        pytest.param({"set": ["a", "a"]}, (".set", 'duplicate entries for key [="a"]'), id="duplicate-member"),
        pytest.param({"items": named("a", "a")}, (".items", 'duplicate entries for key [name="a"]'), id="duplicate-item"),
        pytest.param(
            {"items": [{"value": 1}]},
            (
                ".items",
                'element 0: associative list with keys has an element that omits all key fields ["name"] '
                "(and doesn't have default values for any key fields)",
            ),
            id="no-key",
        ),
        pytest.param(
            {"items": [{"name": "a", "value": "x"}]},
            ('.items[name="a"].value', "expected numeric (int or float), got string"),
            id="no-number",
        ),
        pytest.param({"data": {"k": 1}}, (".data.k", "expected string, got &value.valueUnstructured{Value:1}"), id="no-string"),
        pytest.param({"flag": "x"}, (".flag", "expected boolean, got &{x}"), id="no-boolean"),
    ],
)
def test_what_cannot_be_typed(obj: dict[str, Any], problem: tuple[str, str]) -> None:
    assert apply_merge.problems(obj, SHAPE) == [problem]
    assert apply_typing.field_set(obj, SHAPE) is None


@given(OBJECT)
def test_the_typing_pass_names_the_same_fields(obj: dict[str, Any]) -> None:
    assert apply_merge.problems(obj, SHAPE) == []
    assert apply_typing.field_set(obj, SHAPE) == apply_compare.field_set(obj, SHAPE)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("name", "value", "names", "a")), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(("data", "atom", "set", "flag", "items", "other")), ANYTHING, max_size=4))
def test_the_typing_pass_refuses_exactly_what_has_problems(obj: dict[str, Any]) -> None:
    found = apply_typing.field_set(obj, SHAPE)
    assert (found is None) == bool(apply_merge.problems(obj, SHAPE))
    if found is not None:
        assert found == apply_compare.field_set(obj, SHAPE)
