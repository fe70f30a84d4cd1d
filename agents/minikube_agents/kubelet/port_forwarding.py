"""Port-forward: connections into a pod's network, over WebSocket channels (v4) or over SPDY/3.1 frames in a WebSocket.

Channels: for the i-th `port` of the query, 2i carries data and 2i+1 errors; each starts with the port as two bytes, little endian.
SPDY: the client opens an error and a data stream per connection, paired by the header `requestid`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from minikube_agents.kubelet import channels, spdy
from minikube_agents.kubelet.channels import Protocol
from minikube_agents.kubelet.streaming import HEARTBEAT, MAX_MESSAGE
from minikube_agents.runtime.contract import RuntimeError_

BLOCK = 32 * 1024
Connect = Callable[[int], Awaitable[socket.socket]]


async def serve(request: web.Request, connect: Connect, ports: list[int], pod: str) -> web.WebSocketResponse:
    """`pod` is what error messages name. `ports`: of the query; SPDY clients name them per stream."""
    ws = web.WebSocketResponse(protocols=channels.PORT_FORWARD, max_msg_size=MAX_MESSAGE, heartbeat=HEARTBEAT)
    await ws.prepare(request)
    if ws.ws_protocol == channels.SPDY_TUNNEL:
        async with asyncio.TaskGroup() as group:
            await SpdyForwarder(ws, connect, pod, group).run()
    else:
        async with asyncio.TaskGroup() as group:
            await ChannelForwarder(ws, Protocol(ws.ws_protocol or ""), connect, pod, group).run(ports)
    await ws.close()
    return ws


async def dial(connect: Connect, port: int, pod: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises ConnectionError worded for the client."""
    try:
        sock = await connect(port)
        sock.setblocking(False)
        return await asyncio.open_connection(sock=sock)
    except (OSError, RuntimeError_) as error:
        why = "connect: connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
        raise ConnectionError(
            f"error forwarding port {port} to pod {pod}, uid : failed to connect to localhost:{port} inside namespace: {why}"
        ) from error


@dataclass(slots=True)
class _Pair:
    """One forwarded connection of a SPDY session."""

    port: int
    data: int = 0
    error: int = 0
    writer: asyncio.StreamWriter | None = None
    ready: asyncio.Event | None = None


class SpdyForwarder:
    def __init__(self, ws: web.WebSocketResponse, connect: Connect, pod: str, group: asyncio.TaskGroup) -> None:
        self._ws = ws
        self._connect = connect
        self._pod = pod
        self._group = group
        self._session = spdy.Session()
        self._waiting: dict[str, _Pair] = {}
        self._inputs: dict[int, asyncio.Queue[bytes | None]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until the client goes. Connections under way end with it."""
        try:
            async for message in self._ws:
                if message.type is not WSMsgType.BINARY:
                    continue
                for event in self._session.feed(message.data):
                    if isinstance(event, spdy.GoAway):
                        continue
                    await self._handle(event)
        except spdy.ProtocolError:
            await self._ws.close(code=1002, message=b"malformed SPDY frame")
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _handle(self, event: spdy.Event) -> None:
        match event:
            case spdy.Opened():
                await self._ws.send_bytes(self._session.reply(event.stream))
                self._open(event)
            case spdy.Data(stream, data, fin):
                queue = self._inputs.get(stream)
                if queue is not None:
                    if data:
                        queue.put_nowait(data)
                    if fin:
                        queue.put_nowait(None)
            case spdy.Reset(stream):
                task = self._tasks.get(stream)
                if task is not None:
                    task.cancel()
            case spdy.Ping():
                await self._ws.send_bytes(self._session.pong(event))

    def _open(self, event: spdy.Opened) -> None:
        headers = event.headers
        port = int(headers.get("port", "0") or "0")
        pair = self._waiting.setdefault(headers.get("requestid", ""), _Pair(port))
        if headers.get("streamtype") == "error":
            pair.error = event.stream
        else:
            pair.data = event.stream
            self._inputs[event.stream] = asyncio.Queue()
        if pair.data and pair.error:
            self._waiting.pop(headers.get("requestid", ""), None)
            self._tasks[pair.data] = self._group.create_task(self._forward(pair), name=f"port-forward {port}")

    async def _forward(self, pair: _Pair) -> None:
        session, queue = self._session, self._inputs[pair.data]
        try:
            try:
                reader, writer = await dial(self._connect, pair.port, self._pod)
            except ConnectionError as error:
                await self._ws.send_bytes(session.data(pair.error, str(error).encode(), fin=True))
                await self._ws.send_bytes(session.data(pair.data, b"", fin=True))
                return
            try:
                async with asyncio.TaskGroup() as group:
                    upstream = group.create_task(_pump_queue(queue, writer), name="port-forward: to pod")
                    while block := await _read(reader):
                        await self._ws.send_bytes(session.data(pair.data, block))
                    await self._ws.send_bytes(session.data(pair.data, b"", fin=True))
                    await self._ws.send_bytes(session.data(pair.error, b"", fin=True))
                    upstream.cancel()
            finally:
                writer.close()
        finally:
            self._inputs.pop(pair.data, None)
            self._tasks.pop(pair.data, None)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; a reset counts as the end."""
    try:
        return await reader.read(BLOCK)
    except ConnectionError:
        return b""


async def _pump_queue(queue: asyncio.Queue[bytes | None], writer: asyncio.StreamWriter) -> None:
    """Client to pod; None closes the sending half."""
    try:
        while (data := await queue.get()) is not None:
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        # The pod closed first; what it sent is still read.
        return


class ChannelForwarder:
    def __init__(
        self, ws: web.WebSocketResponse, protocol: Protocol, connect: Connect, pod: str, group: asyncio.TaskGroup
    ) -> None:
        self._ws = ws
        self._protocol = protocol
        self._connect = connect
        self._pod = pod
        self._group = group

    async def run(self, ports: list[int]) -> None:
        queues: dict[int, asyncio.Queue[bytes | None]] = {}
        tasks: list[asyncio.Task[None]] = []
        for i, port in enumerate(ports):
            for channel in (2 * i, 2 * i + 1):
                await self._send(channel, struct.pack("<H", port))
            queues[2 * i] = asyncio.Queue()
            tasks.append(self._group.create_task(self._forward(2 * i, port, queues[2 * i]), name=f"port-forward {port}"))
        async for message in self._ws:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            try:
                channel, data = self._protocol.decode(message.data)
            except ValueError:
                break
            if channel in queues and data:
                queues[channel].put_nowait(data)
        for task in tasks:
            task.cancel()

    async def _forward(self, channel: int, port: int, queue: asyncio.Queue[bytes | None]) -> None:
        try:
            reader, writer = await dial(self._connect, port, self._pod)
        except ConnectionError as error:
            await self._send(channel + 1, str(error).encode())
            return
        try:
            async with asyncio.TaskGroup() as group:
                upstream = group.create_task(_pump_queue(queue, writer), name="port-forward: to pod")
                while block := await _read(reader):
                    await self._send(channel, block)
                upstream.cancel()
        finally:
            writer.close()
        await self._ws.close()

    async def _send(self, channel: int, data: bytes) -> None:
        payload = self._protocol.encode(channel, data)
        if isinstance(payload, str):
            await self._ws.send_str(payload)
        else:
            await self._ws.send_bytes(payload)
