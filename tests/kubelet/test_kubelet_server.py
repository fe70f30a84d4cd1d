"""The kubelet's HTTPS server against a hollow runtime: who may come in, logs, exec, attach, port-forward."""

from __future__ import annotations

import asyncio
import ssl
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from node_world import World, world
from test_stream_protocols import client_open

from minikube_agents.kubelet import channels, spdy
from minikube_agents.kubelet.channels import Protocol
from minikube_agents.kubelet.server import server_tls
from minikube_api.server.access.certificates import Authority

LOG = "hollow.minikube.dev/log"


class Keys:
    """A cluster's authority with a kubelet's certificate and clients' contexts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.authority = Authority.create()
        (root / "ca.crt").write_bytes(self.authority.pair.certificate)

    def files(self, name: str, **facts: Any) -> tuple[Path, Path]:
        pair = self.authority.issue(name, **facts)
        certificate, key = self.root / f"{name}.crt", self.root / f"{name}.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        return certificate, key

    def client(self, name: str = "", **facts: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.root / "ca.crt"))
        if name:
            context.load_cert_chain(*self.files(name, client=True, **facts))
        return context


class Caller:
    def __init__(self, node: World, keys: Keys, port: int, session: aiohttp.ClientSession) -> None:
        self.node, self.keys, self.session = node, keys, session
        self.base = f"https://127.0.0.1:{port}"

    def socket(self, path: str, *protocols: str) -> Any:
        return self.session.ws_connect(self.base + path, protocols=protocols)


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Caller]:
    keys = Keys(tmp_path)
    certificate, key = keys.files("system:node:n1", hosts=["127.0.0.1"], server=True)
    tls = server_tls(certificate, key, tmp_path / "ca.crt")
    async with world(tmp_path / "kubelet") as node, node.running_kubelet(tls=tls, listen_host="127.0.0.1") as kubelet:
        connector = aiohttp.TCPConnector(ssl=keys.client("kube-apiserver-kubelet-client"))
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Caller(node, keys, kubelet.port, session)


async def running(call: Caller, **facts: Any) -> None:
    await call.node.create(**facts)
    await call.node.phase("a", "Running")


@pytest.mark.parametrize(
    ("client", "facts", "status"),
    [
        pytest.param("kube-apiserver-kubelet-client", {}, 200, id="the API server"),
        pytest.param("someone", {"organizations": ["system:masters"]}, 200, id="an administrator"),
        pytest.param("system:node:n2", {"organizations": ["system:nodes"]}, 403, id="another node"),
    ],
)
async def test_who_may_come_in(call: Caller, client: str, facts: dict[str, Any], status: int) -> None:
    connector = aiohttp.TCPConnector(ssl=call.keys.client(client, **facts))
    async with aiohttp.ClientSession(connector=connector) as session, session.get(call.base + "/healthz") as response:
        assert response.status == status


async def test_without_a_certificate_of_the_cluster_nobody_comes_in(call: Caller, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Keys(tmp_path / "other").files("kube-apiserver-kubelet-client", client=True)
    context = call.keys.client()
    foreign = call.keys.client()
    foreign.load_cert_chain(*stranger)
    for one in (context, foreign):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=one)) as session:
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await session.get(call.base + "/healthz")


async def test_the_node_tells_its_port(call: Caller) -> None:
    node = await call.node.client.raw.get("/api/v1/nodes/n1")
    assert call.base.endswith(f":{node['status']['daemonEndpoints']['kubeletEndpoint']['Port']}")


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        pytest.param("", 200, "one\ntwo\n", id="all"),
        pytest.param("?tailLines=1", 200, "two\n", id="tail"),
        pytest.param("?previous=true", 400, 'previous terminated container "c" in pod "a" not found', id="no previous"),
        pytest.param("?tailLines=x", 400, "Unable to decode query: invalid literal for int() with base 10: 'x'", id="bad number"),
    ],
)
async def test_logs(call: Caller, query: str, status: int, text: str) -> None:
    await running(call, annotations={LOG: "one\ntwo"})
    async with call.session.get(f"{call.base}/containerLogs/default/a/c{query}") as response:
        assert (response.status, await response.text()) == (status, text)


async def test_logs_of_what_is_not_there(call: Caller) -> None:
    await running(call)
    for path, text in (("none/c", 'pod "none" does not exist'), ("a/x", "container x not found in pod a")):
        async with call.session.get(f"{call.base}/containerLogs/default/{path}") as response:
            assert (response.status, await response.text()) == (404, text)


async def conversation(socket: aiohttp.ClientWebSocketResponse, protocol: Protocol) -> dict[int, bytes]:
    """Everything each channel carried until the server closed."""
    heard: dict[int, bytes] = {}
    async for message in socket:
        channel, data = protocol.decode(message.data)
        heard[channel] = heard.get(channel, b"") + data
    return heard


@pytest.mark.parametrize("name", channels.REMOTE_COMMAND)
async def test_exec_speaks_every_protocol(call: Caller, name: str) -> None:
    await running(call)
    async with call.socket("/exec/default/a/c?command=echo&command=hi&output=1&error=1", name) as socket:
        assert socket.protocol == name
        heard = await conversation(socket, Protocol(name))
    assert heard[channels.STDOUT] == b"hi\n"
    if name.startswith("v"):
        assert orjson.loads(heard[channels.ERROR])["status"] == "Success"
    else:
        assert channels.ERROR not in heard


async def test_exec_tells_the_exit_code(call: Caller) -> None:
    await running(call)
    async with call.socket("/exec/default/a/c?command=exit&command=3&output=1", "v4.channel.k8s.io") as socket:
        heard = await conversation(socket, Protocol("v4.channel.k8s.io"))
    status = orjson.loads(heard[channels.ERROR])
    assert (status["reason"], status["details"]["causes"]) == ("NonZeroExitCode", [{"reason": "ExitCode", "message": "3"}])


async def test_exec_sends_only_the_streams_asked_for(call: Caller) -> None:
    await running(call)
    async with call.socket("/exec/default/a/c?command=echo&command=hi&error=1", "v4.channel.k8s.io") as socket:
        heard = await conversation(socket, Protocol("v4.channel.k8s.io"))
    assert {channel for channel, text in heard.items() if text} == {channels.ERROR}, "nothing but the exit status"


async def test_exec_of_what_can_not_run_is_an_internal_error(call: Caller) -> None:
    await running(call)
    async with call.socket("/exec/default/a/c?command=nope&output=1", "v5.channel.k8s.io") as socket:
        heard = await conversation(socket, Protocol("v5.channel.k8s.io"))
    status = orjson.loads(heard[channels.ERROR])
    assert (status["status"], status["reason"]) == ("Failure", "InternalError")


async def test_stdin_goes_in_until_the_close_signal(call: Caller) -> None:
    await running(call)
    protocol = Protocol("v5.channel.k8s.io")
    async with call.socket("/exec/default/a/c?command=cat&input=1&output=1", protocol.name) as socket:
        await socket.send_bytes(bytes([channels.RESIZE]) + b'{"Width":80,"Height":24}')
        await socket.send_bytes(bytes([channels.STDIN]) + b"abc")
        await socket.send_bytes(bytes([channels.CLOSE, channels.STDIN]))
        heard = await conversation(socket, protocol)
    assert heard[channels.STDOUT] == b"abc"
    assert orjson.loads(heard[channels.ERROR])["status"] == "Success"


async def test_exec_in_a_container_that_does_not_run(call: Caller) -> None:
    await running(call)
    async with call.session.get(f"{call.base}/exec/default/a/other?command=true&output=1") as response:
        assert (response.status, await response.text()) == (500, 'container not found ("other")')


async def test_exec_without_streams_is_a_bad_request(call: Caller) -> None:
    await running(call)
    async with call.session.get(f"{call.base}/exec/default/a/c?command=true") as response:
        assert response.status == 400


async def test_attach_ends_with_the_container(call: Caller) -> None:
    await running(
        call, restartPolicy="Never", annotations={"hollow.minikube.dev/exit-after": "5", "hollow.minikube.dev/exit-code": "4"}
    )
    async with call.socket("/attach/default/a/c?output=1", "v4.channel.k8s.io") as socket:
        first = await socket.receive_bytes()
        assert first == bytes([channels.STDOUT])
        await call.node.clock.advance(5)
        heard = await conversation(socket, Protocol("v4.channel.k8s.io"))
    assert orjson.loads(heard[channels.ERROR])["details"]["causes"][0]["message"] == "4"


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("name", ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_port_forward_over_channels(call: Caller, name: str) -> None:
    await running(call)
    protocol = Protocol(name)
    async with call.socket("/portForward/default/a?port=80&port=81", name) as socket:
        opened = [protocol.decode((await socket.receive()).data) for _ in range(4)]
        assert opened == [(0, b"P\0"), (1, b"P\0"), (2, b"Q\0"), (3, b"Q\0")]
        message = protocol.encode(2, REQUEST)
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        channel, data = protocol.decode((await socket.receive()).data)
    assert (channel, data.split(b"\r\n")[0]) == (2, b"HTTP/1.1 200 OK")


async def test_port_forward_in_spdy_frames(call: Caller) -> None:
    await running(call)
    deflate, session = zlib.compressobj(zdict=spdy.DICTIONARY), spdy.Session()
    headers = {"port": "80", "requestid": "0"}
    async with call.socket("/portForward/default/a", channels.SPDY_TUNNEL) as socket:
        await socket.send_bytes(client_open(1, headers | {"streamtype": "error"}, deflate, fin=True))
        await socket.send_bytes(client_open(3, headers | {"streamtype": "data"}, deflate))
        await socket.send_bytes(session.data(3, REQUEST))
        replies, answer = 0, b""
        while not answer:
            frame = await socket.receive_bytes()
            if struct.unpack(">I", frame[:4])[0] >> 31:
                replies += 1
            else:
                answer = frame[8:]
    assert replies == 2
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_the_node_tells_of_its_pods(call: Caller) -> None:
    await running(call)

    async def get(path: str) -> Any:
        async with call.session.get(call.base + path) as response:
            assert response.status == 200
            return await (response.json() if "json" in response.content_type else response.text())

    assert [p["metadata"]["name"] for p in (await get("/pods"))["items"]] == ["a"]
    assert [p["spec"]["containers"][0]["name"] for p in (await get("/runningpods/"))["items"]] == ["c"]
    summary = await get("/stats/summary")
    assert summary["node"]["nodeName"] == "n1"
    assert [(p["podRef"]["name"], [c["name"] for c in p["containers"]]) for p in summary["pods"]] == [("a", ["c"])]
    assert "kubelet_running_pods 1" in await get("/metrics")


async def test_a_client_that_goes_away_ends_its_exec(call: Caller) -> None:
    await running(call)
    socket = await call.socket("/exec/default/a/c?command=cat&input=1&output=1", "v4.channel.k8s.io")
    await socket.receive_bytes()
    before = {task.get_name() for task in asyncio.all_tasks()}
    assert "exec: to client" in before
    await socket.close()
    async with asyncio.timeout(5):
        while any(task.get_name().startswith("exec:") for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
