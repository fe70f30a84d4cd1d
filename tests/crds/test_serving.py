"""Definitions come and go: registration, conditions, names, deletion with instances, versions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from minikube_api.server.server import Server
from tests.crds.conftest import DEFINITIONS, WIDGETS, Define, definition, served, widget
from tests.server.conftest import MERGE, Api

OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SPEC = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}}},
}


async def settled(api: Api, name: str = "widgets.example.com") -> dict[str, Any]:
    async with asyncio.timeout(5):
        while not (made := await api.ok("GET", f"{DEFINITIONS}/{name}"))["status"].get("conditions"):
            await asyncio.sleep(0)
    return made


async def test_a_definition_gets_its_names_accepted_and_is_established(api: Api, define: Define) -> None:
    await define(SPEC)
    status = (await settled(api))["status"]
    assert {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]} == {
        "NamesAccepted": ("True", "NoConflicts"),
        "Established": ("True", "InitialNamesAccepted"),
    }
    assert status["acceptedNames"] == {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    assert status["storedVersions"] == ["v1"]


async def test_a_kind_that_is_taken_is_not_accepted_until_it_is_free(api: Api, define: Define) -> None:
    await define(SPEC)
    other = definition(SPEC, plural="gadgets")
    other["spec"]["names"]["kind"] = "Widget"
    await api.ok("POST", DEFINITIONS, other)
    conditions = {c["type"]: c for c in (await settled(api, "gadgets.example.com"))["status"]["conditions"]}
    assert (conditions["NamesAccepted"]["status"], conditions["NamesAccepted"]["reason"]) == ("False", "KindConflict") or (
        conditions["NamesAccepted"]["reason"] == "ListKindConflict"
    )
    assert (await api("GET", "/apis/example.com/v1/gadgets"))[0] == 404
    await api.ok("DELETE", f"{DEFINITIONS}/widgets.example.com")
    await served(api, "/apis/example.com/v1/gadgets")


async def test_discovery_and_openapi_follow_a_definition(api: Api, server: Server, define: Define) -> None:
    await define(definition(SPEC, subresources={"status": {}}))
    resources = (await api.ok("GET", "/apis/example.com/v1"))["resources"]
    assert [r["name"] for r in resources] == ["widgets", "widgets/status"]
    document = await api.ok("GET", "/openapi/v3/apis/example.com/v1")
    assert document["components"]["schemas"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]["n"] == {
        "type": "integer"
    }
    await api.ok("DELETE", f"{DEFINITIONS}/widgets.example.com")
    await served(api, "/apis/example.com/v1", 404)
    assert server.registry.get("example.com", "v1", "widgets") is None


async def test_deletion_removes_instances_first_and_waits_for_their_finalizers(api: Api, define: Define) -> None:
    await define(SPEC)
    await api.ok("POST", WIDGETS, widget("plain"))
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.ok("POST", WIDGETS, held)
    gone = await api.ok("DELETE", f"{DEFINITIONS}/widgets.example.com")
    assert gone["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert [c["reason"] for c in gone["status"]["conditions"] if c["type"] == "Terminating"] == ["InstanceDeletionPending"]
    await served(api, f"{WIDGETS}/plain", 404)
    status, refused = await api("POST", WIDGETS, widget("late"))
    assert (status, refused["message"]) == (405, "create not allowed while custom resource definition is terminating")
    assert (await api("GET", f"{WIDGETS}/held"))[0] == 200
    held_back = await api.ok("GET", f"{DEFINITIONS}/widgets.example.com")
    assert [c["reason"] for c in held_back["status"]["conditions"] if c["type"] == "Terminating"] == [
        "InstanceDeletionInProgress"
    ]
    await api.patch(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})
    await served(api, f"{DEFINITIONS}/widgets.example.com", 404)
    assert (await api("GET", WIDGETS))[0] == 404


async def test_status_and_spec_change_through_their_own_doors(api: Api, define: Define) -> None:
    schema = {"type": "object", "properties": {"spec": OPEN, "status": OPEN}}
    await define(definition(schema, subresources={"status": {}}))
    made = await api.ok("POST", WIDGETS, widget(spec={"a": 1}, status={"b": 1}))
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    after = await api.patch(f"{WIDGETS}/w/status", {"spec": {"a": 2}, "status": {"b": 2}})
    assert (after["spec"], after["status"], after["metadata"]["generation"]) == ({"a": 1}, {"b": 2}, 1)
    after = await api.patch(f"{WIDGETS}/w", {"spec": {"a": 3}, "status": {"b": 3}})
    assert (after["spec"], after["status"], after["metadata"]["generation"]) == ({"a": 3}, {"b": 2}, 2)


async def test_scale_reads_and_writes_the_paths_of_the_definition(api: Api, define: Define) -> None:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}, "status": OPEN},
    }
    paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"}
    await define(definition(schema, subresources={"status": {}, "scale": paths}))
    await api.ok("POST", WIDGETS, widget(spec={"size": 2}))
    await api.patch(f"{WIDGETS}/w/status", {"status": {"size": 1, "selector": "a=b"}})
    scale = await api.ok("GET", f"{WIDGETS}/w/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    await api.patch(f"{WIDGETS}/w/scale", {"spec": {"replicas": 5}})
    assert (await api.ok("GET", f"{WIDGETS}/w"))["spec"] == {"size": 5}
    await api.ok("POST", WIDGETS, widget("bare"))
    status, broken = await api("GET", f"{WIDGETS}/bare/scale")
    assert (status, broken["message"]) == (500, 'Internal error occurred: the spec replicas field ".spec.size" does not exist')


async def test_selectable_fields_select(api: Api, define: Define) -> None:
    await define(definition(SPEC, selectableFields=[{"jsonPath": ".spec.a"}]))
    for name, value in (("one", "x"), ("two", "y")):
        await api.ok("POST", WIDGETS, widget(name, spec={"a": value}))
    found = await api.ok("GET", f"{WIDGETS}?fieldSelector=spec.a=y")
    assert [item["metadata"]["name"] for item in found["items"]] == ["two"]
    assert (await api("GET", f"{WIDGETS}?fieldSelector=spec.b=y"))[0] == 400


async def test_objects_are_defaulted_by_the_version_they_were_written_in(api: Api, define: Define) -> None:
    await define(SPEC)
    await api.ok("POST", WIDGETS, widget(spec={"a": "x"}))
    older, newer = (
        {
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {**own, "c": {"type": "string", "default": default}}}},
        }
        for own, default in (({"a": {"type": "string"}}, "old"), ({}, "new"))
    )
    made = definition(older)["spec"]["versions"][0]
    versions = [{**made, "storage": False}, {**made, "name": "v2", "schema": {"openAPIV3Schema": newer}}]
    changed = await api.patch(f"{DEFINITIONS}/widgets.example.com", {"spec": {"versions": versions}})
    assert changed["status"]["storedVersions"] == ["v1", "v2"]
    await served(api, "/apis/example.com/v2/widgets")
    read = await api.ok("GET", "/apis/example.com/v2/namespaces/default/widgets/w")
    assert (read["apiVersion"], read["spec"]) == ("example.com/v2", {"c": "old"})
    listed = await api.ok("GET", "/apis/example.com/v2/namespaces/default/widgets")
    assert [item["apiVersion"] for item in listed["items"]] == ["example.com/v2"]


async def test_definitions_are_served_again_after_a_restart(tmp_path: Any) -> None:
    from minikube_api.server.server import Config

    def config() -> Config:
        return Config(listeners=(), bootstrap=False, admission=(), store="sqlite", data_dir=tmp_path)

    first = Server(config())
    await first.start()
    api = Api(first)
    await api.ok("POST", DEFINITIONS, definition(SPEC))
    await served(api, WIDGETS)
    await api.ok("POST", WIDGETS, widget(spec={"a": "kept"}))
    await first.stop()
    second = Server(config())
    await second.start()
    try:
        assert (await Api(second).ok("GET", f"{WIDGETS}/w"))["spec"] == {"a": "kept"}
    finally:
        await second.stop()


@pytest.mark.parametrize("kind", [MERGE, "application/json-patch+json"])
async def test_patches_of_custom_resources(api: Api, define: Define, kind: str) -> None:
    await define(SPEC)
    await api.ok("POST", WIDGETS, widget(spec={"a": "x", "n": 1}))
    patch: Any = {"spec": {"n": None}} if kind == MERGE else [{"op": "remove", "path": "/spec/n"}]
    assert (await api.patch(f"{WIDGETS}/w", patch, kind))["spec"] == {"a": "x"}


async def test_strategic_merge_patches_are_refused(api: Api, define: Define) -> None:
    await define(SPEC)
    await api.ok("POST", WIDGETS, widget())
    status, _ = await api("PATCH", f"{WIDGETS}/w", {}, kind="application/strategic-merge-patch+json")
    assert status == 415


async def test_field_validation_strict_refuses_what_warn_prunes(api: Api, define: Define) -> None:
    await define(SPEC)
    status, refused = await api("POST", f"{WIDGETS}?fieldValidation=Strict", widget(spec={"zz": 1}))
    assert (status, refused["message"]) == (
        400,
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.zz"',
    )
    made = await api.ok("POST", WIDGETS, widget(spec={"zz": 1}))
    assert made["spec"] == {}
    assert 'unknown field \\"spec.zz\\"' in api.headers["warning"]


SCALED = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"replicas": {"x-kubernetes-int-or-string": True}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def scale(replicas: int) -> dict[str, Any]:
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "w"}, "spec": {"replicas": replicas}}


async def test_a_scale_without_replicas_can_be_set_but_not_read(api: Api, define: Define) -> None:
    await define(definition(SCALED, subresources={"scale": SCALE}))
    await api.ok("POST", WIDGETS, widget())
    status, answer = await api("GET", f"{WIDGETS}/w/scale")
    assert (status, answer["message"]) == (
        500,
        'Internal error occurred: the spec replicas field ".spec.replicas" does not exist',
    )
    status, answer = await api("PATCH", f"{WIDGETS}/w/scale", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
    assert (status, answer["message"]) == (400, 'the spec replicas field ".spec.replicas" cannot be empty')
    assert (await api.ok("PUT", f"{WIDGETS}/w/scale", scale(3)))["spec"] == {"replicas": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": {"replicas": "3"}}, ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: 3 is of the type string, expected int64"),
        ({"spec": {"replicas": -1}}, ".spec.replicas: Invalid value: -1: should be a non-negative integer"),
        ({"spec": {"replicas": 1 << 31}}, ".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647"),
        (
            {"status": {"selector": 1}},
            '.status.selector: Invalid value: "": .status.selector accessor error: 1 is of the type int64, expected string',
        ),
    ],
    ids=["text", "negative", "large", "selector"],
)  # fmt: skip
async def test_replicas_of_a_scaled_kind_must_be_readable(api: Api, define: Define, change: Any, message: str) -> None:
    await define(definition(SCALED, subresources={"scale": SCALE}))
    status, answer = await api("POST", WIDGETS, widget(**change))
    assert (status, answer["message"]) == (422, f'Widget.example.com "w" is invalid: {message}')


async def test_a_negative_scale_is_what_the_custom_resource_says_of_it(api: Api, define: Define) -> None:
    await define(definition(SCALED, subresources={"scale": SCALE}))
    await api.ok("POST", WIDGETS, widget(spec={"replicas": 1}))
    status, answer = await api("PUT", f"{WIDGETS}/w/scale", scale(-5))
    words = ".spec.replicas: Invalid value: -5: should be a non-negative integer"
    assert (status, answer["message"]) == (422, f'Widget.example.com "w" is invalid: {words}')


async def test_accepted_names_are_checked_where_status_is_written(api: Api, define: Define) -> None:
    await define(SPEC)
    change = {"status": {"acceptedNames": {"kind": "K", "listKind": "K", "plural": ""}}}
    status, answer = await api("PATCH", f"{DEFINITIONS}/widgets.example.com/status", change, kind=MERGE)
    words = 'status.acceptedNames.listKind: Invalid value: "K": kind and listKind may not be the same'
    assert (status, answer["message"].partition("is invalid: ")[2]) == (422, words)
