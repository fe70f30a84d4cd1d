"""The HTTP front end: aiohttp's low-level server, one handler, no routes.

Turns a request into a `Request`, lets the server answer it, and writes the reply: whole, streamed, or by handing over the
connection. Kubernetes' limits: bodies of 3 MiB, gzip above 128 KiB when the client takes it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from minikube_api.meta.errors import BadRequest, RequestEntityTooLarge
from minikube_api.server import connections
from minikube_api.server.context import Answer, Reply, Request, Stream, Tunnel, parse_info, parse_query

#: bytes; kube-apiserver's MaxRequestBodyBytes
BODY_LIMIT = 3 * 1024 * 1024
#: bytes; kube-apiserver's defaultGzipThresholdBytes
GZIP_ABOVE = 128 * 1024
IDLE_SECONDS = 180.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Serve(Protocol):
    def __call__(self, request: Request) -> Awaitable[Reply]: ...


class HttpFrontEnd:
    """Listens; `serve` answers. Connections without TLS are served too when a listener has no context."""

    def __init__(self, serve: Serve, *, on_error: Callable[[Exception], None]) -> None:
        self._serve = serve
        self._on_error = on_error
        loop = asyncio.get_running_loop()

        def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> BaseRequest:
            return BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)

        self._server = connections.WebServer(
            self._handle,
            request_factory=make,
            handler_cancellation=True,
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,
            **connections.limits(),
        )
        self._listeners: list[asyncio.Server] = []
        self._changing: set[asyncio.Task[Reply]] = set()
        #: watches, logs and tunnels that are open
        self.long_running = 0

    async def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(self._server, sock=sock, ssl=context, backlog=1024)
        self._listeners.append(listener)

    async def stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def close(self, timeout: float = 2.0) -> None:
        """Give requests under way `timeout` seconds, then cut them."""
        await self._server.shutdown(timeout)

    async def _handle(self, native: BaseRequest) -> StreamResponse:
        request = _request(native)
        if "%" in request.raw_path and connections.malformed(request.raw_path):
            return connections.refusal()
        if native.method in _CHANGING:
            # a client that goes away must not stop a write half-way
            task = asyncio.ensure_future(self._serve(request))
            self._changing.add(task)
            task.add_done_callback(self._changing.discard)
            reply = await asyncio.shield(task)
        else:
            reply = await self._serve(request)
        if type(reply) is Answer:
            return await _whole(native, request, reply)
        self.long_running += 1
        try:
            if type(reply) is Stream:
                return await self._stream(native, request, reply)
            assert isinstance(reply, Tunnel)
            done = await reply.run(native)
        finally:
            self.long_running -= 1
        return done if isinstance(done, StreamResponse) else _Handed(native)

    async def _stream(self, native: BaseRequest, request: Request, reply: Stream) -> StreamResponse:
        response = connections.Streamed(status=reply.status, headers=_headers(request, reply.headers))
        response.headers["Content-Type"] = reply.content_type
        if native.version >= (1, 1):
            response.enable_chunked_encoding()
        body = reply.body
        try:
            await response.prepare(native)
            async for chunk in body:
                await response.write(chunk)
            await response.write_eof()
        except ConnectionResetError:
            pass  # the client is gone; there is nobody to tell
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
        return response


class _Handed(Response):
    """Stands for the answer of a connection that was taken over: nothing is left to write."""

    def __init__(self, native: BaseRequest) -> None:
        super().__init__()
        self.force_close()

    async def prepare(self, request: BaseRequest) -> Any:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def _request(native: BaseRequest) -> Request:
    raw = native.raw_path
    raw_path, _, query_string = raw.partition("?")
    if "://" in raw_path:
        raw_path = native.rel_url.raw_path
    path = unquote(raw_path) if "%" in raw_path else raw_path
    query = parse_query(query_string)
    method = native.method
    headers = native.headers

    async def read() -> bytes:
        if not native.body_exists:
            return b""
        if headers.get("Expect", "").lower() == "100-continue" and native.transport is not None:
            native.transport.write(_CONTINUE)  # curl waits a second for it before it sends a large body
        try:
            return await native.read()
        except HTTPRequestEntityTooLarge:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}") from None
        except (ConnectionError, RequestPayloadError, HttpProcessingError) as error:
            raise BadRequest("unexpected EOF") from error  # the body ended too soon, or is not what its headers say

    certificate = None
    transport = native.transport
    if transport is not None:
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            certificate = ssl_object.getpeercert(True)
    return Request(
        method,
        path,
        query_string,
        headers,
        query,
        parse_info(method, path, query),
        read,
        native.remote or "",
        certificate,
        raw_path=raw_path,
        native=native,
    )


def _headers(request: Request, extra: dict[str, str]) -> Any:
    from multidict import CIMultiDict

    headers: CIMultiDict[str] = CIMultiDict(extra)
    if request.audit_id:
        headers["Audit-Id"] = request.audit_id
    if request.flow is not None:
        headers["X-Kubernetes-PF-FlowSchema-UID"], headers["X-Kubernetes-PF-PriorityLevel-UID"] = request.flow
    headers.setdefault("Cache-Control", "no-cache, private")
    for text in request.warnings:
        headers.add("Warning", warning_header(text))
    return headers


def warning_header(text: str) -> str:
    """A Warning header's value (RFC 7234, as Kubernetes writes it): code 299, no agent, the text quoted."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'299 - "{escaped}"'


async def _whole(native: BaseRequest, request: Request, answer: Answer) -> Response:
    headers = _headers(request, answer.headers)
    body = answer.body
    if answer.content_type:
        headers["Content-Type"] = answer.content_type
    if len(body) > GZIP_ABOVE and "gzip" in native.headers.get("Accept-Encoding", "") and "Content-Encoding" not in headers:
        body = await asyncio.to_thread(_gzip, body)
        headers["Content-Encoding"] = "gzip"
        headers.add("Vary", "Accept-Encoding")
    response = connections.Whole(status=answer.status, body=body, headers=headers)
    if not answer.content_type:
        response.headers.popall("Content-Type", None)
    return response


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
