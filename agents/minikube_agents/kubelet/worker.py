"""One pod's worker: reads what the runtime shows, asks `planning.plan`, acts, tells the status. Level-based; run again after every wake.

A pass never waits for anything long: kills, hooks and probes are tasks of their own that wake the worker when they end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from minikube_agents.kubelet import admission, planning, pods, resizing, statuses
from minikube_agents.kubelet.backoff import Backoff, seconds
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.launching import termination_message
from minikube_agents.kubelet.observations import (
    LABEL_TERMINATION_FILE,
    LABEL_TERMINATION_POLICY,
    Memory,
    Observed,
    Outcome,
    Problem,
)
from minikube_agents.kubelet.planning import (
    Action,
    BackOff,
    CreateSandbox,
    KillContainer,
    KillPod,
    RemoveContainer,
    SetOutcome,
    StartContainer,
)
from minikube_agents.kubelet.probing import Prober
from minikube_agents.kubelet.starting import Starter
from minikube_agents.kubelet.terminating import Terminator, field_path
from minikube_agents.network import removing
from minikube_agents.runtime.contract import ContainerStatus, NotFoundError, RuntimeError_
from minikube_api.meta import times
from minikube_api.meta.errors import StatusError
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)

#: a pass that still finds something to do after so many rounds is looked at again later (guards the loop, not the pod)
MAX_ROUNDS = 50


class PodWorker:
    """`sync(pod)` is one pass. `observe` reads the runtime; `forget` lets go of tasks when the pod has gone from the API."""

    def __init__(self, host: Host, uid: str) -> None:
        self.host = host
        self.uid = uid
        options = host.options
        self.memory = Memory(
            restarts=Backoff(options.restart_backoff, options.restart_backoff_max),
            pulls=Backoff(options.image_pull_backoff, options.restart_backoff_max),
        )
        self.sandbox_ids: set[str] = set()
        self.terminator = Terminator(host, self.memory)
        self.starter = Starter(host, self.memory)
        self.prober = Prober(host, self.memory)
        self._admitted = False
        self._cleaned = False
        self._seen_exits: set[str] = set()

    async def sync(self, pod: v1.Pod) -> None:
        """Brings the pod as far as it gets now. Raises nothing but cancellation; errors become problems and events."""
        if not self._admitted and not self._admit(pod):
            return
        if self.host.references is not None and self.host.references.take_changed(self.uid):
            self._retry_configuration()
        for _ in range(MAX_ROUNDS):
            observed = await self.observe()
            self._note_exits(pod, observed)
            now = self.host.clock.time()
            if await resizing.reconcile(self.host, self.memory, pod, observed):
                observed = await self.observe()
            plan = planning.plan(pod, observed, self.memory, now)
            self._tell(pod, observed, now)
            self.prober.follow(pod, observed)
            acted = False
            for action in plan.actions:
                acted = await self._act(pod, observed, action) or acted
            if not acted:
                await self._settle(pod, observed, plan)
                return
        self.host.wake_after(self.uid, 1.0)

    def _retry_configuration(self) -> None:
        """A ConfigMap or Secret changed: what failed for want of it is tried again at once."""
        for name, problem in self.memory.problems.items():
            if problem.reason in ("FailedMount", "CreateContainerConfigError"):
                self.memory.problems[name] = replace(problem, retry_at=0.0)

    def _admit(self, pod: v1.Pod) -> bool:
        """First sight of the pod: refuse what this node can't take, unless it runs here already."""
        self._admitted = True
        self.memory.start_time = times.parse(pod.status.startTime) if pod.status.startTime else self.host.clock.time()
        if pod.status.startTime or pods.is_deleted(pod) or pods.is_terminal(pod):
            return True
        refusal = admission.check(pod, self.host.options, others=self.host.pods(), allocatable=self.host.allocatable())
        if refusal is not None:
            self.memory.outcome = Outcome("Failed", refusal.reason, f"Pod was rejected: {refusal.message}")
            self.host.recorder.event(pod, "Warning", refusal.reason, refusal.message)
        return True

    async def observe(self) -> Observed:
        found, containers = [], []
        for sandbox_id in list(self.sandbox_ids):
            try:
                found.append(await self.host.runtime.sandbox_status(sandbox_id))
                containers += await self.host.runtime.containers(sandbox_id)
            except NotFoundError:
                self.sandbox_ids.discard(sandbox_id)
        return Observed.of(found, containers)

    def _note_exits(self, pod: v1.Pod, observed: Observed) -> None:
        """Reads each ended container's termination message once, and drops what was remembered of its probes."""
        for records in observed.containers.values():
            for one in records:
                if one.state != "exited" or one.id in self._seen_exits:
                    continue
                self._seen_exits.add(one.id)
                self.memory.messages[one.id] = self._message(one) or self._told_message(pod, one)
                for held in (self.memory.startup, self.memory.readiness, self.memory.condemned):
                    held.pop(one.id, None)

    def _told_message(self, pod: v1.Pod, one: ContainerStatus) -> str:
        """What the API holds of a container that ended before this kubelet started: its file has gone with the pod's volumes."""
        container_id = f"{self.host.facts.runtime}://{one.id}"
        for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses, *pod.status.ephemeralContainerStatuses):
            for ended in (status.state.terminated, status.lastState.terminated):
                if ended is not None and ended.containerID == container_id:
                    return ended.message or ""
        return ""

    def _message(self, one: ContainerStatus) -> str:
        path = one.labels.get(LABEL_TERMINATION_FILE, "")
        if not path:
            return ""
        fall_back = one.labels.get(LABEL_TERMINATION_POLICY) == "FallbackToLogsOnError" and one.exit_code != 0
        return termination_message(Path(path), fall_back=fall_back, log=Path(one.log_path) if one.log_path else None)

    def _tell(self, pod: v1.Pod, observed: Observed, now: float, *, delete: bool = False) -> None:
        status = statuses.pod_status(pod, observed, self.memory, self.host.facts, now)
        for condition in status["conditions"]:
            self.memory.transitions[condition["type"]] = (condition["status"], condition["lastTransitionTime"])
        self.host.statuses.set(pod, status, delete=delete)

    async def _settle(self, pod: v1.Pod, observed: Observed, plan: planning.Plan) -> None:
        """Nothing to do at once: clean up after an ended pod, or sleep until the next look."""
        ended = pods.is_deleted(pod) or pods.is_terminal(pod) or self.memory.outcome or self.memory.terminating
        if ended and planning.is_quiet(observed) and self.terminator.termination is None:
            await self._clean(pod, observed)
            return
        now = self.host.clock.time()
        renew = self.host.tokens.renew_at(self.uid) if self.host.tokens is not None else None
        if renew is not None:
            plan.wake(renew)
        if plan.wake_at is not None:
            self.host.wake_after(self.uid, max(plan.wake_at - now, 0.0))
        if observed.sandbox is not None:
            await self.starter.refresh_volumes(pod, observed)

    async def _clean(self, pod: v1.Pod, observed: Observed) -> None:
        """The pod has ended: no more volumes; and if it is to be deleted, the API object goes."""
        if not self._cleaned:
            self._cleaned = True
            self.prober.stop()
            if self.host.references is not None:
                self.host.references.hold(self.uid, ())
            if self.host.tokens is not None:
                self.host.tokens.forget(self.uid)
            if self.host.volumes is not None:
                self.memory.messages |= {
                    one.id: self._message(one) for ones in observed.containers.values() for one in ones if one.state == "exited"
                }
                try:
                    await self.host.volumes.tear_down(self.uid)
                except OSError as error:
                    self._cleaned = False
                    log.warning("pod %s: %s", pods.full_name(pod), error)
                    self.host.wake_after(self.uid, 2.0)
                    return
        if pods.is_deleted(pod):
            self.memory.terminating = True
            self._tell(pod, observed, self.host.clock.time(), delete=True)

    # actions: each gives True when the world has changed and the plan must be made again

    async def _act(self, pod: v1.Pod, observed: Observed, action: Action) -> bool:
        match action:
            case SetOutcome(outcome):
                self.memory.outcome = outcome
                self.host.recorder.event(pod, "Normal", outcome.reason, outcome.message)
                return True
            case KillPod(grace, why):
                return await self._kill_pod(pod, observed, grace, why)
            case KillContainer(container, member, message):
                self._kill_container(pod, container, member, message)
                return False
            case RemoveContainer(container_id):
                await self.host.runtime.remove_container(container_id)
                return False
            case BackOff():
                return self._back_off(pod, action)
            case CreateSandbox(attempt):
                return await self._create_sandbox(pod, observed, attempt)
            case StartContainer(member, attempt):
                return await self._start(pod, observed, member, attempt)

    async def _kill_pod(self, pod: v1.Pod, observed: Observed, grace: float, why: str) -> bool:
        if why in ("finished", "init-failed", "terminating"):
            first = not self.memory.terminating
            self.memory.terminating = True
            self.terminator.kill_pod(pod, observed, grace=grace, why=why)
            return first and why != "terminating"
        if why == "sandbox-changed":
            text = "Pod sandbox changed, it will be killed and re-created."
            self.host.recorder.event(pod, "Normal", "SandboxChanged", text)
        for one in observed.running():
            await self.host.runtime.stop_container(one.id, 0)
        if why == "restart-all":
            for records in observed.containers.values():
                for one in records:
                    await self.host.runtime.remove_container(one.id)
        return True

    def _kill_container(self, pod: v1.Pod, container: ContainerStatus, member: pods.Member, message: str) -> None:
        grace = pods.grace_period(pod)
        for probe in (member.container.livenessProbe, member.container.startupProbe):
            if container.id in self.memory.condemned and probe is not None and probe.terminationGracePeriodSeconds is not None:
                grace = float(probe.terminationGracePeriodSeconds)
        self.terminator.kill_container(pod, container, message, grace=grace)

    def _back_off(self, pod: v1.Pod, action: BackOff) -> bool:
        name = action.member.name
        where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
        text = f"back-off {seconds(action.delay)} restarting failed container={name} pod={where}"
        problem = Problem("CrashLoopBackOff", text, action.until)
        if self.memory.problems.get(name) == problem:
            return False
        self.memory.problems[name] = problem
        event = f"Back-off restarting failed container {name} in pod {where}"
        self.host.recorder.event(pod, "Warning", "BackOff", event, field_path=field_path(pod, name))
        return True

    async def _create_sandbox(self, pod: v1.Pod, observed: Observed, attempt: int) -> bool:
        problem = self.memory.problems.get("")
        if problem is not None and problem.retry_at > self.host.clock.time():
            return False
        try:
            sandbox_id = await self.starter.create_sandbox(pod, attempt)
        except (RuntimeError_, StatusError, OSError) as error:
            self.starter.pod_problem(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            return True
        if sandbox_id is None:
            return True
        self.memory.problems.pop("", None)
        self.starter.failures = 0
        self.sandbox_ids.add(sandbox_id)
        for old in observed.sandboxes[1:]:
            await self.host.runtime.remove_sandbox(old.id)
        return True

    async def _start(self, pod: v1.Pod, observed: Observed, member: pods.Member, attempt: int) -> bool:
        assert observed.sandbox is not None
        newest = observed.newest(member.name)
        if newest is not None and newest.state == "exited":
            self.memory.restarts.next(member.name, now=self.host.clock.time(), since=newest.finished_at)
        if newest is not None and newest.state in ("created", "unknown"):
            await self.host.runtime.remove_container(newest.id)
        await self.starter.start(pod, observed.sandbox, member, attempt, self._target(observed, member))
        return True

    def _target(self, observed: Observed, member: pods.Member) -> str:
        name = member.container.targetContainerName if isinstance(member.container, v1.EphemeralContainer) else None
        target = observed.newest(name) if name else None
        return target.id if target is not None else ""

    # the end

    async def forget(self) -> None:
        """The pod has gone from the API: end its processes if any run, and remove everything of it from the node."""
        self.prober.stop()
        if self.terminator.termination is not None:
            self.terminator.termination.task.cancel()
        for sandbox_id in list(self.sandbox_ids):
            await self.host.runtime.stop_sandbox(sandbox_id)
            await self.host.runtime.remove_sandbox(sandbox_id)
        if self.host.references is not None:
            self.host.references.hold(self.uid, ())
        if self.host.volumes is not None:
            await self.host.volumes.tear_down(self.uid)
            for directory in self.host.options.logs.glob(f"*_{self.uid}"):
                await asyncio.to_thread(removing.remove_tree, str(directory))
        self.host.statuses.forget(self.uid)

    @property
    def places(self) -> Mapping[str, Path]:
        """Where the pod's volumes are on the node, by name."""
        return self.starter.places
