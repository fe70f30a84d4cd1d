"""Field sets of objects, and of differences between objects."""

from typing import Any

import pytest

from minikube_api.schema import apply_compare, apply_sets
from minikube_api.schema.apply_shapes import root_shape
from minikube_api.schema.model import Schema

STRING = Schema("string")
ITEM = Schema(
    "object",
    fields={
        "name": STRING,
        "port": Schema("integer"),
        "protocol": Schema("string", default="TCP"),
        "tags": Schema("array", items=STRING),
    },
)
KIND = Schema(
    "object",
    fields={
        "spec": Schema(
            "object",
            fields={
                "size": Schema("integer"),
                "labels": Schema("map", values=STRING),
                "selector": Schema("map", values=STRING, map_type="atomic"),
                "items": Schema("array", items=ITEM, list_type="map", list_map_keys=("port", "protocol")),
                "set": Schema("array", items=STRING, list_type="set"),
                "atoms": Schema("array", items=STRING),
                "free": Schema("object", preserve_unknown=True),
                "inner": Schema("object", fields={"x": STRING}),
            },
        )
    },
)
SHAPE = root_shape(KIND)


def texts(fields: apply_sets.Fields) -> set[str]:
    return {apply_sets.path_text(path) for path in apply_sets.elements(fields)}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        pytest.param({"size": 1}, {".size"}, id="scalar"),
        pytest.param({"size": None}, {".size"}, id="null"),
        pytest.param({"inner": {"x": "1"}}, {".inner.x"}, id="structs-are-no-members"),
        pytest.param({"inner": {}}, {".inner"}, id="empty-struct"),
        pytest.param({"labels": {"a": "1"}}, {".labels.a"}, id="map"),
        pytest.param({"labels": {}}, {".labels"}, id="empty-map"),
        pytest.param({"selector": {"a": "1"}}, {".selector"}, id="atomic-map"),
        pytest.param({"atoms": ["a"]}, {".atoms"}, id="atomic-list"),
        pytest.param({"set": ["a", "b"]}, {'.set[="a"]', '.set[="b"]'}, id="set"),
        pytest.param({"set": []}, set(), id="empty-set-is-not-named"),
        pytest.param(
            {"items": [{"port": 1, "name": "n"}]},
            {'.items[port=1,protocol="TCP"]', '.items[port=1,protocol="TCP"].port', '.items[port=1,protocol="TCP"].name'},
            id="keyed-item-with-default-key",
        ),
        pytest.param({"free": {"a": {"b": 1}, "l": [1]}}, {".free.a", ".free.a.b", ".free.l"}, id="unknown-fields-are-members"),
    ],
)
def test_fields_that_a_configuration_names(spec: dict[str, Any], fields: set[str]) -> None:
    assert texts(apply_compare.field_set({"spec": spec}, SHAPE)) == {".spec" + f for f in fields}


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        pytest.param({"size": 1}, {"size": 2}, {".size"}, set(), id="modified"),
        pytest.param({}, {"labels": {"a": "1"}}, {".labels", ".labels.a"}, set(), id="added-with-its-container"),
        pytest.param({"labels": {"a": "1"}}, {}, set(), {".labels", ".labels.a"}, id="removed-with-its-container"),
        pytest.param({"labels": {"a": "1"}}, {"labels": {"b": "1"}}, {".labels.b"}, {".labels.a"}, id="map-items"),
        pytest.param({"selector": {"a": "1"}}, {"selector": {"b": "1"}}, {".selector"}, set(), id="atomic-map"),
        pytest.param({"labels": None}, {"labels": {}}, {".labels"}, set(), id="null-is-not-empty"),
        pytest.param({"atoms": ["a"]}, {"atoms": ["b"]}, {".atoms"}, set(), id="atomic-list"),
        pytest.param({"set": ["a", "b"]}, {"set": ["b", "a"]}, set(), set(), id="order-is-no-field"),
        pytest.param({"set": ["a"]}, {"set": ["b"]}, {'.set[="b"]'}, {'.set[="a"]'}, id="set-members"),
        pytest.param(
            {"items": [{"port": 1}]},
            {"items": [{"port": 1, "protocol": "TCP", "name": "n"}]},
            {'.items[port=1,protocol="TCP"].name', '.items[port=1,protocol="TCP"].protocol'},
            set(),
            id="default-key-meets-its-value",
        ),
        pytest.param(
            {"items": [{"port": 1}]},
            {"items": [{"port": 1}, {"port": 1}]},
            {'.items[port=1,protocol="TCP"]'},
            {'.items[port=1,protocol="TCP"]', '.items[port=1,protocol="TCP"].port'},
            id="item-that-comes-to-stand-twice",
        ),
        pytest.param({"free": {"a": 1}}, {"free": {"a": {"b": 1}}}, {".free.a"}, set(), id="another-type"),
    ],
)
def test_differences(old: dict[str, Any], new: dict[str, Any], changed: set[str], removed: set[str]) -> None:
    more, less = apply_compare.compare({"spec": {"size": 0, **old}}, {"spec": {"size": 0, **new}}, SHAPE)
    assert texts(more) == {".spec" + f for f in changed}
    assert texts(less) == {".spec" + f for f in removed}
