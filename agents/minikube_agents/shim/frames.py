"""The wire between a shim and its clients: JSON objects with descriptors, over a Unix stream socket.

A frame is a header (length of the JSON, number of descriptors), then the JSON. Descriptors travel as SCM_RIGHTS with the frame's first
bytes; the kernel keeps their order, so the decoder hands them out by count. Used by the shim (epoll) and its asyncio client alike.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct

TYPE_CHECKING = False  # `typing` costs 5 ms at the shim's start
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_HEADER = struct.Struct("!IH")
#: The kernel takes at most this many descriptors in one message (SCM_MAX_FD).
MAX_FDS = 253
_CHUNK = 1 << 18


class ProtocolError(Exception):
    """The peer does not speak this protocol; the connection is of no more use."""


def encode(message: dict[str, Any], fds: int = 0) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _HEADER.pack(len(body), fds) + body


class Decoder:
    """Bytes and descriptors in, whole messages out."""

    def __init__(self, limit: int = 64 << 20) -> None:
        self._buffer = bytearray()
        self._fds: list[int] = []
        self._limit = limit

    def feed(self, data: bytes, fds: Sequence[int]) -> Iterator[tuple[dict[str, Any], list[int]]]:
        self._buffer += data
        self._fds += fds
        while len(self._buffer) >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._buffer)
            if length > self._limit:
                raise ProtocolError(f"frame of {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            if len(self._fds) < count:
                raise ProtocolError(f"frame announces {count} descriptors, {len(self._fds)} came")
            try:
                message = json.loads(self._buffer[_HEADER.size : end])
            except ValueError as error:
                raise ProtocolError(f"not JSON: {error}") from error
            if not isinstance(message, dict):
                raise ProtocolError("not a JSON object")
            mine, self._fds = self._fds[:count], self._fds[count:]
            del self._buffer[:end]
            yield message, mine

    def close(self) -> None:
        """Close descriptors that came without their frame."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One read. Empty bytes = the peer closed. BlockingIOError passes on."""
    size = array.array("i").itemsize
    data, ancillary, _flags, _address = sock.recvmsg(_CHUNK, socket.CMSG_SPACE(MAX_FDS * size), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % size])
    return data, list(fds)


def send(sock: socket.socket, data: bytes | memoryview, fds: Sequence[int]) -> int:
    """One write of (the rest of) a frame, with its descriptors; the number of bytes taken."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    return sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
