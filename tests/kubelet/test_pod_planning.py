"""The decision table of a pod worker."""

from __future__ import annotations

from typing import Any

import pytest
from pod_builders import NOW, exited, observed, pod, running, sandbox

from minikube_agents.kubelet import planning
from minikube_agents.kubelet.observations import LABEL_HASH, Memory, Outcome, Problem
from minikube_agents.runtime.contract import ContainerStatus

SIDECAR = {"name": "s", "restartPolicy": "Always"}
RULES = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]


def words(plan: planning.Plan) -> list[str]:
    """Actions in short: `start c#1`, `kill c`..."""
    out = []
    for action in plan.actions:
        match action:
            case planning.CreateSandbox(attempt):
                out.append(f"sandbox#{attempt}")
            case planning.StartContainer(member, attempt):
                out.append(f"start {member.name}#{attempt}")
            case planning.KillContainer(_, member, _):
                out.append(f"kill {member.name}")
            case planning.KillPod(grace, why):
                out.append(f"end pod ({why}, {grace:g}s)")
            case planning.BackOff(member, _, delay, _):
                out.append(f"back off {member.name} {delay:g}s")
            case planning.RemoveContainer(container_id):
                out.append(f"remove {container_id}")
            case planning.SetOutcome(outcome):
                out.append(f"outcome {outcome.reason}")
    return out


@pytest.mark.parametrize(
    ("containers", "spec", "facts", "expected"),
    [
        pytest.param((), {}, {"sandboxes": ()}, ["sandbox#0"], id="nothing there: a sandbox"),
        pytest.param((), {}, {}, ["start c#0"], id="sandbox ready: the container"),
        pytest.param((), {}, {"c": [running()]}, [], id="running: nothing to do"),
        pytest.param(({"name": "c"}, {"name": "d"}), {}, {}, ["start c#0", "start d#0"], id="two containers start together"),
        pytest.param((), {}, {"c": [exited(code=0)]}, ["start c#1"], id="Always restarts after success"),
        pytest.param((), {"restartPolicy": "OnFailure"}, {"c": [exited(code=1)]}, ["start c#1"], id="OnFailure restarts after failure"),
        pytest.param((), {"restartPolicy": "OnFailure"}, {"c": [exited(code=0)]}, ["end pod (finished, 30s)"], id="OnFailure ends after success"),
        pytest.param((), {"restartPolicy": "Never"}, {"c": [exited(code=1)]}, ["end pod (finished, 30s)"], id="Never ends"),
        pytest.param(
            ({"name": "c"}, {"name": "d"}), {"restartPolicy": "Never"}, {"c": [exited(code=1)], "d": [running("d")]}, [],
            id="Never: the other container goes on",
        ),
        pytest.param(
            ({"name": "c", "restartPolicy": "Never", "restartPolicyRules": RULES},), {"restartPolicy": "Never"},
            {"c": [exited(code=42)]}, ["start c#1"], id="a rule restarts by exit code",
        ),
        pytest.param(
            ({"name": "c", "restartPolicy": "Never", "restartPolicyRules": RULES},), {"restartPolicy": "Always"},
            {"c": [exited(code=41)]}, ["end pod (finished, 30s)"], id="no rule matches: the container's own policy",
        ),
        pytest.param((), {"initContainers": [{"name": "i"}]}, {}, ["start i#0"], id="init first"),
        pytest.param((), {"initContainers": [{"name": "i"}]}, {"i": [running("i")]}, [], id="wait for init"),
        pytest.param((), {"initContainers": [{"name": "i"}]}, {"i": [exited("i")]}, ["start c#0"], id="init done"),
        pytest.param((), {"initContainers": [{"name": "i"}]}, {"i": [exited("i", 1)]}, ["start i#1"], id="init failed: again"),
        pytest.param(
            (), {"restartPolicy": "Never", "initContainers": [{"name": "i"}]}, {"i": [exited("i", 1)]},
            ["end pod (init-failed, 30s)"], id="init failed and Never: the pod fails",
        ),
        pytest.param((), {"initContainers": [SIDECAR]}, {}, ["start s#0"], id="a sidecar starts before the app"),
        pytest.param((), {"initContainers": [SIDECAR]}, {"s": [running("s")]}, ["start c#0"], id="a started sidecar lets the app start"),
        pytest.param(
            (), {"initContainers": [SIDECAR | {"startupProbe": {"exec": {"command": ["x"]}}}]}, {"s": [running("s")]}, [],
            id="a sidecar that has not started holds the app back",
        ),
        pytest.param(
            (), {"initContainers": [SIDECAR]}, {"s": [exited("s", 0)], "c": [running()]}, ["start s#1"],
            id="a sidecar restarts whatever its exit code",
        ),
        pytest.param(
            (), {"restartPolicy": "Never", "initContainers": [SIDECAR]}, {"s": [running("s")], "c": [exited()]},
            ["end pod (finished, 30s)"], id="sidecars do not keep a finished pod alive",
        ),
        pytest.param((), {}, {"c": [running(labels={LABEL_HASH: "other"})]}, ["kill c"], id="a changed image: kill and restart"),
        pytest.param(
            (), {}, {"sandboxes": (sandbox(state="notready"),), "c": [exited(code=137)]}, ["sandbox#1"], id="the sandbox died: a new one",
        ),
        pytest.param(
            (), {"restartPolicy": "Never"}, {"sandboxes": (sandbox(state="notready"),), "c": [exited(code=0)]}, [],
            id="the sandbox of a finished pod stays dead",
        ),
        pytest.param(
            (), {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}}, {"c": [running()]},
            ["end pod (terminating, 5s)"], id="deleted: end with the deletion's grace",
        ),
        pytest.param(
            (), {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
            {"sandboxes": (sandbox(state="notready"),), "c": [exited()]}, [], id="deleted and quiet: nothing to do",
        ),
        pytest.param(
            (), {"ephemeralContainers": [{"name": "e", "image": "busybox"}]}, {"c": [running()]}, ["start e#0"], id="an ephemeral container starts",
        ),
        pytest.param(
            (), {"ephemeralContainers": [{"name": "e", "image": "busybox"}]}, {"c": [running()], "e": [exited("e", 1)]}, [],
            id="an ephemeral container never restarts",
        ),
    ],
)  # fmt: skip
def test_plan(containers: tuple[Any, ...], spec: dict[str, Any], facts: dict[str, Any], expected: list[str]) -> None:
    sandboxes = facts.pop("sandboxes", None)
    records: list[ContainerStatus] = [one for ones in facts.values() for one in ones]
    plan = planning.plan(pod("a", *containers, **spec), observed(*records, sandboxes=sandboxes), Memory(), NOW)
    assert words(plan) == expected


def test_second_failure_waits_ten_seconds_from_its_end() -> None:
    memory = Memory()
    memory.restarts.next("c", now=NOW - 4)
    plan = planning.plan(pod(), observed(exited(code=1, attempt=1, ago=3)), memory, NOW)
    assert words(plan) == ["back off c 10s"]
    assert plan.wake_at == NOW + 7


def test_a_failed_liveness_probe_kills_its_container_once() -> None:
    memory = Memory(condemned={"c0": "Container c failed liveness probe, will be restarted"})
    assert words(planning.plan(pod(), observed(running()), memory, NOW)) == ["kill c"]
    memory.killing.add("c0")
    assert words(planning.plan(pod(), observed(running()), memory, NOW)) == []


def test_a_configuration_problem_is_tried_again_at_its_time() -> None:
    memory = Memory(problems={"c": Problem("CreateContainerConfigError", "secret not found", NOW + 10)})
    plan = planning.plan(pod(), observed(), memory, NOW)
    assert (words(plan), plan.wake_at) == ([], NOW + 10)
    assert words(planning.plan(pod(), observed(), memory, NOW + 10)) == ["start c#0"]


def test_deadline_counts_from_start_time() -> None:
    one = pod(activeDeadlineSeconds=60, status={"startTime": "2023-11-14T22:13:20Z"})
    early = planning.plan(one, observed(running()), Memory(), NOW + 59)
    assert (words(early), early.wake_at) == ([], NOW + 60)
    assert words(planning.plan(one, observed(running()), Memory(), NOW + 60)) == ["outcome DeadlineExceeded"]


def test_an_evicted_pod_is_ended() -> None:
    memory = Memory(outcome=Outcome("Failed", "Evicted", "low memory"))
    assert words(planning.plan(pod(), observed(running()), memory, NOW)) == ["end pod (terminating, 30s)"]


def test_restart_count_goes_on_from_the_api_when_the_runtime_forgot() -> None:
    status = {
        "containerStatuses": [
            {
                "name": "c",
                "restartCount": 4,
                "containerID": "process://gone",
                "image": "",
                "imageID": "",
                "ready": True,
                "state": {},
                "lastState": {},
            }
        ]
    }
    assert words(planning.plan(pod(status=status), observed(), Memory(), NOW)) == ["start c#5"]


def test_only_the_last_two_dead_containers_are_kept() -> None:
    records = [running(attempt=3), exited(attempt=2), exited(attempt=1), exited(attempt=0)]
    assert words(planning.plan(pod(), observed(*records), Memory(), NOW)) == ["remove c1", "remove c0"]


def test_the_next_container_waits_for_a_post_start_hook() -> None:
    one = pod("a", {"name": "c"}, {"name": "d"})
    assert words(planning.plan(one, observed(running()), Memory(hooks={"c0"}), NOW)) == []
    assert words(planning.plan(one, observed(running()), Memory(), NOW)) == ["start d#0"]
