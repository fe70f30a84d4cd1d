"""CEL expressions: values, errors at run time, findings of the checker. Expected values are cel-go's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minikube_api.cel.library
import minikube_api.cel.strings  # noqa: F401
from minikube_api.cel import types
from minikube_api.cel.compiling import CompileError, CostExceeded, Environment, compile
from minikube_api.cel.values import EvaluationError

SELF = {"a": 1, "s": "text", "l": [3, 1, 2], "m": {"x": "y"}, "n": None, "d": 1.5}
ENVIRONMENT = Environment({"self": types.DYN, "x": types.INT, "s": types.STRING})


def run(text: str, **variables: Any) -> Any:
    return compile(text, ENVIRONMENT).run({"self": SELF, "x": 5, "s": "abc", **variables})


TRUE = [
    "1 + 2 * 3 == 7", "-7 / 2 == -3", "-7 % 3 == -1", "2u + 3u == 5u", "1.5 * 2.0 == 3.0", "'a' + 'b' == 'ab'", "[1] + [2] == [1, 2]",
    "self.a == 1.0", "self.a < 1.5", "1 in self.l", "'x' in self.m", "!('z' in self.m)", "has(self.m.x) && !has(self.m.z)",
    "self.?q.hasValue() == false", "self.?m.?x.orValue('') == 'y'", "self[?'q'].orValue(4) == 4", "[?self.?q, 1] == [1]",
    "self.l.all(v, v > 0)", "self.l.exists(v, v == 2)", "self.l.exists_one(v, v == 2)", "self.l.map(v, v * 2) == [6, 2, 4]",
    "self.l.map(v, v > 1, v * 2) == [6, 4]", "self.l.filter(v, v > 1) == [3, 2]", "self.l.all(i, v, i < 3 && v < 4)",
    "self.l.transformList(i, v, i + v) == [3, 2, 4]", "self.m.transformMap(k, v, k + v) == {'x': 'xy'}",
    "self.m.exists(k, v, k == 'x' && v == 'y')", "[1, 2].transformMapEntry(i, v, {v: i}) == {1: 0, 2: 1}",
    "true || self.missing", "self.missing || true", "!(false && self.missing)", "cel.bind(v, 3, v * v) == 9",
    "type(1) == int && type('') == string && type(null) == null_type", "string(1.5) == '1.5'", "int('12') == 12",
    "duration('90m') == duration('1h30m')", "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
    "timestamp('2024-02-03T04:05:06Z').getMonth() == 1", "timestamp('2024-02-03T04:05:06Z').getHours('+02:00') == 6",
    "duration('1h').getMinutes() == 60", "size('äö') == 2", "b'ab' == bytes('ab')", r"'\u00e4' == 'ä'", r"r'\d' == '\\d'",
    "'abc'.charAt(1) == 'b'", "'hello'.indexOf('l', 3) == 3", "'hello'.lastIndexOf('l') == 3", "'Ab'.lowerAscii() == 'ab'",
    "'a,b,c'.split(',', 2) == ['a', 'b,c']", "['a', 'b'].join('-') == 'a-b'", "'tacocat'.substring(4) == 'cat'", "' x '.trim() == 'x'",
    "'%s has %d and %.2f'.format(['it', 3, 1.5]) == 'it has 3 and 1.50'", "'aXbX'.replace('X', '', 1) == 'abX'",
    "'abc 123'.find('[0-9]+') == '123'", "'1 2 3'.findAll('[0-9]', 2) == ['1', '2']", "'foo'.matches('^f[[:alpha:]]+$')",
    "[1, 2, 3].sum() == 6", "[1, 3, 2].max() == 3", "[1, 2].isSorted()", "['a', 'b'].indexOf('b') == 1", "sets.contains([1, 2], [2])",
    "url('https://a.example:8080/p?q=1').getPort() == '8080'", "url('https://a.example/p?q=1').getQuery() == {'q': ['1']}",
    "!isURL('nothing')", "quantity('1Gi').isGreaterThan(quantity('1000M'))", "quantity('50k').add(20).sub(quantity('50k')).asInteger() == 20",
    "isQuantity('1.3G') && !isQuantity('x')", "ip('127.0.0.1').isLoopback()", "ip('::1').family() == 6",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3')", "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "!isIP('10.0.0')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "!format.dns1123Label().validate('ok').hasValue()",
    "format.named('dns1123Label').value().validate('No!').hasValue()", "semver('1.2.3').isLessThan(semver('1.10.0'))",
    "semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))", "semver('v1.2', true).minor() == 2", "optional.of(1).optMap(v, v + 1).value() == 2",
    "optional.none().or(optional.of(2)).value() == 2", "x > 3 ? s == 'abc' : false", "self.n == null",
]  # fmt: skip


@pytest.mark.parametrize("text", TRUE)
def test_these_are_true(text: str) -> None:
    assert run(text) is True


RUNTIME = [
    pytest.param("self.missing", "no such key: missing", id="key"),
    pytest.param("self.l[9]", "index out of bounds: 9", id="index"),
    pytest.param("1 / (x - 5)", "division by zero", id="division"),
    pytest.param("1 % (x - 5)", "modulus by zero", id="modulus"),
    pytest.param("9223372036854775807 + x", "integer overflow", id="overflow"),
    pytest.param("self.a + self.s", "no such overload", id="types"),
    pytest.param("optional.none().value()", "optional.none() dereference", id="optional"),
    pytest.param("self.l.all(v, v.q)", "no such overload", id="loop"),
    pytest.param("false || self.missing", "no such key: missing", id="undecided or"),
    pytest.param("duration('' + 'x')", 'time: invalid duration "x"', id="duration"),
]


@pytest.mark.parametrize(("text", "message"), RUNTIME)
def test_what_fails_at_run_time(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=f"^{re.escape(message)}"):
        run(text)


COMPILE = [
    pytest.param("y", "ERROR: <input>:1:1: undeclared reference to 'y' (in container '')\n | y\n | ^", id="name"),
    pytest.param("x + s", "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | x + s\n | ..^", id="types"),
    pytest.param(
        "s.startsWith(x)",
        "ERROR: <input>:1:13: found no matching overload for 'startsWith' applied to 'string.(int)'\n | s.startsWith(x)\n | ............^",
        id="method",
    ),
    pytest.param("x.y", "ERROR: <input>:1:2: type 'int' does not support field selection\n | x.y\n | .^", id="selection"),
    pytest.param("1 == 1.0", "ERROR: <input>:1:3: found no matching overload for '_==_' applied to '(int, double)'\n | 1 == 1.0\n | ..^", id="equal"),
    pytest.param("has(x)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(x)\n | ....^", id="has"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "report"), COMPILE)
def test_what_does_not_compile(text: str, report: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile(text, ENVIRONMENT)
    assert str(caught.value) == report


@pytest.mark.parametrize("text", ["", "1 +", "self.", "(1", "[1", "a b", "'open", "if", "1 = 1"])
def test_broken_text_is_a_syntax_error(text: str) -> None:
    with pytest.raises(CompileError, match="ERROR: <input>:1:"):
        compile(text, ENVIRONMENT)


def test_a_run_that_costs_too_much_ends() -> None:
    program = compile("self.l.all(a, self.l.all(b, self.l.all(c, a + b + c > 0)))", ENVIRONMENT)
    assert program.run({"self": SELF}, 1000) is True
    with pytest.raises(CostExceeded):
        program.run({"self": {"l": list(range(1, 100))}}, 1000)


@given(st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31).filter(bool))
def test_division_and_modulus_make_the_dividend(a: int, b: int) -> None:
    assert run(f"x / ({b}) * ({b}) + x % ({b}) == x", x=a) is True


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), lambda v: st.lists(v, max_size=3), max_leaves=6
    )
)
def test_everything_equals_itself(value: Any) -> None:
    assert run("self == self && self in [self]", self=value) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("'a'.matches('(')", "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^"),
        ("duration('x') > duration('1s')", "ERROR: <input>:1:10: invalid duration argument"),
        ("timestamp('x') > timestamp('2024-01-01T00:00:00Z')", "ERROR: <input>:1:11: invalid timestamp argument"),
        ("1 in [1, 'a']", "ERROR: <input>:1:10: expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': true} == {}", "ERROR: <input>:1:15: expected type 'int' but found 'bool'"),
    ],
    ids=lambda text: text[:20],
)
def test_literals_that_no_run_could_use_are_refused(text: str, why: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile(text, Environment({}))
    assert str(caught.value).startswith(why)


def test_what_is_formatted_may_be_of_any_types() -> None:
    assert compile("'%s %d'.format(['a', 1])", Environment({})).run({}) == "a 1"


EXPECTED = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("'abc", [(1, "token recognition error at: ''abc'"), (5, f"mismatched input '<EOF>' expecting {EXPECTED}")]),
        ("1 = 'a'", [(3, "token recognition error at: '= '"), (5, "extraneous input ''a'' expecting <EOF>")]),
        ("1 + $", [(5, "token recognition error at: '$'"), (6, f"mismatched input '<EOF>' expecting {EXPECTED}")]),
        ("1 | 2", [(3, "token recognition error at: '| '"), (5, "extraneous input '2' expecting <EOF>")]),
        ("1 2", [(3, "extraneous input '2' expecting <EOF>")]),
        ("1 2 3", [(3, "mismatched input '2' expecting <EOF>")]),
    ],
)
def test_every_broken_token_is_told(text: str, found: list[tuple[int, str]]) -> None:
    with pytest.raises(CompileError) as caught:
        compile(text, Environment({}))
    lines = [line for line in str(caught.value).split("\n") if line.startswith("ERROR")]
    assert lines == [f"ERROR: <input>:1:{column}: Syntax error: {words}" for column, words in found]


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2",
        "![].first().hasValue()",
        "optional.unwrap([optional.of(1), optional.none()]) == [1]",
        "[optional.of(1), optional.none()].unwrapOpt() == [1]",
    ],
)
def test_optionals_of_lists(text: str) -> None:
    assert compile(text, Environment({})).run({}) is True
