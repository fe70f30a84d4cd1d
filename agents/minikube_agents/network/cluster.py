"""The cluster's network, driven: nodes come and go, are unplugged, and everything is taken down. The shim acts; this asks.

network = await ClusterNetwork.connect(started.data_directory)      # just started, or adopted after a crash: the same
node = await network.add_node("minikube-node-1", 1)
runtime = ProcessRuntime(node.shim_path, ImageStore(...))
listener = await network.open_socket("listen", network.gateway, 6443)
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from minikube_agents.network import egress, starting
from minikube_agents.network.starting import NetworkError, Started
from minikube_agents.shim import journal
from minikube_agents.shim.client import Completed, ShimClient, ShimError, ShimGone


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNetwork:
    """A node that is up. `index` counts from 1 and decides both addresses; `shim_path` is where its runtime connects."""

    name: str
    index: int
    ip: str
    pod_cidr: str
    shim_path: str
    shim_pid: int


@dataclass(frozen=True, slots=True)
class Change:
    node: str
    kind: Literal["lost", "plugged", "unplugged"]


class ClusterNetwork:
    def __init__(self, started: Started, shim: ShimClient) -> None:
        self.started = started
        #: of the cluster's namespace: `open_socket` and `run` where the control plane's address stands
        self.shim = shim
        self.shim_pid = 0
        self.gateway = started.gateway

    @classmethod
    async def connect(cls, data_directory: str) -> Self:
        """To the shim that `starting.start` started, or one that outlived its cluster. NetworkError with the shim's own words
        when it did not come up."""
        started = starting.find(data_directory)
        if started is None:
            raise NetworkError(_why_not(data_directory))
        try:
            network = cls(started, await ShimClient(started.socket_path).open())
            network.shim_pid = (await network.shim.call("ping"))["pid"]
        except ShimGone as error:
            raise NetworkError(_why_not(data_directory)) from error
        return network

    async def nodes(self) -> dict[str, NodeNetwork]:
        """Those that are up, by name."""
        answer = await self.shim.call("nodes")
        return {
            name: NodeNetwork(
                name=name,
                index=node["index"],
                ip=node["ip"],
                pod_cidr=node["pod_cidr"],
                shim_path=node["socket"],
                shim_pid=node["pid"],
            )
            for name, node in answer["nodes"].items()
        }

    async def add_node(self, name: str, index: int) -> NodeNetwork:
        """A new node, or the one that is there already (adoption). About 10 ms."""
        known = (await self.nodes()).get(name)
        if known is not None:
            return known
        try:
            node = await self.shim.call("add_node", name=name, index=index)
        except ShimError as error:
            raise NetworkError(f"node {name}: {error}") from error
        return NodeNetwork(
            name=name, index=index, ip=node["ip"], pod_cidr=node["pod_cidr"], shim_path=node["socket"], shim_pid=node["pid"]
        )

    async def remove_node(self, name: str) -> None:
        """End its containers and take it away."""
        await self.shim.call("remove_node", name=name)

    async def unplug(self, name: str) -> None:
        """Pull the node's network cable: it runs on and hears nothing."""
        await self.shim.call("plug", name=name, up=False)

    async def plug(self, name: str) -> None:
        await self.shim.call("plug", name=name, up=True)

    async def own_range(self, name: str, cidr: str) -> None:
        """Let sockets in a node listen on any address of the range, and packets to it end there."""
        await self.shim.call("local_range", name=name, cidr=cidr)

    async def open_socket(
        self, kind: Literal["connect", "listen"], host: str, port: int, *, node: str = "", type: Literal["tcp", "udp"] = "tcp"
    ) -> socket.socket:
        """In the cluster's namespace (mode host: the machine's), or in a node's."""
        where = {"name": node} if node else {}
        return await self.shim.open_socket(kind, host, port, type=type, **where)

    async def run(self, argv: Sequence[str], stdin: str = "", *, node: str = "") -> Completed:
        """Run a program, such as nft, in the cluster's or a node's network namespace."""
        return await self.shim.run(argv, stdin, **({"name": node} if node else {}))

    async def changes(self) -> AsyncIterator[Change]:
        """What becomes of nodes, first those that are unplugged already. A lost node's shim died: add it again to have it back.
        Ends when the network does."""
        events = self.shim.events()
        following = asyncio.ensure_future(anext(events, None))
        try:
            for name, node in (await self.shim.call("nodes"))["nodes"].items():
                if not node["up"]:
                    yield Change(name, "unplugged")
            while (event := await following) is not None:
                following = asyncio.ensure_future(anext(events, None))
                if event["type"] == "node-lost":
                    yield Change(event["name"], "lost")
                elif event["type"] == "node-plug":
                    yield Change(event["name"], "plugged" if event["up"] else "unplugged")
        finally:
            following.cancel()

    async def open_egress(self) -> egress.Egress:
        """Give pods a way out. Safe to repeat; what it makes is in the journal."""
        cidrs = [self.started.node_cidr, self.started.pod_cidr, self.started.service_cidr]
        if self.started.mode == "host":
            return await self._masquerade_on_host(cidrs)
        known = journal.read(starting.journal_path(self.started.data_directory))
        if any(entry.get("name") == "egress" for entry in known):
            return egress.Egress(egress.find_tool())
        tool = egress.find_tool()
        if not tool:
            return egress.Egress(
                "", "pods can't reach outside the cluster: neither pasta (package passt) nor slirp4netns is installed"
            )
        log_path = os.path.join(self.started.directory, "egress.log")
        try:
            known_process = await asyncio.to_thread(egress.attach, tool, self.shim_pid, log_path)
        except OSError as error:
            return egress.Egress("", f"pods can't reach outside the cluster: {error.strerror}")
        await self.shim.call("journal", kind="process", what={"identity": known_process, "name": "egress"})
        return await self._apply(tool, egress.masquerade(self.started.name, cidrs, egress.OUT_TAP))

    async def _masquerade_on_host(self, cidrs: list[str]) -> egress.Egress:
        with open(egress.FORWARD, encoding="ascii") as file:
            was = file.read().strip()
        if was == "0":
            await self.shim.call("journal", kind="sysctl", what={"path": egress.FORWARD, "was": was})
            with open(egress.FORWARD, "w", encoding="ascii") as file:
                file.write("1")
        name = egress.table_name(self.started.name)
        await self.shim.call("journal", kind="table", what={"family": "ip", "name": name})
        return await self._apply("nft", egress.masquerade(self.started.name, cidrs, f'oifname != "{self.started.link}"'))

    async def _apply(self, way: str, script: str) -> egress.Egress:
        try:
            done = await self.shim.run(["nft", "-f", "-"], script)
        except FileNotFoundError:
            return egress.Egress("", "pods can't reach outside the cluster: nft (package nftables) is not installed")
        if done.code:
            return egress.Egress("", f"pods can't reach outside the cluster: nft: {done.stderr.strip()}")
        return egress.Egress(way)

    def close(self) -> None:
        """Let go; nodes and pods live on, to be adopted."""
        self.shim.close()

    async def destroy(self) -> list[str]:
        """End everything, nodes and pods included, and clean up. What could not be removed, in words."""
        if self.shim.is_open:
            try:
                await self.shim.call("shutdown")
            except ShimGone:
                pass  # it ended before its answer was out; the journal knows the rest
        self.shim.close()
        return await asyncio.to_thread(cleanup, self.started.data_directory)


def cleanup(data_directory: str) -> list[str]:
    """Remove what a cluster left, however it ended: processes, links, tables, cgroups, sysctls. For `down`, and `up` after a
    crash (unless it adopts).
    What could not be removed, in words. Blocks for some seconds at worst."""
    return journal.cleanup(starting.journal_path(os.path.abspath(data_directory)))


def _why_not(data_directory: str) -> str:
    """Why the shim did not come up: what this machine refuses, with the remedy, or else its own last words."""
    from minikube_agents.network import probe

    if refused := probe.namespaces_refused():
        return f"nodes can't be made: {refused}. Without that: --runtime hollow (simulated pods)"
    return f"the cluster's network did not start: {_last_words(data_directory)}"


def _last_words(data_directory: str) -> str:
    path = os.path.join(starting.network_directory(os.path.abspath(data_directory)), "shim.log")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line for line in file.read().splitlines() if line.strip()]
    except FileNotFoundError:
        return "its log is missing"
    return lines[-1] if lines else "its log is empty"
