"""Who must leave for a more important pod."""

from __future__ import annotations

import random

import pytest
from scheduling_world import node, pod, selector, state

from minikube_py.scheduler import preempting
from minikube_py.scheduler.deciding import Decider
from minikube_py.scheduler.preempting import Budget
from minikube_py.scheduler.state import compiled, pod_info


def run(made, incoming, budgets=()):
    info = pod_info(incoming)
    decision = Decider(made, random.Random(1)).decide(info)
    assert not decision.node
    return preempting.find(info, made, decision.refusals, budgets)


def names(candidate):
    return [v.name for v in candidate.victims]


def test_only_as_many_leave_as_are_needed_and_the_least_important_ones():
    made = state(
        node("a", cpu="3"),
        pod("low", on="a", cpu="1", priority=1),
        pod("mid", on="a", cpu="1", priority=5),
        pod("top", on="a", cpu="1", priority=9),
    )
    candidate, _ = run(made, pod("p", cpu="1", priority=10))
    assert names(candidate) == ["low"]


def test_the_node_whose_victims_matter_least_is_chosen():
    made = state(
        node("a", cpu="1"), node("b", cpu="1"), pod("x", on="a", cpu="1", priority=5), pod("y", on="b", cpu="1", priority=3)
    )
    candidate, _ = run(made, pod("p", cpu="1", priority=10))
    assert (candidate.node, names(candidate)) == ("b", ["y"])


def test_a_budget_is_spared_when_there_is_another_way():
    made = state(
        node("a", cpu="1"), node("b", cpu="1"),
        pod("x", on="a", cpu="1", priority=1, labels={"app": "db"}), pod("y", on="b", cpu="1", priority=3),
    )  # fmt: skip
    budget = Budget("default", compiled(selector(app="db")), 0, frozenset())
    candidate, _ = run(made, pod("p", cpu="1", priority=10), [budget])
    assert names(candidate) == ["y"]


@pytest.mark.parametrize(
    ("priority", "cpu", "message"),
    [
        pytest.param(
            5, "1", "0/1 nodes are available: 1 No preemption victims found for incoming pod.", id="nobody is less important"
        ),
        pytest.param(
            10, "2", "0/1 nodes are available: 1 Preemption is not helpful for scheduling.", id="does not fit an empty node"
        ),
    ],
)
def test_where_nobody_can_leave_the_message_says_so(priority, cpu, message):
    made = state(node("a", cpu="1"), pod("x", on="a", cpu="1", priority=5))
    assert run(made, pod("p", cpu=cpu, priority=priority)) == (None, message)


def test_looking_for_victims_leaves_the_state_as_it_was():
    made = state(node("a", cpu="3"), *(pod(f"x{i}", on="a", cpu="1", priority=i) for i in range(3)))
    before = (dict(made.nodes["a"].requested), set(made.nodes["a"].pods))
    run(made, pod("p", cpu="2", priority=10))
    assert (made.nodes["a"].requested, set(made.nodes["a"].pods)) == before


def test_a_pod_that_never_preempts_says_so():
    info = pod_info(pod("p", preemptionPolicy="Never"))
    assert preempting.eligible(info, state(), "") == "not eligible due to preemptionPolicy=Never."
