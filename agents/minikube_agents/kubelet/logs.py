"""Reads container logs (CRI format): tail, since, timestamps, limits, and following a running container through rotation.

Source: kubectl logs' options and the kubelet's /containerLogs. Files are read in pieces; following waits on a wake-up or a short poll.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minikube_agents.runtime.crilog import LogLine, parse_line
from minikube_api.meta import times

BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`since`: epoch seconds; None = from the start. `tail`: lines, None = all. `stream`: "All", "Stdout" or "Stderr"."""

    follow: bool = False
    timestamps: bool = False
    since: float | None = None
    tail: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"


def wanted(line: LogLine, options: LogOptions) -> bool:
    if options.stream != "All" and line.stream.decode() != options.stream.lower():
        return False
    return options.since is None or times.parse(line.timestamp.decode()) >= options.since


def render(line: LogLine, options: LogOptions) -> bytes:
    end = b"" if line.partial else b"\n"
    return (line.timestamp + b" " if options.timestamps else b"") + line.text + end


def tail_offset(path: Path, count: int) -> int:
    """Where the last `count` lines of the file begin. Lines of the log file: pieces of a long line count as one."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        if count <= 0:
            return position
        tail = b""
        while position > 0:
            step = min(BLOCK, position)
            position -= step
            file.seek(position)
            tail = file.read(step) + tail
            lines = tail.split(b"\n")
            ends = sum(1 for line in lines[1 if position else 0 :] if _is_end(line))
            if ends > count:
                break
        return position + _skip(tail, count, whole=position == 0)


def _is_end(line: bytes) -> bool:
    """The line ends one of the container's lines (it is not a piece of a longer one)."""
    parts = line.split(b" ", 3)
    return len(parts) >= 3 and not parts[2].startswith(b"P")


def _skip(block: bytes, count: int, *, whole: bool) -> int:
    """Offset in `block` after which exactly `count` ends follow."""
    offset = 0 if whole else block.find(b"\n") + 1
    starts: deque[int] = deque(maxlen=count)
    begin = offset
    for line in block[offset:].splitlines(keepends=True):
        offset += len(line)
        if _is_end(line):
            starts.append(begin)
            begin = offset
    return starts[0] if starts else 0


def tail_text(path: Path, *, lines: int, limit: int) -> str:
    """The end of a log as plain text (FallbackToLogsOnError): `lines` lines, `limit` bytes."""
    offset = tail_offset(path, lines)
    with path.open("rb") as file:
        file.seek(offset)
        text = b"".join(render(line, LogOptions()) for line in _parsed(file.read().splitlines()))
    return text[-limit:].decode(errors="replace")


def _parsed(lines: list[bytes]) -> Iterator[LogLine]:
    for line in lines:
        try:
            yield parse_line(line)
        except ValueError:
            continue


async def read(
    path: Path,
    options: LogOptions,
    *,
    running: Callable[[], Awaitable[bool]],
    pause: Callable[[], Awaitable[None]],
) -> AsyncIterator[bytes]:
    """Pieces of the log as the client wants them. Raises FileNotFoundError.

    `running`: whether more may come; asked only when following. `pause`: waits until it is worth looking again.
    """
    left = options.limit_bytes
    file = path.open("rb")
    try:
        if options.tail is not None:
            file.seek(tail_offset(path, options.tail))
        rest = b""
        while True:
            block = file.read(BLOCK)
            if block:
                *lines, rest = (rest + block).split(b"\n")
                out = b"".join(render(line, options) for line in _parsed(lines) if wanted(line, options))
                if left is not None:
                    out, left = out[:left], left - len(out[:left])
                if out:
                    yield out
                if left == 0:
                    return
                continue
            if not options.follow:
                return
            alive = await running()
            fresh = _rotated(path, file.fileno())
            if fresh:
                file.close()
                file = path.open("rb")
                continue
            if not alive and file.tell() >= os.fstat(file.fileno()).st_size:
                return
            if alive:
                await pause()
    finally:
        file.close()


def _rotated(path: Path, descriptor: int) -> bool:
    """The name leads to another file now, and this one was read to its end."""
    if not path.exists():
        return False
    ours, named = os.fstat(descriptor), path.stat()
    return (ours.st_dev, ours.st_ino) != (named.st_dev, named.st_ino)
