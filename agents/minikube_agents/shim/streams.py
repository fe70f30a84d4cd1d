"""A running container's standard streams: output to its log and to whoever is attached, input from them.

The log comes first and never waits. An attached client that does not read loses its attachment once `BACKLOG` bytes wait for it:
a container must not stand still because somebody's terminal does.
"""

from __future__ import annotations

import os
import time

from minikube_agents.shim import logs
from minikube_agents.shim import loop as loops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 1 << 20
_CHUNK = 1 << 16


class Sink:
    """The writing end of one attached client's pipe."""

    def __init__(self, loop: loops.Loop, fd: int, gone: Callable[[Sink], None]) -> None:
        self.fd = fd
        self._loop = loop
        self._gone = gone
        self._waiting = bytearray()
        self._ending = False

    def write(self, data: bytes) -> None:
        if not self._waiting:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
            if data:
                self._loop.add(self.fd, loops.WRITE, self._ready)
        self._waiting += data
        if len(self._waiting) > BACKLOG:
            self.close()

    def _ready(self, _events: int) -> None:
        try:
            del self._waiting[: os.write(self.fd, self._waiting)]
        except OSError:
            self.close()
            return
        if not self._waiting:
            self._loop.remove(self.fd)
            if self._ending:
                self.close()

    def end(self) -> None:
        """Close once everything is written."""
        self._ending = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        if self.fd >= 0:
            self._loop.remove(self.fd)
            os.close(self.fd)
            self.fd = -1
            self._gone(self)


class Output:
    """One stream (stdout, stderr, or a terminal's master): reads, logs, copies to the sinks."""

    def __init__(self, loop: loops.Loop, fd: int, name: str, log: logs.Log) -> None:
        self.fd = fd
        self._loop = loop
        self._lines = logs.Lines(name)
        self._log = log
        self._sinks: list[Sink] = []
        self._complained = False
        self.ended = False
        os.set_blocking(fd, False)
        loop.add(fd, loops.READ, self._ready)

    def attach(self, fd: int) -> None:
        """Takes the descriptor over."""
        os.set_blocking(fd, False)
        if self.ended:
            os.close(fd)
        else:
            self._sinks.append(Sink(self._loop, fd, self._sinks.remove))

    def _ready(self, _events: int) -> None:
        self._read()

    def _read(self) -> bool:
        """False when there is nothing now."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last process with this terminal is gone
        now = time.time_ns()
        if not data:
            self._write(self._lines.end(now))
            self._end()
            return False
        self._write(self._lines.feed(data, now))
        for sink in list(self._sinks):
            sink.write(data)
        return True

    def _write(self, lines: bytes) -> None:
        try:
            if lines:
                self._log.write(lines)
        except OSError as error:
            if not self._complained:
                self._complained = True
                loops.log(f"log {self._log.path}: {error}")

    def drain(self) -> None:
        """What stands in the pipe when the container has ended."""
        while not self.ended and self._read():
            pass

    def _end(self) -> None:
        self.ended = True
        self._loop.remove(self.fd)
        os.close(self.fd)
        self.fd = -1
        for sink in list(self._sinks):
            sink.end()

    def close(self) -> None:
        if not self.ended:
            self._write(self._lines.end(time.time_ns()))
            self._end()


class Streams:
    """All streams of a container; `stdin` is the end that we write to, or -1."""

    def __init__(self, loop: loops.Loop, log: logs.Log, outputs: dict[str, int], stdin: int) -> None:
        self.log = log
        self.outputs = {name: Output(loop, fd, name, log) for name, fd in outputs.items()}
        self.stdin = stdin

    def attach(self, names: list[str], *, stdin: bool, stdin_once: bool) -> tuple[list[str], list[int]]:
        """New descriptors for a client: what each is, and itself. With `stdin_once` the client's end is the only one left."""
        kinds: list[str] = []
        fds: list[int] = []
        for name in names:
            if name in self.outputs:
                reader, writer = os.pipe2(os.O_CLOEXEC)
                self.outputs[name].attach(writer)
                kinds.append(name)
                fds.append(reader)
        if stdin and self.stdin >= 0:
            kinds.append("stdin")
            if stdin_once:
                fds.append(self.stdin)
                self.stdin = -1
            else:
                fds.append(os.dup(self.stdin))
        return kinds, fds

    def finish(self) -> None:
        for output in self.outputs.values():
            output.drain()
            output.close()
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
        self.log.close()
