"""Questions that are not the cluster's, asked at the upstream servers of the machine's resolv.conf.

Servers are tried in turn with a short time-out; a truncated UDP answer is asked again over TCP. The sockets are plain ones of this
process: DNS runs in the host's network namespace, where the upstream servers are reachable.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from pathlib import Path
from typing import cast

TIMEOUT = 2.0


class NoUpstream(Exception):
    """No upstream server answered."""


def upstreams(resolv_conf: str = "/etc/resolv.conf") -> list[str]:
    """Name server addresses of a resolv.conf, at most three (resolv.conf(5)); empty when the file can't be read."""
    try:
        lines = Path(resolv_conf).read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(str(ipaddress.ip_address(words[1].partition("%")[0])))
            except ValueError:
                continue
    return found[:3]


class _Question(asyncio.DatagramProtocol):
    def __init__(self, message: bytes, answer: asyncio.Future[bytes]) -> None:
        self.message, self.answer = message, answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self.message)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self.message[:2] and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


class Forwarder:
    """Asks upstream servers `(address, port)` in order; the one that answered last is asked first."""

    def __init__(self, servers: list[tuple[str, int]], timeout: float = TIMEOUT) -> None:
        self.servers = list(servers)
        self.timeout = timeout

    async def ask(self, message: bytes, *, tcp: bool = False) -> bytes:
        """The upstream answer to a whole query message. Raises NoUpstream."""
        for server in list(self.servers):
            try:
                async with asyncio.timeout(self.timeout):
                    reply = await (self._tcp(server, message) if tcp else self._udp(server, message))
                    if not tcp and len(reply) > 2 and reply[2] & 0x02:
                        reply = await self._tcp(server, message)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
            if self.servers[0] != server:
                self.servers.remove(server)
                self.servers.insert(0, server)
            return reply
        raise NoUpstream("no upstream name server answered")

    async def _udp(self, server: tuple[str, int], message: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Question(message, answer), remote_addr=server)
        try:
            return await answer
        finally:
            transport.close()

    async def _tcp(self, server: tuple[str, int], message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*server)
        try:
            writer.write(struct.pack("!H", len(message)) + message)
            await writer.drain()
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            return await reader.readexactly(length)
        finally:
            writer.close()
