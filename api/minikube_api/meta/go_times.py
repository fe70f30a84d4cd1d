"""Whether Go's time.Parse takes a text as metav1.Time or metav1.MicroTime, and in which words it refuses.

Neighbour: `meta.times` reads and writes the times that pass. Source: Go's time/format.go.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable

SECONDS = "2006-01-02T15:04:05Z07:00"
MICROS = "2006-01-02T15:04:05.000000Z07:00"

_zone_re = re.compile(r"[+-][0-9]{2}:[0-9]{2}")
_fraction_re = re.compile(r"\.[0-9]+")


def problem(text: str, layout: str = SECONDS) -> str:
    """Empty when `text` has the form of `layout` (SECONDS takes fractions too) and names a moment."""
    quoted = _quote(text)

    def unfit(rest: str, element: str) -> str:
        return f"parsing time {quoted} as {_quote(layout)}: cannot parse {_quote(rest)} as {_quote(element)}"

    rest, numbers = text, []
    for element, low, high, what in _ELEMENTS:
        if what == "":
            if not rest.startswith(element):
                return unfit(rest, element)
            rest = rest[len(element) :]
            continue
        digits = rest[: len(element)]
        if len(digits) < len(element) or not (digits.isascii() and digits.isdigit()):
            return unfit(rest, element)
        number = int(digits)
        if not low <= number <= high:
            return f"parsing time {quoted}: {what} out of range"
        numbers.append(number)
        rest = rest[len(element) :]
    found = _after_seconds(rest, layout, unfit)
    if found.startswith("parsing time"):
        return found
    if found:
        return f"parsing time {quoted}: {found}"
    year, month, day = numbers[:3]
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return f"parsing time {quoted}: day out of range"
    return ""


#: elements up to the seconds: text, lowest and highest value, and what it is (empty: a separator). The day's range depends on the month
_ELEMENTS = (
    ("2006", 1, 9999, "year"), ("-", 0, 0, ""), ("01", 1, 12, "month"), ("-", 0, 0, ""), ("02", 0, 99, "day"), ("T", 0, 0, ""),
    ("15", 0, 23, "hour"), (":", 0, 0, ""), ("04", 0, 59, "minute"), (":", 0, 0, ""), ("05", 0, 59, "second"),
)  # fmt: skip


def _after_seconds(rest: str, layout: str, unfit: Callable[[str, str], str]) -> str:
    """What is wrong with fraction and zone: a whole message, or its end."""
    if layout == MICROS:
        if not re.match(r"\.[0-9]{6}", rest):
            return unfit(rest, ".000000")
        rest = rest[7:]
    elif (fraction := _fraction_re.match(rest)) is not None:
        rest = rest[fraction.end() :]
    if rest.startswith("Z"):
        rest = rest[1:]
    elif (zone := _zone_re.match(rest)) is not None:
        if int(zone[0][1:3]) > 24:
            return "time zone offset hour out of range"
        if int(zone[0][4:6]) > 60:
            return "time zone offset minute out of range"
        rest = rest[zone.end() :]
    else:
        return unfit(rest, "Z07:00")
    return f"extra text: {_quote(rest)}" if rest else ""


def _quote(text: str) -> str:
    """As time.quote: what is not printable ASCII is escaped byte by byte."""
    shown = ""
    for character in text:
        if character in '"\\':
            shown += "\\" + character
        elif " " <= character <= "~":
            shown += character
        else:
            shown += "".join(f"\\x{byte:02x}" for byte in character.encode())
    return f'"{shown}"'
