"""Custom resources in two versions that a real HTTPS webhook converts: every way an object is asked for, and every way it can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from webhook_world import Api, Webhooks

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "hooks.example.com"
V1, V2 = (f"/apis/{GROUP}/{version}/namespaces/default/things" for version in ("v1", "v2"))
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"

TEXT = {"type": "string"}
SCHEMAS = {
    "v1": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"host": TEXT, "port": TEXT}}}},
    "v2": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"address": TEXT, "mode": {**TEXT, "default": "m"}}}}},
}  # fmt: skip


def turned(obj: dict[str, Any], version: str) -> dict[str, Any]:
    """v1 has host and port, v2 has an address of both."""
    spec = dict(obj.get("spec") or {})
    if version.endswith("/v2"):
        spec["address"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
    elif "address" in spec:
        spec["host"], _, spec["port"] = spec.pop("address").partition(":")
    return {**obj, "apiVersion": version, "spec": spec}


def convert(request: dict[str, Any]) -> dict[str, Any]:
    objects = [turned(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
    return answered(request, convertedObjects=objects, result={"status": "Success"})


def answered(request: dict[str, Any], *, api_version: str = "apiextensions.k8s.io/v1", **response: Any) -> dict[str, Any]:
    review = {"apiVersion": api_version, "kind": "ConversionReview", "response": {"uid": request["uid"], **response}}
    return {"raw": orjson.dumps(review)}


def definition(hooks: Webhooks, *, storage: str = "v1", reviews: tuple[str, ...] = ("v1",)) -> dict[str, Any]:
    versions = [
        {"name": name, "served": True, "storage": name == storage, "schema": {"openAPIV3Schema": SCHEMAS[name]}}
        for name in ("v1", "v2")
    ]
    client = {"url": f"https://127.0.0.1:{hooks.port}/convert", "caBundle": hooks.bundle}
    webhook = {"clientConfig": client, "conversionReviewVersions": list(reviews)}
    names = {"plural": "things", "kind": "Thing"}
    spec: dict[str, Any] = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions}
    spec["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**head, "metadata": {"name": f"things.{GROUP}"}, "spec": spec}


async def define(api: Api, hooks: Webhooks, reaction: Callable[[dict[str, Any]], Any] = convert, **how: Any) -> None:
    hooks.reactions["/convert"] = reaction
    await api.ok("POST", DEFINITIONS, definition(hooks, **how))
    async with asyncio.timeout(5):
        while api.server.registry.get(GROUP, "v2", "things") is None:
            await asyncio.sleep(0)


def thing(name: str = "a", version: str = "v1", **spec: str) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{version}", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


async def test_an_object_is_read_and_written_in_both_versions(api: Api, hooks: Webhooks) -> None:
    await define(api, hooks)
    made = await api.ok("POST", V2, thing(version="v2", address="h:1"))
    assert (made["apiVersion"], made["spec"]) == (f"{GROUP}/v2", {"address": "h:1"})
    assert (await api.ok("GET", f"{V1}/a"))["spec"] == {"host": "h", "port": "1"}
    await api.ok("PATCH", f"{V1}/a", {"spec": {"port": "2"}}, kind=MERGE)
    assert (await api.ok("GET", f"{V2}/a"))["spec"]["address"] == "h:2"
    await api.ok("PATCH", f"{V2}/a", {"spec": {"address": "i:3"}}, kind=MERGE)
    assert (await api.ok("GET", f"{V1}/a"))["spec"] == {"host": "i", "port": "3"}


async def test_a_list_is_converted_in_one_request_and_remembered(api: Api, hooks: Webhooks) -> None:
    await define(api, hooks)
    for name in "abc":
        await api.ok("POST", V1, thing(name, host=name, port="1"))
    assert hooks.seen == []
    listed = await api.ok("GET", V2)
    assert [item["spec"]["address"] for item in listed["items"]] == ["a:1", "b:1", "c:1"]
    assert [len(request["objects"]) for _, request in hooks.seen] == [3]
    await api.ok("GET", V2)
    assert len(hooks.seen) == 1


async def test_apply_of_one_version_meets_the_fields_of_the_other(api: Api, hooks: Webhooks) -> None:
    await define(api, hooks)
    await api.ok("PATCH", f"{V1}/a?fieldManager=one", thing(host="h", port="1"), kind=APPLY)
    applied = await api.ok("PATCH", f"{V2}/a?fieldManager=two&force=true", thing(version="v2", address="h:2"), kind=APPLY)
    assert applied["spec"]["address"] == "h:2"
    assert (await api.ok("GET", f"{V1}/a"))["spec"] == {"host": "h", "port": "2"}


async def test_objects_are_rewritten_in_a_new_storage_version_by_an_update_that_changes_nothing(
    api: Api, hooks: Webhooks
) -> None:
    await define(api, hooks)
    made = await api.ok("POST", V1, thing(host="h", port="1"))
    changed = definition(hooks, storage="v2")
    status = await api.ok("PATCH", f"{DEFINITIONS}/things.{GROUP}", {"spec": changed["spec"]}, kind=MERGE)
    assert status["status"]["storedVersions"] == ["v1", "v2"]
    same = await api.ok("GET", f"{V1}/a")
    assert same["spec"] == {"host": "h", "port": "1"}
    again = await api.ok("PUT", f"{V1}/a", same)
    assert again["spec"] == {"host": "h", "port": "1"}
    assert again["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    hooks.seen.clear()
    assert (await api.ok("GET", f"{V2}/a"))["spec"] == {"address": "h:1", "mode": "m"}
    assert hooks.seen == []


async def test_the_review_is_of_the_first_version_that_is_known(api: Api, hooks: Webhooks) -> None:
    old = "apiextensions.k8s.io/v1beta1"

    def react(request: dict[str, Any]) -> dict[str, Any]:
        return answered(request, api_version=old, convertedObjects=[turned(request["objects"][0], request["desiredAPIVersion"])],
                        result={"status": "Success"})  # fmt: skip

    await define(api, hooks, react, reviews=("v9", "v1beta1", "v1"))
    await api.ok("POST", V1, thing(host="h", port="1"))
    assert (await api.ok("GET", f"{V2}/a"))["spec"]["address"] == "h:1"


async def test_labels_and_annotations_may_be_changed_and_nothing_else_of_metadata(api: Api, hooks: Webhooks) -> None:
    def react(request: dict[str, Any]) -> dict[str, Any]:
        made = turned(request["objects"][0], request["desiredAPIVersion"])
        made["metadata"] = {**made["metadata"], "labels": {"a": "b"}, "generation": 77, "finalizers": ["x/y"]}
        return answered(request, convertedObjects=[made], result={"status": "Success"})

    await define(api, hooks, react)
    await api.ok("POST", V1, thing(host="h", port="1"))
    meta = (await api.ok("GET", f"{V2}/a"))["metadata"]
    assert (meta["labels"], meta["generation"], "finalizers" in meta) == ({"a": "b"}, 1, False)


def changed_meta(**meta: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def react(request: dict[str, Any]) -> dict[str, Any]:
        made = turned(request["objects"][0], request["desiredAPIVersion"])
        return answered(
            request, convertedObjects=[{**made, "metadata": {**made["metadata"], **meta}}], result={"status": "Success"}
        )

    return react


def one(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def react(request: dict[str, Any]) -> dict[str, Any]:
        made = {**turned(request["objects"][0], request["desiredAPIVersion"]), **changes}
        return answered(request, convertedObjects=[made], result={"status": "Success"})

    return react


NAMED = f"conversion webhook for {GROUP}/v1, Kind=Thing"


@pytest.mark.parametrize(
    ("react", "message"),
    [
        pytest.param(lambda r: answered(r, result={"status": "Failure", "message": "no way"}), "failed: no way", id="refused"),
        pytest.param(lambda r: answered(r), "failed: response.result.status was '', not 'Success'", id="without a result"),
        pytest.param(
            lambda r: answered({"uid": "x"}, result={"status": "Success"}),
            'failed: expected response.uid="{uid}", got "x"',
            id="of another request",
        ),
        pytest.param(
            lambda r: {"raw": b'{"apiVersion":"v1","kind":"Pod"}'},
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got v1, Kind=Pod",
            id="no review",
        ),
        pytest.param(
            lambda r: {"raw": b'{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview"}'},
            "failed: no response provided",
            id="empty",
        ),
        pytest.param(
            lambda r: {"raw": b"oops", "code": 500},
            'failed: an error on the server ("oops") has prevented the request from succeeding',
            id="an error",
        ),
        pytest.param(
            lambda r: answered(r, convertedObjects=[], result={"status": "Success"}),
            "returned 0 objects, expected 1",
            id="nothing",
        ),
        pytest.param(
            one(apiVersion=f"{GROUP}/v3"),
            f"returned invalid object at index 0: invalid groupVersion (expected {GROUP}/v2, received {GROUP}/v3)",
            id="version",
        ),
        pytest.param(
            one(kind="Other"), "returned invalid object at index 0: invalid kind (expected Thing, received Other)", id="kind"
        ),
        pytest.param(changed_meta(name="b"), "returned invalid object: must have the same name: a != b", id="name"),
        pytest.param(changed_meta(uid="u"), "returned invalid object: must have the same UID: {own} != u", id="uid"),
        pytest.param(
            changed_meta(labels=["a"]),
            "returned invalid metadata: invalid metadata.labels of type []interface {} in converted object",
            id="labels",
        ),
        pytest.param(
            changed_meta(labels={"a": 1}),
            "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object",
            id="label value",
        ),
    ],
)
async def test_what_a_webhook_gets_wrong_is_told(
    api: Api, hooks: Webhooks, react: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    await define(api, hooks, react)
    made = await api.ok("POST", V1, thing(host="h", port="1"))
    status, answer = await api("GET", f"{V2}/a")
    known = {"uid": hooks.seen[0][1]["uid"], "own": made["metadata"]["uid"]}
    for name, value in known.items():
        message = message.replace(f"{{{name}}}", value)
    assert (status, answer["message"], answer.get("reason")) == (500, f"{NAMED} {message}", None)


async def test_a_watch_goes_through_conversion(api: Api, hooks: Webhooks) -> None:
    await define(api, hooks)
    from minikube_api.cache.requests import WatchRequest
    from minikube_api.server import views
    from minikube_api.server.negotiation import View

    resource = api.server.registry.get(GROUP, "v2", "things")
    assert resource is not None
    cacher = api.server.storage.cacher(resource)
    async with asyncio.timeout(5), cacher.watch(WatchRequest(), views.rendering(resource, View(), "")) as events:
        await api.ok("POST", V1, thing(host="h", port="1"))
        seen = orjson.loads(await anext(aiter(events)))
    assert (seen["type"], seen["object"]["apiVersion"], seen["object"]["spec"]["address"]) == ("ADDED", f"{GROUP}/v2", "h:1")
