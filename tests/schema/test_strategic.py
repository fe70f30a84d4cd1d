"""Strategic merge patch: lists by merge key, directives, order, refusals."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.meta.errors import BadRequest, Invalid, StatusError
from minikube_api.schema import builtin, strategic

POD = builtin.load("", "v1", "Pod")
DEPLOYMENT = builtin.load("apps", "v1", "Deployment")


def patched(spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    doc = {"spec": spec}
    before = copy.deepcopy(doc)
    result = strategic.patch(doc, {"spec": changes}, POD)["spec"]
    assert doc == before
    return result


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": n} for n in names]


@pytest.mark.parametrize(
    ("spec", "changes", "result"),
    [
        pytest.param({"nodeName": "a"}, {"nodeName": "b"}, {"nodeName": "b"}, id="scalar"),
        pytest.param({"nodeName": "a"}, {"nodeName": None}, {}, id="null-deletes"),
        pytest.param({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"b": "2"}}, {"nodeSelector": {"a": "1", "b": "2"}}, id="map"),
        pytest.param(
            {"nodeSelector": {"a": "1"}},
            {"nodeSelector": {"$patch": "replace", "b": "2"}},
            {"nodeSelector": {"b": "2"}},
            id="replace-map",
        ),
        pytest.param({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"$patch": "delete"}}, {"nodeSelector": {}}, id="delete-map"),
        pytest.param(
            {"containers": [{"name": "c", "image": "1", "args": ["a"]}]},
            {"containers": [{"name": "c", "image": "2"}]},
            {"containers": [{"name": "c", "image": "2", "args": ["a"]}]},
            id="merge-item",
        ),
        pytest.param(
            {"containers": named("c", "d")}, {"containers": named("d", "c", "new")}, {"containers": named("d", "c", "new")},
            id="patch-order-wins",
        ),
        pytest.param({"containers": named("a", "b", "c")}, {"containers": named("b")}, {"containers": named("a", "b", "c")}, id="others-stay"),
        pytest.param({"volumes": named("v")}, {"volumes": named("w")}, {"volumes": named("w", "v")}, id="new-items-come-first"),
        pytest.param(
            {"containers": named("c", "d")}, {"containers": [{"name": "d", "$patch": "delete"}]}, {"containers": named("c")},
            id="delete-item",
        ),
        pytest.param(
            {"containers": named("c", "d")}, {"containers": [{"$patch": "replace"}, *named("e")]}, {"containers": named("e")},
            id="replace-list",
        ),
        pytest.param({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}, id="atomic-list"),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "x"}}]},
            {"volumes": [{"name": "v", "configMap": {"name": "x"}}]},
            id="retain-keys",
        ),
        pytest.param(
            {"containers": named("a", "b", "c")},
            {"$setElementOrder/containers": named("c", "a", "b"), "containers": [{"name": "b", "image": "2"}]},
            {"containers": [{"name": "c"}, {"name": "a"}, {"name": "b", "image": "2"}]},
            id="set-element-order",
        ),
        pytest.param(
            {"containers": named("server", "a", "b")},
            {"$setElementOrder/containers": named("b", "a")},
            {"containers": named("server", "b", "a")},
            id="order-without-changes-keeps-what-only-the-server-has",
        ),
        pytest.param({}, {"volumes": [{"name": "v", "$patch": "delete"}, {"name": "w", "emptyDir": None}]}, {"volumes": named("w")},
                     id="new-values-lose-directives-and-nulls"),
    ],
)  # fmt: skip
def test_patch(spec: dict[str, Any], changes: dict[str, Any], result: dict[str, Any]) -> None:
    assert patched(spec, changes) == result


def test_primitive_lists_unite_and_lose_what_is_named() -> None:
    doc = {"metadata": {"finalizers": ["a", "b", "c"]}}
    changes = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d"]}}
    assert strategic.patch(doc, changes, POD)["metadata"]["finalizers"] == ["d", "a", "c"]


def test_primitive_lists_follow_the_order_directive() -> None:
    doc = {"metadata": {"finalizers": ["a", "b", "c"]}}
    changes = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["b"],
            "$setElementOrder/finalizers": ["c", "d", "a"],
            "finalizers": ["d"],
        }
    }
    assert strategic.patch(doc, changes, POD)["metadata"]["finalizers"] == ["c", "d", "a"]


@pytest.mark.parametrize(
    ("changes", "error", "code", "message"),
    [
        pytest.param(
            {"containers": [{"image": "x"}]},
            StatusError,
            500,
            "map: map[image:x] does not contain declared merge key: name",
            id="no-merge-key",
        ),
        pytest.param(
            {"$patch": "explode", "containers": []},
            StatusError,
            500,
            "unknown patch type: explode in map: map[$patch:explode containers:[]]",
            id="unknown-directive",
        ),
        pytest.param(
            {"containers": {"name": "c"}},
            Invalid,
            422,
            ' "" is invalid: patch: Invalid value: "map[spec:map[containers:map[name:c]]]": cannot restore slice from map',
            id="map-for-a-list",
        ),
        pytest.param(
            {"$retainKeys": ["nodeName"], "hostname": "h"},
            BadRequest,
            400,
            "invalid patch format of retainKeys",
            id="retain-keys",
        ),
        pytest.param(
            {"$setElementOrder": named("a")}, BadRequest, 400, "invalid patch format of setElementOrder list", id="order-key"
        ),
        pytest.param(
            {"$deleteFromPrimitiveList": []}, BadRequest, 400, "invalid patch format of primitive list", id="delete-key"
        ),
        pytest.param(
            {"containers": [{"name": "c", "$patch": "merge"}]},
            StatusError,
            500,
            "merging lists cannot yet be specified in the patch",
            id="merge-directive-in-a-list",
        ),
        pytest.param(
            {"$setElementOrder/containers": named("c"), "containers": named("x")},
            StatusError,
            500,
            "The order in patch list:\n[map[name:x]]\n doesn't match $setElementOrder list:\n[map[name:c]]\n",
            id="order-without-the-item",
        ),
        pytest.param({"nodeName": {"a": 1}}, Invalid, 422, "cannot convert map", id="map-for-a-string"),
    ],
)
def test_refusals(changes: dict[str, Any], error: type[StatusError], code: int, message: str) -> None:
    with pytest.raises(error) as caught:
        patched({"containers": named("c")}, changes)
    assert message in caught.value.message
    assert caught.value.status_code == code
    if error is StatusError:
        assert "reason" not in caught.value.status()


NAMES = st.lists(st.sampled_from("abcde"), unique=True, max_size=4)


@given(NAMES, NAMES)
def test_merged_list_holds_both_and_keeps_both_orders(live: list[str], changes: list[str]) -> None:
    result = [c["name"] for c in patched({"containers": named(*live)}, {"containers": named(*changes)})["containers"]]
    assert sorted(result) == sorted({*live, *changes})
    assert [n for n in result if n in changes] == changes
    assert [n for n in result if n not in changes] == [n for n in live if n not in changes]


@given(NAMES, NAMES)
def test_patch_is_idempotent(live: list[str], changes: list[str]) -> None:
    once = patched({"containers": named(*live)}, {"containers": named(*changes)})
    assert patched(once, {"containers": named(*changes)}) == once


CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcde")}, optional={"image": st.sampled_from("xyz"), "tty": st.booleans()}),
    unique_by=lambda container: container["name"],
)


def difference(old: list[dict], new: list[dict]) -> dict:
    """What kubectl sends to turn one list of containers into another: changes by name, removals, and the order wished for."""
    before = {container["name"]: container for container in old}
    changes: list[dict] = []
    for container in new:
        gone = {field: None for field in before.get(container["name"], {}) if field not in container}
        changes.append({**container, **gone})
    wanted = {container["name"] for container in new}
    changes += [{"name": name, "$patch": "delete"} for name in before if name not in wanted]
    return {"containers": changes, "$setElementOrder/containers": [{"name": container["name"]} for container in new]}


@given(CONTAINERS, CONTAINERS)
def test_the_difference_of_two_lists_patches_one_into_the_other(old: list[dict], new: list[dict]) -> None:
    assert (patched({"containers": old}, difference(old, new)).get("containers") or []) == new
