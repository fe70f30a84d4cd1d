"""The in-process transport: a component's requests go through the very same stages as HTTP, without sockets.

Implements `client.transport.Transport`. The identity is given, everything else (authorization, audit, admission) is as for anyone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote, urlencode

from multidict import CIMultiDict

from minikube_api.client.transport import Response
from minikube_api.server.context import Answer, Reply, Request, Stream, UserInfo, parse_info
from minikube_api.server.http import warning_header

Serve = Callable[[Request], Awaitable[Reply]]


class LocalTransport:
    def __init__(self, serve: Serve, user: UserInfo, user_agent: str = "") -> None:
        self._serve = serve
        self._user = user
        self._agent = user_agent or user.name.rpartition(":")[2]

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = 30.0,
    ) -> Response:
        request = self._request(method, path, query, headers, body)
        try:
            async with asyncio.timeout(timeout):
                reply = await self._serve(request)
                if isinstance(reply, Answer):
                    return Response(reply.status, _headers(request, reply), reply.body)
                if isinstance(reply, Stream):
                    opened = LocalStream(request, reply)
                    try:
                        return Response(reply.status, opened.headers, await opened.read())
                    finally:
                        await opened.aclose()
        except TimeoutError:
            raise OSError(f"{method} {path}: no answer within {timeout} seconds") from None
        raise OSError(f"{method} {path} needs a connection of its own; use HTTPS")

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[LocalStream]:
        request = self._request(method, path, query, headers, None)
        reply = await self._serve(request)
        if not isinstance(reply, Answer | Stream):
            raise OSError(f"{method} {path} needs a connection of its own; use HTTPS")
        opened = LocalStream(request, reply)
        try:
            yield opened
        finally:
            await opened.aclose()

    async def close(self) -> None:
        return None

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> Request:
        values = dict(query or {})
        given: CIMultiDict[str] = CIMultiDict(headers or {})
        given.setdefault("User-Agent", self._agent)

        async def read() -> bytes:
            return body or b""

        return Request(
            method,
            path,
            urlencode(values),
            given,
            values,
            parse_info(method, path, values),
            read,
            "127.0.0.1",
            user=self._user,
            raw_path=quote(path),
            in_process=True,
        )


def _headers(request: Request, reply: Answer | Stream) -> dict[str, str]:
    headers = {"content-type": reply.content_type}
    headers.update((key.lower(), value) for key, value in reply.headers.items())
    if request.flow is not None:
        headers["x-kubernetes-pf-flowschema-uid"], headers["x-kubernetes-pf-prioritylevel-uid"] = request.flow
    if request.warnings:
        headers["warning"] = ", ".join(warning_header(text) for text in request.warnings)
    return headers


class LocalStream:
    """A reply read piece by piece (`client.transport.StreamResponse`)."""

    def __init__(self, request: Request, reply: Answer | Stream) -> None:
        self.status = reply.status
        self.headers: Mapping[str, str] = _headers(request, reply)
        self._reply = reply

    async def chunks(self) -> AsyncIterator[bytes]:
        if isinstance(self._reply, Answer):
            yield self._reply.body
            return
        async for chunk in self._reply.body:
            yield chunk

    async def lines(self) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self.chunks():
            *whole, rest = (rest + chunk if rest else chunk).split(b"\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        close = getattr(self._reply.body, "aclose", None)
        if close is not None:
            await close()
