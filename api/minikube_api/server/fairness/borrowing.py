"""How many seats each priority level has for the next while: levels in need borrow what others may lend (KEP-1040, "Dispatching"). Pure.

A level's share of the total is its nominal limit. It lends at most `lendablePercent` of it and borrows at most `borrowingLimitPercent`; in
these bounds seats go where they were wanted in the last period.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: seconds between adjustments
PERIOD = 10.0
#: how much of a demand that has gone is still remembered one period later
DECAY = 0.977
_DEFAULT_SHARES, _DEFAULT_EXEMPT_SHARES = 30, 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seats of a level by its configuration."""

    nominal: int
    least: int
    most: int


def bounds(trees: Mapping[str, Mapping[str, Any]], total: int) -> dict[str, Bounds]:
    """`total` seats shared out by the levels' shares, rounded up; what a level may lend and borrow of them."""
    specs = {name: _given(tree) for name, tree in trees.items()}
    shares = {name: _shares(tree, specs[name]) for name, tree in trees.items()}
    everything = sum(shares.values())
    nominal = {name: math.ceil(total * share / everything) if everything else 0 for name, share in shares.items()}
    whole = sum(nominal.values())
    made = {}
    for name, given in specs.items():
        own = nominal[name]
        lent = _rounded(own * (given.get("lendablePercent") or 0) / 100)
        limit = given.get("borrowingLimitPercent")
        borrowed = whole - own if limit is None else min(whole - own, _rounded(own * limit / 100))
        made[name] = Bounds(own, own - lent, own + borrowed)
    return made


def _given(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = tree.get("spec") or {}
    return (spec.get("exempt") if spec.get("type") == "Exempt" else spec.get("limited")) or {}


def _shares(tree: Mapping[str, Any], given: Mapping[str, Any]) -> int:
    number = given.get("nominalConcurrencyShares")
    if number is not None:
        return int(number)
    return _DEFAULT_EXEMPT_SHARES if (tree.get("spec") or {}).get("type") == "Exempt" else _DEFAULT_SHARES


@dataclass(frozen=True, slots=True)
class Demand:
    """What a level wanted: the most seats at once in the last period, and that smoothed over earlier ones."""

    bounds: Bounds
    peak: int
    smoothed: float
    exempt: bool = False

    @property
    def least(self) -> int:
        """What it is not to fall below: what it used of its own seats."""
        return max(self.bounds.least, min(self.bounds.nominal, self.peak))


def smoothed(before: float, peak: int) -> float:
    """A demand counts at once and is forgotten slowly."""
    return max(float(peak), DECAY * before + (1 - DECAY) * peak)


def adjusted(demands: Mapping[str, Demand]) -> dict[str, int]:
    """The limit of each level for the next period. Exempt levels are not limited: what they use is nobody else's."""
    limits = {name: demand.least for name, demand in demands.items() if demand.exempt}
    limited = {name: demand for name, demand in demands.items() if not demand.exempt}
    seats = sum(demand.bounds.nominal for demand in demands.values()) - sum(limits.values())
    if sum(demand.least for demand in limited.values()) <= seats:
        parts = [(float(d.least), float(d.bounds.most), max(float(d.least), d.smoothed)) for d in limited.values()]
    else:
        # not even that is there: as much of it as the configured least allows
        parts = [(float(d.bounds.least), float(max(d.least, d.bounds.least)), float(d.least)) for d in limited.values()]
    return limits | {name: _rounded(part) for name, part in zip(limited, allocated(seats, parts), strict=True)}


def allocated(seats: float, parts: Sequence[tuple[float, float, float]]) -> list[float]:
    """Seats for (least, most, target)s: all get the same multiple of their target, within their bounds, so that the sum is `seats`.

    Where the bounds allow no such sum, everybody gets their least or their most.
    """
    targets = [(least, most, max(target, 0.01)) for least, most, target in parts]

    def sum_at(multiple: float) -> float:
        return sum(min(most, max(least, multiple * target)) for least, most, target in targets)

    corners = sorted({edge / target for least, most, target in targets for edge in (least, most)})
    if not corners or seats <= sum_at(corners[0]):
        return [least for least, _, _ in targets]
    if seats >= sum_at(corners[-1]):
        return [most for _, most, _ in targets]
    low = max(corner for corner in corners if sum_at(corner) <= seats)
    high = min(corner for corner in corners if sum_at(corner) > seats)
    # between two corners the sum grows evenly
    multiple = low + (high - low) * (seats - sum_at(low)) / (sum_at(high) - sum_at(low))
    return [min(most, max(least, multiple * target)) for least, most, target in targets]


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)
