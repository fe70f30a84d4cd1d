"""A real cluster network with nodes for tests: namespaces, shims and all. One a module; tests connect to it like a kubelet that adopts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from minikube_agents.network import cluster, probe, starting
from minikube_agents.network.cluster import NodeNetwork
from minikube_agents.runtime.contract import ContainerConfig, ContainerStatus, SandboxConfig
from minikube_agents.runtime.images import ImageStore
from minikube_agents.runtime.process import ProcessRuntime

needs_namespaces = pytest.mark.skipif(
    bool(probe.namespaces_refused()), reason=f"no namespaces here: {probe.namespaces_refused()}"
)


class Machine:
    """A network of two nodes in a directory that a container's user can reach."""

    def __init__(self, directory: str, nodes: dict[str, NodeNetwork]) -> None:
        self.directory = directory
        self.nodes = nodes

    def runtime(self, node: str = "n1") -> ProcessRuntime:
        return ProcessRuntime(self.nodes[node].shim_path, ImageStore(os.path.join(self.directory, "images")))


async def _add_nodes(directory: str) -> dict[str, NodeNetwork]:
    network = await cluster.ClusterNetwork.connect(directory)
    found = {name: await network.add_node(name, index) for index, name in enumerate(("n1", "n2"), start=1)}
    network.close()
    return found


@contextmanager
def _started(mode: starting.Mode) -> Iterator[str]:
    global _count
    _count += 1
    with tempfile.TemporaryDirectory(prefix="mkpy-") as directory:
        os.chmod(directory, 0o755)
        starting.start(starting.Spec(name=f"t{os.getpid()}-{_count}", data_directory=directory, mode=mode))
        try:
            yield directory
        finally:
            problems = cluster.cleanup(directory)
            subprocess.run(["rm", "-rf", os.path.join(directory, "network")], check=False)
            assert problems == []


@contextmanager
def machine(mode: starting.Mode = "private") -> Iterator[Machine]:
    with _started(mode) as directory:
        yield Machine(directory, asyncio.run(_add_nodes(directory)))


@asynccontextmanager
async def booted(mode: starting.Mode = "private") -> AsyncIterator[Machine]:
    """As `machine`, within a running loop."""
    with _started(mode) as directory:
        yield Machine(directory, await _add_nodes(directory))


_count = 0


def pod(machine: Machine, name: str = "p", **more: object) -> SandboxConfig:
    global _count
    _count += 1
    uid = f"{os.getpid()}-{_count}"
    logs = os.path.join(machine.directory, "logs", uid)
    return SandboxConfig(namespace="default", name=name, uid=uid, log_directory=logs, **more)  # type: ignore[arg-type]


def shell(script: str, name: str = "c", **more: object) -> ContainerConfig:
    base = {"image": "host", "attempt": 0, "command": ("/bin/sh", "-c", script), "log_path": f"{name}/0.log"}
    return ContainerConfig(name=name, **{**base, **more})  # type: ignore[arg-type]


async def run(runtime: ProcessRuntime, sandbox: str, config: ContainerConfig) -> str:
    container = await runtime.create_container(sandbox, config)
    await runtime.start_container(container)
    return container


async def finished(runtime: ProcessRuntime, container: str, seconds: float = 10) -> ContainerStatus:
    """Its status once it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = await runtime.container_status(container)
        if status.state == "exited":
            return status
        await asyncio.sleep(0.005)
    raise AssertionError(f"still running: {status}")


def log_text(status: ContainerStatus) -> str:
    """The log without its CRI columns."""
    with open(status.log_path, encoding="utf-8") as file:
        return "".join(line.split(" ", 3)[3] if " F " in line else line.rstrip("\n").split(" ", 3)[3] for line in file)


async def output(runtime: ProcessRuntime, sandbox: str, script: str, **more: object) -> str:
    """What a container running `script` prints; it must end with 0."""
    container = await run(runtime, sandbox, shell(script, **more))
    status = await finished(runtime, container)
    text = log_text(status)
    assert status.exit_code == 0, (status, text)
    return text


async def opened(machine: Machine, node: str = "n1") -> AsyncIterator[ProcessRuntime]:
    runtime = machine.runtime(node)
    await runtime.start()
    try:
        yield runtime
    finally:
        for sandbox in await runtime.sandboxes():
            await runtime.remove_sandbox(sandbox.id)
        await runtime.close()
