"""Whether a cron schedule parses, in the words of robfig/cron v3's standard parser; and the names of time zones.

Neighbour: the CronJob controller works out the times themselves. Nothing here computes one.
"""

from __future__ import annotations

import re
import zoneinfo

_DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_EVERY = "@every "
_ZONE_PREFIXES = ("TZ=", "CRON_TZ=")

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: lowest and highest value of a field, and the names it knows
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_number_re = re.compile(r"[+-]?[0-9]+")
_zone_part_re = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")


class _Unparsable(ValueError):
    """Says in the parser's words what is wrong with one field."""


def problem(schedule: str) -> str:
    """What the parser says of it; empty when it can be read."""
    if schedule.startswith(_ZONE_PREFIXES):
        zone, blank, rest = schedule.partition(" ")
        zone = zone.partition("=")[2]
        if not blank:
            return ""  # the parser has no words for this: that the schedule names a zone is the finding
        if not known_zone(zone):
            return f"provided bad location {zone}: unknown time zone {zone}"
        schedule = rest.strip()
    if schedule.startswith("@"):
        return _descriptor_problem(schedule)
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]"
    try:
        for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
            for part in filter(None, text.split(",")):
                _check_range(part, low, high, names)
    except _Unparsable as error:
        return str(error)
    return ""


def _descriptor_problem(descriptor: str) -> str:
    if descriptor in _DESCRIPTORS:
        return ""
    if not descriptor.startswith(_EVERY):
        return f"unrecognized descriptor: {descriptor}"
    from minikube_api.meta import durations

    try:
        durations.parse_nanoseconds(descriptor.removeprefix(_EVERY))
    except ValueError as error:
        return f"failed to parse duration {descriptor}: {error}"
    return ""


def _check_range(text: str, low: int, high: int, names: dict[str, int]) -> None:
    """One `first-last/step` of a field."""
    ranged, *steps = text.split("/")
    bounds = ranged.split("-")
    start, end, step = low, high, 1
    if bounds[0] not in ("*", "?"):
        start = end = _number_or_name(bounds[0], names)
        if len(bounds) > 2:
            raise _Unparsable(f"too many hyphens: {text}")
        if len(bounds) == 2:
            end = _number_or_name(bounds[1], names)
    if len(steps) > 1:
        raise _Unparsable(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0])
        if len(bounds) == 1:
            # `N/step` goes on to the end
            end = high
    if start < low:
        raise _Unparsable(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise _Unparsable(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise _Unparsable(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise _Unparsable(f"step of range should be a positive number: {text}")


def _number_or_name(text: str, names: dict[str, int]) -> int:
    return names[text.lower()] if text.lower() in names else _number(text)


def _number(text: str) -> int:
    if not _number_re.fullmatch(text):
        raise _Unparsable(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise _Unparsable(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    if number < 0:
        raise _Unparsable(f"negative number ({number}) not allowed: {text}")
    return number


def well_formed_zone(zone: str) -> bool:
    """The form of a name in the time zone database, part by part."""
    return all(_zone_part_re.fullmatch(part) and part not in (".", "..") and not part.startswith("-") for part in zone.split("/"))


def known_zone(zone: str) -> bool:
    """As Go's time.LoadLocation: `Local` is one, and the empty name is UTC."""
    if zone in ("", "UTC", "Local"):
        return True
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
