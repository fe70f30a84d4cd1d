"""The table of functions: overloads by name; the standard library of CEL. `library` adds Kubernetes' own.

An overload of a member function has its receiver as first argument. Source: cel-spec langdef.md, "Standard definitions".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from minikube_api.cel import values
from minikube_api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    A,
    B,
    Type,
    list_of,
    map_of,
    optional_of,
)
from minikube_api.cel.values import NONE, Duration, EvaluationError, Optional, Timestamp, TypeValue, UInt


@dataclass(frozen=True, slots=True)
class Overload:
    args: tuple[Type, ...]
    result: Type
    function: Callable[..., Any]
    member: bool = False


FUNCTIONS: dict[str, list[Overload]] = {}


def declare(name: str, args: tuple[Type, ...], result: Type, function: Callable[..., Any], *, member: bool = False) -> None:
    FUNCTIONS.setdefault(name, []).append(Overload(args, result, function, member))


def global_(name: str, args: tuple[Type, ...], result: Type, function: Callable[..., Any]) -> None:
    declare(name, args, result, function)


def method(name: str, args: tuple[Type, ...], result: Type, function: Callable[..., Any]) -> None:
    declare(name, args, result, function, member=True)


# ---- arithmetic


def checked(value: int) -> int:
    if not values.INT_MIN <= value <= values.INT_MAX:
        raise EvaluationError("integer overflow")
    return value


def checked_uint(value: int) -> UInt:
    if not 0 <= value <= values.UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


def _divide(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("division by zero")
    quotient = abs(a) // abs(b)
    return checked(quotient if (a < 0) == (b < 0) else -quotient)


def _modulo(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("modulus by zero")
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def _float_divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _concatenated(a: list[Any], b: list[Any]) -> list[Any]:
    plus = getattr(a, "plus", None)
    joined: list[Any] = a + b if plus is None else plus(b)
    return joined


_LA = list_of(A)
_MAB = map_of(A, B)

for _name, _int, _float in (
    ("_+_", lambda a, b: checked(a + b), lambda a, b: a + b),
    ("_-_", lambda a, b: checked(a - b), lambda a, b: a - b),
    ("_*_", lambda a, b: checked(a * b), lambda a, b: a * b),
    ("_/_", _divide, _float_divide),
):
    global_(_name, (INT, INT), INT, _int)
    global_(_name, (DOUBLE, DOUBLE), DOUBLE, _float)
global_("_+_", (UINT, UINT), UINT, lambda a, b: checked_uint(a + b))
global_("_-_", (UINT, UINT), UINT, lambda a, b: checked_uint(a - b))
global_("_*_", (UINT, UINT), UINT, lambda a, b: checked_uint(a * b))
global_("_/_", (UINT, UINT), UINT, lambda a, b: checked_uint(_divide(a, b)))
global_("_%_", (INT, INT), INT, _modulo)
global_("_%_", (UINT, UINT), UINT, lambda a, b: checked_uint(_modulo(a, b)))
global_("_+_", (STRING, STRING), STRING, lambda a, b: a + b)
global_("_+_", (BYTES, BYTES), BYTES, lambda a, b: a + b)
global_("_+_", (_LA, _LA), _LA, _concatenated)
global_("_+_", (DURATION, DURATION), DURATION, lambda a, b: Duration(a.nanos + b.nanos))
global_("_+_", (TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: Timestamp(a.nanos + b.nanos))
global_("_+_", (DURATION, TIMESTAMP), TIMESTAMP, lambda a, b: Timestamp(a.nanos + b.nanos))
global_("_-_", (TIMESTAMP, TIMESTAMP), DURATION, lambda a, b: Duration(a.nanos - b.nanos))
global_("_-_", (TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: Timestamp(a.nanos - b.nanos))
global_("_-_", (DURATION, DURATION), DURATION, lambda a, b: Duration(a.nanos - b.nanos))
global_("-_", (INT,), INT, lambda a: checked(-a))
global_("-_", (DOUBLE,), DOUBLE, lambda a: -a)
global_("!_", (BOOL,), BOOL, lambda a: not a)

_NUMBERS = (INT, UINT, DOUBLE)
_ORDERED = [(t, u) for t in _NUMBERS for u in _NUMBERS] + [(t, t) for t in (BOOL, STRING, BYTES, TIMESTAMP, DURATION)]
for _left, _right in _ORDERED:
    global_("_<_", (_left, _right), BOOL, lambda a, b: a < b)
    global_("_<=_", (_left, _right), BOOL, lambda a, b: a <= b)
    global_("_>_", (_left, _right), BOOL, lambda a, b: b < a)
    global_("_>=_", (_left, _right), BOOL, lambda a, b: b <= a)


def _contains(item: Any, items: list[Any]) -> bool:
    return any(values.equal(item, other) for other in items)


def _has_key(key: Any, entries: dict[Any, Any]) -> bool:
    return not isinstance(key, bool) and isinstance(key, str | int | float) and key in entries


global_("@in", (A, _LA), BOOL, _contains)
global_("@in", (A, _MAB), BOOL, _has_key)

# ---- size, conversions

global_("size", (STRING,), INT, len)
global_("size", (BYTES,), INT, len)
global_("size", (_LA,), INT, len)
global_("size", (_MAB,), INT, len)
for _of in (STRING, BYTES, _LA, _MAB):
    method("size", (_of,), INT, len)


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        if not re.fullmatch(r"[+-]?[0-9]+", value):
            raise EvaluationError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return checked(int(value))
    if isinstance(value, Timestamp):
        return value.nanos // values.NANO
    if isinstance(value, Duration):
        return value.nanos
    if isinstance(value, float) and not math.isfinite(value):
        raise EvaluationError("integer overflow")
    return checked(int(value))


def _to_uint(value: Any) -> UInt:
    if isinstance(value, str) and not value.isdecimal():
        raise EvaluationError(f'strconv.ParseUint: parsing "{value}": invalid syntax')
    return checked_uint(int(value))


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None


def to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
    return str(int(value)) if isinstance(value, int) else str(value)


def number_text(value: float) -> str:
    """A double as Go's strconv 'g' with the least digits."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
    mantissa, e, exponent = text.partition("e")
    if e:
        sign = "-" if exponent.startswith("-") else "+"
        return f"{mantissa}e{sign}{exponent.lstrip('+-').zfill(2)}"
    if len(text.lstrip("-")) > 21 and "." not in text:
        return f"{value:e}"
    return text


def _to_bool(value: Any) -> bool:
    if value in (True, "1", "t", "true", "TRUE", "True"):
        return True
    if value in (False, "0", "f", "false", "FALSE", "False"):
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def _to_duration(value: Any) -> Duration:
    return values.duration(value) if isinstance(value, str) else value if isinstance(value, Duration) else Duration(value)


def _to_timestamp(value: Any) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    return values.timestamp(value) if isinstance(value, str) else Timestamp(value * values.NANO)


for _of in (INT, UINT, DOUBLE, STRING, TIMESTAMP, DURATION):
    global_("int", (_of,), INT, _to_int)
for _of in (INT, UINT, DOUBLE, STRING):
    global_("uint", (_of,), UINT, _to_uint)
    global_("double", (_of,), DOUBLE, _to_double)
for _of in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION):
    global_("string", (_of,), STRING, to_text)
for _of in (STRING, BYTES):
    global_("bytes", (_of,), BYTES, lambda value: value.encode() if isinstance(value, str) else value)
for _of in (STRING, BOOL):
    global_("bool", (_of,), BOOL, _to_bool)
for _of in (STRING, INT, DURATION):
    global_("duration", (_of,), DURATION, _to_duration)
for _of in (STRING, INT, TIMESTAMP):
    global_("timestamp", (_of,), TIMESTAMP, _to_timestamp)
global_("dyn", (A,), DYN, lambda value: value)
global_("type", (A,), TYPE, lambda value: TypeValue(values.type_name(value)))

# ---- strings


def matches(text: str, pattern: str) -> bool:
    from minikube_api.meta import expressions

    try:
        return bool(expressions.tester(pattern).search(text))
    except expressions.ExpressionProblem as problem:
        raise EvaluationError(str(problem)) from None


def expression(pattern: str) -> re.Pattern[str]:
    from minikube_api.meta import expressions

    try:
        return expressions.compiled(pattern)
    except expressions.ExpressionProblem as problem:
        raise EvaluationError(str(problem)) from None


method("startsWith", (STRING, STRING), BOOL, str.startswith)
method("endsWith", (STRING, STRING), BOOL, str.endswith)
method("contains", (STRING, STRING), BOOL, lambda text, part: part in text)
method("matches", (STRING, STRING), BOOL, matches)
global_("matches", (STRING, STRING), BOOL, matches)

# ---- times


def _zone(name: str) -> timezone | ZoneInfo:
    if match := re.fullmatch(r"([+-]?)([0-9]{1,2}):([0-9]{2})", name):
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _part_of(part: Callable[[datetime], int]) -> Callable[..., int]:
    def take(moment: Timestamp, zone: str = "UTC") -> int:
        return part(moment.datetime.astimezone(_zone(zone)))

    return take


for _name, _take in (
    ("getFullYear", lambda d: d.year),
    ("getMonth", lambda d: d.month - 1),
    ("getDayOfYear", lambda d: d.timetuple().tm_yday - 1),
    ("getDayOfMonth", lambda d: d.day - 1),
    ("getDate", lambda d: d.day),
    ("getDayOfWeek", lambda d: (d.weekday() + 1) % 7),
    ("getHours", lambda d: d.hour),
    ("getMinutes", lambda d: d.minute),
    ("getSeconds", lambda d: d.second),
    ("getMilliseconds", lambda d: d.microsecond // 1000),
):
    method(_name, (TIMESTAMP,), INT, _part_of(_take))
    method(_name, (TIMESTAMP, STRING), INT, _part_of(_take))


def _whole(nanos: int, unit: int) -> int:
    return abs(nanos) // unit * (1 if nanos >= 0 else -1)


for _name, _unit in (("getHours", 3600 * values.NANO), ("getMinutes", 60 * values.NANO), ("getSeconds", values.NANO)):
    method(_name, (DURATION,), INT, lambda d, unit=_unit: _whole(d.nanos, unit))
method("getMilliseconds", (DURATION,), INT, lambda d: _whole(d.nanos, 10**6) % 1000)

# ---- optionals

_OA = optional_of(A)
global_("optional.of", (A,), _OA, lambda value: Optional(True, value))
global_("optional.none", (), optional_of(DYN), lambda: NONE)


def _is_zero(value: Any) -> bool:
    return value is None or value is False or value in ("", b"", 0, 0.0) or value == [] or value == {}


global_("optional.ofNonZeroValue", (A,), _OA, lambda value: NONE if _is_zero(value) else Optional(True, value))


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


method("value", (_OA,), A, _value)
method("hasValue", (_OA,), BOOL, lambda optional: optional.present)
method("or", (_OA, _OA), _OA, lambda optional, other: optional if optional.present else other)
method("orValue", (_OA, A), A, lambda optional, other: optional.value if optional.present else other)
method("first", (_LA,), _OA, lambda items: Optional(True, items[0]) if items else NONE)
method("last", (_LA,), _OA, lambda items: Optional(True, items[-1]) if items else NONE)


def _present(items: list[Optional]) -> list[Any]:
    return [item.value for item in items if item.present]


global_("optional.unwrap", (list_of(_OA),), _LA, _present)
method("unwrapOpt", (list_of(_OA),), _LA, _present)
