"""What a simulated container answers: the streams of exec and attach, and HTTP on its ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, cast


class HollowStreams:
    """A simulated exec or attach (`ExecStreams`): one output, optionally stdin given back until it is closed, then the exit code."""

    def __init__(
        self,
        output: bytes,
        exit_code: int,
        *,
        echo: bool = False,
        until: asyncio.Event | None = None,
        code: Callable[[], int] | None = None,
    ) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._exit_code = exit_code
        self._code = code
        self._echo = echo
        self._until = until
        self._ended = asyncio.Event()
        #: the last size told by the client, for whoever looks
        self.size: tuple[int, int] | None = None
        if output:
            self._queue.put_nowait(output)
        if not echo and until is None:
            self._end()

    def _end(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._queue.put_nowait(None)

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        if self._until is not None:
            await self._until.wait()
            self._end()
        piece = await self._queue.get()
        if piece is None:
            self._queue.put_nowait(None)
            return None
        return ("stdout", piece)

    async def write(self, data: bytes) -> None:
        if self._echo and not self._ended.is_set():
            self._queue.put_nowait(data)

    async def close_stdin(self) -> None:
        if self._echo:
            self._end()

    async def resize(self, width: int, height: int) -> None:
        self.size = (width, height)

    async def wait(self) -> int:
        if self._until is not None:
            await self._until.wait()
        else:
            await self._ended.wait()
        return self._exit_code if self._code is None else self._code()

    async def close(self) -> None:
        self._end()


class HTTP200(asyncio.Protocol):
    """Answers every request's head with 200 and an empty body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio.Transport by inheritance
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while b"\r\n\r\n" in self._seen and self._transport is not None:
            self._seen = self._seen.split(b"\r\n\r\n", 1)[1]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
