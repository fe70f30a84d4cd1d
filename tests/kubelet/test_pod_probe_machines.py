"""Probe thresholds and the restart back-off."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_builders import NOW

from minikube_agents.kubelet.backoff import Backoff, seconds
from minikube_agents.kubelet.probes import Machine, Settings
from minikube_api.schema.typed import core_v1 as v1


def verdicts(results: str, **probe: int) -> str:
    """`results`: + and - per probe; gives s, f or . per result."""
    machine = Machine(Settings.of(msgspec.convert(probe, v1.Probe)))
    return "".join({"success": "s", "failure": "f", "none": "."}[machine.observe(one == "+")] for one in results)


@pytest.mark.parametrize(
    ("results", "probe", "expected"),
    [
        pytest.param("+", {}, "s", id="one success is enough by default"),
        pytest.param("---", {}, "..f", id="three failures by default"),
        pytest.param("--+--", {}, "..s..", id="a success starts the count again"),
        pytest.param("++-++", {"successThreshold": 2}, ".s..s", id="successThreshold in a row"),
        pytest.param("-", {"failureThreshold": 1}, "f", id="failureThreshold 1"),
        pytest.param("----", {}, "..ff", id="it stays failed"),
    ],
)
def test_thresholds(results: str, probe: dict[str, int], expected: str) -> None:
    assert verdicts(results, **probe) == expected


@given(st.text(alphabet="+-", max_size=30), st.integers(1, 4), st.integers(1, 4))
def test_a_verdict_needs_its_threshold_in_a_row(results: str, good: int, bad: int) -> None:
    for i, verdict in enumerate(verdicts(results, successThreshold=good, failureThreshold=bad)):
        run = len(results[: i + 1]) - len(results[: i + 1].rstrip(results[i]))
        assert (verdict != ".") == (run >= (good if results[i] == "+" else bad))


def test_back_off_doubles_to_five_minutes() -> None:
    backoff, now, delays = Backoff(), NOW, []
    for _ in range(7):
        backoff.next("c", now=now)
        delays.append(backoff.delay("c"))
        now += backoff.delay("c")
    assert delays == [10, 20, 40, 80, 160, 300, 300]


def test_back_off_is_forgotten_after_ten_quiet_minutes() -> None:
    backoff = Backoff()
    backoff.next("c", now=NOW)
    assert backoff.wait("c", since=NOW + 1, now=NOW + 2) == 9
    assert backoff.wait("c", since=NOW + 601, now=NOW + 602) == 0
    backoff.next("c", now=NOW + 602, since=NOW + 601)
    assert backoff.delay("c") == 10


@pytest.mark.parametrize(("delay", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_delays_are_worded_as_go_words_them(delay: float, text: str) -> None:
    assert seconds(delay) == text
