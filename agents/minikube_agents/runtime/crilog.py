"""The CRI log format: `2026-11-22T21:02:03.123456789Z stdout F text`, a line each; P marks a piece of a longer line.

Source: Kubernetes' design proposal "kubelet CRI logging". Written by the shim and hollow, read by the kubelet.
"""

from __future__ import annotations

import time
from typing import NamedTuple


class LogLine(NamedTuple):
    """`timestamp` as written (RFC 3339 with nanoseconds); `partial`: no newline follows the text."""

    timestamp: bytes
    stream: bytes
    partial: bool
    text: bytes


def format_line(seconds: float, stream: str, text: bytes, *, partial: bool = False) -> bytes:
    whole, fraction = divmod(int(seconds * 1e9), 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{stamp}.{fraction:09d}Z {stream} {'P' if partial else 'F'} ".encode() + text + b"\n"


def parse_line(line: bytes) -> LogLine:
    """Raises ValueError for what is no CRI log line. `line` may end with a newline."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        raise ValueError(f"unexpected CRI log line: {line[:80]!r}")
    return LogLine(parts[0], parts[1], parts[2].split(b":", 1)[0] == b"P", parts[3] if len(parts) == 4 else b"")
