"""Which nodes can take a pod, and what is said when none can."""

from __future__ import annotations

import pytest
from scheduling_world import decide, node, pod, selector, state

from minikube_api.schema.typed import core_v1 as v1


def requires(key, *values, operator="In"):
    term = v1.NodeSelectorTerm(matchExpressions=(v1.NodeSelectorRequirement(key=key, operator=operator, values=values),))
    affinity = v1.NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution=v1.NodeSelector(nodeSelectorTerms=(term,)))
    return v1.Affinity(nodeAffinity=affinity)


def away_from(**labels):
    term = v1.PodAffinityTerm(labelSelector=selector(**labels), topologyKey="zone")
    return v1.Affinity(podAntiAffinity=v1.PodAntiAffinity(requiredDuringSchedulingIgnoredDuringExecution=(term,)))


def together_with(**labels):
    term = v1.PodAffinityTerm(labelSelector=selector(**labels), topologyKey="zone")
    return v1.Affinity(podAffinity=v1.PodAffinity(requiredDuringSchedulingIgnoredDuringExecution=(term,)))


NODES = (node("a", labels={"zone": "1", "disk": "ssd"}), node("b", labels={"zone": "2", "size": "5"}))


@pytest.mark.parametrize(
    ("objects", "incoming", "chosen"),
    [
        pytest.param(NODES, pod("p", nodeSelector={"disk": "ssd"}), "a", id="node selector"),
        pytest.param(NODES, pod("p", affinity=requires("zone", "2")), "b", id="node affinity"),
        pytest.param(NODES, pod("p", affinity=requires("size", "4", operator="Gt")), "b", id="node affinity Gt"),
        pytest.param(NODES, pod("p", affinity=requires("disk", operator="DoesNotExist")), "b", id="node affinity DoesNotExist"),
        pytest.param((*NODES, pod("q", on="a", ports=[80])), pod("p", ports=[80]), "b", id="host port"),
        pytest.param((*NODES, pod("q", on="a", cpu="3500m")), pod("p", cpu="1"), "b", id="cpu"),
        pytest.param((*NODES, pod("q", on="a", memory="8Gi")), pod("p", memory="1"), "b", id="memory"),
        pytest.param((node("a", unschedulable=True), node("b")), pod("p"), "b", id="unschedulable"),
        pytest.param((node("a", taints=[("k", "v", "NoSchedule")]), node("b")), pod("p"), "b", id="taint"),
        pytest.param(
            (node("a", taints=[("k", "v", "NoSchedule")]),),
            pod("p", tolerations=(v1.Toleration(key="k", operator="Exists"),)),
            "a",
            id="tolerated",
        ),
        pytest.param(
            (*NODES, pod("q", on="a", labels={"app": "db"})), pod("p", affinity=together_with(app="db")), "a", id="affinity"
        ),
        pytest.param(
            (*NODES, pod("q", on="a", labels={"app": "db"})), pod("p", affinity=away_from(app="db")), "b", id="anti-affinity"
        ),
        pytest.param(
            (*NODES, pod("q", on="a", affinity=away_from(app="web"))),
            pod("p", labels={"app": "web"}),
            "b",
            id="anti-affinity of an existing pod",
        ),
    ],
)
def test_a_pod_goes_where_it_may(objects, incoming, chosen):
    assert decide(state(*objects), incoming).node == chosen


@pytest.mark.parametrize(
    ("objects", "incoming", "message"),
    [
        pytest.param((), pod("p"), "no nodes available to schedule pods", id="no nodes"),
        pytest.param(
            NODES,
            pod("p", cpu="5", memory="1Ti"),
            "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.",
            id="too big",
        ),
        pytest.param(
            (node("a", unschedulable=True), node("b", taints=[("k", "v", "NoExecute")]), node("c", pods="0")),
            pod("p"),
            "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
            id="each for its own reason",
        ),
        pytest.param(
            NODES,
            pod("p", nodeSelector={"disk": "tape"}),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            id="selector",
        ),
        pytest.param(
            NODES,
            pod("p", affinity=together_with(app="db")),
            "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
            id="affinity",
        ),
    ],
)
def test_the_reasons_are_counted_as_kubernetes_words_them(objects, incoming, message):
    decision = decide(state(*objects), incoming)
    assert (decision.node, decision.message) == ("", message)


def test_the_first_pod_of_a_group_that_wants_to_be_together_is_placed():
    incoming = pod("p", labels={"app": "db"}, affinity=together_with(app="db"))
    assert decide(state(*NODES), incoming).node in ("a", "b")


def test_hard_topology_spread_keeps_the_skew():
    constraint = v1.TopologySpreadConstraint(
        maxSkew=1, topologyKey="zone", whenUnsatisfiable="DoNotSchedule", labelSelector=selector(app="web")
    )
    made = state(*NODES, node("c", labels={"zone": "1"}), pod("q", on="a", labels={"app": "web"}))
    incoming = pod("p", labels={"app": "web"}, topologySpreadConstraints=(constraint,))
    assert decide(made, incoming).node == "b"


def test_spread_needs_the_label():
    constraint = v1.TopologySpreadConstraint(
        maxSkew=1, topologyKey="rack", whenUnsatisfiable="DoNotSchedule", labelSelector=selector(app="web")
    )
    decision = decide(state(*NODES), pod("p", topologySpreadConstraints=(constraint,)))
    assert decision.message.endswith("2 node(s) didn't match pod topology spread constraints (missing required label).")


def test_what_a_pod_that_left_used_is_free_again():
    made = state(node("a", cpu="1"))
    first = pod("q", on="a", cpu="1")
    from minikube_py.scheduler.state import pod_info

    info = pod_info(first)
    made.place(info)
    assert not decide(made, pod("p", cpu="1")).node
    made.forget(info.uid)
    assert decide(made, pod("p", cpu="1")).node == "a"
    assert all(value == 0 for value in made.nodes["a"].requested.values())
