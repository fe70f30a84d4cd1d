"""JSON patch and merge patch with kube-apiserver's habits."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.meta import patches
from minikube_api.meta.errors import BadRequest, Invalid, RequestEntityTooLarge

DOC = {"a": {"b": [1, 2, 3]}, "x/y": 1, "m~n": 2}


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        pytest.param([{"op": "add", "path": "/a/b/1", "value": 9}], {**DOC, "a": {"b": [1, 9, 2, 3]}}, id="insert"),
        pytest.param([{"op": "add", "path": "/a/b/-", "value": 9}], {**DOC, "a": {"b": [1, 2, 3, 9]}}, id="append"),
        pytest.param([{"op": "add", "path": "/a/b/-1", "value": 9}], {**DOC, "a": {"b": [1, 2, 3, 9]}}, id="negative-append"),
        pytest.param([{"op": "remove", "path": "/a/b/-1"}], {**DOC, "a": {"b": [1, 2]}}, id="negative-remove"),
        pytest.param([{"op": "replace", "path": "/x~1y", "value": 3}], {**DOC, "x/y": 3}, id="escaped-slash"),
        pytest.param([{"op": "replace", "path": "/m~0n", "value": 3}], {**DOC, "m~n": 3}, id="escaped-tilde"),
        pytest.param([{"op": "move", "from": "/x~1y", "path": "/z"}], {"a": DOC["a"], "m~n": 2, "z": 1}, id="move"),
        pytest.param(
            [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "remove", "path": "/c/b/0"}],
            {**DOC, "c": {"b": [2, 3]}},
            id="copy-is-independent",
        ),
        pytest.param([{"op": "test", "path": "/a/b", "value": [1, 2, 3]}], DOC, id="test"),
        pytest.param([{"op": "test", "path": "/none", "value": None}], DOC, id="test-null-of-what-is-absent"),
        pytest.param([{"op": "replace", "path": "", "value": {"q": 1}}], {"q": 1}, id="replace-the-document"),
        pytest.param([], DOC, id="empty"),
    ],
)
def test_json_patch(operations: list[Any], result: Any) -> None:
    doc = copy.deepcopy(DOC)
    assert patches.json_patch(doc, operations) == result
    assert doc == DOC


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "frobnicate", "path": "/a"}, id="unknown-op"),
        pytest.param({"op": "copy", "path": "/a"}, id="copy-without-from"),
        pytest.param({"op": "add", "value": 1}, id="no-path"),
        pytest.param({"op": "remove", "path": "/none"}, id="remove-absent"),
        pytest.param({"op": "replace", "path": "/none", "value": 1}, id="replace-absent"),
        pytest.param({"op": "add", "path": "/none/x", "value": 1}, id="no-parent"),
        pytest.param({"op": "add", "path": "/a/b/4", "value": 1}, id="past-the-end"),
        pytest.param({"op": "add", "path": "/a/b/x", "value": 1}, id="no-index"),
        pytest.param({"op": "test", "path": "/a/b/0", "value": True}, id="true-is-not-1"),
    ],
)
def test_json_patch_that_does_not_apply_is_a_bare_422(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        patches.json_patch(DOC, [operation])
    status = caught.value.status()
    assert status["message"] == "the server rejected our request due to an error in our request"
    assert (status["code"], status["details"]) == (422, {})


def test_json_patch_must_be_a_list() -> None:
    with pytest.raises(BadRequest) as caught:
        patches.json_patch(DOC, {"op": "remove"})
    assert caught.value.message == (
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
    )


def test_json_patch_has_a_limit_of_operations() -> None:
    with pytest.raises(RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        patches.json_patch({}, [{"op": "test", "path": "/a", "value": None}] * 10_001)


@pytest.mark.parametrize(
    ("doc", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": [{"b": None, "c": [None, 1]}]}, {"a": [{"c": [1]}]}),
    ],
)
def test_merge_patch(doc: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(doc)
    assert patches.merge_patch(doc, patch) == result
    assert doc == before


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(BadRequest, match=r"cannot unmarshal array into Go value of type map\[string\]interface \{\}"):
        patches.merge_patch({}, [1])


SCALAR = st.one_of(st.integers(-3, 3), st.booleans(), st.text("ab", max_size=2))
TREE = st.recursive(
    SCALAR, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3))
)
OBJECT = st.dictionaries(st.sampled_from("abcd"), TREE, max_size=4)


@given(OBJECT, OBJECT)
def test_merge_diff_leads_from_one_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert patches.equal(patches.merge_patch(old, patches.merge_diff(old, new)), new)


@given(OBJECT, OBJECT)
def test_merge_patch_is_idempotent(doc: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patches.merge_patch(doc, patch)
    assert patches.equal(patches.merge_patch(once, patch), once)


@given(OBJECT, st.sampled_from("abcd"), TREE)
def test_json_patch_add_then_remove_gives_the_rest_back(doc: dict[str, Any], name: str, value: Any) -> None:
    added = patches.json_patch(doc, [{"op": "add", "path": f"/{name}", "value": value}])
    assert patches.equal(added[name], value)
    removed = patches.json_patch(added, [{"op": "remove", "path": f"/{name}"}])
    assert patches.equal(removed, {k: v for k, v in doc.items() if k != name})


def test_copies_that_grow_without_end_are_refused() -> None:
    doc = {"a": ["x" * 1024]}
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}]
    assert len(patches.json_patch(doc, doubling * 8)["a"]) == 9
    with pytest.raises(Invalid):
        patches.json_patch(doc, doubling * 20)
