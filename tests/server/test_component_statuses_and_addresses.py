from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from minikube_api.server.server import Config, Listener, Server

from .conftest import Api

ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"


@pytest.fixture
async def whole() -> AsyncIterator[Api]:
    server = Server(Config(listeners=(Listener(port=0, tls=False),)))
    await server.start()
    yield Api(server)
    await server.stop()


async def eventually(api: Api, path: str, wanted: int) -> dict:
    async with asyncio.timeout(5):
        while True:
            status, tree = await api("GET", path)
            if status == wanted:
                return tree
            await asyncio.sleep(0)


async def test_cluster_ips_have_addresses_that_come_and_go(whole: Api) -> None:
    tree = await eventually(whole, f"{ADDRESSES}/10.96.0.1", 200)
    assert tree["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}
    services = "/api/v1/namespaces/default/services"
    made = await whole.ok("POST", services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    ip = made["spec"]["clusterIP"]
    tree = await eventually(whole, f"{ADDRESSES}/{ip}", 200)
    assert tree["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    await whole.ok("DELETE", f"{services}/s")
    await eventually(whole, f"{ADDRESSES}/{ip}", 404)


async def test_the_default_service_range_is_ready(whole: Api) -> None:
    tree = await whole.ok("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes")
    assert tree["spec"] == {"cidrs": ["10.96.0.0/16"]}
    [condition] = tree["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")


async def test_component_statuses_tell_what_their_health_endpoints_say(whole: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from minikube_api.server import component_statuses

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        monkeypatch.setattr(component_statuses, "_PORTS", {"scheduler": port})
        listed = await whole.ok("GET", "/api/v1/componentstatuses")
    refused = f'Get "https://127.0.0.1:{port}/healthz": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert listed["kind"] == "ComponentStatusList"
    assert [(item["metadata"]["name"], item["conditions"]) for item in listed["items"]] == [
        ("etcd-0", [{"type": "Healthy", "status": "True", "message": "ok"}]),
        ("scheduler", [{"type": "Healthy", "status": "False", "message": refused}]),
    ]
    assert (await whole("GET", "/api/v1/componentstatuses/none"))[0] == 404
    assert (await whole.ok("GET", "/api/v1/componentstatuses/etcd-0"))["kind"] == "ComponentStatus"


async def test_a_watch_over_websocket_has_one_event_a_frame(whole: Api) -> None:
    import aiohttp

    url = f"http://127.0.0.1:{whole.server.ports[0]}/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=20"
    whole.server.authorizer._members = (_Everything(),)
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        for name in ("a", "b"):
            await whole.ok("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})
        seen = [await asyncio.wait_for(socket.receive_json(), 5) for _ in range(2)]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [("ADDED", "a"), ("ADDED", "b")]
    configmaps = whole.server.registry.get("", "v1", "configmaps")
    assert configmaps is not None
    async with asyncio.timeout(5):
        while whole.server.storage.cacher(configmaps).watchers:
            await asyncio.sleep(0)


class _Everything:
    async def authorize(self, attributes: object) -> object:
        from minikube_api.server.contract import ALLOWED

        return ALLOWED
