"""A container's output as CRI log lines, with rotation.

A line is `<RFC3339Nano> <stdout|stderr> <F|P> <text>` (CRI logging, KEP-kubelet "cri-logging"): F a whole line, P a piece of one, because it is
longer than 16 KiB or the stream ended without a newline. Rotation as the kubelet's containerLogMaxSize and containerLogMaxFiles: the
shim does it, since it lives on while the kubelet is away: `0.log`, `0.log.1` (the newest old one) ... `0.log.4`.
"""

from __future__ import annotations

import os
import time

PIECE = 16 * 1024


def timestamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % rest


class Lines:
    """Bytes of one stream in, CRI lines out. Holds back an unfinished line until its end, 16 KiB, or the end of the stream."""

    __slots__ = ("_name", "_rest")

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._rest = b""

    def feed(self, data: bytes, now: int) -> bytes:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not whole and len(self._rest) < PIECE:
            return b""
        stamp = timestamp(now) + b" " + self._name
        out = []
        for line in whole:
            while len(line) > PIECE:
                out.append(stamp + b" P " + line[:PIECE])
                line = line[PIECE:]
            out.append(stamp + b" F " + line)
        while len(self._rest) >= PIECE:
            out.append(stamp + b" P " + self._rest[:PIECE])
            self._rest = self._rest[PIECE:]
        return b"\n".join(out) + b"\n"

    def end(self, now: int) -> bytes:
        rest, self._rest = self._rest, b""
        return timestamp(now) + b" " + self._name + b" P " + rest + b"\n" if rest else b""


class Log:
    """The file. Opened for append, so that a tool that truncates it does no harm."""

    def __init__(self, path: str, *, max_bytes: int = 10 << 20, max_files: int = 5) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._fd = -1
        self._size = 0
        self.reopen()

    def reopen(self) -> None:
        """After somebody else moved the file away (CRI ReopenContainerLog)."""
        self.close()
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Lines whole. A full disk loses them rather than the container: OSError passes on to the caller, who says so once."""
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._size += len(data)

    def _rotate(self) -> None:
        for number in range(self._max_files - 1, 0, -1):
            older = f"{self.path}.{number - 1}" if number > 1 else self.path
            if os.path.exists(older):
                os.replace(older, f"{self.path}.{number}")
        self.reopen()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
