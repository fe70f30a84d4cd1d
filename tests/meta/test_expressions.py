"""Go's regular expressions: what is refused in which words, what matches what, and that no pattern takes forever."""

from __future__ import annotations

import time

import pytest

from minikube_api.meta import expressions


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[a", "missing closing ]: `[a`"),
        ("x(a", "missing closing ): `x(a`"),
        ("a)", "unexpected ): `a)`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a+?*", "invalid nested repetition operator: `+?*`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){20}", "invalid repeat count: `{20}`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?<!a)b", "invalid named capture: `(?<!a)b`"),
        ("(?P<1-a>x)", "invalid named capture: `(?P<1-a>`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\q", r"invalid escape sequence: `\q`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
    ],
    ids=lambda text: text,
)
def test_what_go_can_not_read_is_refused_in_its_words(pattern: str, why: str) -> None:
    assert expressions.problem(pattern) == f"error parsing regexp: {why}"


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a\n", False),
        ("(?m)^a$", "b\na\n", True),
        (r"^\d$", "٣", False),
        (r"^\w+$", "é", False),
        (r"^\s$", "\v", False),
        (r"^[[:alpha:]_]+$", "aB_", True),
        (r"^[^\d]$", "1", False),
        ("^a{,2}$", "a{,2}", True),
        ("a(?i)b|c", "C", True),
        ("a(?i)b|c", "AB", False),
        ("(a(?i)b)c", "aBC", False),
        ("(?i:[a-c])d", "Bd", True),
        ("^.$", "\n", False),
        ("(?s)^.$", "\n", True),
        (r"^\Qa.b\E+$", "a.bb", True),
        (r"^\x{1F600}\x41$", "😀A", True),
        (r"^\p{Lu}\PL$", "É1", True),
        (r"^\p{Greek}+$", "αβ", True),
        (r"\bfoo\b", "a foo.", True),
        (r"\Bo", "foo", True),
        ("^[]a-]+$", "]-a", True),
        ("^^a$$", "a", True),
        ("^(?:)*a$", "a", True),
        ("(?U)^a+$", "aa", True),
    ],
)
def test_a_pattern_matches_as_in_go(pattern: str, text: str, matches: bool) -> None:
    assert bool(expressions.compiled(pattern).search(text)) is matches
    assert bool(expressions.tester(pattern).search(text)) is matches


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^(a+)+$", "aaa", "aab"),
        ("^(a|aa)+$", "aaaaa", "aab"),
        (r"^(\w+\s?)*$", "some words", "some!"),
        (r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$", "1h2.5m", "1h2"),
        ("(x+x+)+y", "xxxy", "xxx"),
        (r"^((a|b)*\b ?)+$", "ab ab", "ab-"),
        ("(?i)^(a*)*b{2,3}$", "AAbBB", "aab"),
    ],
)
def test_patterns_that_re_could_not_bound_are_run_state_by_state(pattern: str, yes: str, no: str) -> None:
    tester = expressions.tester(pattern)
    assert not isinstance(tester, type(expressions.compiled("a")))
    assert tester.search(yes)
    assert not tester.search(no)
    assert bool(expressions.compiled(pattern).search(yes))


def test_a_pattern_of_nested_repetitions_ends_soon() -> None:
    begun = time.perf_counter()
    assert not expressions.tester("^(a?){30}(a+)+(a|aa)*$").search("a" * 300 + "b")
    assert time.perf_counter() - begun < 1


def test_names_that_repeat_behind_a_dot_stay_with_re() -> None:
    name = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
    assert expressions.tester(name) is expressions.compiled(name)
