"""The asyncio side of a shim's socket: calls, descriptors that come back, events.

`ShimClient` belongs to the loop it was opened in. Cancelling a call leaves the shim doing it; its answer is dropped. When the
shim goes away, pending calls
and later ones raise `ShimGone`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from minikube_agents.shim import frames, launch


class ShimError(Exception):
    """The shim refused. `kind`: notfound, invalid, conflict, os (with `errno`), setup and start (of a container)."""

    def __init__(self, kind: str, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.errno = errno


class ShimGone(ShimError):
    def __init__(self, message: str = "the shim is gone") -> None:
        super().__init__("gone", message)


@dataclass(frozen=True, slots=True)
class Completed:
    code: int
    stdout: str
    stderr: str


class ShimClient:
    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._decoder = frames.Decoder()
        self._pending: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._outgoing: deque[memoryview] = deque()
        self._next = 0
        self._listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()

    async def open(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            self._socket = launch.connect(self.path)
        except OSError as error:
            raise ShimGone(f"no shim at {self.path}: {error.strerror}") from error
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket.fileno(), self._readable)
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go; what the shim holds lives on."""
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._decoder.close()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ShimGone())
        self._pending.clear()
        for queue in self._listeners:
            queue.put_nowait(None)

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data, fds = frames.receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self.close()
            return
        for message, mine in self._decoder.feed(data, fds):
            self._take(message, mine)

    def _take(self, message: dict[str, Any], fds: list[int]) -> None:
        event = message.get("event")
        if event is not None:
            for queue in self._listeners:
                queue.put_nowait(event)
            return
        future = self._pending.pop(message["id"], None)
        if future is None or future.done():
            for fd in fds:
                os.close(fd)
        elif "error" in message:
            problem = message["error"]
            future.set_exception(ShimError(problem["kind"], problem["message"], problem.get("errno", 0)))
        else:
            future.set_result((message["ok"], fds))

    def _write(self) -> None:
        assert self._socket is not None
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing[0])
                if sent < len(self._outgoing[0]):
                    self._outgoing[0] = self._outgoing[0][sent:]
                else:
                    self._outgoing.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._write)
        except OSError:
            self.close()
        else:
            self._loop.remove_writer(self._socket.fileno())

    async def call_with_fds(self, operation: str, **arguments: Any) -> tuple[dict[str, Any], list[int]]:
        """The answer and the descriptors that came with it, which are the caller's to close."""
        if self._socket is None:
            raise ShimGone
        self._next += 1
        number = self._next
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        self._pending[number] = future
        idle = not self._outgoing
        self._outgoing.append(memoryview(frames.encode({"id": number, "op": operation, **arguments})))
        if idle:
            self._write()
        try:
            return await future
        except asyncio.CancelledError:
            self._drop(number, future)
            raise

    def _drop(self, number: int, future: asyncio.Future[tuple[dict[str, Any], list[int]]]) -> None:
        self._pending.pop(number, None)
        if future.done() and not future.cancelled() and future.exception() is None:
            for fd in future.result()[1]:
                os.close(fd)

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        result, fds = await self.call_with_fds(operation, **arguments)
        for fd in fds:
            os.close(fd)
        return result

    async def open_socket(
        self,
        kind: Literal["connect", "listen"],
        host: str,
        port: int,
        *,
        type: Literal["tcp", "udp"] = "tcp",
        **where: str,
    ) -> socket.socket:
        """A non-blocking socket of the shim's network namespace: the cluster's, a node's (`name=` at the cluster's shim), a pod's
        (`sandbox=` at a node's shim). `listen`: bound (and listening, for TCP); `connect`: connected. OSError as from connect."""
        request = {"listen": kind == "listen", "host": host, "port": port, "type": type}
        try:
            _answer, fds = await self.call_with_fds("socket", **request, **where)
        except ShimError as error:
            if error.kind == "os":
                raise OSError(error.errno, str(error)) from error
            raise
        sock = socket.socket(fileno=fds[0])
        sock.setblocking(False)
        if kind == "connect":
            try:
                await self._loop.sock_connect(sock, (host, port))
            except BaseException:
                sock.close()
                raise
        return sock

    async def run(self, argv: Sequence[str], stdin: str = "", **where: str) -> Completed:
        """Run a program in the namespace (see open_socket). A program that can't be found is an OSError."""
        try:
            answer = await self.call("run", argv=list(argv), stdin=stdin, **where)
        except ShimError as error:
            if error.kind == "os":
                raise OSError(error.errno, str(error)) from error
            raise
        return Completed(answer["code"], answer["stdout"], answer["stderr"])

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Events from now on; ends when the shim is gone."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            await self.call("subscribe")
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._listeners.discard(queue)
