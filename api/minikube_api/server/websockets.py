"""Streams over WebSocket: watches (one event a frame) and logs (sub-protocols binary.k8s.io and base64.binary.k8s.io).

Browsers and some clients ask for them by an upgrade; whatever the client sends but a close is ignored, as kube-apiserver does.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from minikube_api.server.context import Reply, Request, Stream, Tunnel

if TYPE_CHECKING:
    from aiohttp.web_ws import WebSocketResponse

#: sends one piece of a stream as frames; the sub-protocol is the one that was agreed
Send = Callable[[Any, bytes, str], Awaitable[None]]
LOG_PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")


def wanted(request: Request) -> bool:
    """Whether the client asked for a WebSocket."""
    headers = request.headers
    return (
        request.native is not None
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in headers.get("Connection", "").lower()
    )


def over_websocket(reply: Reply, send: Send, protocols: tuple[str, ...] = ()) -> Reply:
    """The stream as a WebSocket; answers that are none stay as they are."""
    if not isinstance(reply, Stream) or reply.status != 200:
        return reply

    async def run(native: Any) -> WebSocketResponse:
        from aiohttp.web_ws import WebSocketResponse

        socket = WebSocketResponse(protocols=protocols)
        try:
            await socket.prepare(native)
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(_write(socket, reply, send), name="websocket-stream")
                reading = group.create_task(_read(socket), name="websocket-closing")
                await asyncio.wait((writing, reading), return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
                writing.cancel()
            await socket.close()
        finally:
            close = getattr(reply.body, "aclose", None)
            if close is not None:
                await close()
        return socket

    return Tunnel(run)


async def _write(socket: Any, reply: Stream, send: Send) -> None:
    try:
        async for chunk in reply.body:
            await send(socket, chunk, socket.ws_protocol or "")
    except ConnectionError:
        return  # the client is gone


async def _read(socket: Any) -> None:
    """Until the client closes."""
    async for _ in socket:
        pass


async def send_events(socket: Any, chunk: bytes, protocol: str) -> None:
    for line in chunk.splitlines():
        await socket.send_str(line.decode())


async def send_messages(socket: Any, chunk: bytes, protocol: str) -> None:
    """Events as protobuf: the WebSocket frames them, so that they need no length."""
    from minikube_api.schema import protobuf_writing

    for message in protobuf_writing.frames(chunk):
        await socket.send_bytes(message)


async def send_log(socket: Any, chunk: bytes, protocol: str) -> None:
    if protocol == "base64.binary.k8s.io":
        await socket.send_str(base64.b64encode(chunk).decode())
    else:
        await socket.send_bytes(chunk)
