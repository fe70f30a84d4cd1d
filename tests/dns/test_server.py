"""The DNS server on real sockets, over a zone that the test holds."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

import dnslib
import pytest

from minikube_agents.dns import forwarding
from minikube_agents.dns.records import EndpointInfo, PortInfo, ServiceInfo
from minikube_agents.dns.server import Options, Server


class Zone:
    def __init__(self) -> None:
        self.changes = 0
        self.found: dict[tuple[str, str], ServiceInfo] = {}

    async def synced(self) -> None:
        pass

    def service(self, namespace, name):
        return self.found.get((namespace, name))

    def namespace_exists(self, namespace):
        return any(ns == namespace for ns, _ in self.found)

    def services_by_cluster_ip(self, ip):
        return []

    def services_by_endpoint_ip(self, ip):
        return []


class Factory:
    def informer(self, kind, **kwargs):
        return self

    def add_index(self, name, function): ...
    def on_add(self, handler): ...
    def on_update(self, handler): ...
    def on_delete(self, handler): ...


def bound(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


@pytest.fixture
async def running():
    udp, tcp = bound(socket.SOCK_DGRAM), bound(socket.SOCK_STREAM)
    options = Options(sockets=(udp, tcp), upstreams=(), random=random.Random(1))
    server = Server(None, options, factory=Factory())
    server.zone = Zone()
    task = asyncio.create_task(server.run())
    await server.ready.wait()
    yield server, udp.getsockname(), tcp.getsockname()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def ask_udp(address, name, qtype="A"):
    question = bytes(dnslib.DNSRecord.question(name, qtype).pack())
    return dnslib.DNSRecord.parse(await forwarding.Forwarder([address])._udp(address, question))


async def test_a_change_of_the_zone_is_seen_at_once_in_spite_of_the_cache(running):
    server, udp, _ = running
    for ip in ("10.96.0.5", "10.96.0.6"):
        server.zone.found["shop", "web"] = ServiceInfo("web", "shop", cluster_ips=(ip,))
        server.zone.changes += 1
        for _ in range(3):
            reply = await ask_udp(udp, "web.shop.svc.cluster.local")
            assert [str(r.rdata) for r in reply.rr] == [ip]


async def test_an_absent_name_is_nxdomain_with_the_zones_soa(running):
    server, udp, _ = running
    reply = await ask_udp(udp, "web.shop.svc.cluster.local")
    assert reply.header.rcode == dnslib.RCODE.NXDOMAIN
    assert reply.auth[0].rtype == dnslib.QTYPE.SOA


async def test_an_answer_too_long_for_udp_is_truncated_and_whole_over_tcp(running):
    server, udp, tcp = running
    endpoints = tuple(EndpointInfo(f"10.244.0.{i}", "", (PortInfo("a", "TCP", 1),)) for i in range(1, 101))
    server.zone.found["shop", "many"] = ServiceInfo("many", "shop", headless=True, endpoints=endpoints)
    reply = await ask_udp(udp, "many.shop.svc.cluster.local")
    assert reply.header.tc
    question = bytes(dnslib.DNSRecord.question("many.shop.svc.cluster.local").pack())
    whole = dnslib.DNSRecord.parse(await forwarding.Forwarder([tcp]).ask(question, tcp=True))
    assert len(whole.rr) == 100


async def test_a_name_of_the_world_without_upstream_fails_clearly(running):
    _, udp, _ = running
    reply = await ask_udp(udp, "example.com")
    assert reply.header.rcode == dnslib.RCODE.SERVFAIL


async def test_a_question_that_fails_unexpectedly_is_answered_so_and_the_next_one_rightly(running, monkeypatch):
    server, udp, _ = running
    answer = server.answer

    async def broken(message, *, tcp):
        raise ZeroDivisionError

    monkeypatch.setattr(server, "answer", broken)
    assert (await ask_udp(udp, "web.shop.svc.cluster.local")).header.rcode == dnslib.RCODE.SERVFAIL
    monkeypatch.setattr(server, "answer", answer)
    assert (await ask_udp(udp, "web.shop.svc.cluster.local")).header.rcode == dnslib.RCODE.NXDOMAIN


async def test_garbage_does_not_end_the_server(running):
    server, udp, tcp = running
    server.zone.found["shop", "web"] = ServiceInfo("web", "shop", cluster_ips=("10.96.0.5",))
    rng = random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for length in range(0, 200, 7):
            sock.sendto(rng.randbytes(length), udp)
    reader, writer = await asyncio.open_connection(*tcp)
    writer.write(struct.pack("!H", 50) + rng.randbytes(50))
    await writer.drain()
    assert await reader.read() == b""
    writer.close()
    assert (await ask_udp(udp, "web.shop.svc.cluster.local")).rr


async def test_questions_of_the_world_go_upstream(running):
    server, udp, _ = running
    upstream, up_udp = Server(None, Options(upstreams=()), factory=Factory()), bound(socket.SOCK_DGRAM)
    upstream.options = Options(domain="example.com", sockets=(up_udp,), upstreams=())
    upstream.zone = Zone()
    upstream.zone.found["shop", "web"] = ServiceInfo("web", "shop", cluster_ips=("192.0.2.9",))
    task = asyncio.create_task(upstream.run())
    await upstream.ready.wait()
    server.forwarder = forwarding.Forwarder([up_udp.getsockname()])
    reply = await ask_udp(udp, "web.shop.svc.example.com")
    assert [str(r.rdata) for r in reply.rr] == ["192.0.2.9"]
    task.cancel()
