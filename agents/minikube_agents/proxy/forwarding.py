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
from typing import Literal

from minikube_agents.proxy.rules import PortRules, Target

log = logging.getLogger(__name__)

Where = Literal["internal", "external"]
#: (ip, port, protocol) -> listening TCP or bound UDP socket; raises OSError
Listen = Callable[[str, int, str], Awaitable[socket.socket]]
#: (ip, port, protocol) -> connected socket; raises OSError
Connect = Callable[[str, int, str], Awaitable[socket.socket]]

UDP_IDLE_SECONDS = 60.0
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
        self._task = asyncio.create_task(serve(), name=f"forward-{self.protocol}-{self.sock.getsockname()}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.sock.close()

    async def _serve_tcp(self) -> None:
        loop = asyncio.get_running_loop()
        self.sock.setblocking(False)
        async with asyncio.TaskGroup() as group:
            while True:
                client, address = await loop.sock_accept(self.sock)
                group.create_task(self._connection(client, address[0]), name="forward-connection")

    async def _connection(self, client: socket.socket, address: str) -> None:
        client.setblocking(False)
        with client:
            tried: set[Target] = set()
            while (target := self.balancer.pick(address, time.monotonic())) is not None and target not in tried:
                tried.add(target)
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        server = await self._connect(target.ip, target.port, "tcp")
                except (OSError, TimeoutError) as error:
                    self.balancer.remembered.pop(address, None)
                    log.debug("endpoint %s:%d: %s", target.ip, target.port, error)
                    continue
                with server:
                    await splice(client, server)
                return

    async def _serve_udp(self) -> None:
        loop = asyncio.get_running_loop()
        self.sock.setblocking(False)
        clients: dict[tuple, socket.socket] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                data, address = await loop.sock_recvfrom(self.sock, CHUNK)
                upstream = clients.get(address)
                if upstream is None:
                    target = self.balancer.pick(address[0], time.monotonic())
                    if target is None:
                        continue
                    try:
                        upstream = await self._connect(target.ip, target.port, "udp")
                    except OSError as error:
                        log.debug("endpoint %s:%d: %s", target.ip, target.port, error)
                        continue
                    clients[address] = upstream
                    group.create_task(self._replies(upstream, address, clients), name="forward-udp")
                try:
                    await loop.sock_sendall(upstream, data)
                except OSError as error:
                    log.debug("udp to an endpoint: %s", error)

    async def _replies(self, upstream: socket.socket, address: tuple, clients: dict[tuple, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                async with asyncio.timeout(UDP_IDLE_SECONDS):
                    data = await loop.sock_recv(upstream, CHUNK)
                await loop.sock_sendto(self.sock, data, address)
        except (OSError, TimeoutError):
            return
        finally:
            clients.pop(address, None)
            upstream.close()


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
