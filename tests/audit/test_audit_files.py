from __future__ import annotations

from pathlib import Path

import pytest

from minikube_api.client.stepping import SteppedClock
from minikube_api.server.access.audit_files import Keeping, RotatedFile

LINE = b"x" * (400 * 1024 - 1)


def names(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_a_full_file_is_put_aside_under_its_time_and_no_line_is_split(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "audit.log", Keeping(max_size=1), SteppedClock(0.0))
    file.write([LINE] * 5)
    file.close()
    assert names(tmp_path) == ["audit-1970-01-01T00-00-00.000.log", "audit-1970-01-01T00-00-00.001.log", "audit.log"]
    assert [len(p.read_bytes().splitlines()) for p in sorted(tmp_path.iterdir())] == [2, 2, 1]


def test_what_was_there_counts_for_the_size(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes((LINE + b"\n") * 2)
    file = RotatedFile(path, Keeping(max_size=1), SteppedClock(0.0))
    file.write([b"new"])
    file.write([LINE])
    file.close()
    assert path.read_bytes() == LINE + b"\n"
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize(
    ("keeping", "kept"),
    [
        pytest.param(Keeping(max_size=1), ["01", "02", "03"], id="all"),
        pytest.param(Keeping(max_size=1, max_backups=2), ["02", "03"], id="the newest two"),
        pytest.param(Keeping(max_size=1, max_age=1), ["02", "03"], id="of the last day"),
    ],
)
async def test_old_files_go(tmp_path: Path, keeping: Keeping, kept: list[str]) -> None:
    other = tmp_path / "audit-notes.log"
    other.touch()
    clock = SteppedClock(0.0)
    file = RotatedFile(tmp_path / "audit.log", keeping, clock)
    file.write([LINE] * 2)
    for _ in range(3):
        await clock.advance(82800.0)
        file.write([LINE] * 2)
    file.close()
    assert [name[len("audit-1970-01-") :][:2] for name in names(tmp_path) if "T" in name] == kept
    assert other.exists()


def test_negative_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="--audit-log-maxage -1 can't be a negative number"):
        Keeping(max_age=-1)
