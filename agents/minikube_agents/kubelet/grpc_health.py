"""gRPC health checks (grpc.health.v1.Health/Check) for probes: one call over a minimal HTTP/2 client.

Source: RFC 9113 framing, RFC 7541 literals without indexing, and the gRPC health checking protocol. One request on one stream; header blocks
that come back are not decoded: the answer's message says what a probe needs, and a stream that ends without one is a failure.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

from minikube_agents.runtime.contract import Runtime
from minikube_api.meta import durations

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK, PADDED = 0x1, 0x4, 0x1, 0x8
MAX_FRAME = 1 << 16
SERVING = 1
STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(fields: list[tuple[str, str]]) -> bytes:
    """Literal fields without indexing, no Huffman; names and values below 127 bytes."""
    block = bytearray()
    for name, value in fields:
        block += bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return bytes(block)


def check_request(authority: str, service: str) -> bytes:
    """Everything that is sent: preface, settings, the call with its message."""
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    headers = header_block([
        (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"), (":authority", authority[:126]),
        ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "kube-probe/1.36"),
    ])  # fmt: skip
    body = struct.pack(">BI", 0, len(message)) + message
    return PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, body)


def serving_status(message: bytes) -> int:
    """The `status` field of a HealthCheckResponse; unknown fields are skipped as protobuf wants. Raises ValueError."""
    status, i = 0, 0
    while i < len(message):
        tag = message[i]
        if tag & 7 == 0:
            value, shift = 0, 0
            i += 1
            while i < len(message):
                value |= (message[i] & 0x7F) << shift
                shift += 7
                i += 1
                if not message[i - 1] & 0x80:
                    break
            if tag >> 3 == 1:
                status = value
        elif tag & 7 == 2 and i + 1 < len(message):
            i += 2 + message[i + 1]
        else:
            raise ValueError("malformed HealthCheckResponse")
    return status


async def check_health(
    runtime: Runtime, sandbox_id: str, address: str, port: int, service: str, *, timeout: float
) -> tuple[bool, str]:
    """(serving, what to say otherwise). Raises the runtime's errors only."""
    where = f"{address}:{port}"
    late = f'timeout: failed to connect service "{where}" within {durations.format(timeout)}: context deadline exceeded'
    try:
        async with asyncio.timeout(timeout):
            sock = await runtime.connect(sandbox_id, port, address)
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                writer.write(check_request(where, service))
                await writer.drain()
                return await _answer(reader, writer, where)
            finally:
                writer.close()
    except TimeoutError:
        return False, late
    except ConnectionRefusedError:
        return False, late
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return False, f"error: health rpc probe failed: {error}"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str) -> tuple[bool, str]:
    body = bytearray()
    async for one in _frames(reader):
        if one.kind == SETTINGS and not one.flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0, b""))
        elif one.kind == PING and not one.flags & ACK:
            writer.write(frame(PING, ACK, 0, one.payload))
        elif one.kind == DATA and one.stream == 1:
            body += one.payload[1 : len(one.payload) - one.payload[0]] if one.flags & PADDED else one.payload
        elif one.kind in (RST_STREAM, GOAWAY):
            break
        if one.stream == 1 and one.kind in (DATA, HEADERS) and one.flags & END_STREAM:
            break
    if len(body) < 5:
        return False, f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {where}"
    status = serving_status(bytes(body[5:]))
    if status == SERVING:
        return True, ""
    return False, f'service unhealthy (responded with "{STATES.get(status, status)}")'


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    while True:
        head = await reader.readexactly(9)
        length = int.from_bytes(head[:3], "big")
        if length > MAX_FRAME:
            raise ValueError("HTTP/2 frame too large")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        yield Frame(kind, flags, stream & 0x7FFFFFFF, await reader.readexactly(length))
