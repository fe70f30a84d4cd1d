"""HTTPS calls to webhooks: by URL or to a Service's endpoints, with pooled connections, worded as Go's client words failures.

One `Caller` a server. Nothing is imported or opened before the first call. A clientConfig's connections are kept for the next
call; a call over a kept connection that the other side has just closed is made again on a new one, as Go's transport does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from minikube_api.server.context import Object
from minikube_api.server.contract import Dialer
from minikube_api.server.services import ServiceResolver, Unresolvable
from minikube_api.server.webhooks.hooks import client_key

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: seconds an idle connection to a webhook is kept
KEEP_ALIVE = 30.0
#: bytes of an error answer that messages quote
_QUOTED = 2048
_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
}


class CallFailed(Exception):
    """The call brought no answer that could be read; the text is Go's."""


class Unreachable(Exception):
    """No connection; the text is Go's."""


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
            session = self._sessions[key] = open_session(self._dialer, self._resolver, client)
        return session

    async def close(self) -> None:
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()


def open_session(dialer: Dialer, resolver: ServiceResolver, client: Object) -> ClientSession:
    """A session whose every connection goes to one clientConfig. Raises Unreachable for a caBundle that is none."""
    import aiohttp

    class Connector(aiohttp.BaseConnector):
        async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
            host, port, server_name = await _where(resolver, client)
            try:
                sock = await dialer.connect(host, port)
            except (OSError, TimeoutError) as error:
                raise Unreachable(_dialing(host, port, error)) from error
            loop = asyncio.get_running_loop()
            try:
                _, protocol = await loop.create_connection(self._factory, sock=sock, ssl=context, server_hostname=server_name)
            except (OSError, ValueError) as error:
                sock.close()
                raise Unreachable(go_words(error)) from error
            return protocol

    async def kept(session: Any, trace: Any, params: Any) -> None:
        trace.trace_request_ctx["kept"] = True

    context = tls_context(client.get("caBundle") or "")
    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(kept)
    return aiohttp.ClientSession(
        connector=Connector(keepalive_timeout=KEEP_ALIVE, limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        trace_configs=[traces],
    )


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


def tls_context(ca_bundle: str, *, verify: bool = True) -> ssl.SSLContext:
    """What a server's certificate is checked against: the bundle (base64 of PEM), or the machine's roots when it is empty."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # Go trusts whatever certificate is in the bundle, also one that signs nothing
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not ca_bundle:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=base64.b64decode(ca_bundle).decode())
    except (ssl.SSLError, binascii.Error, ValueError) as error:
        raise Unreachable("unable to load root certificates: unable to parse bytes as PEM block") from error
    return context


def go_words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_x509(error)}"
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return "http: server gave HTTP response to HTTPS client"
        return f"remote error: tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return f"read: {_ERRNO[error.errno]}"
    return "EOF"


def _x509(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (2, 18, 19, 20, 21):
        return "certificate signed by unknown authority"
    if error.verify_code in (9, 10):
        return "certificate has expired or is not yet valid"
    return error.verify_message[:1].lower() + error.verify_message[1:]


def _dialing(host: str, port: int, error: BaseException) -> str:
    import socket

    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, TimeoutError):
        return f"dial tcp {where}: i/o timeout"
    number = getattr(error, "errno", None)
    return f"dial tcp {where}: connect: {_ERRNO.get(number or 0, str(error))}"


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
