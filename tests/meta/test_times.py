"""RFC 3339 times, Go durations, ages, conditions, accessors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.meta import conditions, durations, objects, times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02T03:04:05.123456789Z", 1767323045.123456),
        ("2026-01-02T04:04:05+01:00", 1767323045.0),
        ("2026-01-01T22:04:05-05:00", 1767323045.0),
    ],
)
def test_parse_rfc3339(text: str, seconds: float) -> None:
    assert times.parse(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "2026-01-02", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "2026-01-02T03:04:05"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        times.parse(text)


def test_formats_cut_and_pad() -> None:
    assert times.format_time(1767323045.9) == "2026-01-02T03:04:05Z"
    assert times.format_micro(1767323045.000012) == "2026-01-02T03:04:05.000012Z"
    assert times.normalize("2026-01-02T04:04:05.5+01:00") == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("text", "nanos"),
    [("0", 0), ("1h2m3s", 3723 * 10**9), ("1.5h", 5400 * 10**9), ("-250ms", -250 * 10**6), ("1µs", 1000), (".5s", 5 * 10**8)],
)
def test_parse_duration(text: str, nanos: int) -> None:
    assert durations.parse_nanoseconds(text) == nanos


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("3", 'time: missing unit in duration "3"'),
        ("3d", 'time: unknown unit "d" in duration "3d"'),
        (".s", 'time: invalid duration ".s"'),
    ],
)
def test_what_is_no_duration(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="time:") as caught:
        durations.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (3661.5, "1h1m1.5s"), (0.25, "250ms"), (60, "1m0s"), (3600, "1h0m0s"), (0.0000015, "1.5µs"), (-2, "-2s")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert durations.format(seconds) == text


@given(st.integers(-(10**15), 10**15))
def test_formatted_duration_parses_to_the_same(nanos: int) -> None:
    assert durations.parse_nanoseconds(durations.format_nanoseconds(nanos)) == nanos


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (119, "119s"), (121, "2m1s"), (180, "3m"), (3700, "61m"), (3 * 3600 + 60, "3h1m"), (10 * 3600, "10h"),
     (50 * 3600, "2d2h"), (9 * 86400, "9d"), (800 * 86400, "2y70d"), (9 * 365 * 86400, "9y"), (-5, "<invalid>")],
)  # fmt: skip
def test_age_has_at_most_three_figures(seconds: int, text: str) -> None:
    assert durations.human(seconds) == text


def test_transition_time_moves_with_the_status_only() -> None:
    first = conditions.with_condition([], {"type": "Ready", "status": "False"}, now="t1")
    same = conditions.with_condition(first, {"type": "Ready", "status": "False", "reason": "R"}, now="t2")
    moved = conditions.with_condition(same, {"type": "Ready", "status": "True"}, now="t3")
    assert [c[0]["lastTransitionTime"] for c in (first, same, moved)] == ["t1", "t1", "t3"]
    assert same[0]["reason"] == "R"
    assert conditions.is_true(moved, "Ready")
    assert conditions.without_condition(moved, "Ready") == []


def test_accessors_tolerate_absent_metadata() -> None:
    assert (objects.name({}), objects.namespace({}), objects.labels({}), objects.is_deleting({})) == ("", "", {}, False)
    assert objects.controller_of({"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": True}]}}) == {
        "uid": "b",
        "controller": True,
    }
    assert objects.key({"metadata": {"namespace": "n", "name": "a"}}) == "n/a"
    assert objects.nested({"a": {"b": None}}, "a", "b", default=3) == 3


@pytest.mark.parametrize(("text", "pair"), [("v1", ("", "v1")), ("apps/v1", ("apps", "v1"))])
def test_api_version_splits_and_joins(text: str, pair: tuple[str, str]) -> None:
    assert objects.split_api_version(text) == pair
    assert objects.join_api_version(*pair) == text


def test_api_version_with_two_slashes_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected GroupVersion string: a/b/c"):
        objects.split_api_version("a/b/c")
