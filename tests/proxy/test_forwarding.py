"""Forwarding by sockets: connections and datagrams reach endpoints and come back, on uvloop as in production."""

from __future__ import annotations

import asyncio
import dataclasses
import socket

import pytest
import uvloop

from minikube_agents.proxy.forwarding import Balancer, ForwardingBackend, all_addresses, host_listen, node_port_addresses
from minikube_agents.proxy.rules import PortRules, Target


@pytest.fixture
def event_loop_policy():
    return uvloop.EventLoopPolicy()


async def connect(ip, port, protocol):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (ip, port))
    except OSError:
        sock.close()
        raise
    return sock


class Echo(asyncio.DatagramProtocol):
    def __init__(self, name):
        self.name = name

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(self.name + b":" + data, addr)


async def tcp_endpoint(name):
    async def serve(reader, writer):
        writer.write(name + b":" + await reader.read(99))
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, Target("127.0.0.1", server.sockets[0].getsockname()[1])


def rules(port, protocol, *targets, **more):
    values = {
        "service": "a/b",
        "port_name": "p",
        "protocol": protocol,
        "port": 80,
        "cluster_ips": ("127.0.0.1",),
        "node_port": port,
    }
    return PortRules(**{**values, "internal": targets, "external": targets, **more})


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
async def backend():
    made = ForwardingBackend(node_port_addresses(("127.0.0.1",)), host_listen, connect)
    yield made
    await made.close()


async def ask_tcp(port, data=b"x"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def ask_udp(port, data=b"x"):
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    class Asking(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            transport.sendto(data)

        def datagram_received(self, data, addr):
            answer.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Asking, remote_addr=("127.0.0.1", port))
    try:
        async with asyncio.timeout(5):
            return await answer
    finally:
        transport.close()


async def test_connections_take_turns_over_the_endpoints(backend):
    (one, first), (two, second) = await tcp_endpoint(b"one"), await tcp_endpoint(b"two")
    port = free_port(socket.SOCK_STREAM)
    await backend.apply({"k": rules(port, "tcp", first, second)})
    assert [await ask_tcp(port) for _ in range(4)] == [b"one:x", b"two:x", b"one:x", b"two:x"]
    one.close()
    two.close()


async def test_an_endpoint_that_is_gone_is_passed_over(backend):
    server, living = await tcp_endpoint(b"one")
    port = free_port(socket.SOCK_STREAM)
    await backend.apply({"k": rules(port, "tcp", Target("127.0.0.1", free_port(socket.SOCK_STREAM)), living)})
    assert [await ask_tcp(port) for _ in range(3)] == [b"one:x"] * 3
    server.close()


async def test_datagrams_come_back_to_the_client_that_sent(backend):
    loop = asyncio.get_running_loop()
    endpoint, _ = await loop.create_datagram_endpoint(lambda: Echo(b"udp"), local_addr=("127.0.0.1", 0))
    port = free_port(socket.SOCK_DGRAM)
    await backend.apply({"k": rules(port, "udp", Target(*endpoint.get_extra_info("sockname")))})
    answers = await asyncio.gather(*(ask_udp(port, str(i).encode()) for i in range(8)))
    assert answers == [f"udp:{i}".encode() for i in range(8)]
    endpoint.close()


async def test_without_endpoints_a_connection_is_closed_at_once(backend):
    port = free_port(socket.SOCK_STREAM)
    await backend.apply({"k": rules(port, "tcp")})
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()


async def test_a_removed_service_listens_no_more(backend):
    port = free_port(socket.SOCK_STREAM)
    await backend.apply({"k": rules(port, "tcp")})
    await backend.apply({"k": None})
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_port_in_use_is_a_known_problem_and_does_not_stop_the_others(backend):
    taken = socket.create_server(("127.0.0.1", 0))
    number, free = taken.getsockname()[1], free_port(socket.SOCK_STREAM)
    server, living = await tcp_endpoint(b"one")
    await backend.apply({"a": rules(number, "tcp", living), "b": rules(free, "tcp", living)})
    assert ("127.0.0.1", number) in backend.problems
    assert await ask_tcp(free) == b"one:x"
    taken.close()
    server.close()


def test_a_client_with_affinity_stays_until_its_endpoint_goes():
    a, b = Target("a", 1), Target("b", 1)
    balancer = Balancer((a, b), affinity_seconds=10)
    first = balancer.pick("client", 0)
    assert [balancer.pick("client", t) for t in (5, 14)] == [first, first]
    balancer.targets = (b if first == a else a,)
    assert balancer.pick("client", 15) == balancer.targets[0]


def test_affinity_ends_after_its_time():
    a, b = Target("a", 1), Target("b", 1)
    balancer = Balancer((a, b), affinity_seconds=10)
    assert {balancer.pick("client", t) for t in (0, 20)} == {a, b}


def test_a_whole_node_listens_on_cluster_ips_and_node_ports():
    one = dataclasses.replace(rules(30000, "tcp"), cluster_ips=("10.96.0.1",), external_ips=("192.0.2.1",))
    assert all_addresses(("10.0.0.2",))(one) == [
        ("10.96.0.1", 80, "internal"),
        ("192.0.2.1", 80, "external"),
        ("10.0.0.2", 30000, "external"),
    ]
