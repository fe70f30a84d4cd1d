"""`minictl up --separate`: every component a process of its own, over HTTPS, as on several machines. This process only looks after them.

A component that dies is started again with back-off (1 to 30 s), as systemd or a static pod would. On SIGTERM they are ended in reverse
order of their start: agents and controllers may still write while the API server answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from minikube_api.client import kubeconfig
from minikube_api.client.client import Client
from minikube_py.cluster.component import API_SERVER
from minikube_py.cluster.components import units
from minikube_py.cluster.daemon import install_add_ons, nodes_ready
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.lives import next_delay
from minikube_py.cluster.network import Network
from minikube_py.cluster.reporting import STARTED_AT, Reporter, StateFile
from minikube_py.cluster.spec import ClusterSpec

log = logging.getLogger(__name__)

END_SECONDS = 10.0


@dataclass(eq=False)
class Child:
    """A component's process; `first_report` is its first ready report."""

    component: str
    node: str
    first_report: asyncio.Future[dict[str, Any]]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    stopping: bool = field(default=False)

    @property
    def name(self) -> str:
        return f"{self.component} {self.node}".strip()


class Supervisor:
    def __init__(self, spec: ClusterSpec, layout: Layout, network: Network | None, reporter: Reporter) -> None:
        self.spec, self.layout, self.network, self.reporter = spec, layout, network, reporter
        self.children: list[Child] = []
        self.state = StateFile(layout.state)
        self.url = ""

    async def run(self, ending: asyncio.Event) -> None:
        if self.network is not None:
            await self.network.connect(self.spec.node_names(), self.reporter)
        try:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(self._start(group), name="start")
                tasks = [waiting]
                if self.network is not None:
                    tasks.append(group.create_task(self._restore_lost_nodes(self.network), name="nodes"))
                await ending.wait()
                for task in tasks:
                    task.cancel()
                for child in self.children:
                    child.stopping = True
                raise _Ending
        except* _Ending:
            log.info("ending")
        finally:
            await self._end()

    async def _restore_lost_nodes(self, network: Network) -> None:
        """Make a node again whose shim died, and end what was of it: it is started anew there, and so is DNS, which is on every node."""
        async for name in network.follow():
            log.warning("node %s is lost: its shim ended; making it again", name)
            await network.restore(name)
            for child in self.children:
                if (
                    (child.node == name or child.component == "dns")
                    and child.process is not None
                    and child.process.returncode is None
                ):
                    child.process.terminate()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        server = self._child(API_SERVER, "", group)
        report = await server.first_report
        self.url = report["url"]
        config = kubeconfig.load(report["kubeconfig"])
        admin = Client(config.transport(), user_agent="minikube-py")
        await install_add_ons(self.spec, self.network, admin)
        children = [self._child(component, node, group) for component, node in units(self.spec, self.network)]
        reports = [await child.first_report for child in children]
        nodes = await nodes_ready(admin, self.spec.nodes if self.spec.has("kubelet") else 0)
        await admin.close()
        state = {
            "ready": True,
            "url": self.url,
            "kubeconfig": report["kubeconfig"],
            "seconds": round(time.time() - STARTED_AT, 3),
            "pid": os.getpid(),
            "nodes": nodes,
            "warnings": [*self.reporter.warnings, *(w for r in reports for w in r["warnings"])],
            "components": self._pids(),
            "dns": next((r["dns"] for r in reports if r["dns"]), ""),
            **(self.network.state() if self.network is not None else {}),
        }
        self.state.publish(state)
        self.reporter.send(state)

    def _pids(self) -> dict[str, int]:
        return {c.name: c.process.pid for c in self.children if c.process is not None}

    def _child(self, component: str, node: str, group: asyncio.TaskGroup) -> Child:
        child = Child(component, node, asyncio.get_running_loop().create_future())
        self.children.append(child)
        group.create_task(self._look_after(child), name=child.name)
        return child

    async def _look_after(self, child: Child) -> None:
        delay = 0.0
        while True:
            began = time.monotonic()
            code = await self._live(child)
            if child.stopping:
                return
            if not child.first_report.done():
                raise RuntimeError(f"{child.name} ended with exit code {code} before it was ready")
            delay = next_delay(delay, time.monotonic() - began)
            log.warning("%s ended with exit code %d; again in %.0f s", child.name, code, delay)
            child.restarts += 1
            self.state.restarted(child.name, child.restarts, f"exit code {code}")
            await asyncio.sleep(delay)

    async def _live(self, child: Child) -> int:
        """One life of the component; its exit code."""
        read, write = os.pipe()
        command = [sys.executable, "-m", "minikube_py.cluster.component", child.component, "--data-dir", str(self.layout.data)]
        command += ["--report-fd", str(write), "--server", self.url, *(["--node", child.node] if child.node else [])]
        # an API server that was given any port keeps the one that it got
        environment = {**os.environ, **({"MINIKUBE_PY_LISTEN": self._listen()} if self.url else {})}
        child.process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(write,), stdin=asyncio.subprocess.DEVNULL, env=environment
        )
        os.close(write)
        self.state.change(components=self._pids())
        reports = asyncio.create_task(self._reports(child, read), name=f"reports of {child.name}")
        try:
            return await child.process.wait()
        finally:
            # a living component keeps its end open: when we are cancelled there is nothing to wait for
            reports.cancel()

    def _listen(self) -> str:
        return self.url.removeprefix("https://")

    async def _reports(self, child: Child, read: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
        )
        try:
            async for line in reader:
                report = json.loads(line)
                if report.get("ready") and not child.first_report.done():
                    child.first_report.set_result(report)
        finally:
            transport.close()

    async def _end(self) -> None:
        """End the components, the API server last."""
        for children in (
            [c for c in self.children if c.component != API_SERVER],
            [c for c in self.children if c.component == API_SERVER],
        ):
            living = [c.process for c in children if c.process is not None and c.process.returncode is None]
            for process in living:
                process.send_signal(signal.SIGTERM)
            if not living:
                continue
            _, late = await asyncio.wait([asyncio.ensure_future(p.wait()) for p in living], timeout=END_SECONDS)
            for process in living if late else ():
                if process.returncode is None:
                    process.kill()
                    await process.wait()


class _Ending(Exception):
    """Leaves the supervisor's task group."""
