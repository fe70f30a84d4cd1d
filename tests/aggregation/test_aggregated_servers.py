from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aggregation_world import ADMIN, BASE, FLUNDERS, GROUP, SERVICES, World, world

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


@pytest.fixture
async def running(w: World) -> World:
    await w.add_service()
    await w.add_endpoints()
    await w.register()
    await w.condition("Passed")
    return w


async def test_requests_are_handed_through_with_the_user_in_headers(running: World) -> None:
    w = running
    answer = await w(
        "POST", f"{BASE}/namespaces/default/flunders?dryRun=All", {"a": 1}, X_Remote_User="root", X_Remote_Extra_Foo="x"
    )
    told = orjson.loads(answer.body)
    path = f"{BASE}/namespaces/default/flunders"
    assert (answer.status, told) == (201, {"path": f"{path}?dryRun=All", "method": "POST", "body": '{"a":1}'})
    headers = w.seen(path)[0].headers
    assert headers.getall("X-Remote-Group") == ["system:masters", "system:authenticated"]
    assert headers.getall("X-Remote-Extra-Scopes%2Fa".replace("S", "s", 1)) == ["x", "y"]
    assert headers["X-Remote-Uid"] == "uid-admin"
    assert "X-Remote-Extra-Foo" not in headers
    assert "Authorization" not in headers


async def test_a_watch_is_streamed_as_it_comes(running: World) -> None:
    transport = running.server.transport(ADMIN)
    async with asyncio.timeout(5), transport.stream("GET", f"{BASE}/flunders", query={"watch": "1"}) as stream:
        lines = stream.lines()
        assert await anext(lines) == b'{"type":"ADDED"}'
        running.more.set()
        assert await anext(lines) == b'{"type":"DELETED"}'


async def test_discovery_shows_what_the_others_serve(running: World) -> None:
    w = running
    groups = await w.ok("GET", "/apis")
    entry = next(g for g in groups["groups"] if g["name"] == GROUP)
    assert entry["preferredVersion"] == {"groupVersion": f"{GROUP}/v1alpha1", "version": "v1alpha1"}
    assert (await w.ok("GET", f"/apis/{GROUP}"))["kind"] == "APIGroup"
    assert (await w.ok("GET", BASE))["resources"][0] == FLUNDERS
    listed = await w.ok("GET", "/apis", Accept=AGGREGATED)
    [version] = next(g for g in listed["items"] if g["metadata"]["name"] == GROUP)["versions"]
    assert version["freshness"] == "Current"
    [resource] = version["resources"]
    assert (resource["resource"], resource["scope"], resource["shortNames"]) == ("flunders", "Namespaced", ["fl"])
    assert resource["subresources"][0]["subresource"] == "status"
    index = await w.ok("GET", "/openapi/v3")
    assert index["paths"][BASE.strip("/")]["serverRelativeURL"] == f"/openapi/v3{BASE}?hash=abc"
    assert (await w.ok("GET", f"/openapi/v3{BASE}?hash=abc"))["path"] == f"/openapi/v3{BASE}?hash=abc"


async def v2_once(w: World, there: bool) -> Any:
    """/openapi/v2 once the other server's kind is there, or is gone."""
    async with asyncio.timeout(10):
        while True:
            tree = await w.ok("GET", "/openapi/v2")
            if ("com.example.wardle.Flunder" in tree["definitions"]) is there:
                return tree
            await asyncio.sleep(0.01)


async def test_openapi_v2_holds_the_others_kinds_while_they_are_registered(running: World) -> None:
    tree = await v2_once(running, True)
    assert f"{BASE}/flunders" in tree["paths"]
    assert "/api/v1/stolen" not in tree["paths"]
    as_protobuf = await running("GET", "/openapi/v2", Accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert b"com.example.wardle.Flunder" in as_protobuf.body
    await running.ok("DELETE", f"{SERVICES}/v1alpha1.{GROUP}")
    await v2_once(running, False)


async def test_a_server_without_openapi_is_available(w: World) -> None:
    w.document_status = 404
    await w.add_service()
    await w.add_endpoints()
    await w.register()
    assert (await w.condition("Passed"))["status"] == "True"
    await v2_once(w, False)


async def test_a_removed_apiservice_is_gone_from_discovery(running: World) -> None:
    await running.ok("DELETE", f"{SERVICES}/v1alpha1.{GROUP}")
    assert GROUP not in [g["name"] for g in (await running.ok("GET", "/apis"))["groups"]]
    assert (await running("GET", f"{BASE}/flunders")).status == 404


async def test_conditions_tell_what_is_missing(w: World) -> None:
    await w.register()
    condition = await w.condition("ServiceNotFound")
    assert (condition["status"], condition["message"]) == ("False", 'service/wardle in "default" is not present')
    answer = await w("GET", f"{BASE}/flunders")
    assert (answer.status, answer.body) == (503, b"service unavailable\n")
    await w.add_service()
    condition = await w.condition("MissingEndpoints")
    assert condition["message"] == 'endpoints for service/wardle in "default" have no addresses with port name ""'
    w.discovery_status = 500
    await w.add_endpoints()
    condition = await w.condition("FailedDiscoveryCheck")
    url = f"https://127.0.0.1:{w.port}{BASE}"
    assert condition["message"] == f"failing or missing response from {url}: bad status from {url}: 500"
    w.discovery_status = 200
    condition = await w.condition("Passed")
    assert (condition["status"], condition["message"]) == ("True", "all checks passed")


async def test_certificates_are_checked_unless_told_otherwise(w: World) -> None:
    await w.add_service()
    await w.add_endpoints()
    await w.register(caBundle=None)
    condition = await w.condition("FailedDiscoveryCheck")
    assert condition["message"].endswith("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    await w.ok("DELETE", f"{SERVICES}/v1alpha1.{GROUP}")
    await w.register(insecureSkipTLSVerify=True)
    await w.condition("Passed")


async def test_aggregated_servers_are_told_whom_to_trust(w: World, tmp_path: Path) -> None:
    tree = await w.ok("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
    assert tree["data"]["client-ca-file"] == (tmp_path / "ca.crt").read_text()
    assert tree["data"]["requestheader-client-ca-file"] == (tmp_path / "front-proxy-ca.crt").read_text()
    assert tree["data"]["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert tree["data"]["requestheader-username-headers"] == '["X-Remote-User"]'


async def test_upgrades_pass_through(tmp_path: Path) -> None:
    async with world(tmp_path, tls=True) as w:
        await w.add_service()
        await w.add_endpoints()
        await w.register()
        await w.condition("Passed")
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        url = f"https://127.0.0.1:{w.server.ports[0]}{BASE}/namespaces/default/flunders/a/echo"
        headers = {"Authorization": "Bearer secret"}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, ssl=context, headers=headers, protocols=["v1.echo"]) as ws,
        ):
            await ws.send_str("hello")
            assert (await ws.receive()).data == "HELLO"
        [seen] = w.seen(f"{BASE}/namespaces/default/flunders/a/echo")
        assert "Authorization" not in seen.headers


async def test_local_services_of_custom_resources_come_and_go(w: World) -> None:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": "local.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await w.ok("POST", definitions, {"metadata": {"name": "things.local.example.com"}, "spec": spec,
               "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"})  # fmt: skip
    path = f"{SERVICES}/v1.local.example.com"
    async with asyncio.timeout(5):
        while (answer := await w("GET", path)).status != 200:
            await asyncio.sleep(0.01)
        tree = orjson.loads(answer.body)
        assert tree["spec"] == {
            "group": "local.example.com",
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 100,
        }
        assert tree["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
        assert tree["status"]["conditions"][0]["reason"] == "Local"
        await w.ok("DELETE", path)
        while (await w("GET", path)).status != 200:
            await asyncio.sleep(0.01)
        await w.ok("DELETE", f"{definitions}/things.local.example.com")
        while (await w("GET", path)).status != 404:
            await asyncio.sleep(0.01)
