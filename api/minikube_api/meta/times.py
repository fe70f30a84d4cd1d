"""Clocks and RFC 3339 times: metav1.Time (whole seconds) and metav1.MicroTime (six digits), both in UTC."""

from __future__ import annotations

import asyncio
import time as _time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What a component knows of time. Tests step one of their own."""

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards; differences only."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        return _time.time()

    def monotonic(self) -> float:
        return _time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM = SystemClock()


def now(clock: Clock = SYSTEM) -> str:
    """The present as metav1.Time: `2026-01-02T03:04:05Z`."""
    return format_time(clock.time())


def now_micro(clock: Clock = SYSTEM) -> str:
    """The present as metav1.MicroTime: `2026-01-02T03:04:05.000000Z`."""
    return format_micro(clock.time())


def format_time(seconds: float) -> str:
    """Whole seconds, cut off (not rounded), as Go formats a metav1.Time."""
    return _format_second(int(seconds // 1))


@lru_cache(maxsize=256)
def _format_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_micro(seconds: float) -> str:
    micros = round(seconds * 1_000_000)
    return f"{_format_second(micros // 1_000_000)[:-1]}.{micros % 1_000_000:06d}Z"


def parse(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. ValueError when it is none."""
    return (parse_datetime(text) - _EPOCH).total_seconds()


def parse_datetime(text: str) -> datetime:
    """An aware datetime in UTC; digits past microseconds are cut. ValueError when `text` is no RFC 3339 time."""
    if len(text) < 20 or text[10] not in "Tt" or not text.isascii():
        raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00"')
    head, rest = text[:19], text[19:]
    fraction = ""
    if rest[:1] == ".":
        digits = len(rest) - len(rest[1:].lstrip("0123456789")) - 1
        fraction, rest = rest[1 : 1 + digits], rest[1 + digits :]
    offset = timedelta(0)
    if rest not in ("Z", "z"):
        if len(rest) != 6 or rest[0] not in "+-" or rest[3] != ":":
            raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00"')
        offset = timedelta(hours=int(rest[1:3]), minutes=int(rest[4:6])) * (-1 if rest[0] == "-" else 1)
    moment = datetime.strptime(head.upper(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC) - offset
    return moment + timedelta(microseconds=int((fraction + "000000")[:6])) if fraction else moment


def normalize(text: str) -> str:
    """A client's time as the server stores a metav1.Time: UTC, whole seconds."""
    if len(text) == 20 and text[-1] == "Z" and text[10] == "T":
        parse_datetime(text)
        return text
    return format_time(parse(text))
