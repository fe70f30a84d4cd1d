"""The file of an audit log: put aside when it is full, and what was put aside is removed in time (lumberjack's rules)."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from minikube_api.meta import times

#: bytes of a megabyte, and megabytes of a file when nothing is said: lumberjack's defaults, which kube-apiserver has
MEGABYTE, DEFAULT_SIZE = 1024 * 1024, 100
_DAY = 86400.0
_STAMP = "%Y-%m-%dT%H-%M-%S"


@dataclass(frozen=True, slots=True)
class Keeping:
    """--audit-log-maxsize (megabytes; 0 = 100), --audit-log-maxbackup (files; 0 = all), --audit-log-maxage (days; 0 = for ever)."""

    max_size: int = 0
    max_backups: int = 0
    max_age: int = 0

    def __post_init__(self) -> None:
        for option, value in (("maxage", self.max_age), ("maxbackup", self.max_backups), ("maxsize", self.max_size)):
            if value < 0:
                raise ValueError(f"--audit-log-{option} {value} can't be a negative number")

    @property
    def full(self) -> int:
        """Bytes that a file may have."""
        return (self.max_size or DEFAULT_SIZE) * MEGABYTE


KEEP_ALL = Keeping()


class RotatedFile:
    """Appends whole lines. Not for several threads. Raises OSError."""

    def __init__(self, path: Path, keeping: Keeping = KEEP_ALL, clock: times.Clock = times.SYSTEM) -> None:
        self._path, self._keeping, self._clock = path, keeping, clock
        self._file: io.FileIO = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, lines: list[bytes]) -> None:
        """A file is put aside before it would be too big; a batch that is too big alone is split between lines."""
        if self._file.closed:  # it could not be opened anew last time
            self._file = self._path.open("ab", buffering=0)
        batch: list[bytes] = []
        waiting = 0
        for line in lines:
            if self._size + waiting + len(line) + 1 > self._keeping.full and self._size + waiting:
                self._append(batch)
                batch, waiting = [], 0
                self._put_aside()
            batch.append(line)
            waiting += len(line) + 1
        self._append(batch)

    def _append(self, batch: list[bytes]) -> None:
        if batch:
            data = memoryview(b"\n".join(batch) + b"\n")
            while data:
                written = self._file.write(data)
                self._size += written
                data = data[written:]

    def _put_aside(self) -> None:
        self._file.close()
        now = self._clock.time()
        while (aside := self._aside(now)).exists():
            now += 0.001
        self._path.rename(aside)
        self._file = self._path.open("ab", buffering=0)
        self._size = 0
        self._remove_old()

    def _aside(self, now: float) -> Path:
        """`audit-2026-01-02T03-04-05.678.log` of `audit.log`."""
        moment = datetime.fromtimestamp(now, UTC)
        stamp = f"{moment.strftime(_STAMP)}.{moment.microsecond // 1000:03d}"
        return self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")

    def _remove_old(self) -> None:
        keeping = self._keeping
        pattern = re.compile(
            rf"{re.escape(self._path.stem)}-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{{3}}){re.escape(self._path.suffix)}"
        )
        found = [(match, path) for path in self._path.parent.iterdir() if (match := pattern.fullmatch(path.name))]
        newest_first = sorted(found, key=lambda one: one[1].name, reverse=True)
        oldest = self._clock.time() - keeping.max_age * _DAY
        for number, (match, path) in enumerate(newest_first):
            made = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC).timestamp() + int(match[2]) / 1000
            if (keeping.max_backups and number >= keeping.max_backups) or (keeping.max_age and made < oldest):
                path.unlink()

    def close(self) -> None:
        self._file.close()
