from __future__ import annotations

from typing import Any

import pytest

from minikube_api.server.deleting import pod_grace
from tests.server.conftest import MAPS, PODS, Api, config_map, pod


async def test_most_kinds_answer_a_delete_with_a_status(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    gone = await api.ok("DELETE", f"{MAPS}/a")
    assert gone["kind"] == "Status"
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await api("GET", f"{MAPS}/a"))[0] == 404


async def test_an_object_with_finalizers_lingers_until_the_last_is_gone(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", finalizers=["x.io/a"]))
    marked = await api.ok("DELETE", f"{MAPS}/a")
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await api.ok("DELETE", f"{MAPS}/a")) == marked
    await api.patch(f"{MAPS}/a", {"metadata": {"finalizers": None}})
    assert (await api("GET", f"{MAPS}/a"))[0] == 404


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [
        pytest.param("Foreground", ["foregroundDeletion"], id="foreground"),
        pytest.param("Orphan", ["orphan"], id="orphan"),
    ],
)
async def test_propagation_puts_its_finalizer(api: Api, policy: str, finalizers: list[str]) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    marked = await api.ok("DELETE", f"{MAPS}/a?propagationPolicy={policy}")
    assert marked["metadata"]["finalizers"] == finalizers


@pytest.mark.parametrize(
    ("given", "asked", "want"),
    [
        pytest.param({"spec": {"nodeName": "n"}}, None, 30, id="default"),
        pytest.param({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}}, None, 5, id="spec"),
        pytest.param({"spec": {"nodeName": "n"}}, 7, 7, id="asked"),
        pytest.param({"spec": {"nodeName": "n"}}, 0, 0, id="force"),
        pytest.param({"spec": {"nodeName": "n"}}, -3, 1, id="negative"),
        pytest.param({"spec": {}}, 7, 0, id="unscheduled"),
        pytest.param({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}}, 7, 0, id="ended"),
    ],
)
def test_pods_get_the_grace_that_their_state_allows(given: dict[str, Any], asked: int | None, want: int) -> None:
    assert pod_grace(given, asked) == want


async def test_a_running_pod_is_marked_and_only_force_removes_it(api: Api) -> None:
    await api.ok("POST", PODS, pod("p", "n1"))
    marked = await api.ok("DELETE", f"{PODS}/p")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = await api.ok("DELETE", f"{PODS}/p?gracePeriodSeconds=5")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    longer = await api.ok("DELETE", f"{PODS}/p?gracePeriodSeconds=60")
    assert longer["metadata"]["deletionGracePeriodSeconds"] == 5
    await api.ok("DELETE", f"{PODS}/p?gracePeriodSeconds=0")
    assert (await api("GET", f"{PODS}/p"))[0] == 404


async def test_an_unscheduled_pod_goes_at_once(api: Api) -> None:
    await api.ok("POST", PODS, pod("p"))
    await api.ok("DELETE", f"{PODS}/p")
    assert (await api("GET", f"{PODS}/p"))[0] == 404


@pytest.mark.parametrize(
    ("preconditions", "words"),
    [
        pytest.param({"uid": "nope"}, "the UID in the precondition (nope) does not match", id="uid"),
        pytest.param({"resourceVersion": "1"}, "the ResourceVersion in the precondition (1) does not match", id="revision"),
    ],
)
async def test_failed_preconditions_are_conflicts(api: Api, preconditions: dict[str, str], words: str) -> None:
    await api.ok("POST", MAPS, config_map("other"))
    await api.ok("POST", MAPS, config_map("a"))
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
    status, tree = await api("DELETE", f"{MAPS}/a", body)
    assert status == 409
    assert words in tree["message"]
    await api.ok("GET", f"{MAPS}/a")


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", labels={"d": "y"}))
    await api.ok("POST", MAPS, config_map("b"))
    answer = await api.ok("DELETE", f"{MAPS}?labelSelector=d=y")
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a"]
    left = await api.ok("GET", MAPS)
    assert [item["metadata"]["name"] for item in left["items"]] == ["b"]


async def test_a_namespace_ends_in_two_phases(api: Api) -> None:
    path = "/api/v1/namespaces/n"
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}})
    marked = await api.ok("DELETE", path)
    assert marked["status"]["phase"] == "Terminating"
    marked["spec"] = {"finalizers": []}
    await api.ok("PUT", f"{path}/finalize", marked)
    assert (await api("GET", path))[0] == 404
