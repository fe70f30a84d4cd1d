"""Seats are shared out by shares, lent and borrowed within the bounds that a configuration sets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.server.fairness.borrowing import Bounds, Demand, adjusted, allocated, bounds, smoothed


def limited(shares: int | None = None, **given: int) -> dict[str, Any]:
    share = {} if shares is None else {"nominalConcurrencyShares": shares}
    return {"spec": {"type": "Limited", "limited": {**share, **given}}}


def test_seats_are_shared_out_by_shares() -> None:
    trees = {"a": limited(10), "b": limited(), "none": limited(0), "exempt": {"spec": {"type": "Exempt"}}}
    assert {name: found.nominal for name, found in bounds(trees, 100).items()} == {"a": 25, "b": 75, "none": 0, "exempt": 0}


@pytest.mark.parametrize(
    ("given_fields", "expected"),
    [
        pytest.param({}, Bounds(50, 50, 100), id="lends-nothing-borrows-anything"),
        pytest.param({"lendablePercent": 33}, Bounds(50, 33, 100), id="lends"),
        pytest.param({"borrowingLimitPercent": 0}, Bounds(50, 50, 50), id="borrows-nothing"),
        pytest.param({"borrowingLimitPercent": 25}, Bounds(50, 50, 63), id="rounds-half-up"),
        pytest.param({"lendablePercent": 100, "borrowingLimitPercent": 500}, Bounds(50, 0, 100), id="never-more-than-there-is"),
    ],
)
def test_a_configuration_sets_the_bounds(given_fields: dict[str, int], expected: Bounds) -> None:
    assert bounds({"a": limited(10, **given_fields), "b": limited(10)}, 100)["a"] == expected


def test_a_busy_level_borrows_what_an_idle_one_lends() -> None:
    busy = Demand(Bounds(50, 50, 100), 400, 400.0)
    idle = Demand(Bounds(50, 10, 100), 0, 0.0)
    assert adjusted({"busy": busy, "idle": idle}) == {"busy": 90, "idle": 10}


def test_what_a_level_uses_of_its_own_is_not_lent() -> None:
    busy = Demand(Bounds(50, 50, 100), 400, 400.0)
    using = Demand(Bounds(50, 10, 100), 30, 30.0)
    assert adjusted({"busy": busy, "using": using}) == {"busy": 70, "using": 30}


def test_a_borrowing_limit_holds_and_the_rest_goes_to_others() -> None:
    bounded = Demand(Bounds(50, 50, 60), 400, 400.0)
    idle = Demand(Bounds(50, 0, 100), 0, 0.0)
    assert adjusted({"bounded": bounded, "idle": idle}) == {"bounded": 60, "idle": 40}


def test_demand_counts_at_once_and_is_forgotten_slowly() -> None:
    assert smoothed(0.0, 100) == 100.0
    assert smoothed(100.0, 0) == pytest.approx(97.7)


@st.composite
def _parts(draw: st.DrawFn) -> tuple[float, float, float]:
    least = draw(st.integers(0, 50))
    most = least + draw(st.integers(0, 100))
    return float(least), float(most), float(draw(st.integers(0, 500)))


@given(st.lists(_parts(), min_size=1, max_size=8), st.integers(0, 600))
def test_all_seats_are_given_out_as_far_as_bounds_allow(parts: list[tuple[float, float, float]], seats: int) -> None:
    given_out = allocated(float(seats), parts)
    assert all(least - 1e-6 <= got <= most + 1e-6 for got, (least, most, _) in zip(given_out, parts, strict=True))
    least, most = sum(p[0] for p in parts), sum(p[1] for p in parts)
    assert sum(given_out) == pytest.approx(min(max(seats, least), most))
