"""Phase, conditions and container statuses from runtime facts."""

from __future__ import annotations

from typing import Any

import pytest
from pod_builders import FACTS, NOW, exited, observed, pod, running, sandbox

from minikube_agents.kubelet.observations import Memory, Outcome, Problem
from minikube_agents.kubelet.status_writing import difference
from minikube_agents.kubelet.statuses import pod_status

PROBE = {"exec": {"command": ["true"]}}


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


@pytest.mark.parametrize(
    ("spec", "records", "ended", "phase"),
    [
        pytest.param({}, [], False, "Pending", id="nothing started"),
        pytest.param({}, [running()], False, "Running", id="running"),
        pytest.param({}, [exited(code=1)], False, "Running", id="Always: stopped comes back"),
        pytest.param({"restartPolicy": "OnFailure"}, [exited(code=1)], False, "Running", id="OnFailure: failed comes back"),
        pytest.param({"restartPolicy": "OnFailure"}, [exited(code=0)], False, "Succeeded", id="OnFailure: done"),
        pytest.param({"restartPolicy": "Never"}, [exited(code=0)], False, "Succeeded", id="Never: success"),
        pytest.param({"restartPolicy": "Never"}, [exited(code=2)], False, "Failed", id="Never: failure"),
        pytest.param({}, [exited(code=143)], True, "Failed", id="deleted: killed by the signal"),
        pytest.param({}, [exited(code=0)], True, "Succeeded", id="deleted: ended well"),
        pytest.param({"initContainers": [{"name": "i"}]}, [running("i")], False, "Pending", id="init runs"),
        pytest.param(
            {"initContainers": [{"name": "i"}], "restartPolicy": "Never"},
            [exited("i", 1)],
            False,
            "Failed",
            id="init failed, Never",
        ),
        pytest.param({"initContainers": [{"name": "i"}]}, [exited("i", 1)], False, "Pending", id="init failed, Always"),
    ],
)
def test_phase(spec: dict[str, Any], records: list[Any], ended: bool, phase: str) -> None:
    status = pod_status(pod(**spec), observed(*records), Memory(terminating=ended), FACTS, NOW)
    assert status["phase"] == phase


def test_a_running_pod_has_everything_kubectl_shows() -> None:
    status = pod_status(pod(), observed(running(image="busybox", image_id="sha256:1")), Memory(), FACTS, NOW)
    assert set(conditions(status).values()) == {"True"}
    assert (status["hostIP"], status["podIP"], status["qosClass"]) == ("192.168.49.2", "10.244.0.5", "BestEffort")
    (container,) = status["containerStatuses"]
    assert container["containerID"] == "process://c0"
    assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)


def test_waiting_reasons() -> None:
    def state(one: Any, *records: Any, **memory: Any) -> dict[str, Any]:
        return pod_status(one, observed(*records), Memory(**memory), FACTS, NOW)["containerStatuses"][0]["state"]

    assert state(pod()) == {"waiting": {"reason": "ContainerCreating"}}
    assert state(pod(initContainers=[{"name": "i"}])) == {"waiting": {"reason": "PodInitializing"}}
    problem = Problem("ImagePullBackOff", 'Back-off pulling image "x"')
    assert state(pod(), problems={"c": problem}) == {"waiting": {"reason": problem.reason, "message": problem.message}}


def test_a_crash_loop_shows_the_last_exit() -> None:
    problem = Problem("CrashLoopBackOff", "back-off 10s restarting failed container=c pod=a_default(uid-a)")
    status = pod_status(pod(), observed(exited(code=3, attempt=2)), Memory(problems={"c": problem}), FACTS, NOW)
    container = status["containerStatuses"][0]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 3
    assert container["restartCount"] == 2
    assert status["phase"] == "Running"


def test_unready_containers_are_named() -> None:
    one = pod("a", {"name": "c", "readinessProbe": PROBE}, {"name": "d"})
    records = [running(), running("d")]
    status = pod_status(one, observed(*records), Memory(), FACTS, NOW)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [c]")
    status = pod_status(one, observed(*records), Memory(readiness={"c0": True}), FACTS, NOW)
    assert conditions(status)["Ready"] == "True"


def test_a_startup_probe_holds_started_and_ready_back() -> None:
    one = pod("a", {"name": "c", "startupProbe": PROBE})
    before = pod_status(one, observed(running()), Memory(), FACTS, NOW)["containerStatuses"][0]
    after = pod_status(one, observed(running()), Memory(startup={"c0": True}), FACTS, NOW)["containerStatuses"][0]
    assert [(s["started"], s["ready"]) for s in (before, after)] == [(False, False), (True, True)]


def test_a_running_post_start_hook_keeps_the_container_waiting() -> None:
    status = pod_status(pod(), observed(running()), Memory(hooks={"c0"}), FACTS, NOW)
    assert "waiting" in status["containerStatuses"][0]["state"]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        pytest.param(None, 'corresponding condition of pod readiness gate "x.io/y" does not exist.', id="absent"),
        pytest.param("False", 'the status of pod readiness gate "x.io/y" is not "True", but False', id="false"),
    ],
)
def test_readiness_gates(gate: str | None, message: str) -> None:
    told = {"conditions": [{"type": "x.io/y", "status": gate}]} if gate else {}
    status = pod_status(pod(readinessGates=[{"conditionType": "x.io/y"}], status=told), observed(running()), Memory(), FACTS, NOW)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "ReadinessGatesNotReady", message)
    assert conditions(status)["ContainersReady"] == "True"


def test_an_evicted_pod_says_why() -> None:
    memory = Memory(outcome=Outcome("Failed", "Evicted", "low"))
    status = pod_status(pod(), observed(exited(code=137), sandboxes=(sandbox(state="notready"),)), memory, FACTS, NOW)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", "low")


def test_transition_times_move_only_with_the_status() -> None:
    memory = Memory()
    first = pod_status(pod(), observed(running()), memory, FACTS, NOW)
    for condition in first["conditions"]:
        memory.transitions[condition["type"]] = (condition["status"], condition["lastTransitionTime"])
    second = pod_status(pod(), observed(running()), memory, FACTS, NOW + 60)
    assert second["conditions"] == first["conditions"]
    third = pod_status(pod(), observed(exited(code=1)), memory, FACTS, NOW + 90)
    moved = {c["type"] for c in third["conditions"] if c["lastTransitionTime"] != first["conditions"][0]["lastTransitionTime"]}
    assert moved == {"Ready", "ContainersReady"}


def test_the_patch_holds_only_what_changed() -> None:
    before = pod_status(pod(), observed(), Memory(), FACTS, NOW)
    after = pod_status(pod(), observed(running()), Memory(), FACTS, NOW)
    assert difference(before, before) == {}
    patch = difference(before, after)
    assert set(patch) == {"phase", "containerStatuses", "conditions"}
    ready = next(c for c in patch["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == ("True", None, None)


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        pytest.param({}, "BestEffort", id="nothing"),
        pytest.param({"requests": {"cpu": "1"}}, "Burstable", id="a request"),
        pytest.param(
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}},
            "Guaranteed",
            id="equal amounts",
        ),
        pytest.param({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, "Burstable", id="memory is missing"),
    ],
)
def test_qos_class(resources: dict[str, Any], qos: str) -> None:
    one = pod("a", {"name": "c", "resources": resources})
    assert pod_status(one, observed(), Memory(), FACTS, NOW)["qosClass"] == qos
