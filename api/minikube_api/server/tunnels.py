"""Connections handed through: bytes from the client to a kubelet, pod or service and back, after the request was let in.

An upgrade request (exec, attach, port-forward, a proxied WebSocket) is repeated to the other side as it came, but for path, host
and credentials; what the other side answers goes back as it comes, and from then on both sides are plain bytes. The API server
needs to know nothing of the protocols inside.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.web_request import BaseRequest

from minikube_api.meta.errors import ServiceUnavailable, StatusError
from minikube_api.server.contract import Dialer
from minikube_api.server.outgoing import Unreachable, dialing_words, go_words

_CHUNK = 1 << 16
#: seconds a TLS handshake may take (net/http's DefaultTransport)
HANDSHAKE = 10.0
#: headers that belong to one hop, or to this server alone
_NOT_FORWARDED = frozenset(
    {"host", "authorization", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "proxy-authorization"}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: TLS when `context` is given; `server_name` is what the certificate is checked against, if at all."""

    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


async def connect(dialer: Dialer, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """For an upgrade. Raises what kube-apiserver answers then: a 500 without a reason."""
    try:
        sock = await _dial(dialer, target)
        try:
            if target.context is None:
                return await asyncio.open_connection(sock=sock)
            name = target.server_name or target.host
            return await asyncio.open_connection(
                sock=sock, ssl=target.context, server_hostname=name, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError as error:
            raise Unreachable(go_words(error)) from error
    except Unreachable as error:
        raise StatusError(f"error dialing backend: {error}", reason="") from error


async def _dial(dialer: Dialer, target: Target) -> socket.socket:
    try:
        return await dialer.connect(target.host, target.port)
    except (OSError, TimeoutError) as error:
        raise Unreachable(dialing_words(target.host, target.port, error)) from error


def unreachable(error: aiohttp.ClientError | Unreachable) -> ServiceUnavailable:
    """What a proxied request without an upgrade is answered then."""
    return ServiceUnavailable(f"error trying to reach service: {reason(error)}")


def reason(error: aiohttp.ClientError | Unreachable) -> str:
    """Why a request got no answer, in Go's words."""
    return str(error) if isinstance(error, Unreachable) else go_words(error)


def request_head(method: str, path: str, target: Target, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{key}: {value}" for key, value in headers if key.lower() not in _NOT_FORWARDED]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _Incoming:
    """What aiohttp feeds upgraded bytes to: straight into a StreamReader, with flow control."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if data:
            self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def set_exception(self, exc: BaseException, *_: Any) -> None:
        self._reader.feed_eof()


async def run(native: BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Send the head, then carry bytes both ways until one side ends. Takes the client's connection over for good."""
    protocol: Any = native.protocol
    transport = native.transport
    if transport is None:
        writer.close()
        return
    incoming = asyncio.StreamReader()
    incoming.set_transport(transport)
    protocol.set_parser(_Incoming(incoming))
    protocol.keep_alive(False)
    _no_delay(transport)
    writer.write(head)
    try:
        async with asyncio.TaskGroup() as group:
            up = group.create_task(_copy(incoming, writer), name="tunnel-up")
            down = group.create_task(_copy_down(reader, transport, protocol), name="tunnel-down")
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if not down.done():
                # the client has said all it had to say; what the other side still says is its own to end
                await asyncio.wait((down,), timeout=5.0)
            up.cancel()
            down.cancel()
    finally:
        writer.close()
        transport.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, ssl.SSLError):
        return


async def _copy_down(reader: asyncio.StreamReader, transport: asyncio.Transport, protocol: Any) -> None:
    try:
        while data := await reader.read(_CHUNK):
            if transport.is_closing():
                return
            transport.write(data)
            await protocol._drain_helper()
    except (ConnectionError, ssl.SSLError):
        return


def _no_delay(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class DialingConnector(aiohttp.BaseConnector):
    """aiohttp's client over the Dialer: every connection is the dialer's, plain or TLS as the target says."""

    def __init__(self, dialer: Dialer, target: Target) -> None:
        super().__init__(force_close=True)
        self._dialer = dialer
        self._target = target

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        target = self._target
        loop = asyncio.get_running_loop()
        sock = await _dial(self._dialer, target)
        try:
            server_name = (target.server_name or target.host) if target.context is not None else None
            handshake = HANDSHAKE if target.context is not None else None
            _, protocol = await loop.create_connection(
                self._factory, sock=sock, ssl=target.context, server_hostname=server_name, ssl_handshake_timeout=handshake
            )
        except OSError as error:
            sock.close()
            raise Unreachable(go_words(error)) from error
        return protocol


def upgrade_requested(headers: Mapping[str, str]) -> bool:
    return "upgrade" in headers.get("Connection", "").lower() and bool(headers.get("Upgrade"))
