"""HTTPS calls to webhooks: by URL or to a Service's endpoints, with pooled connections, worded as Go's client words failures.

One `Caller` a server. Nothing is imported or opened before the first call. A clientConfig's connections are kept for the next
call; a call over a kept connection that the other side has just closed is made again on a new one, as Go's transport does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from minikube_api.server.context import Object
from minikube_api.server.contract import Dialer
from minikube_api.server.outgoing import Unreachable, go_words, open_session, tls_context
from minikube_api.server.services import ServiceResolver, Unresolvable
from minikube_api.server.webhooks.hooks import client_key

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: bytes of an error answer that messages quote
_QUOTED = 2048


class CallFailed(Exception):
    """The call brought no answer that could be read; the text is Go's."""


class Caller:
    def __init__(self, dialer: Dialer, resolver: ServiceResolver) -> None:
        self._dialer = dialer
        self._resolver = resolver
        self._sessions: dict[tuple[str, ...], ClientSession] = {}

    async def post(self, client: Object, body: bytes, timeout: float) -> Any:
        """The decoded JSON answer of a clientConfig's webhook. Raises CallFailed; `timeout` in seconds goes along in the query."""
        url = address_of(client, timeout)
        try:
            async with asyncio.timeout(timeout):
                status, content = await self._send(client, url, body)
        except TimeoutError:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from None
        except (Unreachable, Unresolvable) as error:
            raise CallFailed(f'Post "{url}": {error}') from error
        if status >= 400:
            raise CallFailed(unexpected(status, content))
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise CallFailed(f"couldn't get version/kind; json parse error: {error}") from error

    async def _send(self, client: Object, url: str, body: bytes) -> tuple[int, bytes]:
        import aiohttp
        from yarl import URL

        session = self._session(client)
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        for _ in range(2):
            reuse = {"kept": False}
            try:
                async with session.post(
                    URL(url, encoded=True), data=body, headers=headers, allow_redirects=False, trace_request_ctx=reuse
                ) as answer:
                    return answer.status, await answer.read()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if not reuse["kept"]:
                    raise Unreachable(go_words(error)) from error
            except aiohttp.ClientError as error:
                raise Unreachable(go_words(error)) from error
        raise Unreachable("EOF")

    def _session(self, client: Object) -> ClientSession:
        key = client_key(client)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = open_session(
                self._dialer, lambda: _where(self._resolver, client), tls_context(client.get("caBundle") or "")
            )
        return session

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()


async def _where(resolver: ServiceResolver, client: Object) -> tuple[str, int, str]:
    """(host, port, TLS server name). Raises Unresolvable."""
    service = client.get("service")
    if service is None:
        parts = urlsplit(client.get("url") or "")
        return parts.hostname or "", parts.port or 443, parts.hostname or ""
    address = await resolver.resolve(service["namespace"], service["name"], service.get("port") or 443)
    return address.host, address.port, f"{service['name']}.{service['namespace']}.svc"


def address_of(client: Object, timeout: float) -> str:
    """The URL of a call; the timeout goes along in whole seconds, rounded up."""
    service = client.get("service")
    if service is None:
        url = client.get("url") or ""
        if not urlsplit(url).path:
            url += "/"
    else:
        path = (service.get("path") or "").lstrip("/")
        url = f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}/{path}"
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}timeout={-(-timeout // 1):.0f}s"


_BY_STATUS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    410: "the server could not find the requested resource",
    413: "Request entity too large",
    415: "the server was unable to process the request because of an unsupported media type",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def unexpected(status: int, body: bytes) -> str:
    """What client-go makes of an error answer: its Status' message, or a text for the code (NewGenericServerResponse)."""
    text = body[:_QUOTED].decode("utf-8", "replace").strip() or "unknown"
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    if isinstance(tree, dict) and tree.get("kind") == "Status" and tree.get("message"):
        return str(tree["message"])
    if status == 403:
        return text
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return f"an error on the server ({quoted(text)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"


def quoted(text: str) -> str:
    """Go's %q, for text without exotic characters."""
    return orjson.dumps(text).decode()
