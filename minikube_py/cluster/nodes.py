"""The nodes of an all-in-one cluster: a kubelet, a proxy and a DNS address each, and the host's own way to Services."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from minikube_agents.dns.server import Options as DNSOptions
from minikube_agents.dns.server import Server as DNSServer
from minikube_agents.kubelet.kubelet import Kubelet
from minikube_agents.kubelet.options import KubeletOptions
from minikube_agents.kubelet.server import server_tls
from minikube_agents.network.cluster import NodeNetwork
from minikube_agents.proxy import forwarding
from minikube_agents.proxy.backends import Backend, NftBackend
from minikube_agents.proxy.proxy import Options as ProxyOptions
from minikube_agents.proxy.proxy import Proxy
from minikube_agents.runtime.images import ImageStore
from minikube_agents.runtime.process import ProcessRuntime
from minikube_api.client.client import Client
from minikube_py.cluster.control_plane import ControlPlane
from minikube_py.cluster.credentials import DNS, PROXY, Credentials, node_identity
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.network import DNS_PORT, KUBELET_PORT, Network
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.spec import ClusterSpec

Ready = Callable[[], Awaitable[Any]]

PROXY_TABLE = "kube-proxy"


class Nodes:
    """Starts the agents of every node as tasks of a group."""

    def __init__(self, spec: ClusterSpec, layout: Layout, credentials: Credentials, network: Network, reporter: Reporter) -> None:
        self.spec, self.layout, self.credentials, self.network, self.reporter = spec, layout, credentials, network, reporter
        self.host_dns = ""

    async def start(self, plane: ControlPlane, group: asyncio.TaskGroup) -> list[Ready]:
        """What to wait for until they are ready."""
        ready: list[Ready] = []
        for node in self.network.nodes:
            kubelet = await self._kubelet(plane.client(node_identity(node.name)), node)
            group.create_task(kubelet.run(), name=f"kubelet {node.name}")
            ready.append(kubelet.started.wait)
        if self.spec.has("proxy"):
            ready += await self._proxies(plane.client(PROXY), group)
        if self.spec.has("dns"):
            server = DNSServer(plane.client(DNS), DNSOptions(sockets=await self._dns_sockets()))
            group.create_task(server.run(), name="dns")
            ready.append(server.ready.wait)
        return ready

    # kubelet

    async def _kubelet(self, client: Client, node: NodeNetwork) -> Kubelet:
        listener = await self.network.cluster.open_socket("listen", node.ip, KUBELET_PORT, node=node.name)
        self.credentials.serving(f"kubelet-{node.name}", f"system:node:{node.name}", [node.name, node.ip])
        files = (self.credentials.path(f"kubelet-{node.name}"), self.credentials.path(f"kubelet-{node.name}", "key"))
        options = KubeletOptions(
            node_name=node.name,
            node_ip=node.ip,
            root=self.layout.node(node.name),
            memory_root=memory_root(self.layout, node.name),
            listen_fd=listener.detach(),
            listen_port=KUBELET_PORT,
            tls=server_tls(*files, self.credentials.path("ca")),
            cluster_dns=(self.spec.dns_ip,) if self.spec.has("dns") else (),
        )
        runtime = ProcessRuntime(node.shim_path, ImageStore(str(self.layout.images)))
        return Kubelet(client, runtime, options)

    # proxy

    async def _proxies(self, client: Client, group: asyncio.TaskGroup) -> list[Ready]:
        if shutil.which("nft") is None:
            self.reporter.warn("Services don't work inside the cluster: nft (package nftables) is not installed")
            found: list[tuple[str, Backend]] = []
        else:
            found = [(node.name, self._nft(node.name)) for node in self.network.nodes]
            if self.network.started.mode == "host":
                await self.network.cluster.shim.call(
                    "journal", kind="table", what={"family": "ip", "name": host_table(self.spec.name)}
                )
                found.append(("", self._nft("")))
        listen = functools.partial(forwarding.ForwardingBackend, forwarding.node_port_addresses((self._host_address(),)))
        found.append(("", listen(forwarding.host_listen, self._connect)))
        ready: list[Ready] = []
        for name, backend in found:
            proxy = Proxy(client, backend, ProxyOptions(node=name))
            group.create_task(proxy.run(), name=f"proxy {name or 'host'}")
            ready.append(proxy.ready.wait)
        return ready

    def _host_address(self) -> str:
        """Where node ports are published on the host: where the API server listens."""
        return self.spec.listen_address()[0]

    def _nft(self, node: str) -> NftBackend:
        """Rules of a node, or ("") of the host itself; the host's node ports are published by sockets, never taken from the machine."""
        table = PROXY_TABLE if node else host_table(self.spec.name)

        async def run(argv: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
            done = await self.network.cluster.run(argv, stdin.decode(), node=node)
            return done.code, done.stdout.encode(), done.stderr.encode()

        return NftBackend(run, table=table, pod_cidr=self.spec.pod_cidr, node_ports=bool(node))

    async def _connect(self, ip: str, port: int, protocol: str) -> socket.socket:
        return await self.network.cluster.open_socket("connect", ip, port, type="udp" if protocol == "udp" else "tcp")

    # dns

    async def _dns_sockets(self) -> list[socket.socket]:
        """Port 53 of every node, and any free port on the host."""
        kinds: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
        opening = [
            self.network.cluster.open_socket("listen", node.ip, DNS_PORT, node=node.name, type=kind)
            for node in self.network.nodes
            for kind in kinds
        ]
        sockets = await asyncio.gather(*opening)
        udp = await forwarding.host_listen("127.0.0.1", 0, "udp")
        self.host_dns = f"127.0.0.1:{udp.getsockname()[1]}"
        return [*sockets, udp]


def host_table(cluster: str) -> str:
    """The host's nftables table of a cluster's Services."""
    return "minikube_services_" + cluster.replace("-", "_")


def memory_root(layout: Layout, node: str) -> Path | None:
    """A directory on a tmpfs for emptyDirs in memory; None where the machine has none that may be written to."""
    for base in (layout.run.parent, Path("/dev/shm")):
        if base.is_dir() and os.access(base, os.W_OK) and filesystem(base) == "tmpfs":
            path = base / f"minikube-py-{layout.run.name}" / node
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return path
    return None


def filesystem(path: Path) -> str:
    """The type of the file system that holds `path`, as /proc/self/mountinfo names it."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if (str(path) + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind
