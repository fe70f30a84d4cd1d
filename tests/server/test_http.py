"""The same server over sockets: limits, compression, streams, and connections handed through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from minikube_api.server.server import Config, Listener, Server
from tests.server.conftest import MAPS, PODS, Api, config_map, pod

TOKENS = 'adm,admin,uid-admin,"system:masters"\nali,alice,uid-alice\n'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    (tmp_path / "tokens").write_text(TOKENS)
    made = Server(Config(listeners=[Listener(port=0, tls=False)], bootstrap=False, admission=(), token_file=tmp_path / "tokens"))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    base = f"http://127.0.0.1:{server.ports[0]}"
    async with aiohttp.ClientSession(base, headers={"Authorization": "Bearer adm"}) as session:
        yield session


async def test_http_and_in_process_answer_alike(server: Server, http: aiohttp.ClientSession) -> None:
    made = await Api(server).ok("POST", MAPS, config_map("a"))
    async with http.get(f"{MAPS}/a") as response:
        assert response.status == 200
        assert await response.json() == made
        assert response.headers["Cache-Control"] == "no-cache, private"
        assert response.headers["Audit-Id"]


async def test_a_wrong_token_is_401_and_no_token_is_anonymous(server: Server) -> None:
    base = f"http://127.0.0.1:{server.ports[0]}"
    async with aiohttp.ClientSession(base) as session:
        async with session.get(MAPS, headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401
            assert (await response.json())["reason"] == "Unauthorized"
        async with session.get(MAPS) as response:
            assert response.status == 403
            assert 'User "system:anonymous" cannot list resource' in (await response.json())["message"]
        async with session.get("/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok")


async def test_impersonation_is_by_right_only(http: aiohttp.ClientSession) -> None:
    as_carol = {"Impersonate-User": "carol"}
    async with http.get(MAPS, headers=as_carol) as response:
        assert 'User "carol" cannot list' in (await response.json())["message"]
    async with http.get(MAPS, headers={**as_carol, "Authorization": "Bearer ali"}) as response:
        assert response.status == 403
        message = (await response.json())["message"]
        assert message == (
            'configmaps is forbidden: User "alice" cannot impersonate-on:user-info:list resource "configmaps" in API group "" '
            'in the namespace "default"'
        )


async def test_bodies_beyond_three_mebibytes_are_413(http: aiohttp.ClientSession) -> None:
    async with http.post(MAPS, data=b" " * (3 * 1024 * 1024 + 1), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413
        assert (await response.json())["reason"] == "RequestEntityTooLarge"


async def test_large_answers_are_compressed_for_those_who_ask(server: Server, http: aiohttp.ClientSession) -> None:
    await Api(server).ok("POST", MAPS, config_map("big", {"k": "v" * 200_000}))
    async with http.get(MAPS, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len((await response.json())["items"][0]["data"]["k"]) == 200_000
    async with http.get(MAPS, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(MAPS, 405, id="resource"),
        pytest.param("/healthz", 200, id="health"),
        pytest.param("/version", 405, id="version"),
    ],
)
async def test_head_is_for_health_only(http: aiohttp.ClientSession, path: str, status: int) -> None:
    async with http.head(path) as response:
        assert response.status == status


async def test_a_watch_streams_lines_and_a_vanished_watcher_is_forgotten(server: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(MAPS, params={"watch": "1"}) as response:
        await Api(server).ok("POST", MAPS, config_map("a"))
        assert b'"type":"ADDED"' in await response.content.readline()
    resource = server.registry.get("", "v1", "configmaps")
    assert resource is not None
    cacher = server.storage.cacher(resource)
    async with asyncio.timeout(5):
        while cacher.watchers:
            await asyncio.sleep(0)


async def test_metrics_count_requests(server: Server, http: aiohttp.ClientSession) -> None:
    await Api(server).ok("GET", MAPS)
    async with http.get("/metrics") as response:
        text = await response.text()
    want = 'apiserver_request_total{code="200",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"}'
    assert want in text


async def _kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes an upgrade, then answers every line with the request line and the line in capitals."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    writer.write(head[0] + b"\n")
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


@pytest.fixture
async def backend() -> AsyncIterator[int]:
    listening = await asyncio.start_server(_kubelet, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


async def _upgraded(server: Server, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[0])
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer adm\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    writer.write(head.encode() + b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def test_a_proxied_upgrade_carries_bytes_both_ways(server: Server, backend: int) -> None:
    api = Api(server)
    await api.ok("POST", PODS, pod("p", "n1"))
    await api.patch(f"{PODS}/p/status", {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}})
    reader, writer, head = await _upgraded(server, f"{PODS}/p:{backend}/proxy/a%20b?c=d")
    assert head.startswith(b"HTTP/1.1 101")
    assert await reader.readline() == b"GET /a%20b?c=d HTTP/1.1\n"
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    writer.close()


async def test_exec_reaches_the_kubelet_of_the_pods_node(server: Server, backend: int, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(server)
    monkeypatch.setattr("minikube_api.server.subresources.kubelet.Kubelets.context", None)
    await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": backend}},
    }
    await api.patch("/api/v1/nodes/n1/status", {"status": status})
    await api.ok("POST", PODS, pod("p", "n1"))
    reader, writer, head = await _upgraded(server, f"{PODS}/p/exec?command=echo&command=a+b&stdout=true")
    assert head.startswith(b"HTTP/1.1 101")
    assert await reader.readline() == b"GET /exec/default/p/c?command=echo&command=a+b&output=1 HTTP/1.1\n"
    writer.write(b"more\n")
    assert await reader.readline() == b"MORE\n"
    writer.close()


async def test_an_unreachable_pod_is_503_in_gos_words(server: Server, http: aiohttp.ClientSession) -> None:
    api = Api(server)
    await api.ok("POST", PODS, pod("p", "n1"))
    await api.patch(f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}})
    async with http.get(f"{PODS}/p:1/proxy/") as response:
        assert response.status == 503
        assert (await response.json())["message"] == (
            "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused"
        )


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def test_a_pod_that_speaks_no_tls_is_told_apart(server: Server, http: aiohttp.ClientSession) -> None:
    listening = await asyncio.start_server(_plain, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    api = Api(server)
    await api.ok("POST", PODS, pod("p", "n1"))
    await api.patch(f"{PODS}/p/status", {"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}})
    async with http.get(f"{PODS}/https:p:{port}/proxy/") as response:
        assert response.status == 503
        message = (await response.json())["message"]
    listening.close()
    assert message == "error trying to reach service: http: server gave HTTP response to HTTPS client"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param(
            "log?container=c",
            'Get "https://127.0.0.1:1/containerLogs/default/p/c": dial tcp 127.0.0.1:1: connect: connection refused',
            id="log",
        ),
        pytest.param(
            "exec?command=true&stdout=true",
            "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused",
            id="exec",
        ),
    ],
)
async def test_an_unreachable_kubelet_is_500_without_a_reason(
    server: Server, http: aiohttp.ClientSession, path: str, message: str
) -> None:
    api = Api(server)
    await api.ok("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
    }
    await api.patch("/api/v1/nodes/n1/status", {"status": status})
    await api.ok("POST", PODS, pod("p", "n1"))
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"} if path.startswith("exec") else {}
    async with http.get(f"{PODS}/p/{path}", headers=upgrade) as response:
        assert response.status == 500
        answer = await response.json()
    assert answer["message"] == message
    assert "reason" not in answer


async def test_a_request_of_the_server_as_a_whole_is_answered(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[0])
    writer.write(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer adm\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404"), answer


async def test_a_body_that_is_not_packed_as_its_header_says_is_a_bad_request(http: aiohttp.ClientSession) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with http.post(MAPS, data=b"no gzip at all", headers=headers) as response:
        assert response.status == 400
