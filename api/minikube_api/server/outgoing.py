"""TLS connections the server makes to others (webhooks, aggregated API servers), and Go's words for what goes wrong with them.

Sessions are aiohttp's, their connections are the Dialer's. aiohttp's client is imported when the first session opens.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from minikube_api.server.contract import Dialer

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: seconds an idle connection is kept
KEEP_ALIVE = 30.0
_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
}


class Unreachable(Exception):
    """No connection; the text is Go's."""


#: finds (host, port, TLS server name) for a new connection
Locate = Callable[[], Awaitable[tuple[str, int, str]]]


def open_session(dialer: Dialer, locate: Locate, context: ssl.SSLContext, *, decompress: bool = True) -> ClientSession:
    """A session whose every connection goes where `locate` says, whatever the URL. A request's `trace_request_ctx` (a dict) learns
    by `kept` whether it went over a connection that was used before."""
    import aiohttp

    class Connector(aiohttp.BaseConnector):
        async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
            host, port, server_name = await locate()
            try:
                sock = await dialer.connect(host, port)
            except (OSError, TimeoutError) as error:
                raise Unreachable(dialing_words(host, port, error)) from error
            loop = asyncio.get_running_loop()
            try:
                _, protocol = await loop.create_connection(self._factory, sock=sock, ssl=context, server_hostname=server_name)
            except (OSError, ValueError) as error:
                sock.close()
                raise Unreachable(go_words(error)) from error
            return protocol

    async def kept(session: Any, trace: Any, params: Any) -> None:
        if isinstance(trace.trace_request_ctx, dict):
            trace.trace_request_ctx["kept"] = True

    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(kept)
    return aiohttp.ClientSession(
        connector=Connector(keepalive_timeout=KEEP_ALIVE, limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        trace_configs=[traces],
        auto_decompress=decompress,
    )


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
    if isinstance(error, ConnectionAbortedError) and error.errno is None:
        return "net/http: TLS handshake timeout"
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return f"read: {_ERRNO[error.errno]}"
    return "EOF"


def _x509(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (2, 18, 19, 20, 21):
        return "certificate signed by unknown authority"
    if error.verify_code in (9, 10):
        return "certificate has expired or is not yet valid"
    return error.verify_message[:1].lower() + error.verify_message[1:]


def dialing_words(host: str, port: int, error: BaseException) -> str:
    import socket

    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, TimeoutError):
        return f"dial tcp {where}: i/o timeout"
    number = getattr(error, "errno", None)
    return f"dial tcp {where}: connect: {_ERRNO.get(number or 0, str(error))}"
