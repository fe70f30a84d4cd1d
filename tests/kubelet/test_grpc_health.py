"""gRPC probes against a small HTTP/2 peer that answers with given frames."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from minikube_agents.kubelet import grpc_health
from minikube_agents.kubelet.grpc_health import DATA, END_STREAM, HEADERS, SETTINGS, check_health, frame
from minikube_agents.runtime.contract import Runtime


class Peer:
    """Offers `connect` as a runtime does; the other end reads the request's head and answers."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.heard = b""

    async def connect(self, sandbox_id: str, port: int, host: str = "") -> socket.socket:
        if self._answer is None:
            raise ConnectionRefusedError
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        self._task = asyncio.create_task(self._talk(theirs, self._answer), name="peer")
        return ours

    async def _talk(self, sock: socket.socket, answer: bytes) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        self.heard = await reader.readuntil(b"kube-probe/1.36")
        writer.write(answer)
        await writer.drain()
        writer.close()


def response(message: bytes) -> bytes:
    data = b"\0" + len(message).to_bytes(4, "big") + message
    return frame(SETTINGS, 0, 0, b"") + frame(HEADERS, 4, 1, b"\x88") + frame(DATA, 0, 1, data) + frame(HEADERS, 5, 1, b"\x88")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(response(b"\x08\x01"), (True, ""), id="serving"),
        pytest.param(response(b"\x08\x02"), (False, 'service unhealthy (responded with "NOT_SERVING")'), id="not serving"),
        pytest.param(response(b""), (False, 'service unhealthy (responded with "UNKNOWN")'), id="unknown"),
        pytest.param(
            frame(HEADERS, 4 | END_STREAM, 1, b"\x88"),
            (False, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): 10.0.0.1:50"), id="unimplemented",
        ),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", (False, "error: health rpc probe failed: HTTP/2 frame too large"), id="no HTTP/2"),
        pytest.param(
            None, (False, 'timeout: failed to connect service "10.0.0.1:50" within 5s: context deadline exceeded'), id="refused",
        ),
    ],
)  # fmt: skip
async def test_answers(answer: bytes | None, expected: tuple[bool, str]) -> None:
    peer = Peer(answer)
    assert await check_health(cast(Runtime, cast(Any, peer)), "s", "10.0.0.1", 50, "svc", timeout=5) == expected


async def test_the_request_is_a_health_check_call() -> None:
    peer = Peer(response(b"\x08\x01"))
    await check_health(cast(Runtime, cast(Any, peer)), "s", "10.0.0.1", 50, "svc", timeout=5)
    assert peer.heard.startswith(grpc_health.PREFACE)
    assert b"/grpc.health.v1.Health/Check" in peer.heard


@pytest.mark.parametrize(
    ("message", "status"),
    [(b"", 0), (b"\x08\x03", 3), (b"\x12\x02ab\x08\x01", 1), (b"\x10\x81\x01\x08\x02", 2)],
)
def test_messages_are_read_past_unknown_fields(message: bytes, status: int) -> None:
    assert grpc_health.serving_status(message) == status
