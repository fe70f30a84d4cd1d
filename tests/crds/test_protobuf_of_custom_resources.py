"""Custom resources have no protobuf message; their metadata has."""

from __future__ import annotations

import pytest

from minikube_api.schema import protobuf
from tests.crds.conftest import Define
from tests.server.conftest import Api

PATH = "/apis/example.com/v1/namespaces/default/widgets"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@pytest.fixture(autouse=True)
async def widget(define: Define, api: Api) -> None:
    await define({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    await api.ok("POST", PATH, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "a": 1})


async def test_a_client_that_takes_nothing_else_is_told_so_in_protobuf(api: Api) -> None:
    answer = await api.transport.request("GET", f"{PATH}/w", headers={"Accept": PROTOBUF})
    status = protobuf.decode(answer.body)
    assert (answer.status, answer.headers["content-type"]) == (406, PROTOBUF)
    assert status["message"].startswith("only the following media types are accepted: application/json, application/yaml")


async def test_a_client_that_prefers_protobuf_is_given_the_next_it_takes(api: Api) -> None:
    assert (await api.ok("GET", f"{PATH}/w", Accept=f"{PROTOBUF},application/json"))["a"] == 1


async def test_the_metadata_goes_as_protobuf(api: Api) -> None:
    accept = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    answer = await api.transport.request("GET", f"{PATH}/w", headers={"Accept": accept})
    tree = protobuf.decode(answer.body)
    assert (tree["kind"], tree["metadata"]["name"]) == ("PartialObjectMetadata", "w")


async def test_what_no_router_sees_has_only_the_negotiator_s_words(api: Api) -> None:
    status, refused = await api("GET", f"{PATH}/w", Accept="text/html")
    assert (status, refused["message"].partition(":")[0]) == (406, "only the following media types are accepted")
