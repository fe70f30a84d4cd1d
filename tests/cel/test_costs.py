"""Costs in cel-go's units: what runs cost, what they may cost at most, and what happens when they cost too much."""

from __future__ import annotations

from typing import Any

import pytest

import minikube_api.cel.library
import minikube_api.cel.strings  # noqa: F401  both fill the table of functions
from minikube_api.cel.compiling import Environment, compile
from minikube_api.cel.costs import Cost, CostExceeded
from minikube_api.schema import custom, custom_types

WORDS = {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}}
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "s": {"type": "string", "maxLength": 100},
        "open": {"type": "string"},
        "words": WORDS,
        "kind": {"type": "string", "enum": ["abc", "abcdefghijkl"]},
        "by": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string", "maxLength": 30}},
    },
}


def program(text: str) -> Any:
    kind = custom_types.type_of(custom.structural(SCHEMA))
    assert kind is not None
    return compile(text, Environment({"self": kind}), estimate=True)


def spent(text: str, value: dict[str, Any]) -> int:
    cost = Cost(10**9)
    program(text).run({"self": value}, cost)
    return 10**9 - cost.left


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        pytest.param("true", 0, id="a literal is free"),
        pytest.param("self.n > 1", 3, id="a name, a step and a comparison cost one each"),
        pytest.param("has(self.n)", 1, id="asking for presence adds nothing to the operand"),
        pytest.param("self.n == 2 && self.n == 3", 3, id="what a conjunction does not reach is not charged"),
        pytest.param("self.s == self.s", 4 + 2, id="comparing texts goes through a tenth of their characters"),
        pytest.param("self.s.contains('aaaaaaaaaaaa')", 2 + 2 * 2, id="contains multiplies both lengths"),
        pytest.param("self.s.matches('abcd')", 2 + 3 * 1, id="matches multiplies text and a quarter of the pattern"),
        pytest.param("[1, 2]", 10, id="a list literal"),
        pytest.param("{'a': 1}", 30, id="a map literal"),
        pytest.param("self.words.all(w, w != '')", 2 + 3 * (3 + 1 + 0) + 1, id="a loop costs its turns"),
        pytest.param("self.words.map(w, w)", 2 + 10 + 3 * (12 + 1) + 1, id="map builds a list a turn"),
    ],
)
def test_a_run_costs_what_cel_go_counts(text: str, cost: int) -> None:
    assert spent(text, {"n": 1, "s": "a" * 20, "words": ["x", "y", "z"]}) == cost


@pytest.mark.parametrize(
    ("text", "most"),
    [
        pytest.param("self.n == 1", 2, id="comparing whole numbers is free by estimate"),
        pytest.param("self.n > 1", 3, id="ordering them is not"),
        pytest.param("self.s == self.s", 4 + 10, id="texts by maxLength"),
        pytest.param("self.open == self.open", 4 + 314573, id="texts without maxLength are as long as a request"),
        pytest.param("self.kind == self.kind", 4 + 2, id="an enum is as long as its longest value"),
        pytest.param("self.words.all(w, w == self.s)", 2 + 10 * (3 + 1 + 2 + 2) + 1, id="a list by maxItems, its items by their maxLength"),
        pytest.param("self.by.all(k, self.by[k] == 'abc')", 2 + 5 * (3 + (2 + 1 + 1) + 1) + 1, id="a map by maxProperties"),
        pytest.param("self.words.map(w, w + 'x').all(w, w.contains('x'))", 2 + 10 + 10 * (12 + 1 + 3) + 1 + 10 * (3 + 1 + 3) + 1,
                     id="items of a made list are as large as they are made"),
        pytest.param("self.words.join(',') == ''", 2 + 21 + 0, id="join is as long as all items and separators"),
        pytest.param("self.s.split('').size() > 1", 2 + 20 + 1 + 1, id="split goes through twice"),
        pytest.param("cel.bind(x, self.s, x == x)", 10 + 2 + 2 + 10, id="a bound name has the size of its value"),
        pytest.param("quantity(self.s).isGreaterThan(quantity('1'))", 2 + 10 + 1 + 1, id="parsing a quantity goes through its text"),
        pytest.param("sets.contains(self.words, self.words)", 4 + 1 + 100, id="sets compare all with all"),
    ],
)  # fmt: skip
def test_the_most_a_run_can_cost_follows_from_the_schema(text: str, most: int) -> None:
    assert program(text).most == most


def test_an_estimate_bounds_every_run() -> None:
    full = {"n": 1, "s": "a" * 100, "words": ["b" * 20] * 10, "by": {str(i): "c" * 30 for i in range(5)}}
    for text in (
        "self.words.exists(w, w.matches('a+') || self.s.contains(w))",
        "self.by.map(k, self.by[k] + 'x').exists(v, v == self.s)",
    ):
        assert spent(text, full) <= program(text).most


def test_a_run_over_its_limit_ends() -> None:
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program("self.words.all(w, self.words.all(v, v == w))").run({"self": {"words": ["x"] * 100}}, 1000)


def test_an_error_inside_a_disjunction_hides_no_spent_budget() -> None:
    with pytest.raises(CostExceeded):
        program("self.words.all(w, w == 'x') || true").run({"self": {"words": ["x"] * 1000}}, 100)
