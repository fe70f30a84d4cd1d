"""The cluster's network as the daemon sees it: laid out and started before anything heavy is imported, adopted after a crash.

`prepare` and `PreparedNetwork` import nothing heavy; the asyncio side is reached through `connect`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minikube_agents.network import probe, starting
from minikube_agents.network.starting import NetworkError, Started
from minikube_agents.shim import journal
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.severing import Cables
from minikube_py.cluster.spec import ClusterSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from minikube_agents.network.cluster import ClusterNetwork, NodeNetwork

API_PORT = 6443
KUBELET_PORT = 10250
DNS_PORT = 53

__all__ = ["Network", "NetworkError", "prepare"]


def prepare(spec: ClusterSpec, layout: Layout, reporter: Reporter) -> tuple[ClusterSpec, Network | None]:
    """Start or adopt the network; the spec comes back with the ranges that are in use. No network where no component needs one."""
    spec = with_possible_proxy(with_possible_runtime(with_kept_ranges(spec, layout), reporter), reporter)
    if not spec.real_nodes:
        journal.cleanup(starting.journal_path(str(layout.data)))
        return keep_ranges(spec.with_default_ranges(), layout), None
    started = starting.find(str(layout.data))
    adopted = started is not None
    if started is None:
        for problem in journal.cleanup(starting.journal_path(str(layout.data))):
            reporter.warn(f"left by an earlier run: {problem}")
        mode: starting.Mode = "host" if (spec.network or starting.default_mode()) == "host" else "private"
        started = starting.start(
            starting.Spec(
                name=spec.name, data_directory=str(layout.data), mode=mode, pod_cidr=spec.pod_cidr, service_cidr=spec.service_cidr
            )
        )
    network = Network(started, adopted=adopted)
    return keep_ranges(network.with_ranges(spec), layout), network


def with_possible_runtime(spec: ClusterSpec, reporter: Reporter) -> ClusterSpec:
    """Where this account can't have namespaces: hollow nodes, and a warning with the remedy; an error when processes were asked for."""
    if not spec.real_nodes:
        return spec
    why = probe.namespaces_refused()
    if not why:
        return replace(spec, runtime="process")
    if spec.runtime == "process":
        raise NetworkError(f"--runtime process: {why}")
    reporter.warn(f"nodes are hollow, their pods are simulated: {why}")
    return replace(spec, runtime="hollow")


def with_possible_proxy(spec: ClusterSpec, reporter: Reporter) -> ClusterSpec:
    """nftables, or sockets where nft is not installed; an error when nftables were asked for."""
    if not spec.real_nodes or spec.proxy_mode == "userspace":
        return spec
    if shutil.which("nft") is None:
        why = "nft (package nftables) is not installed"
        if spec.proxy_mode == "nftables":
            raise NetworkError(f"--proxy-mode nftables: {why}")
        reporter.warn(f"Services go through sockets, which lose the client's address, and pods have no hostPorts: {why}")
        return replace(spec, proxy_mode="userspace")
    return replace(spec, proxy_mode="nftables")


def with_kept_ranges(spec: ClusterSpec, layout: Layout) -> ClusterSpec:
    """Addresses live in stored objects, so kept data keeps its ranges; other ones asked for explicitly win (and are the user's business)."""
    try:
        kept = json.loads((layout.data / "ranges.json").read_text())
        pods, services = kept["pods"], kept["services"]
    except FileNotFoundError:
        return spec
    except (ValueError, TypeError, KeyError) as error:
        raise NetworkError(
            f"{layout.data / 'ranges.json'} can't be read ({error}): it holds the address ranges of the kept objects; "
            "remove it to choose them anew"
        ) from error
    return replace(spec, pod_cidr=spec.pod_cidr or pods, service_cidr=spec.service_cidr or services)


def keep_ranges(spec: ClusterSpec, layout: Layout) -> ClusterSpec:
    partial = layout.data / "ranges.json.new"
    partial.write_text(json.dumps({"pods": spec.pod_cidr, "services": spec.service_cidr}) + "\n")
    partial.rename(layout.data / "ranges.json")
    return spec


class Network:
    """A started network. `connect` must be called on the loop before anything else is asked of it."""

    def __init__(self, started: Started, *, adopted: bool) -> None:
        self.started = started
        self.adopted = adopted
        self.control_plane = (started.gateway, API_PORT)
        self.nodes: list[NodeNetwork] = []
        self.egress = ""
        self.cables = Cables()
        self._cluster: ClusterNetwork | None = None

    @staticmethod
    def attached(layout: Layout) -> Network:
        """The running network of a data directory, for a process that did not start it. Raises NetworkError."""
        started = starting.find(str(layout.data))
        if started is None:
            raise NetworkError(f"the network of {layout.data} is not running")
        return Network(started, adopted=True)

    async def attach(self) -> None:
        """Reach the shim and take the nodes as they are."""
        from minikube_agents.network.cluster import ClusterNetwork

        self._cluster = await ClusterNetwork.connect(self.started.data_directory)
        self.nodes = sorted((await self._cluster.nodes()).values(), key=lambda node: node.index)

    def with_ranges(self, spec: ClusterSpec) -> ClusterSpec:
        return replace(spec, network=self.started.mode, pod_cidr=self.started.pod_cidr, service_cidr=self.started.service_cidr)

    @property
    def cluster(self) -> ClusterNetwork:
        assert self._cluster is not None, "connect first"
        return self._cluster

    async def connect(self, names: list[str], reporter: Reporter) -> None:
        """Reach the shim, bring up the nodes, give pods a way out."""
        from minikube_agents.network.cluster import ClusterNetwork

        self._cluster = await ClusterNetwork.connect(self.started.data_directory)
        for name in set(await self._cluster.nodes()) - set(names):
            await self._cluster.remove_node(name)
        self.nodes = [await self._cluster.add_node(name, index) for index, name in enumerate(names, 1)]
        egress = await self._cluster.open_egress()
        self.egress = egress.way
        if not egress.way:
            reporter.warn(egress.reason)

    async def follow(self) -> AsyncIterator[str]:
        """Keep `cables` as they are; yields the names of nodes whose shim died. Raises NetworkError when the network is gone."""
        async for change in self.cluster.changes():
            if change.kind == "lost":
                yield change.node
            else:
                self.cables.note(change.node, up=change.kind == "plugged")
        raise NetworkError("the cluster's network is gone: its shim ended")

    async def restore(self, name: str) -> None:
        """A lost node again, with the addresses it had."""
        index = next(node.index for node in self.nodes if node.name == name)
        node = await self.cluster.add_node(name, index)
        self.nodes = [node if n.name == name else n for n in self.nodes]
        self.cables.note(name, up=True)

    async def api_listener(self) -> socket.socket:
        """A listener of the API server where pods reach it."""
        return await self.cluster.open_socket("listen", *self.control_plane)

    async def connect_to(self, host: str, port: int) -> socket.socket:
        """A connection from the control plane's place in the cluster's network: the API server's Dialer."""
        return await self.cluster.open_socket("connect", host, port)

    def state(self) -> dict[str, Any]:
        return {
            "network": f"{self.started.mode}: nodes {self.started.node_cidr}, pods {self.started.pod_cidr}, services {self.started.service_cidr}",
            "shims": [self.cluster.shim_pid, *(node.shim_pid for node in self.nodes)],
        }

    async def destroy(self) -> None:
        """End nodes and pods, and remove everything that was made."""
        for problem in await self.cluster.destroy():
            os.write(2, f"could not be removed: {problem}\n".encode())

    def release(self) -> None:
        """Let go; nodes and pods live on, to be adopted."""
        if self._cluster is not None:
            self._cluster.close()
