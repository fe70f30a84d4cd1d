"""Runs the probes of a pod's running containers: one task a probe; results change `Memory` and wake the worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from minikube_agents.kubelet import http_probing, pods
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.observations import Memory, Observed
from minikube_agents.kubelet.pods import Member
from minikube_agents.kubelet.probes import Machine, ProbeKind, Settings
from minikube_agents.kubelet.terminating import field_path
from minikube_agents.runtime.contract import ContainerStatus, ExecFailed, RuntimeError_
from minikube_api.schema.typed import core_v1 as v1

#: bytes of a probe's output that an event shows
MAX_OUTPUT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """`errored`: the probe itself could not be made (an exec that the runtime refused); it counts as a failure."""

    ok: bool
    output: str = ""
    errored: bool = False


class Prober:
    """Probes of one pod."""

    def __init__(self, host: Host, memory: Memory, jitter: Callable[[], float] = random.random) -> None:
        self._host = host
        self._memory = memory
        self._jitter = jitter
        self._tasks: dict[tuple[str, ProbeKind], asyncio.Task[None]] = {}
        self._pod: v1.Pod | None = None

    def follow(self, pod: v1.Pod, observed: Observed) -> None:
        """Every running container's probes run; those of gone ones end. Liveness and readiness wait for startup."""
        self._pod = pod
        wanted: dict[tuple[str, ProbeKind], tuple[Member, v1.Probe, ContainerStatus]] = {}
        for one in pods.members(pod):
            newest = observed.newest(one.name)
            if one.type not in ("app", "sidecar") or newest is None or newest.state != "running":
                continue
            for kind, probe in self._due(pod, one, newest):
                wanted[(newest.id, kind)] = (one, probe, newest)
        for key in list(self._tasks):
            if key not in wanted:
                self._tasks.pop(key).cancel()
        for key, (one, probe, newest) in wanted.items():
            if key not in self._tasks:
                name = f"kubelet: {key[1]} probe of {one.name} in {pods.full_name(pod)}"
                self._tasks[key] = self._host.group.create_task(self._run(one, key[1], probe, newest), name=name)

    def _due(self, pod: v1.Pod, one: Member, newest: ContainerStatus) -> list[tuple[ProbeKind, v1.Probe]]:
        container = one.container
        ending = pods.is_deleted(pod) or self._memory.terminating or newest.id in self._memory.killing
        due: list[tuple[ProbeKind, v1.Probe]] = []
        if container.startupProbe is not None and not self._memory.startup.get(newest.id):
            if self._adopted(pod, one, newest):
                self._memory.startup[newest.id] = True
            else:
                return [] if ending else [("startup", container.startupProbe)]
        if container.readinessProbe is not None:
            if newest.id not in self._memory.readiness and self._adopted(pod, one, newest):
                self._memory.readiness[newest.id] = True
            due.append(("readiness", container.readinessProbe))
        if container.livenessProbe is not None and not ending:
            due.append(("liveness", container.livenessProbe))
        return due

    def _adopted(self, pod: v1.Pod, one: Member, newest: ContainerStatus) -> bool:
        """It ran and was ready before this kubelet started: it stays ready until a probe says otherwise."""
        container_id = f"{self._host.facts.runtime}://{newest.id}"
        return any(
            status.name == one.name and status.ready and status.containerID == container_id
            for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
        )

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _run(self, one: Member, kind: ProbeKind, probe: v1.Probe, container: ContainerStatus) -> None:
        settings = Settings.of(probe)
        machine = Machine(settings)
        clock = self._host.clock
        ran = max(clock.time() - container.started_at, 0.0)
        await clock.sleep(max(settings.initial_delay - ran, 0.0))
        while True:
            assert self._pod is not None
            result = await check(self._host, self._pod, container, one, probe, settings.timeout)
            if not result.ok:
                self._complain(one, kind, result)
            verdict = machine.observe(result.ok)
            if verdict != "none" and self._conclude(one, kind, container, ok=verdict == "success"):
                return
            # Before a readiness or startup verdict the kubelet does not hurry either: one period is one period.
            await clock.sleep(settings.period)

    def _complain(self, one: Member, kind: ProbeKind, result: Result) -> None:
        assert self._pod is not None
        what = "errored and resulted in unknown state" if result.errored else "failed"
        text = f"{kind.capitalize()} probe {what}: {result.output}"
        path = field_path(self._pod, one.name)
        self._host.recorder.event(self._pod, "Warning", "Unhealthy", text, field_path=path)

    def _conclude(self, one: Member, kind: ProbeKind, container: ContainerStatus, *, ok: bool) -> bool:
        """Remembers a verdict; True when this probe has nothing more to do for this container."""
        memory, before = self._memory, None
        done = False
        if kind == "readiness":
            before, memory.readiness[container.id] = memory.readiness.get(container.id), ok
            changed = before != ok
        elif kind == "startup" and ok:
            memory.startup[container.id] = changed = done = True
        elif not ok:
            memory.condemned[container.id] = f"Container {one.name} failed {kind} probe, will be restarted"
            changed = done = True
        else:
            changed = False
        if changed:
            assert self._pod is not None
            self._host.wake(self._pod.metadata.uid)
        return done


async def check(host: Host, pod: v1.Pod, container: ContainerStatus, one: Member, probe: v1.Probe, timeout: float) -> Result:
    """Makes the probe once."""
    try:
        if probe.exec is not None:
            return await _exec(host, container, probe.exec.command, timeout)
        sandbox = await host.runtime.sandbox_status(container.sandbox_id)
        address = host.facts.host_ips[0] if pods.host_network(pod) else sandbox.ips[0] if sandbox.ips else "127.0.0.1"
        if probe.httpGet is not None:
            return await _http(host, container, one, probe.httpGet, address, timeout)
        if probe.tcpSocket is not None:
            port = http_probing.resolve_port(probe.tcpSocket.port, one.container)
            return await _tcp(host, container, probe.tcpSocket.host or address, port, timeout)
        if probe.grpc is not None:
            from minikube_agents.kubelet.grpc_health import check_health

            ok, text = await check_health(
                host.runtime, container.sandbox_id, address, probe.grpc.port, probe.grpc.service or "", timeout=timeout
            )
            return Result(ok, text)
    except (RuntimeError_, ValueError) as error:
        return Result(False, str(error), errored=True)
    return Result(False, f"missing probe handler for {pods.full_name(pod)}:{one.name}", errored=True)


async def _exec(host: Host, container: ContainerStatus, command: tuple[str, ...], timeout: float) -> Result:
    try:
        code, out, err = await host.runtime.exec_sync(container.id, command, timeout)
    except TimeoutError:
        return Result(False, f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s')
    except ExecFailed as error:
        return Result(False, str(error))
    return Result(code == 0, (out + err)[:MAX_OUTPUT].decode(errors="replace"))


async def _http(
    host: Host, container: ContainerStatus, one: Member, action: v1.HTTPGetAction, address: str, timeout: float
) -> Result:
    port = http_probing.resolve_port(action.port, one.container)
    request = http_probing.request_of(action, address, port)
    url = f"{request.scheme}://{request.host}:{request.port}{request.path}"
    try:
        status, body = await http_probing.get(host.runtime, container.sandbox_id, request, timeout=timeout)
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Result(False, f'Get "{url}": {why}')
    except (OSError, ValueError) as error:
        return Result(False, f'Get "{url}": {reason_of(error, f"{request.host}:{request.port}")}')
    if 200 <= status < 400:
        return Result(True, body.decode(errors="replace"))
    return Result(False, f"HTTP probe failed with statuscode: {status}")


async def _tcp(host: Host, container: ContainerStatus, address: str, port: int, timeout: float) -> Result:
    try:
        async with asyncio.timeout(timeout):
            sock = await host.runtime.connect(container.sandbox_id, port, address)
    except TimeoutError:
        return Result(False, f"dial tcp {address}:{port}: i/o timeout")
    except OSError as error:
        return Result(False, reason_of(error, f"{address}:{port}"))
    sock.close()
    return Result(True)


_WORDS: Mapping[type[BaseException], str] = {
    ConnectionRefusedError: "connect: connection refused",
    ConnectionResetError: "read: connection reset by peer",
}


def reason_of(error: Exception, where: str) -> str:
    """As Go words a failed dial."""
    words = _WORDS.get(type(error))
    return f"dial tcp {where}: {words}" if words else str(error)
