"""`HttpTransport`: HTTP(S) with a pool of kept-alive connections. Its twin, the in-process transport, lives in the server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from minikube_api.client.transport import Response

#: One line of a watch holds one object: at most the server's body limit (3 MiB) and its envelope, with room for growth.
MAX_LINE: Final = 16 << 20
_PIECE: Final = 64 << 10


class HttpStream:
    """A streamed answer. Valid inside the context that gave it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in response.headers.items()}

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines of any length up to MAX_LINE; what follows the last newline is given as a line when the stream ends cleanly."""
        pieces: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            *complete, rest = chunk.split(b"\n")
            for part in complete:
                pieces.append(part)
                yield b"".join(pieces)
                pieces.clear()
                size = 0
            if rest:
                size += len(rest)
                if size > MAX_LINE:
                    raise OSError(f"a line of the stream is longer than {MAX_LINE} bytes")
                pieces.append(rest)
        if pieces:
            yield b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except aiohttp.ClientError as error:
            raise OSError(f"stream broken: {error}") from error

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except aiohttp.ClientError as error:
            raise OSError(f"stream broken: {error}") from error


class HttpTransport:
    """Implements `client.transport.Transport`. Belongs to one event loop; sessions open lazily, `close()` ends them.

    `token` is sent as bearer token; a callable is asked on each request, and a Path is read again when it changed (service-account
    tokens rotate on disk). Connection errors are OSError, time-outs TimeoutError (an OSError too).
    """

    def __init__(
        self,
        base_url: str,
        ssl_context: ssl.SSLContext | None = None,
        token: str | Path | Callable[[], str] | None = None,
        *,
        basic_auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        connections: int = 100,
        unix_socket: str | None = None,
        connect_timeout: float = 10.0,
        tls_server_name: str = "",
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._ssl = ssl_context
        self._token = _token_source(token)
        self._basic = aiohttp.BasicAuth(*basic_auth).encode() if basic_auth else ""
        self._extra = dict(headers or {})
        self._connections = connections
        self._unix_socket = unix_socket
        self._connect_timeout = connect_timeout
        self._server_name = tls_server_name or None
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # Watches hold their connection for minutes, so the pool has no overall limit that they could exhaust.
            connector: aiohttp.BaseConnector
            if self._unix_socket:
                connector = aiohttp.UnixConnector(path=self._unix_socket, limit=0)
            else:
                verify = self._ssl if self._ssl is not None else True
                connector = aiohttp.TCPConnector(ssl=verify, limit=0, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
                read_bufsize=256 << 10,
                skip_auto_headers=("User-Agent", "Content-Type"),
            )
            self._slots = asyncio.Semaphore(self._connections)
        return self._session

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        # Encoded here so that aiohttp does not normalise it: `%2F` in a proxied path or a `+` in a selector must arrive as meant.
        url = self.base_url + quote(path, safe="/:@!$&'()*,;=~-._")
        if query:
            url += "?" + "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in query.items())
        return URL(url, encoded=True)

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = {**self._extra, **(headers or {})}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token()}"
        elif self._basic:
            sent["Authorization"] = self._basic
        return sent

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
        session = self._open()
        try:
            async with (
                self._slots,
                session.request(
                    method,
                    self._url(path, query),
                    data=body,
                    headers=self._headers(headers),
                    timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=self._connect_timeout),
                    allow_redirects=False,
                    server_hostname=self._server_name,
                ) as answer,
            ):
                data = await answer.read()
                return Response(answer.status, {key.lower(): value for key, value in answer.headers.items()}, data)
        except aiohttp.ClientError as error:
            if isinstance(error, OSError):
                raise
            raise OSError(f"{method} {self.base_url}: {error}") from error

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[HttpStream]:
        return self._stream(method, path, query, headers)

    @asynccontextmanager
    async def _stream(
        self, method: str, path: str, query: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> AsyncIterator[HttpStream]:
        session = self._open()
        request = session.request(
            method,
            self._url(path, query),
            headers=self._headers(headers),
            allow_redirects=False,
            server_hostname=self._server_name,
        )
        try:
            answer = await request
        except aiohttp.ClientError as error:
            if isinstance(error, OSError):
                raise
            raise OSError(f"{method} {self.base_url}: {error}") from error
        try:
            yield HttpStream(answer)
        finally:
            # The rest of an endless body can't be drained, so the connection is closed, not returned to the pool.
            answer.close()

    async def close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


def _token_source(token: str | Path | Callable[[], str] | None) -> Callable[[], str] | None:
    if token is None or callable(token):
        return token
    if isinstance(token, Path):
        return _TokenFile(token)
    return lambda: token


class _TokenFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, str] | None = None

    def __call__(self) -> str:
        changed = self._path.stat().st_mtime_ns
        if self._seen is None or self._seen[0] != changed:
            self._seen = (changed, self._path.read_text().strip())
        return self._seen[1]
