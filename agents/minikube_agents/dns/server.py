"""The cluster's DNS server: answers on the sockets it is given (UDP and TCP), from informers and upstream servers.

Neighbours: `records` (pure answers), `zone` (what the cluster holds), `wire` (messages), `forwarding`. A byte-level cache in front keeps
whole answers per question for as long as nothing in the zone changed: dnslib costs 0.2 ms a message, the cache 15 µs.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import dnslib

from minikube_agents.dns import forwarding, records, wire
from minikube_agents.dns.zone import InformerZone
from minikube_api.client.client import Client
from minikube_api.client.informers import InformerFactory

log = logging.getLogger(__name__)

#: answers kept; a question is at most 512 bytes
CACHE_ENTRIES = 4096
TCP_IDLE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """`sockets`: bound UDP sockets and listening TCP sockets (port 53 of the nodes, a port on the host). `upstreams`: None = resolv.conf."""

    domain: str = "cluster.local"
    sockets: Sequence[socket.socket] = ()
    upstreams: Sequence[tuple[str, int]] | None = None
    random: random.Random = field(default_factory=random.Random)


class Server:
    """Runs until cancelled. `ready` is set when the zone is synced and the sockets answer."""

    def __init__(self, client: Client, options: Options, *, factory: InformerFactory | None = None) -> None:
        self.options = options
        self._owns_factory = factory is None
        self.factory = factory if factory is not None else InformerFactory(client)
        self.zone = InformerZone(self.factory)
        servers = options.upstreams if options.upstreams is not None else [(a, 53) for a in forwarding.upstreams()]
        self.forwarder = forwarding.Forwarder(list(servers))
        self.ready = asyncio.Event()
        self._cache: dict[bytes, bytes] = {}
        self._cache_version = -1

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if self._owns_factory:
                    group.create_task(self.factory.run(), name="dns-informers")
                await self.zone.synced()
                for sock in self.options.sockets:
                    group.create_task(self._serve(sock), name=f"dns-{sock.getsockname()}")
                self.ready.set()
        finally:
            # also those that were not served yet: the next server takes the same ports
            for sock in self.options.sockets:
                sock.close()

    async def _serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.type == socket.SOCK_STREAM:
            server = await asyncio.start_server(self._stream, sock=sock)
            async with server:
                await server.serve_forever()
        async with asyncio.TaskGroup() as group:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self, group), sock=sock)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                transport.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    message = await reader.readexactly(length)
                reply = self.cached(message, tcp=True) or await self.answer(message, tcp=True)
                if reply is None:
                    return
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        finally:
            writer.close()

    def cached(self, message: bytes, *, tcp: bool) -> bytes | None:
        """The kept answer to the same question (all bytes but the message id), if the zone has not changed since."""
        if self._cache_version != self.zone.changes:
            self._cache.clear()
            self._cache_version = self.zone.changes
            return None
        kept = self._cache.get((b"t" if tcp else b"u") + message[2:])
        return message[:2] + kept if kept is not None else None

    async def answer(self, message: bytes, *, tcp: bool) -> bytes | None:
        """The whole answer message; None for what is not a query (never answered)."""
        try:
            query = wire.parse(message)
        except wire.Malformed as error:
            log.debug("malformed query: %s", error)
            return None
        if query.header.opcode != 0:
            return wire.failure(query, "NOTIMP")
        question = query.questions[0]
        name = str(question.qname).rstrip(".")
        qtype = dnslib.QTYPE.get(question.qtype)
        version = self.zone.changes
        found = records.answer(name, qtype, self.zone, domain=self.options.domain)
        limit = 0 if tcp else wire.udp_limit(query)
        if found is None:
            return await self._forward(query, message, tcp=tcp)
        resolved: tuple[dnslib.RR, ...] = ()
        if found.cname and qtype in ("A", "AAAA"):
            resolved = await self._follow(found.cname, qtype)
        soa = records.soa(self.options.domain)
        reply = wire.encode(query, found, soa=soa, resolved=resolved, limit=limit, shuffle=self.options.random)
        if not found.cname and len(found.records) < 2 and version == self._cache_version and len(self._cache) < CACHE_ENTRIES:
            self._cache[(b"t" if tcp else b"u") + message[2:]] = reply[2:]
        return reply

    async def _forward(self, query: dnslib.DNSRecord, message: bytes, *, tcp: bool) -> bytes:
        try:
            reply = await self.forwarder.ask(message, tcp=tcp)
        except forwarding.NoUpstream:
            return wire.failure(query, "SERVFAIL")
        return wire.fit(reply, 0 if tcp else wire.udp_limit(query))

    async def _follow(self, target: str, qtype: str) -> tuple[dnslib.RR, ...]:
        """Records of an ExternalName's target: from the cluster itself or from upstream."""
        inside = records.answer(target, qtype, self.zone, domain=self.options.domain)
        if inside is not None:
            return tuple(wire.resource_record(r) for r in inside.records)
        question = dnslib.DNSRecord.question(target, qtype)
        try:
            return tuple(dnslib.DNSRecord.parse(await self.forwarder.ask(bytes(question.pack()))).rr)
        except (forwarding.NoUpstream, dnslib.DNSError):
            return ()


class _Datagrams(asyncio.DatagramProtocol):
    """One UDP socket: cached answers at once, the rest in a task of the server's group."""

    def __init__(self, server: Server, group: asyncio.TaskGroup) -> None:
        self.server, self.group = server, group
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        kept = self.server.cached(data, tcp=False)
        if kept is not None and self.transport is not None:
            self.transport.sendto(kept, addr)
            return
        self.group.create_task(self._answer(data, addr), name="dns-query")

    async def _answer(self, data: bytes, addr: tuple) -> None:
        try:
            reply = await self.server.answer(data, tcp=False)
        except Exception:
            # one question must not end the server for all others
            log.exception("answering %s", addr)
            reply = wire.failure(wire.parse(data), "SERVFAIL")
        if reply is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(reply, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("udp error: %s", exc)
