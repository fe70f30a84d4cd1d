"""All components in one process, on one loop: how they are started, told apart, and ended.

Start: API server, then everything else at once; ready when the nodes are. A component that fails later is started anew (`lives`); when the
API server fails, its store has, and the cluster ends. Stop, in reverse: components are cancelled while the server
still answers (leases, statuses and events may be written until then), then the server stops, then the network is taken away; the other
way round every component would spend its last seconds on connection errors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time

from minikube_api.client.client import Client
from minikube_api.schema.typed import core_v1
from minikube_py.cluster import addons, collecting
from minikube_py.cluster.components import Components, Ready, units
from minikube_py.cluster.control_plane import ControlPlane, start_control_plane
from minikube_py.cluster.credentials import ADMIN, Credentials
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.lives import Lives
from minikube_py.cluster.network import Network
from minikube_py.cluster.nodes import restore_lost
from minikube_py.cluster.reporting import STARTED_AT, Reporter, StateFile
from minikube_py.cluster.spec import ClusterSpec

log = logging.getLogger(__name__)


async def serve(spec: ClusterSpec, layout: Layout, network: Network | None, reporter: Reporter) -> None:
    """Run the cluster until SIGTERM or SIGINT; raises what made it fail."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    if spec.separate:
        from minikube_py.cluster.separate import Supervisor

        cluster: AllInOne | Supervisor = Supervisor(spec, layout, network, reporter)
    else:
        cluster = AllInOne(spec, layout, network, reporter)
    try:
        await cluster.run(ending)
    except BaseException:
        if network is not None:
            network.release()
        raise
    else:
        if network is not None:
            await network.destroy()
    finally:
        with contextlib.suppress(FileNotFoundError):
            layout.state.unlink()


class AllInOne:
    def __init__(self, spec: ClusterSpec, layout: Layout, network: Network | None, reporter: Reporter) -> None:
        self.spec, self.layout, self.network, self.reporter = spec, layout, network, reporter
        self.credentials = Credentials(layout.pki)
        self.state = StateFile(layout.state)
        self.components: Components | None = None

    async def run(self, ending: asyncio.Event) -> None:
        if self.network is not None:
            await self.network.connect(self.spec.node_names(), self.reporter)
        plane = await start_control_plane(self.spec, self.layout, self.credentials, self.network)
        log.info("API server ready %.3f s after the start", time.time() - STARTED_AT)
        try:
            async with asyncio.TaskGroup() as group:
                ready = await self._start_components(plane, group)
                waiting = group.create_task(self._until_ready(plane, ready), name="until-ready")
                ended = asyncio.ensure_future(ending.wait())
                failed = asyncio.ensure_future(plane.server.wait())
                await asyncio.wait((ended, failed), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if failed.done():
                    failed.result()
                failed.cancel()
                raise _Ending
        except* _Ending:
            log.info("ending")
        finally:
            await plane.server.stop()

    async def _start_components(self, plane: ControlPlane, group: asyncio.TaskGroup) -> list[Ready]:
        """Create the components' tasks; returns what to wait for until they are ready."""
        await install_add_ons(self.spec, self.network, plane.client(ADMIN))
        self.components = Components(self.spec, self.layout, self.credentials, self.network, self.reporter, plane.client)
        plane.server.collectors.append(self.components.metrics.collect)
        lives = Lives(self.components.start, group, self.state)
        if self.network is not None:
            group.create_task(restore_lost(self.network, lives), name="nodes")
        return [await lives.begin(component, node) for component, node in units(self.spec, self.network)]

    async def _until_ready(self, plane: ControlPlane, ready: list[Ready]) -> None:
        await asyncio.gather(*(wait() for wait in ready))
        nodes = await nodes_ready(plane.client(ADMIN), self.spec.nodes if self.spec.has("kubelet") else 0)
        report = {
            "ready": True,
            "url": plane.url,
            "kubeconfig": str(plane.kubeconfig),
            "seconds": round(time.time() - STARTED_AT, 3),
            "pid": os.getpid(),
            "nodes": nodes,
            "warnings": self.reporter.warnings,
            **(self.network.state() if self.network is not None else {}),
            "dns": self.components.host_dns if self.components is not None else "",
        }
        self.state.publish(report)
        log.info("ready after %.3f s", report["seconds"])
        self.reporter.send(report)
        collecting.settle()


async def install_add_ons(spec: ClusterSpec, network: Network | None, admin: Client) -> None:
    """The default storage class where nodes and controllers are real, and what DNS needs in the API where it runs."""
    if spec.has("controllers") and spec.real_nodes:
        await addons.install_storage_class(admin)
    if not spec.has("dns") or network is None:
        return
    addresses = {node.name: node.ip for node in network.nodes}
    await addons.install(admin, [addons.dns_service(spec.dns_ip), addons.dns_slice(addresses), *addons.dns_access()])


class _Ending(Exception):
    """Leaves the components' task group."""


async def nodes_ready(admin: Client, count: int) -> int:
    """Wait until `count` nodes are Ready; returns how many are."""
    if not count:
        return 0
    ready: set[str] = set()
    while True:
        found = await admin.list(core_v1.Node)
        ready = {n.metadata.name or "" for n in found.items if is_ready(n)}
        if len(ready) >= count:
            return len(ready)
        async with contextlib.aclosing(admin.watch(core_v1.Node, resource_version=found.resource_version)) as events:
            async for event in events:
                if event.type in ("ADDED", "MODIFIED") and is_ready(event.object):
                    ready.add(event.object.metadata.name or "")
                if len(ready) >= count:
                    return len(ready)


def is_ready(node: core_v1.Node) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
