"""Ends containers and pods: preStop hooks, signals, grace. One task a killed container, one a killed pod; both can be shortened.

A pod's containers end together; sidecars after the others, in reverse order (KEP-753). preStop counts in the grace period, with at
least two seconds left for the signal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from minikube_agents.kubelet import hooks, pods
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.observations import Memory, Observed
from minikube_agents.runtime.contract import ContainerStatus, RuntimeError_
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)

#: what a container gets after a preStop hook that used up the grace period
MINIMUM_GRACE = 2.0


@dataclass(slots=True)
class Termination:
    """A pod's processes are being ended until `deadline` (monotonic seconds)."""

    task: asyncio.Task[None]
    deadline: float
    why: str


class Terminator:
    """Kills of one pod."""

    def __init__(self, host: Host, memory: Memory) -> None:
        self._host = host
        self._memory = memory
        self.termination: Termination | None = None

    def kill_container(self, pod: v1.Pod, container: ContainerStatus, message: str, *, grace: float) -> None:
        """In the background; `memory.killing` holds its id until it is gone."""
        if container.id in self._memory.killing:
            return
        self._memory.killing.add(container.id)
        self._host.group.create_task(
            self._kill_and_wake(pod, container, message, grace), name=f"kubelet: kill {container.name} of {pods.full_name(pod)}"
        )

    async def _kill_and_wake(self, pod: v1.Pod, container: ContainerStatus, message: str, grace: float) -> None:
        try:
            await self._kill(pod, container, message, grace)
        finally:
            self._memory.killing.discard(container.id)
            self._host.wake(pod.metadata.uid)

    async def _kill(self, pod: v1.Pod, container: ContainerStatus, message: str, grace: float) -> None:
        host = self._host
        path = field_path(pod, container.name)
        host.recorder.event(pod, "Normal", "Killing", message or f"Stopping container {container.name}", field_path=path)
        member = pods.member(pod, container.name)
        pre_stop = member.container.lifecycle.preStop if member is not None and member.container.lifecycle else None
        if pre_stop is not None and grace > 0:
            started = host.clock.monotonic()
            try:
                async with asyncio.timeout(grace):
                    await hooks.run(host, pod, container, pre_stop)
            except (TimeoutError, hooks.HookFailed) as error:
                host.recorder.event(pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {error}", field_path=path)
            grace = max(grace - (host.clock.monotonic() - started), MINIMUM_GRACE)
        try:
            await host.runtime.stop_container(container.id, grace)
        except RuntimeError_ as error:
            text = f"error killing container {container.name}: {error}"
            host.recorder.event(pod, "Warning", "FailedKillPod", text)
            log.warning("%s: %s", pods.full_name(pod), text)

    def kill_pod(self, pod: v1.Pod, observed: Observed, *, grace: float, why: str) -> None:
        """Starts ending the pod, or shortens what is under way. The worker is woken when it is done."""
        now = self._host.clock.monotonic()
        if self.termination is not None:
            if now + grace >= self.termination.deadline:
                return
            self.termination.task.cancel()
        name = f"kubelet: end {pods.full_name(pod)}"
        task = self._host.group.create_task(self._end_pod(pod, observed, grace), name=name)
        self.termination = Termination(task, now + grace, why)

    async def _end_pod(self, pod: v1.Pod, observed: Observed, grace: float) -> None:
        host, current = self._host, asyncio.current_task()
        try:
            running = observed.running()
            sidecars = [one.name for one in pods.init_members(pod) if one.type == "sidecar"]
            started = host.clock.monotonic()
            await self._end_all(pod, [one for one in running if one.name not in sidecars], grace)
            for name in reversed(sidecars):
                left = max(grace - (host.clock.monotonic() - started), 0.0 if grace == 0 else MINIMUM_GRACE)
                await self._end_all(pod, [one for one in running if one.name == name], left)
            for sandbox in observed.sandboxes:
                await host.runtime.stop_sandbox(sandbox.id)
        except RuntimeError_ as error:
            host.recorder.event(pod, "Warning", "FailedKillPod", f"error killing pod: {error}")
            host.wake_after(pod.metadata.uid, 1.0)
        finally:
            if self.termination is not None and self.termination.task is current:
                self.termination = None
            host.wake(pod.metadata.uid)

    async def _end_all(self, pod: v1.Pod, containers: Iterable[ContainerStatus], grace: float) -> None:
        async with asyncio.TaskGroup() as group:
            for one in containers:
                group.create_task(self._kill(pod, one, "", grace), name=f"kubelet: stop {one.name}")


def field_path(pod: v1.Pod, name: str) -> str:
    one = pods.member(pod, name)
    if one is None:
        return ""
    group = {"init": "initContainers", "sidecar": "initContainers", "app": "containers", "ephemeral": "ephemeralContainers"}
    return f"spec.{group[one.type]}{{{name}}}"
