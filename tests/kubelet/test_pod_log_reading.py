"""Container logs in CRI format: tail, since, timestamps, limits, following."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_builders import NOW

from minikube_agents.kubelet import logs
from minikube_agents.kubelet.logs import LogOptions
from minikube_agents.runtime.crilog import format_line


def write(path: Path, *lines: str, start: float = NOW) -> None:
    """A line ending in `…` is a piece of a longer one."""
    with path.open("ab") as log:
        for i, line in enumerate(lines):
            log.write(format_line(start + i, "stdout", line.rstrip("…").encode(), partial=line.endswith("…")))


async def read(path: Path, **options: Any) -> str:
    async def no() -> bool:
        return False

    async def pause() -> None:
        raise AssertionError("nothing to wait for")

    return b"".join([piece async for piece in logs.read(path, LogOptions(**options), running=no, pause=pause)]).decode()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "one\ntwo\nthree\n", id="all"),
        pytest.param({"tail": 2}, "two\nthree\n", id="tail"),
        pytest.param({"tail": 0}, "", id="tail 0"),
        pytest.param({"tail": 9}, "one\ntwo\nthree\n", id="tail beyond the start"),
        pytest.param({"since": NOW + 1}, "two\nthree\n", id="since"),
        pytest.param({"limit_bytes": 5}, "one\nt", id="limitBytes"),
        pytest.param({"tail": 1, "timestamps": True}, "2023-11-14T22:13:22.000000000Z three\n", id="timestamps"),
        pytest.param({"stream": "Stderr"}, "", id="the other stream"),
    ],
)
async def test_options(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    path = tmp_path / "0.log"
    write(path, "one", "two", "three")
    assert await read(path, **options) == expected


async def test_pieces_are_joined_and_count_as_one_line(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    write(path, "a", "long…", "er", "b")
    assert await read(path) == "a\nlonger\nb\n"
    assert await read(path, tail=2) == "longer\nb\n"


@given(st.lists(st.text(alphabet="ab", max_size=90), max_size=60), st.integers(0, 70))
def test_tail_gives_the_last_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    path.touch()
    write(path, *lines)
    before, logs.BLOCK = logs.BLOCK, 64
    try:
        offset = logs.tail_offset(path, count)
    finally:
        logs.BLOCK = before
    assert len(path.read_bytes()[offset:].splitlines()) == min(count, len(lines))


async def test_following_goes_on_through_rotation_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    write(path, "one")
    pauses = 0

    async def running() -> bool:
        return pauses < 3

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:
            write(path, "two")
        elif pauses == 2:
            path.rename(tmp_path / "0.log.1")
            write(path, "three")

    options = LogOptions(follow=True)
    found = [piece async for piece in logs.read(path, options, running=running, pause=pause)]
    assert b"".join(found) == b"one\ntwo\nthree\n"


def test_the_end_of_a_log_as_termination_message(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    write(path, *(f"line {i}" for i in range(100)))
    text = logs.tail_text(path, lines=80, limit=2048)
    assert text.splitlines()[0] == "line 20"
    assert len(logs.tail_text(path, lines=80, limit=10)) == 10
