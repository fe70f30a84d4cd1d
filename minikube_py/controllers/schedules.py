"""Cron schedules and missed runs. Pure.

Sources: "CronJob" in Kubernetes' documentation, pkg/controller/cronjob/utils.go. The grammar is robfig/cron's standard one (five fields, `?` as `*`,
`@daily`..., `@every DURATION`); cronsim finds the times. Where clocks are turned forward, a run of the hour that is left out comes right
after it (Debian's rule; Kubernetes' own library leaves it out).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from minikube_api.meta import durations

#: The next run after a time, both in seconds since the epoch; None: there is none.
Next = Callable[[float], float | None]

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: More missed runs than these are told in an event.
MANY: Final = 100
#: Seconds after a run's time at which it is looked for: clocks of timers and of times differ a little.
DELTA: Final = 0.1


class InvalidSchedule(ValueError):
    """The text is no schedule, or one whose times don't go on."""


def parse(text: str, zone: tzinfo = UTC) -> Next:
    """Raises InvalidSchedule."""
    if text.startswith("@every "):
        try:
            interval = max(1, math.floor(durations.parse(text.removeprefix("@every "))))
        except ValueError as error:
            raise InvalidSchedule(f"failed to parse duration {text}: {error}") from error
        return lambda after: math.floor(after) + interval
    if text.startswith("@"):
        if text not in _MACROS:
            raise InvalidSchedule(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    fields = text.split()
    if len(fields) != 5:
        raise InvalidSchedule(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    return _expression(_for_cronsim(fields), zone)


def _for_cronsim(fields: list[str]) -> str:
    """`?` is `*`. A day field `*/2` is a restriction (a day that either field allows), which cronsim, as Debian, takes for a star."""
    fields = ["*" if field == "?" else field.replace("?/", "*/") for field in fields]
    for index, whole in ((2, "1-31"), (4, "0-6")):
        head, slash, step = fields[index].partition("/")
        if head == "*" and slash and step != "1":
            fields[index] = f"{whole}/{step}"
    return " ".join(fields)


def _expression(text: str, zone: tzinfo) -> Next:
    from cronsim import CronSim, CronSimError  # here: most clusters have no CronJob

    try:
        CronSim(text, datetime.fromtimestamp(0, zone))
    except CronSimError as error:
        raise InvalidSchedule(str(error)) from error

    def following(after: float) -> float | None:
        found = next(CronSim(text, datetime.fromtimestamp(math.floor(after), zone)), None)
        return None if found is None else found.timestamp()

    return following


@dataclass(frozen=True, slots=True)
class Runs:
    """`latest`: the last run that is due and was not started, None when there is none; `missed`: about how many were missed before it."""

    earliest: float
    latest: float | None = None
    missed: int = 0


def due(following: Next, since: float, now: float) -> Runs:
    """What is due after `since` (the last run, or the creation). Raises InvalidSchedule for a schedule without two times."""
    first = following(since)
    second = following(first) if first is not None else None
    if first is None or second is None or second - first < 1:
        raise InvalidSchedule("time difference between two schedules is less than 1 second")
    if now < first:
        return Runs(since)
    if now < second:
        return Runs(since, first)
    # With many missed, don't walk through them all: jump near the end, by the distance of the first two.
    distance = round(second - first)
    missed = int((now - first) / distance) + 1
    latest: float | None = None
    at = following(first + (missed - 2) * distance)
    while at is not None and at <= now:
        latest, at = at, following(at)
    return Runs(since, latest, missed)


def until_next(following: Next, since: float, now: float) -> float | None:
    """Seconds until the next run is to be looked for."""
    try:
        runs = due(following, since, now)
    except InvalidSchedule:
        base = now
    else:
        base = runs.latest if runs.latest is not None else (now if runs.missed else runs.earliest)
    at = following(base)
    return None if at is None else max(0.0, at + DELTA - now)
