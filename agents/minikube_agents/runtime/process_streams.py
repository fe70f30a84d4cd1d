"""Streams of an exec or attach in the process runtime: descriptors that the shim passed over, read and written by the loop without a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Literal

from minikube_agents.shim import launching

_CHUNK = 1 << 16
Stream = Literal["stdout", "stderr"]


class Streams:
    """`ExecStreams`. One reader and one writer at a time. Input for a program that closed its stdin is dropped, as through a shell's pipe."""

    def __init__(
        self,
        kinds: list[str],
        fds: list[int],
        *,
        wait: Callable[[], Awaitable[int]],
        resize: Callable[[int, int], Awaitable[None]] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`kinds`: tty, stdin, stdout, stderr for each of `fds`, which are taken over. `close` ends what runs, when that is wanted."""
        self._loop = asyncio.get_running_loop()
        self._outputs: dict[int, Stream] = {}
        self._stdin = -1
        self._tty = -1
        self._wait = wait
        self._resize = resize
        self._on_close = close
        for kind, fd in zip(kinds, fds, strict=True):
            os.set_blocking(fd, False)
            if kind == "stdin":
                self._stdin = fd
            else:
                self._outputs[fd] = "stderr" if kind == "stderr" else "stdout"
            if kind == "tty":
                self._tty = fd
                self._stdin = os.dup(fd)

    async def read(self) -> tuple[Stream, bytes] | None:
        """Cancelling loses nothing."""
        while self._outputs:
            fd = await self._readable()
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                continue
            except OSError:
                data = b""  # EIO: the terminal's last process is gone
            if data:
                return self._outputs[fd], data
            del self._outputs[fd]
            os.close(fd)
            if fd == self._tty:
                self._tty = -1
        return None

    async def _readable(self) -> int:
        ready: asyncio.Future[int] = self._loop.create_future()

        def wake(fd: int) -> None:
            if not ready.done():
                ready.set_result(fd)

        fds = list(self._outputs)
        for fd in fds:
            self._loop.add_reader(fd, wake, fd)
        try:
            return await ready
        finally:
            for fd in fds:
                self._loop.remove_reader(fd)

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._stdin >= 0:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                await self.close_stdin()

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._stdin, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            self._loop.remove_writer(self._stdin)

    async def close_stdin(self) -> None:
        """On a terminal: what a user's Ctrl-D does; else the pipe's end."""
        if self._stdin < 0:
            return
        if self._tty >= 0:
            with contextlib.suppress(OSError):
                os.write(self._stdin, b"\x04")
        os.close(self._stdin)
        self._stdin = -1

    async def resize(self, width: int, height: int) -> None:
        if self._tty >= 0:
            launching.set_size(self._tty, width, height)
        elif self._resize:
            await self._resize(width, height)

    async def wait(self) -> int:
        return await self._wait()

    async def close(self) -> None:
        for fd in self._outputs:
            os.close(fd)
        self._outputs.clear()
        self._tty = -1
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        if self._on_close:
            await self._on_close()
