"""From runtime facts to `pod.status`: container statuses, phase and conditions, as the kubelet writes them. Pure; results are JSON trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from minikube_agents.kubelet import pods
from minikube_agents.kubelet.observations import Memory, Observed, Problem
from minikube_agents.kubelet.planning import is_ready, is_started
from minikube_agents.kubelet.pods import Member
from minikube_agents.runtime.contract import ContainerStatus
from minikube_api.meta import times
from minikube_api.meta.conditions import find
from minikube_api.schema.typed import core_v1 as v1

Tree = dict[str, Any]

OWNED_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
RESIZE_CONDITIONS = ("PodResizePending", "PodResizeInProgress")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod's status says of its node."""

    name: str
    host_ips: tuple[str, ...]
    runtime: str


def pod_status(pod: v1.Pod, observed: Observed, memory: Memory, node: NodeFacts, now: float) -> Tree:
    """The whole status that this kubelet owns; conditions of others are left out (patches merge by type)."""
    inits = [container_status(pod, one, observed, memory, node) for one in pods.init_members(pod)]
    apps = [container_status(pod, one, observed, memory, node) for one in pods.app_members(pod)]
    ephemeral = [container_status(pod, Member(one, "ephemeral"), observed, memory, node) for one in pod.spec.ephemeralContainers]
    ended = memory.terminating or memory.outcome is not None or pods.is_terminal(pod)
    phase = pod.status.phase if pods.is_terminal(pod) and pod.status.phase else phase_of(pod, inits, apps, ended=ended)
    status: Tree = {"observedGeneration": pod.metadata.generation or 0}
    if memory.outcome is not None:
        phase = memory.outcome.phase
        status |= {"reason": memory.outcome.reason, "message": memory.outcome.message}
    elif pods.is_terminal(pod):
        status |= {key: value for key in ("reason", "message") if (value := getattr(pod.status, key))}
    if ended and phase in ("Succeeded", "Failed"):
        apps = [_ended(one) for one in apps]
        inits = [_ended(one) for one in inits]
    status["phase"] = phase
    status["qosClass"] = pod.status.qosClass or pods.qos_class(pod)
    status["startTime"] = pod.status.startTime or times.format_time(memory.start_time or now)
    status["hostIP"] = node.host_ips[0]
    status["hostIPs"] = [{"ip": ip} for ip in node.host_ips]
    ips = node.host_ips if pods.host_network(pod) else observed.sandboxes[0].ips if observed.sandboxes else ()
    if not ips and observed.sandboxes == () and pod.status.podIP and ended:
        ips = tuple(one.ip for one in pod.status.podIPs)
    if ips and (observed.sandboxes or ended):
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = apps
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    status["conditions"] = _conditions(pod, phase, inits, apps, observed, memory, now)
    return status


# containers


def container_status(pod: v1.Pod, one: Member, observed: Observed, memory: Memory, node: NodeFacts) -> Tree:
    records = observed.containers.get(one.name, ())
    newest = records[0] if records else None
    problem = memory.problems.get(one.name)
    before = _previous(pod, one.name)
    status: Tree = {"name": one.name, "image": one.container.image or "", "imageID": ""}
    status["restartCount"] = newest.attempt if newest else before.restartCount if before else 0
    last: ContainerStatus | None = None
    if newest is None and before is not None and pods.is_terminal(pod):
        # The runtime has forgotten an ended pod (a reboot): what was told stays.
        return pods.to_tree(before)
    if newest is None:
        status["state"] = {"waiting": _waiting(pod, problem)}
        lost = _lost(before)
        if lost is not None:
            status["lastState"] = lost
    elif newest.state == "running" and newest.id not in memory.hooks:
        status["state"] = {"running": {"startedAt": times.format_time(newest.started_at)}}
        last = _next_dead(records[1:])
    elif newest.state == "exited":
        if problem is not None and not (memory.terminating or memory.outcome):
            status["state"] = {"waiting": {"reason": problem.reason, "message": problem.message}}
            last = newest
        else:
            status["state"] = {"terminated": terminated(newest, node, memory)}
            last = _next_dead(records[1:])
    else:
        status["state"] = {"waiting": _waiting(pod, problem)}
        last = _next_dead(records[1:])
    if last is not None:
        status["lastState"] = {"terminated": terminated(last, node, memory)}
    status.setdefault("lastState", {})
    if newest is not None:
        status["containerID"] = f"{node.runtime}://{newest.id}"
        status["image"] = newest.image or status["image"]
        status["imageID"] = newest.image_id
    _readiness(one, newest, memory, status)
    _granted(one, newest, memory, status)
    return status


def _readiness(one: Member, newest: ContainerStatus | None, memory: Memory, status: Tree) -> None:
    started = newest is not None and is_started(one, newest, memory)
    if one.type == "init":
        ready = newest is not None and newest.state == "exited" and newest.exit_code == 0
    elif one.type == "ephemeral":
        ready = False
    else:
        ready = newest is not None and is_ready(one, newest, memory)
    status["ready"] = ready
    if one.type != "ephemeral":
        status["started"] = started


def _granted(one: Member, newest: ContainerStatus | None, memory: Memory, status: Tree) -> None:
    """Mounts, and the resources this node granted (KEP-1287)."""
    if one.type != "ephemeral":
        granted = memory.allocated.get(one.name, one.container.resources)
        if granted.requests:
            status["allocatedResources"] = dict(granted.requests)
        real = memory.actual.get(one.name, granted) if newest is not None else granted
        status["resources"] = pods.to_tree(real)
    mounts: list[Tree] = []
    for mount in one.container.volumeMounts:
        shown: Tree = {"name": mount.name, "mountPath": mount.mountPath}
        if mount.readOnly:
            shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        mounts.append(shown)
    if mounts:
        status["volumeMounts"] = mounts


def _previous(pod: v1.Pod, name: str) -> v1.ContainerStatus | None:
    every = (*pod.status.containerStatuses, *pod.status.initContainerStatuses, *pod.status.ephemeralContainerStatuses)
    return next((one for one in every if one.name == name), None)


def _waiting(pod: v1.Pod, problem: Problem | None) -> Tree:
    if problem is not None:
        return {"reason": problem.reason, **({"message": problem.message} if problem.message else {})}
    return {"reason": "PodInitializing" if pod.spec.initContainers else "ContainerCreating"}


_UNKNOWN = {"exitCode": 137, "reason": "ContainerStatusUnknown"}


def _lost(before: v1.ContainerStatus | None) -> Tree | None:
    """The API says it ran, the runtime does not know it."""
    if before is None:
        return None
    if before.state.running is not None:
        text = "The container could not be located when the pod was deleted.  The container used to be Running"
        return {"terminated": {**_UNKNOWN, "message": text}}
    ended = before.state.terminated or before.lastState.terminated
    return {"terminated": pods.to_tree(ended)} if ended is not None else None


def _next_dead(records: Iterable[ContainerStatus]) -> ContainerStatus | None:
    return next((one for one in records if one.state == "exited"), None)


def _ended(status: Tree) -> Tree:
    """In an ended pod no container is shown as running."""
    if "running" not in status["state"]:
        return status
    text = "The container could not be located when the pod was terminated"
    return {**status, "ready": False, "started": False, "state": {"terminated": {**_UNKNOWN, "message": text}}}


def terminated(one: ContainerStatus, node: NodeFacts, memory: Memory) -> Tree:
    state: Tree = {"exitCode": one.exit_code, "reason": one.reason or ("Completed" if one.exit_code == 0 else "Error")}
    message = memory.messages.get(one.id) or one.message
    if message:
        state["message"] = message
    # A container that never started has the epoch as its start, as in the kubelet.
    state["startedAt"] = times.format_time(one.started_at)
    state["finishedAt"] = times.format_time(one.finished_at)
    state["containerID"] = f"{node.runtime}://{one.id}"
    return state


# phase


def phase_of(pod: v1.Pod, inits: list[Tree], apps: list[Tree], *, ended: bool) -> str:
    pending_init, failed_init = _init_counts(pod, inits)
    waiting = running = stopped = succeeded = 0
    for status in apps:
        state, last = status["state"], status["lastState"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif "terminated" in last:
            stopped += 1
        else:
            waiting += 1
    policy = pod.spec.restartPolicy or "Always"
    initialized = running or stopped
    if failed_init and policy == "Never":
        return "Failed"
    if pending_init and not initialized:
        return "Failed" if ended else "Pending"
    if waiting:
        return "Failed" if ended else "Pending"
    if running:
        return "Running"
    if stopped:
        return _stopped_phase(pod, apps, ended=ended, all_succeeded=stopped == succeeded)
    return "Pending"


def _stopped_phase(pod: v1.Pod, apps: list[Tree], *, ended: bool, all_succeeded: bool) -> str:
    """Every app container has stopped: will any of them start again?"""
    if not ended and any(_comes_back(pod, status) for status in apps):
        return "Running"
    return "Succeeded" if all_succeeded else "Failed"


def _comes_back(pod: v1.Pod, status: Tree) -> bool:
    state = status["state"].get("terminated")
    if state is None:
        return True
    one = pods.member(pod, status["name"])
    return one is not None and pods.verdict(pod, one, state["exitCode"]).restart


def _init_counts(pod: v1.Pod, inits: list[Tree]) -> tuple[int, int]:
    """(init containers not done, init containers failed)."""
    pending = failed = 0
    for one, status in zip(pods.init_members(pod), inits, strict=True):
        state, last = status["state"], status["lastState"]
        if one.type == "sidecar":
            pending += not status["started"]
        elif "terminated" in state:
            failed += state["terminated"]["exitCode"] != 0
        elif "waiting" in state and "terminated" in last:
            failed += last["terminated"]["exitCode"] != 0
        else:
            pending += 1
    return pending, failed


# conditions


def _conditions(
    pod: v1.Pod, phase: str, inits: list[Tree], apps: list[Tree], observed: Observed, memory: Memory, now: float
) -> list[Tree]:
    containers_ready = _containers_ready(pod, phase, inits, apps)
    found: list[Tree] = [
        {"type": "PodReadyToStartContainers", "status": "True" if _sandbox_ready(pod, observed) else "False"},
        _initialized(pod, phase, inits, apps),
        _pod_ready(pod, containers_ready),
        {"type": "ContainersReady", **containers_ready},
        {"type": "PodScheduled", "status": "True"},
    ]
    found += [
        {"type": kind, "status": "True", **({"reason": why[0]} if why[0] else {}), **({"message": why[1]} if why[1] else {})}
        for kind, why in memory.resize.items()
    ]
    stamp = times.format_time(now)
    for condition in found:
        condition["lastTransitionTime"] = _transition(pod, condition, memory) or stamp
        if pod.metadata.generation:
            condition["observedGeneration"] = pod.metadata.generation
    return found


def _transition(pod: v1.Pod, condition: Tree, memory: Memory) -> str | None:
    """Since when the condition has this status, as last told or as the API says; None = since now."""
    told = memory.transitions.get(condition["type"])
    if told is None:
        before = find(pod.status.conditions, condition["type"])
        told = (before.status, before.lastTransitionTime or "") if before is not None else None
    return told[1] if told is not None and told[0] == condition["status"] else None


def _sandbox_ready(pod: v1.Pod, observed: Observed) -> bool:
    return observed.sandbox is not None and bool(observed.sandbox.ips or pods.host_network(pod))


def _initialized(pod: v1.Pod, phase: str, inits: list[Tree], apps: list[Tree]) -> Tree:
    if phase == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    done = any("containerID" in status for status in apps)
    incomplete = [
        status["name"]
        for one, status in zip(pods.init_members(pod), inits, strict=True)
        if not (status["started"] if one.type == "sidecar" else status["ready"])
    ]
    if not incomplete or done:
        return {"type": "Initialized", "status": "True"}
    return {
        "type": "Initialized", "status": "False", "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(incomplete)}]",
    }  # fmt: skip


def _containers_ready(pod: v1.Pod, phase: str, inits: list[Tree], apps: list[Tree]) -> Tree:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    sidecars = [s for one, s in zip(pods.init_members(pod), inits, strict=True) if one.type == "sidecar"]
    unready = [status["name"] for status in (*sidecars, *apps) if not status["ready"]]
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return {"status": "False", "reason": "ContainersNotReady", "message": text}
    return {"status": "True"}


def _pod_ready(pod: v1.Pod, containers_ready: Tree) -> Tree:
    """Ready = ContainersReady and all readiness gates (KEP-580)."""
    if containers_ready["status"] != "True":
        return {"type": "Ready", **containers_ready}
    texts: list[str] = []
    for gate in pod.spec.readinessGates:
        condition = find(pod.status.conditions, gate.conditionType)
        if condition is None:
            texts.append(f'corresponding condition of pod readiness gate "{gate.conditionType}" does not exist.')
        elif condition.status != "True":
            texts.append(f'the status of pod readiness gate "{gate.conditionType}" is not "True", but {condition.status}')
    if texts:
        return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(texts)}
    return {"type": "Ready", "status": "True"}
