"""exec and attach: copies between a WebSocket's channels and a runtime's `ExecStreams`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol as TypingProtocol

import orjson
from aiohttp import WSMsgType, web

from minikube_agents.kubelet import channels
from minikube_agents.kubelet.channels import Protocol
from minikube_agents.runtime.contract import ExecStreams, RuntimeError_

log = logging.getLogger(__name__)

MAX_MESSAGE = 16 * 1024 * 1024
#: seconds between pings that keep proxies from closing a quiet session
HEARTBEAT = 60.0


class Open(TypingProtocol):
    def __call__(self) -> Awaitable[ExecStreams]: ...


async def serve(
    request: web.Request, open_streams: Callable[[], Awaitable[ExecStreams]], *, stdin: bool, stdout: bool, stderr: bool
) -> web.WebSocketResponse:
    """Upgrades, runs the session and ends it with the exit status on the error channel."""
    socket = web.WebSocketResponse(
        protocols=channels.REMOTE_COMMAND, max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT, autoping=True
    )
    await socket.prepare(request)
    protocol = Protocol(socket.ws_protocol or "")
    # The first writable channel gets an empty message: the client knows that the session stands.
    await _send(socket, protocol, channels.STDOUT if stdout else channels.STDERR if stderr else channels.ERROR, b"")
    try:
        streams = await open_streams()
    except RuntimeError_ as error:
        await _finish(socket, protocol, channels.failure_status(f"error executing command in container: {error}"), str(error))
        return socket
    try:
        wanted = {name for name, asked in (("stdout", stdout), ("stderr", stderr)) if asked}
        code = await _session(socket, protocol, streams, stdin=stdin, wanted=wanted)
    finally:
        await streams.close()
    text = "" if code == 0 else f"command terminated with non-zero exit code: exit status {code}"
    await _finish(socket, protocol, channels.exit_status(code), text)
    return socket


async def _session(
    socket: web.WebSocketResponse, protocol: Protocol, streams: ExecStreams, *, stdin: bool, wanted: set[str]
) -> int:
    """The exit code. Ends when the command ends; a client that goes away ends the command."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_from_client(socket, protocol, streams, stdin=stdin), name="exec: from client")
        writing = group.create_task(_to_client(socket, protocol, streams, wanted), name="exec: to client")
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and not writing.done():
            # The client has gone: nobody reads the rest.
            await streams.close()
            writing.cancel()
            return 137
        reading.cancel()
    return await streams.wait()


async def _to_client(socket: web.WebSocketResponse, protocol: Protocol, streams: ExecStreams, wanted: set[str]) -> None:
    """What was not asked for is read and dropped: a full pipe would hold the command."""
    while (piece := await streams.read()) is not None:
        if piece[0] not in wanted:
            continue
        channel = channels.STDOUT if piece[0] == "stdout" else channels.STDERR
        await _send(socket, protocol, channel, piece[1])


async def _from_client(socket: web.WebSocketResponse, protocol: Protocol, streams: ExecStreams, *, stdin: bool) -> None:
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            continue
        try:
            channel, data = protocol.decode(message.data)
        except ValueError as error:
            log.info("exec: %s", error)
            return
        if channel == channels.STDIN and stdin:
            if data:
                await streams.write(data)
        elif channel == channels.RESIZE and data:
            size = orjson.loads(data)
            await streams.resize(int(size["Width"]), int(size["Height"]))
        elif channel == channels.CLOSE and protocol.closes and data[:1] == bytes([channels.STDIN]):
            await streams.close_stdin()


async def _send(socket: web.WebSocketResponse, protocol: Protocol, channel: int, data: bytes) -> None:
    payload = protocol.encode(channel, data)
    if isinstance(payload, str):
        await socket.send_str(payload)
    else:
        await socket.send_bytes(payload)


async def _finish(socket: web.WebSocketResponse, protocol: Protocol, status: dict[str, object], text: str) -> None:
    if not socket.closed:
        body = orjson.dumps(status) if protocol.status else text.encode()
        if body:
            await _send(socket, protocol, channels.ERROR, body)
    await socket.close()
