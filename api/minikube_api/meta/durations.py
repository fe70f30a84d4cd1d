"""Go's durations as text (`1h2m3.5s`), in seconds. Source: Go's time.ParseDuration and Duration.String; resolution 1 ns."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_part_re = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")
_LIMIT = 1 << 63


def parse(text: str) -> float:
    """Seconds. ValueError with Go's words when it is no duration."""
    return parse_nanoseconds(text) / 1e9


def parse_nanoseconds(text: str) -> int:
    rest, negative = text, False
    if rest[:1] in ("-", "+"):
        negative = rest[0] == "-"
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        part = _part_re.match(rest)
        if part is None or (not part[1] and part[2] in (None, ".")):
            raise ValueError(f'time: invalid duration "{text}"')
        if not part[3]:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if part[3] not in _UNITS:
            raise ValueError(f'time: unknown unit "{part[3]}" in duration "{text}"')
        total += int(Fraction((part[1] or "0") + (part[2] or "").rstrip(".")) * _UNITS[part[3]])
        rest = rest[part.end() :]
    if total > _LIMIT or (total == _LIMIT and not negative):
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if negative else total


def format(seconds: float) -> str:
    """`3661.5` -> `1h1m1.5s`, `0.25` -> `250ms`, `0` -> `0s`."""
    return format_nanoseconds(round(seconds * 1e9))


def format_nanoseconds(nanos: int) -> str:
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    if nanos == 0:
        return "0s"
    for unit, size in (("ns", 1_000), ("µs", 1_000_000), ("ms", 1_000_000_000)):
        if nanos < size:
            return f"{sign}{_decimal(nanos, size // 1_000)}{unit}"
    minutes, rest = divmod(nanos, _UNITS["m"])
    text = f"{_decimal(rest, _UNITS['s'])}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    return f"{whole}.{str(part).rjust(len(str(unit)) - 1, '0').rstrip('0')}"


def human(seconds: float) -> str:
    """The age column of a table: at most three figures (`apimachinery/pkg/util/duration.HumanDuration`)."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 120:
        return f"{total}s"
    minutes = total // 60
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = total // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    years = hours // 24 // 365
    if hours < 24 * 365 * 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"
