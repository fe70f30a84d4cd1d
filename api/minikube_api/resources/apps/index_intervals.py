"""Indexes of an Indexed Job as text (`1,3-5,7`), in Go's words when they can't be read.

Source: validateIndexesFormat and its helpers in pkg/apis/batch/validation.
"""

from __future__ import annotations

import re

from minikube_api.meta import field_errors as err

_number_re = re.compile(r"[+-]?[0-9]+")


def count(text: str, completions: int) -> int:
    """How many indexes are named. ValueError when they are not increasing, or not below `completions`."""
    total, last = 0, None
    for part in text.split(",") if text else ():
        first, end = _interval(part, completions)
        if last is not None and last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total += end - first + 1
        last = end
    return total


def overlap(one: str, other: str, completions: int) -> int | None:
    """The lowest index that both name; intervals that can't be read are left to `count`."""
    left, right = _readable(one, completions), _readable(other, completions)
    while left and right:
        (first, end), (start, last) = left[0], right[0]
        if first <= last and start <= end:
            return max(first, start)
        (left if first <= start else right).pop(0)
    return None


def _readable(text: str, completions: int) -> list[tuple[int, int]]:
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(_interval(part, completions))
        except ValueError:
            continue  # told by `count`, which reads the same text
    return found


def _interval(part: str, completions: int) -> tuple[int, int]:
    limits = part.split("-")
    if len(limits) > 2:
        detail = "violates the requirement that an index interval can have at most two parts separated by '-'"
        raise ValueError(f"the fragment {err.quote(part)} {detail}")
    first = _index(limits[0], completions)
    if len(limits) == 1:
        return first, first
    end = _index(limits[1], completions)
    if first >= end:
        raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
    return first, end


def _index(text: str, completions: int) -> int:
    if not _number_re.fullmatch(text):
        raise ValueError(f"cannot convert string to integer for index: {err.quote(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {err.quote(text)}")
    return int(text)
