"""Simulated containers: thousands of pods on one machine, for scheduling and controller work at scale.

Nothing runs. A container is "running" as soon as it is started; what happens then is told by annotations of its pod (`hollow_behaviour`).
Every image is present except those whose name starts with `missing/`. `exec` knows a few commands (`echo`, `cat`, `true`, `false`,
`exit N`, `env`, `hostname`) and refuses all others. A port of a hollow pod is answered by a small HTTP server that says 200 to
everything, so that probes pass and port-forward has a peer.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import shlex
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Protocol

from minikube_agents.runtime.contract import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    ExecFailed,
    Image,
    ImageNotFound,
    NotFoundError,
    RuntimeEvent,
    SandboxConfig,
    SandboxStatus,
)
from minikube_agents.runtime.crilog import format_line
from minikube_agents.runtime.hollow_behaviour import TYPE_LABEL, Behaviour
from minikube_agents.runtime.hollow_streams import HTTP200, HollowStreams


class Clock(Protocol):
    def time(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


def address_pool(cidr: str) -> Callable[[SandboxConfig], str]:
    """Hands out the addresses of `cidr` in turn, from .2 on; wraps round (a hollow pod's address is never dialled)."""
    network = ip_network(cidr)
    count = max(network.num_addresses - 3, 1)
    turn = itertools.count()
    return lambda _config: str(network[2 + next(turn) % count])


@dataclass(slots=True)
class _Sandbox:
    status: SandboxStatus
    config: SandboxConfig
    containers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Container:
    status: ContainerStatus
    config: ContainerConfig
    gone: asyncio.Event | None = None
    execs: int = 0


class HollowRuntime:
    """A `Runtime`. One instance may serve many nodes. `run()` must be running for `exit-after` to happen (the kubelet's task group does)."""

    name = "hollow"

    def __init__(self, clock: Clock, *, address: Callable[[SandboxConfig], str], write_logs: bool = True) -> None:
        self._clock = clock
        self._address = address
        self._write_logs = write_logs
        self._sandboxes: dict[str, _Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._by_uid: dict[str, set[str]] = {}
        self._ids = itertools.count(1)
        self._listeners: list[asyncio.Queue[RuntimeEvent]] = []
        self._exits: list[tuple[float, str]] = []
        self._exits_changed = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._aliases: dict[str, str] = {}
        self._removed_images: set[str] = set()
        self._pulled: dict[str, Image] = {}

    async def start(self) -> None:
        if self._timer is None:
            self._timer = asyncio.create_task(self._run_exits(), name="hollow exits")

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
            self._timer = None

    async def version(self) -> str:
        return "0.1.0"

    # sandboxes

    async def run_sandbox(self, config: SandboxConfig) -> str:
        sandbox_id = self._new_id(config.uid)
        status = SandboxStatus(
            id=sandbox_id, namespace=config.namespace, name=config.name, uid=config.uid, attempt=config.attempt,
            state="ready", created_at=self._clock.time(), ips=(self._address(config),), labels=config.labels,
        )  # fmt: skip
        self._sandboxes[sandbox_id] = _Sandbox(status, config)
        self._by_uid.setdefault(config.uid, set()).add(sandbox_id)
        self._emit(sandbox_id, config.uid, "sandbox-started")
        return sandbox_id

    async def update_sandbox(self, sandbox_id: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        sandbox = self._sandbox(sandbox_id)
        sandbox.config = replace(sandbox.config, cpu_limit=cpu_limit, cpu_request=cpu_request, memory_limit=memory_limit)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.status.state == "notready":
            return
        for container_id in list(sandbox.containers):
            await self.stop_container(container_id, 0)
        sandbox.status = replace(sandbox.status, state="notready")
        self._emit(sandbox_id, sandbox.config.uid, "sandbox-stopped")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is None:
            return
        for container_id in sandbox.containers:
            self._containers.pop(container_id, None)
        same_pod = self._by_uid.get(sandbox.config.uid, set())
        same_pod.discard(sandbox_id)
        if not same_pod:
            self._by_uid.pop(sandbox.config.uid, None)

    async def sandboxes(self) -> list[SandboxStatus]:
        return [sandbox.status for sandbox in self._sandboxes.values()]

    async def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        return self._sandbox(sandbox_id).status

    # containers

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        sandbox = self._sandbox(sandbox_id)
        image = await self.image_status(config.image)
        if image is None:
            raise ImageNotFound(f'image "{config.image}" is not in the node\'s store')
        container_id = self._new_id(config.name)
        status = ContainerStatus(
            id=container_id, sandbox_id=sandbox_id, name=config.name, attempt=config.attempt, state="created",
            created_at=self._clock.time(), image=config.image, image_id=image.id, labels=config.labels,
            log_path=str(Path(sandbox.config.log_directory, config.log_path)),
        )  # fmt: skip
        self._containers[container_id] = _Container(status, config)
        sandbox.containers.add(container_id)
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        sandbox = self._sandbox(container.status.sandbox_id)
        told = Behaviour.of(sandbox.config.annotations, container.config)
        if told.start_delay:
            await self._clock.sleep(told.start_delay)
        now = self._clock.time()
        if told.start_error:
            container.status = replace(
                container.status, state="exited", exit_code=128, reason="StartError", message=told.start_error, finished_at=now
            )
            raise ExecFailed(told.start_error)
        container.status = replace(container.status, state="running", started_at=now, pid=0)
        if self._write_logs:
            self._write(container, told.log)
        self._emit(sandbox.status.id, sandbox.config.uid, "container-started", container_id)
        exit_after = told.exit_after
        if exit_after is None and container.config.labels.get(TYPE_LABEL) == "init":
            exit_after = 0.0
        if exit_after is None:
            return
        if exit_after <= 0:
            self._exit(container, told.exit_code)
        else:
            heapq.heappush(self._exits, (now + exit_after, container_id))
            self._exits_changed.set()

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        container = self._containers.get(container_id)
        if container is None:
            return
        if container.status.state in ("running", "created"):
            self._exit(container, 137 if grace_seconds <= 0 else 143, signal=9 if grace_seconds <= 0 else 15)

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        container = self._containers.pop(container_id, None)
        if container is not None:
            sandbox = self._sandboxes.get(container.status.sandbox_id)
            if sandbox is not None:
                sandbox.containers.discard(container_id)
                self._emit(sandbox.status.id, sandbox.config.uid, "container-removed", container_id)

    async def containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        if sandbox_id is None:
            return [container.status for container in self._containers.values()]
        return [self._containers[one].status for one in self._sandbox(sandbox_id).containers]

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._container(container_id).status

    async def update_container(self, container_id: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        container = self._container(container_id)
        container.config = replace(container.config, cpu_limit=cpu_limit, cpu_request=cpu_request, memory_limit=memory_limit)

    async def stats(self, sandbox_id: str | None = None) -> list[ContainerStats]:
        now = self._clock.time()
        return [
            ContainerStats(id=one.id, name=one.name, timestamp=now, cpu_seconds=0, memory_working_set=0, memory_usage=0)
            for one in await self.containers(sandbox_id)
            if one.state == "running"
        ]

    async def reopen_log(self, container_id: str) -> None:
        self._container(container_id)

    # streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        streams = await self.exec(container_id, command, stdin=False, stdout=True, stderr=True, tty=False)
        out, err = bytearray(), bytearray()
        while (piece := await streams.read()) is not None:
            (out if piece[0] == "stdout" else err).extend(piece[1])
        return await streams.wait(), bytes(out), bytes(err)

    async def exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> HollowStreams:
        container = self._running(container_id)
        argv = list(command)
        if len(argv) == 3 and argv[0] in ("sh", "/bin/sh") and argv[1] == "-c":
            argv = shlex.split(argv[2])
        match argv:
            case ["echo", *words]:
                return HollowStreams((" ".join(words) + "\n").encode(), 0)
            case ["true"]:
                return HollowStreams(b"", 0)
            case ["false"]:
                return HollowStreams(b"", 1)
            case ["exit", code] if code.isdigit():
                return HollowStreams(b"", int(code))
            case ["env"]:
                return HollowStreams("".join(f"{k}={v}\n" for k, v in container.config.env.items()).encode(), 0)
            case ["hostname"]:
                return HollowStreams(f"{self._sandbox(container.status.sandbox_id).config.hostname}\n".encode(), 0)
            case ["cat"]:
                return HollowStreams(b"", 0, echo=stdin)
            case _:
                raise ExecFailed(f'exec: "{command[0] if command else ""}": hollow containers run no programs')

    async def attach(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> HollowStreams:
        container = self._running(container_id)
        if container.gone is None:
            container.gone = asyncio.Event()
        return HollowStreams(b"", 0, until=container.gone, code=lambda: container.status.exit_code)

    async def connect(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        self._sandbox(sandbox_id)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(HTTP200, theirs)
        return ours

    # images

    async def image_status(self, image: str) -> Image | None:
        name = self._aliases.get(image, image)
        if name.startswith("missing/") or name in self._removed_images:
            return None
        found = self._pulled.get(name)
        if found is None:
            digest = hashlib.sha256(name.encode()).hexdigest()
            found = self._pulled[name] = Image(id=f"sha256:{digest}", tags=(name,))
        return found

    async def pull_image(self, image: str) -> Image:
        self._removed_images.discard(image)
        found = await self.image_status(image)
        if found is None:
            raise ImageNotFound(f'image "{image}" is not in the node\'s store')
        return found

    async def import_image(self, archive: str, tag: str = "") -> list[Image]:
        name = tag or Path(archive).stem
        return [await self.pull_image(name)]

    async def alias_image(self, image: str, alias: str) -> None:
        self._aliases[alias] = image

    async def images(self) -> list[Image]:
        return list(self._pulled.values())

    async def remove_image(self, image: str) -> None:
        self._pulled.pop(image, None)
        self._aliases.pop(image, None)
        self._removed_images.add(image)

    # events

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    def _emit(
        self,
        sandbox_id: str,
        uid: str,
        kind: Literal["sandbox-started", "sandbox-stopped", "container-started", "container-exited", "container-removed"],
        container_id: str = "",
    ) -> None:
        event = RuntimeEvent(sandbox_id=sandbox_id, pod_uid=uid, type=kind, container_id=container_id)
        for queue in self._listeners:
            queue.put_nowait(event)

    # inner works

    async def _run_exits(self) -> None:
        """Ends containers when their time has come; one task for all of them."""
        while True:
            now = self._clock.time()
            while self._exits and self._exits[0][0] <= now:
                container = self._containers.get(heapq.heappop(self._exits)[1])
                if container is not None and container.status.state == "running":
                    config = self._sandbox(container.status.sandbox_id).config
                    self._exit(container, Behaviour.of(config.annotations, container.config).exit_code)
            self._exits_changed.clear()
            if not self._exits:
                await self._exits_changed.wait()
                continue
            async with asyncio.TaskGroup() as group:
                waits = [
                    group.create_task(self._clock.sleep(self._exits[0][0] - now), name="hollow: next exit"),
                    group.create_task(self._exits_changed.wait(), name="hollow: earlier exit"),
                ]
                _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for task in pending:
                    task.cancel()

    def _exit(self, container: _Container, code: int, *, signal: int = 0) -> None:
        container.status = replace(
            container.status, state="exited", exit_code=code, signal=signal,
            reason="Completed" if code == 0 else "Error", finished_at=self._clock.time(),
        )  # fmt: skip
        if container.gone is not None:
            container.gone.set()
        sandbox = self._sandbox(container.status.sandbox_id)
        self._emit(sandbox.status.id, sandbox.config.uid, "container-exited", container.status.id)

    def _write(self, container: _Container, text: str) -> None:
        if not container.config.log_path:
            return
        path = Path(container.status.log_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        now = self._clock.time()
        with path.open("ab") as log:
            for line in text.splitlines():
                log.write(format_line(now, "stdout", line.encode()))

    def _new_id(self, seed: str) -> str:
        return hashlib.sha256(f"{id(self)} {next(self._ids)} {seed}".encode()).hexdigest()

    def _sandbox(self, sandbox_id: str) -> _Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise NotFoundError(f'sandbox "{sandbox_id}" not found') from None

    def _container(self, container_id: str) -> _Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise NotFoundError(f'container "{container_id}" not found') from None

    def _running(self, container_id: str) -> _Container:
        container = self._container(container_id)
        if container.status.state != "running":
            raise NotFoundError(f'container "{container_id}" is not running')
        return container
