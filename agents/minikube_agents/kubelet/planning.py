"""The decision of a pod worker: `plan(pod, observed, memory, now)` gives what to do next. Pure; the worker acts.

Mirrors the kubelet's computePodActions with KEP-753 (sidecars) and KEP-5307 (container restart rules). Every case ends in a set of
actions that can run at once, and a time at which to look again; whatever changes in between wakes the worker anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from minikube_agents.kubelet import pods
from minikube_agents.kubelet.observations import LABEL_HASH, Memory, Observed, Outcome
from minikube_agents.kubelet.pods import Member
from minikube_agents.runtime.contract import ContainerStatus
from minikube_api.meta import times
from minikube_api.schema.typed import core_v1 as v1


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    member: Member
    attempt: int


@dataclass(frozen=True, slots=True)
class KillContainer:
    container: ContainerStatus
    member: Member
    message: str


@dataclass(frozen=True, slots=True)
class KillPod:
    """End all processes of the pod and its sandbox; `grace` in seconds."""

    grace: float
    why: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    container_id: str


@dataclass(frozen=True, slots=True)
class BackOff:
    """A container must wait before its next start (CrashLoopBackOff)."""

    member: Member
    container: ContainerStatus
    delay: float
    until: float


@dataclass(frozen=True, slots=True)
class SetOutcome:
    outcome: Outcome


Action = CreateSandbox | StartContainer | KillContainer | KillPod | RemoveContainer | BackOff | SetOutcome


@dataclass(slots=True)
class Plan:
    actions: list[Action] = field(default_factory=list)
    #: epoch seconds of the next look, if nothing happens before
    wake_at: float | None = None

    def wake(self, at: float) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)


def plan(pod: v1.Pod, observed: Observed, memory: Memory, now: float) -> Plan:
    result = Plan()
    if pods.is_deleted(pod) or pods.is_terminal(pod) or memory.outcome is not None or memory.terminating:
        if not is_quiet(observed):
            grace = pods.grace_period(pod)
            result.actions.append(KillPod(grace, "terminating"))
        return result
    if past_deadline(pod, now, result):
        result.actions.append(
            SetOutcome(Outcome("Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
        )
        return result
    if observed.sandbox is None:
        return _plan_sandbox(pod, observed, memory, result)
    _plan_ephemeral(pod, observed, memory, result, now)
    whole_pod = _restart_all(pod, observed, memory)
    if whole_pod:
        result.actions.append(KillPod(0.0, "restart-all"))
        return result
    if not _plan_init(pod, observed, memory, now, result):
        return result
    _plan_apps(pod, observed, memory, now, result)
    return result


def is_quiet(observed: Observed) -> bool:
    """Nothing of the pod runs any more."""
    return not observed.running() and all(one.state == "notready" for one in observed.sandboxes)


def past_deadline(pod: v1.Pod, now: float, result: Plan) -> bool:
    """activeDeadlineSeconds, counted from status.startTime; otherwise the plan looks again at that time."""
    seconds = pod.spec.activeDeadlineSeconds
    if seconds is None or not pod.status.startTime:
        return False
    ends = times.parse(pod.status.startTime) + seconds
    if now >= ends:
        return True
    result.wake(ends)
    return False


def attempt_of(pod: v1.Pod, observed: Observed, name: str) -> int:
    """Restart count of the next start: one more than the newest in the runtime, else than the API remembers."""
    newest = observed.newest(name)
    if newest is not None:
        # One that was made but never started is made again under its own number.
        return newest.attempt if newest.state == "created" else newest.attempt + 1
    for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses):
        if status.name == name and (status.containerID or status.lastState.terminated is not None):
            return status.restartCount + 1
    return 0


def _plan_sandbox(pod: v1.Pod, observed: Observed, memory: Memory, result: Plan) -> Plan:
    """No ready sandbox: make one, unless everything that ran has ended for good."""
    attempt = observed.sandboxes[0].attempt + 1 if observed.sandboxes else 0
    if observed.sandboxes:
        if observed.running():
            result.actions.append(KillPod(0.0, "sandbox-changed"))
            return result
        if all(_is_finished(pod, one, observed) for one in pods.app_members(pod)):
            return result
        if pod.spec.restartPolicy == "Never" and _is_initialized(observed, pod) and not _any_restartable(pod, observed):
            return result
    problem = memory.problems.get("")
    if problem is not None and problem.retry_at:
        result.wake(problem.retry_at)
    result.actions.append(CreateSandbox(attempt))
    return result


def _is_finished(pod: v1.Pod, one: Member, observed: Observed) -> bool:
    newest = observed.newest(one.name)
    return newest is not None and newest.state == "exited" and not pods.verdict(pod, one, newest.exit_code).restart


def _any_restartable(pod: v1.Pod, observed: Observed) -> bool:
    return any(
        (newest := observed.newest(one.name)) is None or pods.verdict(pod, one, newest.exit_code).restart
        for one in pods.app_members(pod)
    )


def _is_initialized(observed: Observed, pod: v1.Pod) -> bool:
    """An app container has run: init containers are not looked at again."""
    return any(observed.newest(one.name) is not None for one in pods.app_members(pod))


def _plan_ephemeral(pod: v1.Pod, observed: Observed, memory: Memory, result: Plan, now: float) -> None:
    for container in pod.spec.ephemeralContainers:
        one = Member(container, "ephemeral")
        if observed.newest(one.name) is None and not _must_wait(one, memory, now, result):
            result.actions.append(StartContainer(one, 0))


def _restart_all(pod: v1.Pod, observed: Observed, memory: Memory) -> bool:
    """A restart rule with action RestartAllContainers matched (KEP-5532)."""
    for one in (*pods.init_members(pod), *pods.app_members(pod)):
        newest = observed.newest(one.name)
        if newest is not None and newest.state == "exited" and newest.id not in memory.killing:
            found = pods.verdict(pod, one, newest.exit_code)
            if found.whole_pod:
                return True
    return False


def _plan_init(pod: v1.Pod, observed: Observed, memory: Memory, now: float, result: Plan) -> bool:
    """True when app containers may run."""
    done = _is_initialized(observed, pod)
    for one in pods.init_members(pod):
        newest = observed.newest(one.name)
        if one.type == "init":
            if done:
                continue
            if newest is not None and newest.state == "running":
                return False
            if newest is not None and newest.state == "exited" and newest.exit_code == 0:
                continue
            if newest is not None and newest.state == "exited" and not pods.verdict(pod, one, newest.exit_code).restart:
                result.actions.append(KillPod(pods.grace_period(pod), "init-failed"))
                return False
            _start(pod, one, observed, memory, now, result)
            return False
        if newest is None or newest.state != "running":
            if _apps_finished(pod, observed):
                continue
            _start(pod, one, observed, memory, now, result)
            if not done:
                return False
        elif _condemn(one, newest, memory, result):
            if not done:
                return False
        elif not done and not is_started(one, newest, memory):
            return False
    return True


def _apps_finished(pod: v1.Pod, observed: Observed) -> bool:
    return all(_is_finished(pod, one, observed) for one in pods.app_members(pod))


def _plan_apps(pod: v1.Pod, observed: Observed, memory: Memory, now: float, result: Plan) -> None:
    alive = False
    for one in pods.app_members(pod):
        newest = observed.newest(one.name)
        if newest is not None and newest.state == "running":
            alive = True
            _condemn(one, newest, memory, result)
        elif newest is None or newest.state != "exited" or pods.verdict(pod, one, newest.exit_code).restart:
            alive = True
            _start(pod, one, observed, memory, now, result)
            if result.actions[-1:] == [StartContainer(one, attempt_of(pod, observed, one.name))] and _has_post_start(one):
                break
        if newest is not None and newest.id in memory.hooks:
            # As the kubelet: the next container starts when this one's postStart hook has ended.
            break
    if not alive:
        result.actions.append(KillPod(pods.grace_period(pod), "finished"))
        return
    for records in observed.containers.values():
        result.actions.extend(RemoveContainer(old.id) for old in records[2:] if old.state == "exited")


def _has_post_start(one: Member) -> bool:
    return one.container.lifecycle is not None and one.container.lifecycle.postStart is not None


def _condemn(one: Member, newest: ContainerStatus, memory: Memory, result: Plan) -> bool:
    """Plans the end of a running container that is unhealthy or whose definition changed."""
    if newest.id in memory.killing:
        return True
    message = memory.condemned.get(newest.id, "")
    if not message and newest.labels.get(LABEL_HASH, "") not in ("", pods.spec_hash(one)):
        message = f"Container {one.name} definition changed, will be restarted"
    if message:
        result.actions.append(KillContainer(newest, one, message))
        return True
    return False


def _start(pod: v1.Pod, one: Member, observed: Observed, memory: Memory, now: float, result: Plan) -> None:
    newest = observed.newest(one.name)
    if newest is not None and newest.id in memory.killing:
        return
    if newest is not None and newest.state == "exited":
        wait = memory.restarts.wait(one.name, since=newest.finished_at, now=now)
        if wait > 0:
            result.wake(now + wait)
            result.actions.append(BackOff(one, newest, memory.restarts.delay(one.name), now + wait))
            return
    if not _must_wait(one, memory, now, result):
        result.actions.append(StartContainer(one, attempt_of(pod, observed, one.name)))


def _must_wait(one: Member, memory: Memory, now: float, result: Plan) -> bool:
    """A configuration or image problem is tried again later."""
    problem = memory.problems.get(one.name)
    if problem is None or problem.retry_at <= now or problem.reason == "CrashLoopBackOff":
        return False
    result.wake(problem.retry_at)
    return True


def is_started(one: Member, newest: ContainerStatus, memory: Memory) -> bool:
    """Running, its postStart hook done, and its startup probe (if any) has succeeded."""
    if newest.state != "running" or newest.id in memory.hooks:
        return False
    return one.container.startupProbe is None or memory.startup.get(newest.id, False)


def is_ready(one: Member, newest: ContainerStatus, memory: Memory) -> bool:
    if not is_started(one, newest, memory):
        return False
    return one.container.readinessProbe is None or memory.readiness.get(newest.id, False)
