"""Answers in protobuf: each verb, errors, lists, watches and discovery hold what the JSON answer holds."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import orjson
import pytest

from minikube_api.meta.errors import Expired
from minikube_api.schema import builtin, decoding, protobuf
from minikube_api.server import reading
from minikube_api.server.negotiation import View
from tests.server.conftest import MAPS, MERGE, PODS, Api, config_map, pod

PROTOBUF = "application/vnd.kubernetes.protobuf"
METADATA = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def ask(
    api: Api, method: str, path: str, body: Any = None, accept: str = PROTOBUF, **headers: str
) -> tuple[int, dict[str, Any]]:
    path, _, text = path.partition("?")
    query = dict(part.partition("=")[::2] for part in text.split("&")) if text else None
    data = None if body is None else orjson.dumps(body)
    given = {"Accept": accept, "Content-Type": "application/json", **headers}
    answer = await api.transport.request(method, path, query=query, headers=given, body=data)
    assert answer.headers["content-type"].startswith(PROTOBUF)
    return answer.status, read(answer.body)


def read(body: bytes) -> dict[str, Any]:
    """The tree as JSON has it: with what Go always writes."""
    tree = protobuf.decode(body)
    group, _, version = tree["apiVersion"].rpartition("/")
    if builtin.is_kind(group, version, tree["kind"]):
        schema = builtin.load(group, version, tree["kind"])
        decoding.check(tree, schema, kind=tree["kind"], api_version=tree["apiVersion"], validation="Ignore")
    return tree


def events(chunks: bytes) -> list[tuple[str, dict[str, Any]]]:
    found = []
    while chunks:
        (size,) = struct.unpack(">I", chunks[:4])
        event, chunks = chunks[4 : 4 + size], chunks[4 + size :]
        found.append((event[2 : 2 + event[1]].decode(), read(event[event.index(protobuf.PREFIX) :])))
    return found


async def test_the_verbs_answer_what_they_answer_in_json(api: Api) -> None:
    status, made = await ask(api, "POST", PODS, pod("a"))
    assert status == 201
    assert made == await api.ok("GET", f"{PODS}/a")
    assert (await ask(api, "GET", f"{PODS}/a"))[1] == made
    _, patched = await ask(api, "PATCH", f"{PODS}/a", {"metadata": {"labels": {"a": "b"}}}, **{"Content-Type": MERGE})
    assert patched["metadata"]["labels"] == {"a": "b"}
    patched["metadata"]["labels"] = {"c": "d"}
    _, updated = await ask(api, "PUT", f"{PODS}/a", patched)
    assert updated == await api.ok("GET", f"{PODS}/a")
    _, gone = await ask(api, "DELETE", f"{PODS}/a")
    assert (gone["kind"], gone["metadata"]["uid"]) == ("Pod", made["metadata"]["uid"])


async def test_a_list_is_the_list(api: Api) -> None:
    for name in "abc":
        await api.ok("POST", MAPS, config_map(name))
    _, listed = await ask(api, "GET", f"{MAPS}?limit=2")
    want = await api.ok("GET", f"{MAPS}?limit=2")
    assert listed["metadata"].pop("continue")
    want["metadata"].pop("continue")
    assert listed == want
    assert listed["metadata"]["remainingItemCount"] == 1


async def test_metadata_goes_as_protobuf_in_get_and_list(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    want = (await api.ok("GET", f"{MAPS}/a"))["metadata"]
    _, one = await ask(api, "GET", f"{MAPS}/a", accept=METADATA)
    assert one == {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": want}
    _, many = await ask(api, "GET", MAPS, accept=METADATA_LIST)
    assert many["kind"] == "PartialObjectMetadataList"
    assert [item["metadata"] for item in many["items"]] == [want]


async def test_an_error_is_a_protobuf_status(api: Api) -> None:
    status, refused = await ask(api, "GET", f"{MAPS}/none")
    assert (status, refused) == await api("GET", f"{MAPS}/none")


async def test_a_watch_is_a_stream_of_frames(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    query = {"watch": "1", "allowWatchBookmarks": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    seen = b""
    async with asyncio.timeout(5), api.transport.stream("GET", MAPS, query=query, headers={"Accept": PROTOBUF}) as stream:
        assert stream.headers["content-type"] == f"{PROTOBUF};stream=watch"
        async for chunk in stream.chunks():
            seen += chunk
            if b"BOOKMARK" in seen:
                break
    (first, added), (second, mark) = events(seen)
    assert (first, added) == ("ADDED", await api.ok("GET", f"{MAPS}/a"))
    assert (second, mark["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
    assert (mark["apiVersion"], mark["kind"]) == ("v1", "ConfigMap")


def test_an_error_of_a_watch_is_a_frame() -> None:
    ((kind, status),) = events(reading.error_event(Expired("too old resource version: 1 (7)"), View(PROTOBUF)))
    assert (kind, status["kind"], status["reason"], status["code"]) == ("ERROR", "Status", "Expired", 410)


@pytest.mark.parametrize(
    ("accept", "path", "kind"),
    [
        pytest.param(PROTOBUF, "/api", "APIVersions", id="versions"),
        pytest.param(PROTOBUF, "/apis", "APIGroupList", id="groups"),
        pytest.param(PROTOBUF, "/apis/apps", "APIGroup", id="group"),
        pytest.param(PROTOBUF, "/apis/apps/v1", "APIResourceList", id="resources"),
        pytest.param(
            f"{PROTOBUF};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "/apis", "APIGroupDiscoveryList", id="all"
        ),
    ],
)
async def test_discovery_goes_as_protobuf(api: Api, accept: str, path: str, kind: str) -> None:
    _, found = await ask(api, "GET", path, accept=accept)
    as_json = await api.ok("GET", path, Accept=accept.replace(PROTOBUF, "application/json"))
    assert found["kind"] == kind
    if kind == "APIVersions":
        as_json["apiVersion"] = ""
    if kind == "APIResourceList":
        as_json["resources"] = [{**r, "namespaced": r["namespaced"]} for r in as_json["resources"]]
    assert found == as_json
