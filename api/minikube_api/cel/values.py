"""Run-time values of CEL that plain Python does not have, and its equality. int, float, str, bytes, bool, None, list, dict are themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from minikube_api.meta import times

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
NANO = 10**9


class EvaluationError(Exception):
    """An expression failed at run time; `str()` is cel-go's text."""


class UInt(int):
    """An unsigned integer: `1u`."""


class Duration:
    """Nanoseconds."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(("duration", self.nanos))

    def __lt__(self, other: Duration) -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: Duration) -> bool:
        return self.nanos <= other.nanos

    def __str__(self) -> str:
        whole, rest = divmod(abs(self.nanos), NANO)
        text = str(whole) + (f".{rest:09d}".rstrip("0") if rest else "")
        return ("-" if self.nanos < 0 else "") + text + "s"


class Timestamp:
    """Nanoseconds since the epoch."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(("timestamp", self.nanos))

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: Timestamp) -> bool:
        return self.nanos <= other.nanos

    @property
    def datetime(self) -> datetime:
        seconds, rest = divmod(self.nanos, NANO)
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds, microseconds=rest // 1000)

    def __str__(self) -> str:
        seconds, rest = divmod(self.nanos, NANO)
        text = (datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def timestamp(text: str) -> Timestamp:
    """RFC 3339. Raises EvaluationError."""
    match = re.fullmatch(r"([^.]+?)(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})", text)
    try:
        if match is None:
            raise ValueError
        seconds = round(times.parse(f"{match[1]}{match[3]}"))
        rest = int((match[2] or "0").ljust(9, "0"))
    except ValueError:
        raise EvaluationError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"') from None
    return Timestamp(seconds * NANO + rest)


_units = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": NANO, "m": 60 * NANO, "h": 3600 * NANO}
_part = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")


def duration(text: str) -> Duration:
    """Go's `1h2m3.5s`. Raises EvaluationError."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return Duration(0)
    at, nanos = 0, 0
    while at < len(rest):
        match = _part.match(rest, at)
        if match is None or not (match[1] or match[2]):
            break
        unit = _units[match[3]]
        nanos += int(match[1] or 0) * unit
        if match[2]:
            nanos += int(match[2]) * unit // 10 ** len(match[2])
        at = match.end()
    if not rest or at < len(rest):
        raise EvaluationError(f'time: invalid duration "{text}"')
    return Duration(sign * nanos)


class Optional:
    """`optional.of(x)` or `optional.none()`."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional) or self.present != other.present:
            return False
        return not self.present or equal(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.present)


NONE = Optional(False)


class TypeValue:
    """What `type(x)` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


class SetList(list[Any]):
    """A list whose order does not count (x-kubernetes-list-type: set)."""

    def plus(self, other: list[Any]) -> list[Any]:
        return SetList([*self, *(item for item in other if not any(equal(item, mine) for mine in self))])


class KeyedList(list[Any]):
    """A list whose items have keys (x-kubernetes-list-type: map)."""

    keys: tuple[str, ...] = ()

    def key(self, item: Any) -> tuple[Any, ...]:
        return tuple(item.get(name) for name in self.keys)

    def plus(self, other: list[Any]) -> list[Any]:
        made = KeyedList(self)
        made.keys = self.keys
        places = {self.key(item): i for i, item in enumerate(made)}
        for item in other:
            place = places.get(self.key(item))
            if place is None:
                made.append(item)
            else:
                made[place] = item
        return made


def equal(a: Any, b: Any) -> bool:
    """CEL's equality: numbers by value across types, booleans are no numbers, sets without order."""
    kind, other = type(a), type(b)
    if kind is other and (kind is str or kind is int):
        return bool(a == b)
    if kind is bool or other is bool:
        return kind is other and a == b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    if isinstance(a, list) and isinstance(b, list):
        return _equal_lists(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(key in b and equal(value, b[key]) for key, value in a.items())
    return kind is other and bool(a == b)


def _equal_lists(a: list[Any], b: list[Any]) -> bool:
    if len(a) != len(b):
        return False
    if isinstance(a, SetList) or isinstance(b, SetList):
        return all(any(equal(x, y) for y in b) for x in a)
    if isinstance(a, KeyedList):
        known = {a.key(item): item for item in b}
        return all(a.key(item) in known and equal(item, known[a.key(item)]) for item in a)
    return all(equal(x, y) for x, y in zip(a, b, strict=True))


def type_name(value: Any) -> str:
    if value is None:
        return "null_type"
    named = getattr(value, "cel_type", None)
    if isinstance(named, str):
        return named
    for python, name in (
        (bool, "bool"), (UInt, "uint"), (int, "int"), (float, "double"), (str, "string"), (bytes, "bytes"), (list, "list"),
        (dict, "map"), (Duration, "google.protobuf.Duration"), (Timestamp, "google.protobuf.Timestamp"), (TypeValue, "type"),
        (Optional, "optional_type"),
    ):  # fmt: skip
        if isinstance(value, python):
            return name
    return type(value).__name__
