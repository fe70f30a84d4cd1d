"""Patches as requests: what is refused, in which order and words, and what a strict reading tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import MAPS, MERGE, Api, config_map

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
MAP = {"apiVersion": "v1", "kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            {**MAP, "metadata": {"name": "b"}}, "the name of the object (b) does not match the name on the URL (a)", id="name"
        ),
        pytest.param(
            {**MAP, "metadata": {}},
            "the name of the object (a based on URL) was undeterminable: name must be provided",
            id="no-name",
        ),
        pytest.param(
            {**MAP, "metadata": {"name": "a", "namespace": "other"}},
            "the namespace of the provided object does not match the namespace sent on the request",
            id="namespace",
        ),
        pytest.param({"apiVersion": "v1", "kind": "Secret"}, "invalid object type: /v1, Kind=Secret", id="kind"),
        pytest.param(b"", "invalid object type: /, Kind=", id="nothing"),
        pytest.param(
            b"- 1",
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
            id="list",
        ),
    ],
)
async def test_applied_configurations_of_another_object_are_bad_requests(api: Api, body: Any, message: str) -> None:
    for _ in ("created", "there"):
        status, tree = await api("PATCH", f"{MAPS}/a?fieldManager=m", body, kind=APPLY)
        if (status, tree.get("message")) != (400, message):
            # with an object there a configuration needs no name: the merged one has it
            assert status == 200
            assert "name must be provided" in message
        await api("POST", MAPS, config_map("a"))


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC, JSON_PATCH])
async def test_an_object_that_is_not_there_is_told_before_a_broken_body(api: Api, kind: str) -> None:
    status, tree = await api("PATCH", f"{MAPS}/a", b"{", kind=kind)
    assert (status, tree["message"]) == (404, 'configmaps "a" not found')


async def test_wrong_options_are_told_before_a_broken_body(api: Api) -> None:
    status, tree = await api("PATCH", f"{MAPS}/a", b"{", kind=APPLY)
    assert status == 422
    assert tree["details"]["causes"][0]["field"] == "fieldManager"


@pytest.mark.parametrize(
    ("kind", "body", "warning"),
    [
        pytest.param(MERGE, b'{"data":{"a":"1","a":"2"}}', 'duplicate field "data.a"', id="merge-twice"),
        pytest.param(MERGE, b'{"spec":{}}', 'unknown field "spec"', id="merge-unknown"),
        pytest.param(STRATEGIC, b'{"data":{"a":"1","a":"2"}}', 'duplicate field "data.a"', id="strategic-twice"),
        pytest.param(
            JSON_PATCH,
            b'[{"op":"add","path":"/data/a","value":"2","note":1}]',
            'json patch unknown field "[0].note"',
            id="operation-unknown",
        ),
        pytest.param(
            JSON_PATCH,
            b'[{"op":"add","op":"add","path":"/data/a","value":"2"}]',
            'json patch duplicate field "[0].op"',
            id="operation-twice",
        ),
        pytest.param(
            APPLY,
            b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"1","a":"2"}}',
            'line 1: key "a" already set in map',
            id="apply-twice",
        ),
    ],
)
async def test_odd_fields_of_a_patch_warn_are_refused_or_ignored_as_asked(api: Api, kind: str, body: bytes, warning: str) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    query = "?fieldManager=m"
    status, tree = await api("PATCH", f"{MAPS}/a{query}&fieldValidation=Strict", body, kind=kind)
    assert status == (400 if kind == APPLY else 422)
    assert warning in tree["message"]
    ignored = await api.ok("PATCH", f"{MAPS}/a{query}&fieldValidation=Ignore", body, kind=kind)
    assert "warning" not in api.headers
    warned = await api.ok("PATCH", f"{MAPS}/a{query}", body, kind=kind)
    assert warning in api.headers["warning"].replace("\\", "")
    assert warned["data"] == ignored["data"]
    if "spec" not in body.decode():
        assert warned["data"]["a"] == "2"


async def test_a_strategic_patch_of_a_wrong_type_shows_the_patch_and_others_the_result(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    _, tree = await api("PATCH", f"{MAPS}/a?fieldValidation=Strict", {"spec": {"x": 1}}, kind=STRATEGIC)
    assert (
        tree["message"]
        == ' "" is invalid: patch: Invalid value: "map[spec:map[x:1]]": strict decoding error: unknown field "spec"'
    )
    _, tree = await api("PATCH", f"{MAPS}/a?fieldValidation=Strict", {"spec": {"x": 1}}, kind=MERGE)
    assert tree["message"].startswith(' "" is invalid: patch: Invalid value: "{\\"apiVersion\\":\\"v1\\"')
    assert tree["message"].endswith(': strict decoding error: unknown field "spec"')


@pytest.mark.parametrize(
    ("meta", "status", "message"),
    [
        pytest.param({"name": "b"}, 400, "the name of the object (b) does not match the name on the URL (a)", id="name"),
        pytest.param({"uid": "x"}, 422, 'metadata.uid: Invalid value: "x": field is immutable', id="uid"),
        pytest.param(
            {"deletionTimestamp": "2026-01-01T00:00:00Z"},
            422,
            'metadata.deletionTimestamp: Invalid value: "2026-01-01T00:00:00Z": field is immutable',
            id="deletion",
        ),
        pytest.param({"uid": None, "creationTimestamp": None, "resourceVersion": None}, 200, "", id="left-out"),
    ],
)
async def test_metadata_that_a_merge_patch_may_not_change(api: Api, meta: dict[str, Any], status: int, message: str) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    got, tree = await api("PATCH", f"{MAPS}/a", {"metadata": meta}, kind=MERGE)
    assert got == status
    assert message in tree.get("message", "")
    if status == 200:
        assert tree == made


async def test_a_patch_that_unsets_the_revision_of_a_kind_that_needs_one_is_invalid(api: Api) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    await api.ok("POST", leases, {"metadata": {"name": "a"}})
    status, tree = await api("PATCH", f"{leases}/a", {"metadata": {"resourceVersion": None}}, kind=MERGE)
    assert status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in tree["message"]
