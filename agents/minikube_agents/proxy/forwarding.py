"""Forwarding by sockets, where nftables can't be had and for node ports on the host of an all-in-one cluster.

A listener a service port (TCP and UDP), an endpoint a connection: round robin, or remembered per client for ClientIP affinity. How a
listener is opened and an endpoint is reached is injected, since both may lie in a network namespace of their own.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from minikube_agents.proxy.rules import PortRules, Target

log = logging.getLogger(__name__)

Where = Literal["internal", "external"]
#: (ip, port, protocol) -> listening TCP or bound UDP socket; raises OSError
Listen = Callable[[str, int, str], Awaitable[socket.socket]]
#: (ip, port, protocol) -> connected socket; raises OSError
Connect = Callable[[str, int, str], Awaitable[socket.socket]]

UDP_IDLE_SECONDS = 60.0
#: datagrams of a client kept while its endpoint is being reached
UDP_WAITING = 16
CONNECT_SECONDS = 5.0
CHUNK = 65536


@dataclass(slots=True)
class Balancer:
    """Picks a target for a client; pure but for its memory. A target that is gone is never picked from memory."""

    targets: tuple[Target, ...] = ()
    affinity_seconds: int = 0
    next: int = 0
    remembered: dict[str, tuple[Target, float]] = field(default_factory=dict)

    def pick(self, client: str, now: float) -> Target | None:
        if not self.targets:
            return None
        if self.affinity_seconds:
            target, until = self.remembered.get(client, (None, 0.0))
            if target in self.targets and now < until and target is not None:
                self.remembered[client] = (target, now + self.affinity_seconds)
                return target
        target = self.targets[self.next % len(self.targets)]
        self.next += 1
        if self.affinity_seconds:
            self.remembered[client] = (target, now + self.affinity_seconds)
        return target


class Port:
    """One listener and its balancer. TCP without targets closes at once (the client sees a reset), UDP drops."""

    def __init__(self, sock: socket.socket, protocol: str, balancer: Balancer, connect: Connect) -> None:
        self.sock, self.protocol, self.balancer, self._connect = sock, protocol, balancer, connect
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        serve = self._serve_udp if self.protocol == "udp" else self._serve_tcp
        self.sock.setblocking(False)
        self._task = asyncio.create_task(serve(), name=f"forward-{self.protocol}-{self.sock.getsockname()}")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("forwarding of %s ended", self.protocol, exc_info=error)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.sock.close()

    async def connected(self, client: str) -> socket.socket | None:
        """A connection to an endpoint for this client; unreachable ones are passed over, each once."""
        tried: set[Target] = set()
        while (target := self.balancer.pick(client, time.monotonic())) is not None and target not in tried:
            tried.add(target)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._connect(target.ip, target.port, self.protocol)
            except (OSError, TimeoutError) as error:
                self.balancer.remembered.pop(client, None)
                log.debug("endpoint %s:%d: %s", target.ip, target.port, error)
        return None

    async def _serve_tcp(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                client, address = await loop.sock_accept(self.sock)
                group.create_task(self._connection(client, address[0]), name="forward-connection")

    async def _connection(self, client: socket.socket, address: str) -> None:
        client.setblocking(False)
        with client:
            server = await self.connected(address)
            if server is not None:
                with server:
                    await splice(client, server)

    async def _serve_udp(self) -> None:
        async with asyncio.TaskGroup() as group:
            loop = asyncio.get_running_loop()
            # the endpoint closes its socket: it gets a descriptor of its own
            transport, _ = await loop.create_datagram_endpoint(lambda: _Flows(self, group), sock=self.sock.dup())
            try:
                await loop.create_future()
            finally:
                transport.close()


class _Flows(asyncio.DatagramProtocol):
    """The clients of a UDP port: each has an endpoint for as long as datagrams pass, and a minute more."""

    def __init__(self, port: Port, group: asyncio.TaskGroup) -> None:
        self._port, self._group = port, group
        self._flows: dict[tuple, _Flow] = {}
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        flow = self._flows.get(addr)
        if flow is None:
            flow = self._flows[addr] = _Flow(self, addr)
            self._group.create_task(self._follow(flow), name="forward-udp")
        flow.send(data)

    async def _follow(self, flow: _Flow) -> None:
        """One client's life: connect, then wait until it is idle."""
        try:
            sock = await self._port.connected(flow.client[0])
            if sock is None:
                return
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: flow, sock=sock)
            try:
                while (left := flow.last + UDP_IDLE_SECONDS - time.monotonic()) > 0:
                    await asyncio.sleep(left)
            finally:
                transport.close()
        finally:
            self._flows.pop(flow.client, None)

    def error_received(self, exc: Exception) -> None:
        log.debug("udp to a client: %s", exc)


class _Flow(asyncio.DatagramProtocol):
    """The endpoint's side of one client; what comes before it is connected waits (a few datagrams)."""

    def __init__(self, flows: _Flows, client: tuple) -> None:
        self._flows, self.client = flows, client
        self._waiting: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None
        self.last = time.monotonic()

    def send(self, data: bytes) -> None:
        self.last = time.monotonic()
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < UDP_WAITING:
            self._waiting.append(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self.last = time.monotonic()
        if self._flows.transport is not None and not self._flows.transport.is_closing():
            self._flows.transport.sendto(data, self.client)

    def error_received(self, exc: Exception) -> None:
        log.debug("udp to an endpoint: %s", exc)


async def splice(left: socket.socket, right: socket.socket) -> None:
    """Copy both ways until both ends have finished; half-closes are passed on."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_copy(left, right), name="forward-out")
        group.create_task(_copy(right, left), name="forward-in")


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(source, CHUNK):
            await loop.sock_sendall(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                log.debug("already closed: %s", error)


class ForwardingBackend:
    """A `Backend` of listeners. `addresses(rules)` says where a service port listens: `(ip, port, where)` each.

    A port that can't be opened (in use on the host) is logged and left out; the others work. `problems` holds the reasons.
    """

    def __init__(self, addresses: Callable[[PortRules], list[tuple[str, int, Where]]], listen: Listen, connect: Connect) -> None:
        self._addresses, self._listen, self._connect = addresses, listen, connect
        self._ports: dict[str, dict[tuple[str, int, Where], Port]] = {}
        self.problems: dict[tuple[str, int], str] = {}

    async def start(self) -> None:
        await self.close()

    async def apply(self, changes: Mapping[str, PortRules | None]) -> None:
        for key, rules in changes.items():
            if rules is None:
                await self._remove(key)
        for key, rules in changes.items():
            if rules is not None:
                await self._change(key, rules)

    async def _change(self, key: str, rules: PortRules) -> None:
        ports = self._ports.setdefault(key, {})
        wanted = self._addresses(rules)
        for place in [p for p in ports if p not in wanted]:
            await ports.pop(place).close()
        for place in wanted:
            ip, number, where = place
            targets = (rules.internal if where == "internal" else rules.external) or ()
            if place not in ports:
                try:
                    sock = await self._listen(ip, number, rules.protocol)
                except OSError as error:
                    self.problems[ip, number] = str(error)
                    log.warning("%s: can't listen on %s:%d/%s: %s", key, ip, number, rules.protocol, error)
                    continue
                self.problems.pop((ip, number), None)
                ports[place] = Port(sock, rules.protocol, Balancer(), self._connect)
                ports[place].start()
            balancer = ports[place].balancer
            balancer.targets, balancer.affinity_seconds = targets, rules.affinity_seconds

    async def _remove(self, key: str) -> None:
        for port in self._ports.pop(key, {}).values():
            await port.close()

    async def close(self) -> None:
        for key in list(self._ports):
            await self._remove(key)


def node_port_addresses(ips: tuple[str, ...]) -> Callable[[PortRules], list[tuple[str, int, Where]]]:
    """Node ports only, on these addresses: the host's side of an all-in-one cluster."""

    def addresses(rules: PortRules) -> list[tuple[str, int, Where]]:
        return [(ip, rules.node_port, "external") for ip in ips] if rules.node_port else []

    return addresses


def all_addresses(node_ips: tuple[str, ...]) -> Callable[[PortRules], list[tuple[str, int, Where]]]:
    """ClusterIPs, external IPs and node ports: a whole node without nftables (the addresses must be made local by `listen`)."""

    def addresses(rules: PortRules) -> list[tuple[str, int, Where]]:
        places: list[tuple[str, int, Where]] = [(ip, rules.port, "internal") for ip in rules.cluster_ips]
        places.extend((ip, rules.port, "external") for ip in rules.external_ips)
        return places + node_port_addresses(node_ips)(rules)

    return addresses


async def host_listen(ip: str, port: int, protocol: str) -> socket.socket:
    """A listener in this process' own network namespace."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
        if protocol == "tcp":
            sock.listen(512)
    except OSError:
        sock.close()
        raise
    return sock
