"""Deciding by class chooses what the plain path chooses."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_world import node, pod, selector

from minikube_api.schema.typed import core_v1 as v1
from minikube_py.scheduler.classes import key_of
from minikube_py.scheduler.deciding import Decider
from minikube_py.scheduler.spreading import constraints_of
from minikube_py.scheduler.state import ClusterState, compiled, pod_info

SPREAD = constraints_of(compiled(selector(app="web")))
NEVER = 1 << 30


def some_node(name, shape):
    cpu, zone, taint, image = shape
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    made = node(name, cpu=cpu, pods="4", labels=labels, taints=[("k", "v", taint)] if taint else ())
    if not image:
        return made
    images = (v1.ContainerImage(names=("i",), sizeBytes=800 << 20),)
    return v1.Node(
        metadata=made.metadata, spec=made.spec, status=v1.NodeStatus(allocatable=made.status.allocatable, images=images)
    )


shapes = st.tuples(
    st.sampled_from(["1", "2", "4"]),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["", "", "", "NoSchedule", "PreferNoSchedule"]),
    st.booleans(),
)
asked = st.tuples(
    st.sampled_from(["", "200m", "900m"]), st.sampled_from(["web", "db"]), st.sampled_from([(), (80,)]), st.booleans()
)
steps = st.one_of(
    st.tuples(st.just("schedule"), asked),
    st.tuples(st.just("schedule"), asked),
    st.tuples(st.just("node"), st.integers(0, 9), shapes),
    st.tuples(st.just("lose"), st.integers(0, 9)),
    st.tuples(st.just("end"), st.integers(0, 50)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(shapes, min_size=1, max_size=8), st.lists(steps, min_size=5, max_size=40), st.integers(0, 99))
def test_both_paths_choose_the_same_node_whatever_happened_before(nodes, happenings, seed):
    state = ClusterState()
    for i, shape in enumerate(nodes):
        state.set_node(some_node(f"n{i}", shape))
    plain = Decider(state, random.Random(seed), classes_from=NEVER)
    by_class = Decider(state, random.Random(seed), classes_from=1)
    for what, *values in happenings:
        if what == "node":
            state.set_node(some_node(f"n{values[0]}", values[1]))
        elif what == "lose":
            state.remove_node(f"n{values[0]}")
        elif what == "end" and state.pods:
            state.forget(list(state.pods)[values[0] % len(state.pods)])
        elif what == "schedule":
            cpu, app, ports, spread = values[0]
            info = pod_info(pod("p", cpu=cpu, labels={"app": app}, ports=ports))
            expected = plain.decide(info, default_spread=SPREAD if spread else ())
            found = by_class.decide(info, default_spread=SPREAD if spread else ())
            assert (found.node, found.message, found.refusals) == (expected.node, expected.message, expected.refusals)
            if found.node:
                info.node = found.node
                state.place(info, assumed=True)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99))
def test_both_paths_sample_the_same_nodes_of_a_large_cluster(seed):
    state = ClusterState()
    rng = random.Random(seed)
    for i in range(260):
        state.set_node(some_node(f"n{i}", (rng.choice("124"), rng.choice("ab"), rng.choice(["", "", "NoSchedule"]), False)))
    plain, by_class = Decider(state, random.Random(1), classes_from=NEVER), Decider(state, random.Random(1))
    for _ in range(60):
        info = pod_info(pod("p", cpu=rng.choice(["500m", "1500m"]), labels={"app": "web"}))
        default = SPREAD if rng.random() < 0.5 else ()
        expected = plain.decide(info, default_spread=default).node
        assert by_class.decide(info, default_spread=default).node == expected
        info.node = expected
        state.place(info, assumed=True)


def test_pods_that_differ_in_name_only_are_one_class():
    assert key_of(pod_info(pod("a", cpu="1")), SPREAD) == key_of(pod_info(pod("b", cpu="1")), SPREAD)
    assert key_of(pod_info(pod("a", cpu="1")), ()) != key_of(pod_info(pod("a", cpu="2")), ())
    assert key_of(pod_info(pod("a")), SPREAD) != key_of(pod_info(pod("a", namespace="other")), SPREAD)


def test_a_node_known_only_by_its_pods_is_not_an_error():
    state = ClusterState()
    state.set_node(node("a"))
    decider = Decider(state, random.Random(1), classes_from=1)
    assert decider.decide(pod_info(pod("p"))).node == "a"
    state.place(pod_info(pod("q", on="gone")))
    assert decider.decide(pod_info(pod("p"))).node == "a"
