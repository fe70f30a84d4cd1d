"""Odd bytes on the wire: whatever is sent, the connection gets an answer or is closed, and the server serves on."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import bodies, requests
from tests.fuzz.conftest import World

LINES = (
    b"GET / HTTP/1.1", b"GET /api/v1/pods HTTP/9.9", b"get / http/1.1", b"GET  / HTTP/1.1", b"GET", b"", b"PRI * HTTP/2.0", b"GET http://x/ HTTP/1.1",
    b"GET /%zz HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /" + b"x" * 20_000 + b" HTTP/1.1", b"\x16\x03\x01\x02\x00\x01\x00", b"CONNECT / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
)  # fmt: skip
HEADERS = (
    b"Content-Length: -1", b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: abc", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: nope", b"X: " + b"y" * 20_000, b": none", b"no colon", b"Authorization: Bearer", b"Authorization: Basic !!!",
    b"Connection: Upgrade\r\nUpgrade: websocket", b"Content-Encoding: gzip", b"Expect: 100-continue", b"Accept-Encoding: \xff",
    b"Host: a\r\nHost: b",
)  # fmt: skip

#: connections at a time, and how long a client waits before it closes its side (seconds)
CONNECTIONS = 8
PATIENCE = 0.2


def wire(rng: random.Random, world: World) -> bytes:
    call = requests.call(rng, world.resources)
    body = call.body or b""
    query = "&".join(f"{quote(key)}={quote(text, errors='replace')}" for key, text in call.query.items())
    target = quote(call.path, safe="/%:?") + (f"?{query}" if query else "")
    lines = [f"{call.method} {target} HTTP/1.1".encode(), b"Host: x", b"Authorization: Bearer adm", b"Connection: close"]
    lines += [f"{name}: {text}".encode() for name, text in call.headers.items()]
    lines.append(b"Content-Length: %d" % len(body))
    if rng.random() < 0.3:
        lines[0] = rng.choice(LINES)
    for _ in range(rng.choice((0, 0, 1, 2))):
        lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(HEADERS))
    raw = b"\r\n".join(lines) + b"\r\n\r\n" + body
    return bodies.damage(rng, raw) if rng.random() < 0.15 else raw


async def spoken(port: int, raw: bytes) -> bytes:
    """What comes back until the server closes. A client that waits in vain, as its request was cut, closes its side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        try:
            await writer.drain()
            reading = asyncio.ensure_future(reader.read())
            await asyncio.wait((reading,), timeout=PATIENCE)
            if not reading.done():
                writer.write_eof()
            return await asyncio.wait_for(reading, requests.LIMIT)
        except ConnectionError:
            return b""
    finally:
        writer.close()


@pytest.mark.timeout(40)
@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_bytes_make_the_server_fail(world: World, seed: int) -> None:
    rng = random.Random(seed)
    port = world.server.ports[0]

    async def example() -> None:
        raws = [wire(rng, world) for _ in range(CONNECTIONS)]
        for raw, answer in zip(raws, await asyncio.gather(*(spoken(port, raw) for raw in raws)), strict=True):
            assert b"panic" not in answer and b"500 Internal Server Error\r\n\r\nServer got itself" not in answer, (
                raw[:800],
                answer[:800],
            )
            assert not answer or answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/9.9 ")), (raw[:800], answer[:300])
        alive = await spoken(port, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert alive.startswith(b"HTTP/1.1 200"), alive

    world.run(example())
