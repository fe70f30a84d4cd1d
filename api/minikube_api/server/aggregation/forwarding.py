"""Requests handed through to an aggregated API server, with the user in headers (requestheader authentication).

The other server trusts the front-proxy client certificate, not the client: so the user's own credentials stay here, and headers
that look like an identity are taken out of what the client sent.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from minikube_api.meta.errors import StatusError
from minikube_api.server import tunnels
from minikube_api.server.context import Answer, Object, Reply, Request, Stream, Tunnel, UserInfo
from minikube_api.server.outgoing import Unreachable, go_words, open_session, tls_context
from minikube_api.server.services import Unresolvable
from minikube_api.server.tunnels import Target

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

    from minikube_api.server.server import Server

_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length"})
_NOT_SENT = _HOP | {"host", "authorization", "proxy-authorization"}
_TEXT = "text/plain; charset=utf-8"
#: the aggregator's own identity, for discovery and checks
AGGREGATOR = UserInfo("system:kube-aggregator", groups=("system:masters",))


def unavailable(text: str = "service unavailable") -> Answer:
    return Answer(503, text.encode() + b"\n", _TEXT, {"X-Content-Type-Options": "nosniff"})


def user_headers(user: UserInfo) -> list[tuple[str, str]]:
    """X-Remote-User, -Uid, -Group, -Extra-*; keys of extra are percent-encoded like a header name must be."""
    headers = [("X-Remote-User", user.name)]
    if user.uid:
        headers.append(("X-Remote-Uid", user.uid))
    headers += [("X-Remote-Group", group) for group in user.groups]
    headers += [(f"X-Remote-Extra-{quote(key, safe='')}", value) for key, values in user.extra.items() for value in values]
    return headers


def _is_identity(key: str) -> bool:
    key = key.lower()
    return key in ("x-remote-user", "x-remote-uid", "x-remote-group") or key.startswith(("x-remote-extra-", "impersonate-"))


def forwarded_headers(request: Request) -> list[tuple[str, str]]:
    kept = [(k, v) for k, v in request.headers.items() if k.lower() not in _NOT_SENT and not _is_identity(k)]
    kept += [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", request.headers.get("Host", ""))]
    if request.remote:
        kept.append(("X-Forwarded-For", request.remote))
    return kept + user_headers(request.user)


class Backend:
    """The server behind one APIService; connections are kept for the next request."""

    def __init__(self, server: Server, spec: Object) -> None:
        self._server = server
        self._spec = spec
        self._session: ClientSession | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def server_name(self) -> str:
        service = self._spec["service"]
        return f"{service['name']}.{service['namespace']}.svc"

    @property
    def port(self) -> int:
        return self._spec["service"].get("port") or 443

    @property
    def context(self) -> ssl.SSLContext:
        """Raises Unreachable for a caBundle that is none."""
        if self._context is None:
            spec, config = self._spec, self._server.config
            self._context = tls_context(spec.get("caBundle") or "", verify=not spec.get("insecureSkipTLSVerify"))
            if config.proxy_client_certificate is not None:
                self._context.load_cert_chain(config.proxy_client_certificate, config.proxy_client_key)
        return self._context

    async def _locate(self) -> tuple[str, int, str]:
        service = self._spec["service"]
        address = await self._server.services.resolve(service["namespace"], service["name"], self.port)
        return address.host, address.port, self.server_name

    async def serve(self, request: Request, *, available: bool) -> Reply:
        if not available:
            return unavailable()
        path = request.raw_path + (f"?{request.query_string}" if request.query_string else "")
        try:
            if request.native is not None and tunnels.upgrade_requested(request.headers):
                return await self._tunnel(request, path)
            return await self._forward(request, path)
        except Unresolvable:
            return unavailable()
        except Unreachable as error:
            return unavailable(f"error trying to reach service: {error}")

    async def _tunnel(self, request: Request, path: str) -> Reply:
        host, port, name = await self._locate()
        target = Target(host, port, self.context, name)
        try:
            reader, writer = await tunnels.connect(self._server.config.dialer, target)
        except StatusError as error:
            return unavailable(error.message)
        upgrade = [(k, v) for k, v in request.headers.items() if k.lower() in ("connection", "upgrade")]
        head = tunnels.request_head(request.method, path, target, [*forwarded_headers(request), *upgrade])

        async def run(native: object) -> None:
            await tunnels.run(native, reader, writer, head)  # type: ignore[arg-type]

        return Tunnel(run)

    async def _forward(self, request: Request, path: str) -> Reply:
        response = await self.request(request.method, path, forwarded_headers(request), await request.read_body())
        answered = {k: v for k, v in response.headers.items() if k.lower() not in _HOP}
        content_type = answered.pop("Content-Type", "")
        return Stream(response.status, _body(response), content_type, answered)

    async def request(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> ClientResponse:
        """Raises Unreachable and Unresolvable. A kept connection that was closed meanwhile is replaced once."""
        import aiohttp
        from yarl import URL

        if self._session is None:
            self._session = open_session(self._server.config.dialer, self._locate, self.context, decompress=False)
        url = URL(f"https://{self.server_name}:{self.port}{path}", encoded=True)
        for _ in range(2):
            reuse: dict[str, Any] = {"kept": False}
            try:
                return await self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Accept", "Content-Type", "Accept-Encoding"),
                    trace_request_ctx=reuse,
                )
            except aiohttp.ClientError as error:
                if not reuse["kept"] or not isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
                    raise Unreachable(go_words(error)) from error
        raise Unreachable("EOF")

    async def read(self, path: str) -> tuple[int, bytes]:
        """A GET in the aggregator's own name. Raises Unreachable and Unresolvable."""
        status, body, _ = await self.read_changed(path, "")
        return status, body

    async def read_changed(self, path: str, tag: str) -> tuple[int, bytes, str]:
        """The same with the ETag of the answer; 304 when it is still `tag`."""
        headers = [("Accept", "application/json"), *user_headers(AGGREGATOR)]
        if tag:
            headers.append(("If-None-Match", tag))
        async with await self.request("GET", path, headers) as response:
            return response.status, await response.read(), response.headers.get("ETag", "")

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _body(response: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    finally:
        response.close()
