"""Over HTTP: a client that does not read is cut off, told nothing wrong, and nobody waits for it."""

from __future__ import annotations

import asyncio
import re
import socket

import aiohttp
import orjson

from minikube_api.server.server import Config, Listener, Server
from tests.server.conftest import MAPS, Api, config_map

COUNT = 500
#: more than a loopback connection's buffers take
SIZE = 30_000


async def lines(session: aiohttp.ClientSession, count: int) -> list[str]:
    async with session.get(MAPS, params={"watch": "1", "resourceVersion": "0", "timeoutSeconds": "30"}) as response:
        found = []
        while len(found) < count:
            line = await response.content.readuntil(b"\n")
            found.append(orjson.loads(line)["object"]["metadata"]["name"])
        return found


async def not_reading(port: int) -> socket.socket:
    """A watch whose answer has begun and is not read."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    request = f"GET {MAPS}?watch=1&resourceVersion=0&timeoutSeconds=30 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer adm\r\n\r\n"
    await loop.sock_sendall(client, request.encode())
    head = await loop.sock_recv(client, 15)
    assert head == b"HTTP/1.1 200 OK"
    return client


async def rest(client: socket.socket) -> bytes:
    """All until the end of the answer or of the connection."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    async with asyncio.timeout(10):
        while not data.endswith(b"0\r\n\r\n") and (piece := await loop.sock_recv(client, 1 << 20)):
            data += piece
    return bytes(data)


async def test_a_slow_watcher_is_closed_and_others_go_on(tmp_path) -> None:
    (tmp_path / "tokens").write_text('adm,admin,uid-admin,"system:masters"\n')
    listener = Listener(port=0, tls=False)
    server = Server(Config(listeners=[listener], bootstrap=False, admission=(), token_file=tmp_path / "tokens"))
    await server.start()
    try:
        resource = server.registry.get("", "v1", "configmaps")
        assert resource is not None
        server.storage.cacher(resource)._pending_limit = 100
        session = aiohttp.ClientSession(f"http://127.0.0.1:{server.ports[0]}", headers={"Authorization": "Bearer adm"})
        async with session:
            quick = asyncio.create_task(lines(session, COUNT))
            slow = await not_reading(server.ports[0])
            api = Api(server)
            names = [f"m{n}" for n in range(COUNT)]
            for name in names:
                await api.ok("POST", MAPS, config_map(name, data={"text": "x" * SIZE}))
            assert await quick == names
            with slow:
                got = await rest(slow)
        # a clean end of the chunked answer after whole events, as far as they went; the client goes on from there
        assert got.endswith(b"\r\n0\r\n\r\n")
        seen = [name.decode() for name in re.findall(rb'"metadata":\{[^{]*?"name":"(m\d+)"', got)]
        assert 0 < len(seen) < COUNT
        assert seen == names[: len(seen)]
    finally:
        await server.stop()
