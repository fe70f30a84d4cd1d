from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.client.objects import from_tree
from minikube_api.schema.typed.apps_v1 import Deployment, DeploymentStatus, ReplicaSet
from minikube_py.controllers import conditions, rollout


def deployment(replicas: int = 10, surge: Any = "25%", unavailable: Any = "25%", **spec: Any) -> Deployment:
    return from_tree(
        Deployment,
        {
            "metadata": {"name": "web", "namespace": "default", "generation": 2},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"a": "b"}},
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
                },
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}},
                "progressDeadlineSeconds": 600,
                **spec,
            },
        },
    )


def rs(name: str, size: int, available: int | None = None, *, created: int = 0, **annotations: str) -> ReplicaSet:
    keys = {"desired": rollout.DESIRED_REPLICAS, "max": rollout.MAX_REPLICAS, "revision": rollout.REVISION}
    return from_tree(
        ReplicaSet,
        {
            "metadata": {
                "name": name,
                "namespace": "default",
                "creationTimestamp": f"2024-01-01T00:00:{created:02}Z",
                "annotations": {keys[key]: value for key, value in annotations.items()},
            },
            "spec": {"replicas": size, "selector": {}, "template": {"metadata": {"labels": {"v": name}}}},
            "status": {"replicas": size, "availableReplicas": size if available is None else available},
        },
    )


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(10, "25%", "25%", (3, 2), id="surge rounds up, unavailable down"),
        pytest.param(1, "25%", "25%", (1, 0), id="one replica is replaced by surging"),
        pytest.param(10, 0, 0, (0, 1), id="both zero would never move"),
        pytest.param(10, "0%", "0%", (0, 1), id="both zero percent"),
        pytest.param(4, 1, 0, (1, 0), id="numbers"),
        pytest.param(3, "100%", "50%", (3, 1), id="large shares"),
    ],
)
def test_fenceposts(replicas, surge, unavailable, expected):
    assert rollout.fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_max_unavailable_is_no_more_than_the_replicas():
    assert rollout.max_unavailable(deployment(2, 0, 5)) == 2
    assert rollout.max_unavailable(deployment(0, 0, 5)) == 0


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param(0, [10], 3, id="as many as may surge"),
        pytest.param(3, [10], 3, id="no room"),
        pytest.param(3, [8], 5, id="room of what went"),
        pytest.param(8, [], 10, id="no more than wanted"),
        pytest.param(0, [13], 0, id="too many already"),
    ],
)
def test_size_of_the_new_set(new, old, expected):
    sets = [rs(f"old{i}", n) for i, n in enumerate(old)]
    assert rollout.new_size(deployment(), [*sets, rs("new", new)], rs("new", new)) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param(("new", 3, 0), [("a", 10, 10)], {"a": 8}, id="maxUnavailable may go at once"),
        pytest.param(("new", 5, 3), [("a", 8, 8)], {"a": 5}, id="as many as became available"),
        pytest.param(("new", 5, 0), [("a", 8, 8)], {}, id="nothing while the new ones are not available"),
        pytest.param(("new", 3, 0), [("a", 4, 0), ("b", 6, 6)], {"a": 2}, id="unhealthy ones first"),
        pytest.param(("new", 10, 10), [("a", 2, 2), ("b", 1, 1)], {"a": 0, "b": 0}, id="the rest when all is well"),
        pytest.param(("new", 10, 10), [("a", 0, 0)], {}, id="nothing to shrink"),
        pytest.param(("new", 5, 5), [("a", 4, 8)], {"a": 3}, id="pods about to go are not counted as available"),
    ],
)
def test_sizes_of_the_old_sets(new, old, expected):
    sets = [rs(name, size, available, created=i) for i, (name, size, available) in enumerate(old)]
    assert rollout.old_sizes(deployment(), sets, rs(*new, created=30)) == expected


@given(
    replicas=st.integers(1, 20),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    data=st.data(),
)
def test_a_rollout_keeps_its_bounds_and_ends(replicas, surge, unavailable, data):
    d = deployment(replicas, surge, unavailable)
    surge, unavailable = rollout.max_surge(d), rollout.max_unavailable(d)
    sizes, available = {"old": replicas, "new": 0}, {"old": replicas, "new": 0}
    for _ in range(200):
        old, new = (rs(n, sizes[n], available[n], created=i) for i, n in enumerate(("old", "new")))
        sizes["new"] = rollout.new_size(d, [old, new], new)
        if sizes["new"] == new.spec.replicas:
            sizes |= rollout.old_sizes(d, [old], new)
        assert sizes["old"] + sizes["new"] <= replicas + surge
        available["old"] = min(available["old"], sizes["old"])
        assert available["old"] + available["new"] >= replicas - unavailable
        if available["new"] < sizes["new"]:
            available["new"] += data.draw(st.integers(1, sizes["new"] - available["new"]))
        if sizes == {"old": 0, "new": replicas}:
            return
    raise AssertionError(f"stuck at {sizes}")


@pytest.mark.parametrize(
    ("replicas", "sets", "expected"),
    [
        pytest.param(20, [("a", 8, "13"), ("b", 5, "13")], {"a": 15, "b": 10}, id="growth in proportion"),
        pytest.param(5, [("a", 8, "13"), ("b", 5, "13")], {"a": 4, "b": 3}, id="shrinking in proportion"),
        pytest.param(0, [("a", 8, "13"), ("b", 5, "13")], {"a": 0, "b": 0}, id="to nothing"),
        pytest.param(10, [("a", 8, "13"), ("b", 5, "13")], {"a": 8, "b": 5}, id="nothing to do"),
    ],
)
def test_scaling_in_the_midst_of_a_rollout(replicas, sets, expected):
    listed = [rs(name, size, created=i, max=most) for i, (name, size, most) in enumerate(sets)]
    sizes = rollout.proportional_sizes(deployment(replicas), listed)
    assert sizes == expected
    allowed = replicas + rollout.max_surge(deployment(replicas)) if replicas else 0
    assert sum(sizes.values()) == allowed


def test_annotations_of_a_new_set_are_the_deployments_with_revision_and_sizes():
    d = deployment(4)
    annotated = from_tree(
        Deployment,
        {
            "metadata": {"name": "web", "annotations": {"note": "x", rollout.REVISION: "7"}},
            "spec": {"replicas": 4, "selector": {}, "template": {}, "strategy": {"type": "Recreate"}},
        },
    )
    assert rollout.new_annotations(annotated, {}, 8, exists=False) == {
        "note": "x", rollout.REVISION: "8", rollout.DESIRED_REPLICAS: "4", rollout.MAX_REPLICAS: "4",
    }  # fmt: skip
    again = rollout.new_annotations(d, {rollout.REVISION: "1"}, 3, exists=True)
    assert again == {rollout.REVISION: "3", rollout.REVISION_HISTORY: "1"}
    kept = rollout.new_annotations(d, {rollout.REVISION: "5"}, 3, exists=True)
    assert kept == {rollout.REVISION: "5"}, "a revision never goes back"


def test_surplus_history_keeps_the_highest_revisions_and_what_still_has_pods():
    d = deployment(revisionHistoryLimit=1)
    old = [rs("r3", 0, revision="3"), rs("r1", 0, revision="1"), rs("r2", 1, revision="2")]
    assert [s.metadata.name for s in rollout.surplus_history(d, old)] == ["r1"]


def status(**counts: int) -> DeploymentStatus:
    return DeploymentStatus(observedGeneration=2, **counts)


def test_progressing_conditions_follow_the_counts():
    d, new, now = deployment(2), rs("new", 2), 1_700_000_000.0
    moving = rollout.rollout_conditions(d, [new], new, status(replicas=2, updatedReplicas=2), now)
    assert [(c.reason, c.message) for c in moving] == [("ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')]
    done = rollout.rollout_conditions(d, [new], new, status(replicas=2, updatedReplicas=2, availableReplicas=2), now)
    assert [(c.status, c.reason) for c in done] == [("True", "NewReplicaSetAvailable")]


def test_progress_moves_the_update_time_but_not_the_transition_time():
    now = 1_700_000_000.0
    first = rollout.condition("Progressing", "True", "ReplicaSetUpdated", "m", now)
    d = deployment(2)
    d = from_tree(Deployment, {**_tree(d), "status": {"replicas": 1, "conditions": [_tree(first)]}})
    new = rs("new", 2)
    moved = status(replicas=2, updatedReplicas=2, readyReplicas=1)
    moved = from_tree(DeploymentStatus, {**_tree(moved), "conditions": [_tree(first)]})
    (after,) = rollout.rollout_conditions(d, [new], new, moved, now + 30)
    assert after.lastTransitionTime == first.lastTransitionTime and after.lastUpdateTime != first.lastUpdateTime


def _tree(struct: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(struct)


def test_no_deadline_means_no_progressing_condition():
    d = deployment(2, progressDeadlineSeconds=None)
    new = rs("new", 2)
    listed = rollout.rollout_conditions(d, [new], new, status(replicas=2, updatedReplicas=2), 0.0)
    assert conditions.find(listed, "Progressing") is None
