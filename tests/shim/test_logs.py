"""CRI log lines and the rotation of their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_agents.shim.logs import PIECE, Lines, Log, timestamp

NOW = 1_700_000_000_123_456_789
STAMP = b"2023-11-14T22:13:20.123456789Z"


def rows(data: bytes) -> list[tuple[bytes, bytes]]:
    """(tag, text) of each line."""
    assert data == b"" or data.endswith(b"\n")
    return [tuple(line.split(b" ", 3)[2:4]) for line in data.split(b"\n")[:-1]]  # type: ignore[misc]


def test_a_timestamp_has_nanoseconds() -> None:
    assert timestamp(NOW) == STAMP
    assert timestamp(5) == b"1970-01-01T00:00:00.000000005Z"


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"a\nb\n"], [(b"F", b"a"), (b"F", b"b")], id="two lines"),
        pytest.param([b"a", b"b\n"], [(b"F", b"ab")], id="line in pieces"),
        pytest.param([b"\n"], [(b"F", b"")], id="empty line"),
        pytest.param([b"a\nrest"], [(b"F", b"a"), (b"P", b"rest")], id="no newline at the end"),
        pytest.param([b"x" * (PIECE + 1) + b"\n"], [(b"P", b"x" * PIECE), (b"F", b"x")], id="long line"),
        pytest.param([b"x" * PIECE + b"\n"], [(b"F", b"x" * PIECE)], id="just not long"),
    ],
)
def test_lines(chunks: list[bytes], expected: list[tuple[bytes, bytes]]) -> None:
    lines = Lines("stdout")
    assert rows(b"".join(lines.feed(chunk, NOW) for chunk in chunks) + lines.end(NOW)) == expected


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_byte_is_lost_however_the_stream_is_cut(chunks: list[bytes]) -> None:
    lines = Lines("stderr")
    found = rows(b"".join(lines.feed(chunk, NOW) for chunk in chunks) + lines.end(NOW))
    assert b"".join(text + (b"\n" if tag == b"F" else b"") for tag, text in found) == b"".join(chunks)


def test_rotation_keeps_the_newest_files(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "c" / "0.log"), max_bytes=10, max_files=3)
    for number in range(5):
        log.write(b"line %d..\n" % number)
    log.close()
    files = {path.name: path.read_text() for path in (tmp_path / "c").iterdir()}
    assert files == {"0.log": "line 4..\n", "0.log.1": "line 3..\n", "0.log.2": "line 2..\n"}


def test_a_log_is_continued_and_can_be_reopened(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("before\n")
    log = Log(str(path))
    log.write(b"after\n")
    path.rename(tmp_path / "moved")
    log.reopen()
    log.write(b"new\n")
    log.close()
    assert (tmp_path / "moved").read_text() == "before\nafter\n"
    assert path.read_text() == "new\n"
