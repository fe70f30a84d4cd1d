"""Times of clients: what Go's time.Parse takes, and its words for what it does not."""

from __future__ import annotations

import pytest

from minikube_api.meta import go_times, times

SECONDS, MICROS = '"2006-01-02T15:04:05Z07:00"', '"2006-01-02T15:04:05.000000Z07:00"'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2024-02-29T03:04:05Z", id="utc"),
        pytest.param("2024-01-02T03:04:05.123456789Z", id="fraction"),
        pytest.param("2024-01-02T03:04:05+02:00", id="zone"),
        pytest.param("2024-01-02T03:04:05.5-11:30", id="fraction-and-zone"),
    ],
)
def test_a_time_that_go_takes_can_be_read(text):
    assert go_times.problem(text) == ""
    times.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("yesterday", f'parsing time "yesterday" as {SECONDS}: cannot parse "yesterday" as "2006"', id="word"),
        pytest.param("", f'parsing time "" as {SECONDS}: cannot parse "" as "2006"', id="empty"),
        pytest.param("2024-01-02", f'parsing time "2024-01-02" as {SECONDS}: cannot parse "" as "T"', id="date"),
        pytest.param(
            "2024-01-02 03:04:05Z",
            f'parsing time "2024-01-02 03:04:05Z" as {SECONDS}: cannot parse " 03:04:05Z" as "T"',
            id="blank",
        ),
        pytest.param(
            "2024-01-02T03:04:05", f'parsing time "2024-01-02T03:04:05" as {SECONDS}: cannot parse "" as "Z07:00"', id="no-zone"
        ),
        pytest.param("2024-13-02T03:04:05Z", 'parsing time "2024-13-02T03:04:05Z": month out of range', id="month"),
        pytest.param("2023-02-29T03:04:05Z", 'parsing time "2023-02-29T03:04:05Z": day out of range', id="day"),
        pytest.param("2024-01-02T25:04:05Z", 'parsing time "2024-01-02T25:04:05Z": hour out of range', id="hour"),
        pytest.param("2024-01-02T03:04:05Zx", 'parsing time "2024-01-02T03:04:05Zx": extra text: "x"', id="extra"),
        pytest.param("ü", 'parsing time "\\xc3\\xbc" as ' + f'{SECONDS}: cannot parse "\\xc3\\xbc" as "2006"', id="not-ascii"),
    ],
)
def test_a_time_is_refused_in_gos_words(text, expected):
    assert go_times.problem(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2024-01-02T03:04:05.000001Z", "", id="six-digits"),
        pytest.param("2024-01-02T03:04:05.000001+02:00", "", id="zone"),
        pytest.param(
            "2024-01-02T03:04:05Z",
            f'parsing time "2024-01-02T03:04:05Z" as {MICROS}: cannot parse "Z" as ".000000"',
            id="seconds",
        ),
        pytest.param(
            "2024-01-02T03:04:05.1Z",
            f'parsing time "2024-01-02T03:04:05.1Z" as {MICROS}: cannot parse ".1Z" as ".000000"',
            id="one-digit",
        ),
        pytest.param(
            "2024-01-02T03:04:05.1234567Z",
            f'parsing time "2024-01-02T03:04:05.1234567Z" as {MICROS}: cannot parse "7Z" as "Z07:00"',
            id="seven-digits",
        ),
    ],
)
def test_a_micro_time_has_six_digits(text, expected):
    assert go_times.problem(text, go_times.MICROS) == expected
