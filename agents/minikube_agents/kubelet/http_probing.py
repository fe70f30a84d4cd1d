"""A small HTTP/1.1 GET over a socket that the runtime opened: what probes and hooks need, with their user agent and redirects.

Not a general client: one request a connection, the body cut at 10 KiB, certificates not verified (as the kubelet does for probes).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from minikube_agents.kubelet.pods import AnyContainer
from minikube_agents.runtime.contract import Runtime
from minikube_api.schema.typed import core_v1 as v1

MAX_BODY = 10 * 1024
MAX_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Request:
    scheme: str
    host: str
    port: int
    path: str
    headers: dict[str, str] = field(default_factory=dict)


def resolve_port(port: int | str, container: AnyContainer | None) -> int:
    """A number or the name of one of the container's ports. Raises ValueError."""
    if isinstance(port, int):
        number = port
    elif port.isdigit():
        number = int(port)
    else:
        ports = container.ports if container is not None else ()
        found = next((one.containerPort for one in ports if one.name == port), None)
        if found is None:
            raise ValueError(f"couldn't find port: {port} in container")
        number = found
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


def request_of(action: v1.HTTPGetAction, address: str, port: int) -> Request:
    headers = {"User-Agent": "kube-probe/1.36", "Accept": "*/*", "Connection": "close"}
    for header in action.httpHeaders:
        headers[header.name] = header.value
    path = action.path or "/"
    return Request(
        (action.scheme or "HTTP").lower(), action.host or address, port, path if path.startswith("/") else "/" + path, headers
    )


async def get(runtime: Runtime, sandbox_id: str, request: Request, *, timeout: float) -> tuple[int, bytes]:
    """(status, body); follows redirects on the same host. Raises OSError, TimeoutError, ValueError (no HTTP)."""
    async with asyncio.timeout(timeout):
        for _ in range(MAX_REDIRECTS):
            status, headers, body = await _once(runtime, sandbox_id, request)
            location = headers.get("location")
            if status not in (301, 302, 303, 307, 308) or not location:
                return status, body
            target = urlsplit(urljoin(f"{request.scheme}://{request.host}:{request.port}{request.path}", location))
            if target.hostname != request.host:
                # Kubernetes: a redirect to another host counts as success, and is not followed.
                return status, body
            path = (target.path or "/") + (f"?{target.query}" if target.query else "")
            port = target.port or (443 if target.scheme == "https" else 80)
            request = Request(target.scheme, request.host, port, path, request.headers)
    raise ValueError(f"stopped after {MAX_REDIRECTS} redirects")


async def _once(runtime: Runtime, sandbox_id: str, request: Request) -> tuple[int, dict[str, str], bytes]:
    sock = await runtime.connect(sandbox_id, request.port, request.host)
    context = None
    if request.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=request.host if context else None)
    except BaseException:
        sock.close()
        raise
    try:
        lower = {name.lower() for name in request.headers}
        head = [f"GET {request.path} HTTP/1.1"]
        if "host" not in lower:
            head.append(f"Host: {request.host}:{request.port}")
        head += [f"{name}: {value}" for name, value in request.headers.items() if value or name not in ("User-Agent", "Accept")]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
        await writer.drain()
        return await _read_answer(reader)
    finally:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionError("EOF" if isinstance(error, asyncio.IncompleteReadError) else "header too large") from error
    first, *lines = raw.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError(f'malformed HTTP response "{first[:80]}"')
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunked(reader)
    else:
        length = int(headers.get("content-length", MAX_BODY))
        body = await _up_to(reader, min(length, MAX_BODY))
    return int(words[1]), headers, body


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while len(body) < MAX_BODY:
        size = int((await reader.readline()).split(b";")[0].strip() or b"0", 16)
        if size == 0:
            break
        body += await reader.readexactly(size)
        await reader.readline()
    return bytes(body[:MAX_BODY])


async def _up_to(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        return error.partial
