"""Streams over WebSocket, on a bare aiohttp server: what the frames of logs and events look like."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from minikube_api.server.context import Answer, Stream, Tunnel
from minikube_api.server.websockets import LOG_PROTOCOLS, Send, over_websocket, send_events, send_log


async def frames(send: Send, *chunks: bytes, asked: tuple[str, ...] = ()) -> tuple[str | None, list[tuple[WSMsgType, object]]]:
    """(agreed sub-protocol, frames) that a client gets of a stream of these chunks."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        tunnel = over_websocket(Stream(200, body()), send, LOG_PROTOCOLS)
        assert isinstance(tunnel, Tunnel)
        return await tunnel.run(request)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=asked) as socket:
            return socket.protocol, [(message.type, message.data) async for message in socket]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param((), (WSMsgType.BINARY, b"line\n"), id="binary by default"),
        pytest.param(("binary.k8s.io",), (WSMsgType.BINARY, b"line\n"), id="binary"),
        pytest.param(("base64.binary.k8s.io",), (WSMsgType.TEXT, "bGluZQo="), id="base64"),
    ],
)
async def test_logs_come_in_the_sub_protocol_asked_for(asked: tuple[str, ...], expected: tuple[WSMsgType, object]) -> None:
    protocol, seen = await frames(send_log, b"line\n", asked=asked)
    assert protocol == (asked[0] if asked else None)
    assert seen == [expected]


async def test_every_event_is_a_frame_of_its_own() -> None:
    _, seen = await frames(send_events, b'{"a":1}\n{"b":2}\n', b'{"c":3}\n')
    assert [data for _, data in seen] == ['{"a":1}', '{"b":2}', '{"c":3}']


async def test_a_refusal_stays_a_plain_answer() -> None:
    refusal = Answer(404, b"")
    assert over_websocket(refusal, send_log) is refusal
