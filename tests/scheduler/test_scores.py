"""Which of the fitting nodes is best."""

from __future__ import annotations

from scheduling_world import decide, node, pod, selector, state

from minikube_api.schema.typed import core_v1 as v1
from minikube_py.scheduler.deciding import feasible_limit
from minikube_py.scheduler.state import SpreadConstraint, compiled


def test_the_emptier_node_wins():
    made = state(node("a"), node("b"), pod("q", on="a", cpu="2", memory="2Gi"))
    assert decide(made, pod("p", cpu="1", memory="1Gi")).node == "b"


def test_a_preferred_node_wins_over_an_emptier_one():
    term = v1.NodeSelectorTerm(matchExpressions=(v1.NodeSelectorRequirement(key="disk", operator="In", values=("ssd",)),))
    preferred = v1.PreferredSchedulingTerm(weight=10, preference=term)
    affinity = v1.Affinity(nodeAffinity=v1.NodeAffinity(preferredDuringSchedulingIgnoredDuringExecution=(preferred,)))
    made = state(node("a", labels={"disk": "ssd"}), node("b"), pod("q", on="a", cpu="500m"))
    assert decide(made, pod("p", affinity=affinity)).node == "a"


def test_a_node_to_be_avoided_is_avoided():
    made = state(node("a", taints=[("k", "v", "PreferNoSchedule")]), node("b"), pod("q", on="b", cpu="1"))
    assert decide(made, pod("p")).node == "b"


def test_pods_of_one_service_are_spread_by_default():
    spread = [SpreadConstraint(compiled(selector(app="web")), "kubernetes.io/hostname", 3, False, 1, True, False)]
    made = state(node("a", cpu="64", memory="256Gi"), node("b"), pod("q", on="a", labels={"app": "web"}))
    assert decide(made, pod("p", labels={"app": "web"}), default_spread=spread).node == "b"


def test_soft_affinity_draws_and_repels():
    def preferring(kind, weight_class):
        term = v1.PodAffinityTerm(labelSelector=selector(app="db"), topologyKey="kubernetes.io/hostname")
        return kind(preferredDuringSchedulingIgnoredDuringExecution=(weight_class(weight=100, podAffinityTerm=term),))

    made = state(node("a"), node("b"), pod("q", on="a", labels={"app": "db"}))
    towards = v1.Affinity(podAffinity=preferring(v1.PodAffinity, v1.WeightedPodAffinityTerm))
    away = v1.Affinity(podAntiAffinity=preferring(v1.PodAntiAffinity, v1.WeightedPodAffinityTerm))
    assert decide(made, pod("p", affinity=towards)).node == "a"
    assert decide(made, pod("p", affinity=away)).node == "b"


def test_in_large_clusters_a_share_of_the_nodes_is_enough():
    assert [feasible_limit(n) for n in (5, 99, 150, 5000, 20000)] == [5, 99, 100, 500, 1000]
