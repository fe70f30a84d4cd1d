"""The agents of a cluster on this machine: a kubelet, a proxy and a DNS address a node, and the host's own way to Services."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from minikube_agents.dns.server import Options as DNSOptions
from minikube_agents.dns.server import Server as DNSServer
from minikube_agents.kubelet.kubelet import Kubelet
from minikube_agents.kubelet.options import KubeletOptions
from minikube_agents.kubelet.server import server_tls
from minikube_agents.proxy import forwarding
from minikube_agents.proxy.backends import Backend, NftBackend
from minikube_agents.proxy.proxy import Options as ProxyOptions
from minikube_agents.proxy.proxy import Proxy
from minikube_agents.runtime.images import ImageStore
from minikube_agents.runtime.process import ProcessRuntime
from minikube_agents.shim.client import ShimError
from minikube_api.client.client import Client
from minikube_py.cluster.credentials import DNS, PROXY, Credentials, Identity, node_identity
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.network import DNS_PORT, KUBELET_PORT, Network
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.severing import SeveredTransport
from minikube_py.cluster.spec import ClusterSpec

Ready = Callable[[], Awaitable[Any]]

PROXY_TABLE = "kube-proxy"


class Agents:
    """Makes and starts agents as tasks of a group. `client` gives a client with an identity; each method returns what to wait for."""

    def __init__(
        self,
        spec: ClusterSpec,
        layout: Layout,
        credentials: Credentials,
        network: Network,
        reporter: Reporter,
        client: Callable[[Identity], Client],
    ) -> None:
        self.spec, self.layout, self.credentials, self.network, self.reporter = spec, layout, credentials, network, reporter
        self.client = client
        self.host_dns = ""

    def _client(self, identity: Identity, node: str) -> Client:
        """A client of something that runs on a node: as far from the API server as the node's cable makes it."""
        client = self.client(identity)
        agent = identity.user.rpartition(":")[2]
        return Client(SeveredTransport(client.transport, self.network.cables.pulled(node), node), user_agent=agent)

    # kubelet

    async def kubelet(self, name: str, group: asyncio.TaskGroup) -> Ready:
        node = next(n for n in self.network.nodes if n.name == name)
        listener = await self.network.cluster.open_socket("listen", node.ip, KUBELET_PORT, node=name)
        self.credentials.serving(f"kubelet-{name}", f"system:node:{name}", [name, node.ip])
        files = (self.credentials.path(f"kubelet-{name}"), self.credentials.path(f"kubelet-{name}", "key"))
        options = KubeletOptions(
            node_name=name,
            node_ip=node.ip,
            pod_cidr=node.pod_cidr,
            root=self.layout.node(name),
            memory_root=memory_root(self.layout, name),
            listen_fd=listener.detach(),
            listen_port=KUBELET_PORT,
            lease_seconds=max(1, round(self.spec.node_monitor_grace_period)),
            lease_interval=self.spec.node_monitor_grace_period / 4,
            status_interval=self.spec.node_monitor_grace_period / 4,
            tls=server_tls(*files, self.credentials.path("ca")),
            cluster_dns=(self.spec.dns_ip,) if self.spec.has("dns") else (),
        )
        runtime = ProcessRuntime(node.shim_path, ImageStore(str(self.layout.images)))
        kubelet = Kubelet(self._client(node_identity(name), name), runtime, options)

        async def run() -> None:
            try:
                await kubelet.run()
            finally:
                await runtime.close()

        group.create_task(run(), name=f"kubelet {name}")
        return kubelet.started.wait

    # proxy

    async def proxy(self, name: str, group: asyncio.TaskGroup) -> Ready:
        """The proxy of a node, or ("") those of the host: ClusterIPs in mode host, node ports always."""
        if name:
            backend = self._nft(name) if self.spec.proxy_mode == "nftables" else await self._userspace(name)
            return self._run_proxy(name, backend, group)
        listen = functools.partial(forwarding.ForwardingBackend, forwarding.node_port_addresses((self._host_address(),)))
        ready = [self._run_proxy("", listen(forwarding.host_listen, self._connect), group)]
        if self.network.started.mode == "host" and self.spec.proxy_mode == "nftables":
            await self.network.cluster.shim.call(
                "journal", kind="table", what={"family": "ip", "name": host_table(self.spec.name)}
            )
            ready.append(self._run_proxy("", self._nft(""), group))

        async def all_ready() -> None:
            await asyncio.gather(*(wait() for wait in ready))

        return all_ready

    def _run_proxy(self, node: str, backend: Backend, group: asyncio.TaskGroup) -> Ready:
        proxy = Proxy(self._client(PROXY, node) if node else self.client(PROXY), backend, ProxyOptions(node=node))
        group.create_task(proxy.run(), name=f"proxy {node or 'host'}")
        return proxy.ready.wait

    def _host_address(self) -> str:
        """Where node ports are published on the host: where the API server listens."""
        return self.spec.listen_address()[0]

    def _nft(self, node: str) -> NftBackend:
        """Rules of a node, or ("") of the host itself; the host's node ports are published by sockets, never taken from the machine."""
        table = PROXY_TABLE if node else host_table(self.spec.name)

        async def run(argv: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
            try:
                done = await self.network.cluster.run(argv, stdin.decode(), node=node)
            except ShimError as error:  # the node is lost; it comes back with a proxy of its own
                return 1, b"", str(error).encode()
            return done.code, done.stdout.encode(), done.stderr.encode()

        return NftBackend(run, table=table, pod_cidr=self.spec.pod_cidr, node_ports=bool(node))

    async def _userspace(self, name: str) -> forwarding.ForwardingBackend:
        """A node without nftables: its sockets listen on every ClusterIP, which a route makes its own."""
        node = next(n for n in self.network.nodes if n.name == name)
        await self.network.cluster.own_range(name, self.spec.service_cidr)

        async def listen(ip: str, port: int, protocol: str) -> socket.socket:
            return await self.network.cluster.open_socket(
                "listen", ip, port, node=name, type="udp" if protocol == "udp" else "tcp"
            )

        async def connect(ip: str, port: int, protocol: str) -> socket.socket:
            return await self.network.cluster.open_socket(
                "connect", ip, port, node=name, type="udp" if protocol == "udp" else "tcp"
            )

        return forwarding.ForwardingBackend(forwarding.all_addresses((node.ip,)), listen, connect)

    async def _connect(self, ip: str, port: int, protocol: str) -> socket.socket:
        return await self.network.cluster.open_socket("connect", ip, port, type="udp" if protocol == "udp" else "tcp")

    # dns

    async def dns(self, group: asyncio.TaskGroup) -> Ready:
        """One server on port 53 of every node and on a port of the host."""
        server = DNSServer(self.client(DNS), DNSOptions(sockets=await self._dns_sockets()))
        group.create_task(server.run(), name="dns")
        return server.ready.wait

    async def _dns_sockets(self) -> list[socket.socket]:
        kinds: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
        opening = [
            self.network.cluster.open_socket("listen", node.ip, DNS_PORT, node=node.name, type=kind)
            for node in self.network.nodes
            for kind in kinds
        ]
        sockets = await asyncio.gather(*opening)
        port = int(self.host_dns.rpartition(":")[2] or 0)
        udp = await forwarding.host_listen("127.0.0.1", port, "udp")
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
