from __future__ import annotations

from typing import Any

import pytest

from minikube_api.client.objects import from_tree
from minikube_api.meta import times
from minikube_api.schema.typed.core_v1 import Pod
from minikube_py.controllers import pods

NOW = 1_700_000_000.0


def pod(name: str, *, node: str = "n", phase: str = "Running", ready: float | None = 1000, age: float = 1000, **kw: Any):
    status: dict[str, Any] = {"phase": phase}
    if ready is not None:
        since = times.format_time(NOW - ready)
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    restarts = kw.get("restarts", 0)
    status["containerStatuses"] = [{"name": "c", "image": "", "imageID": "", "ready": True, "restartCount": restarts}]
    annotations = {pods.DELETION_COST: kw["cost"]} if "cost" in kw else {}
    meta = {"name": name, "uid": name, "creationTimestamp": times.format_time(NOW - age), "annotations": annotations}
    return from_tree(Pod, {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": status})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod("a", node="", ready=None), pod("b", ready=None, phase="Pending"), id="unassigned"),
        pytest.param(pod("a", phase="Pending", ready=None), pod("b", ready=None), id="pending before running"),
        pytest.param(pod("a", ready=None), pod("b"), id="not ready"),
        pytest.param(pod("a", cost="-5"), pod("b"), id="cheap to delete"),
        pytest.param(pod("a"), pod("b", cost="5"), id="dear to delete"),
        pytest.param(pod("a", ready=10), pod("b", ready=5000), id="ready for a short time"),
        pytest.param(pod("a", restarts=3), pod("b"), id="many restarts"),
        pytest.param(pod("a", age=10), pod("b", age=5000), id="young"),
        pytest.param(pod("a"), pod("b", cost="005"), id="a malformed cost counts as none"),
    ],
)
def test_which_pod_goes_first(first, second):
    assert [p.metadata.name for p in pods.to_delete([second, first], (), 1, NOW)] == ["a"]


def test_pods_on_crowded_nodes_go_first():
    alone, crowded = pod("z", node="n1"), [pod("a", node="n2"), pod("b", node="n2")]
    everything = [alone, *crowded]
    assert pods.to_delete(everything, everything, 1, NOW)[0].spec.nodeName == "n2"


def test_availability_counts_from_the_last_ready_transition():
    young = pod("a", ready=4)
    assert pods.available_in(young, 10, NOW) == 6.0
    assert pods.available_in(young, 0, NOW) == 0.0
    assert pods.available_in(pod("b", ready=None), 0, NOW) is None
    assert pods.next_availability([young, pod("c")], 10, NOW) == 6.0
