"""IPv4 ranges as numbers: which address a pod gets. Pure; `ipaddress` would cost 8 ms at the shim's start."""

from __future__ import annotations

import socket
import struct


def number(address: str) -> int:
    return struct.unpack("!I", socket.inet_aton(address))[0]


def text(value: int) -> str:
    return socket.inet_ntoa(struct.pack("!I", value))


def parse(cidr: str) -> tuple[int, int]:
    """(first address, prefix length); host bits are cut off."""
    address, _, prefix = cidr.partition("/")
    bits = int(prefix)
    return number(address) >> (32 - bits) << (32 - bits), bits


def nth(cidr: str, index: int) -> str:
    return text(parse(cidr)[0] + index)


def subnet(cidr: str, bits: int, index: int) -> str:
    """The `index`-th subnet of that length. ValueError when there is none."""
    first, prefix = parse(cidr)
    if bits < prefix or index >= 1 << (bits - prefix):
        raise ValueError(f"{cidr} has no {index + 1} subnets of /{bits}")
    return f"{text(first + (index << (32 - bits)))}/{bits}"


def overlap(one: str, other: str) -> bool:
    (first, bits), (second, more) = parse(one), parse(other)
    shift = 32 - min(bits, more)
    return first >> shift == second >> shift


class Pool:
    """Addresses of a node's pods: .1 is the gateway; the one freed longest ago comes next, so that stale connections meet nobody."""

    def __init__(self, cidr: str) -> None:
        first, prefix = parse(cidr)
        self._first = first + 2
        self._count = (1 << (32 - prefix)) - 3
        self._used: set[int] = set()
        self._next = 0

    def take(self, address: str = "") -> str:
        """OSError when the range is exhausted. With `address`: that one, as adopted from before."""
        if address:
            self._used.add(number(address))
            return address
        for step in range(self._count):
            candidate = self._first + (self._next + step) % self._count
            if candidate not in self._used:
                self._next = (candidate - self._first + 1) % self._count
                self._used.add(candidate)
                return text(candidate)
        raise OSError(99, "no free pod address left on this node")

    def give_back(self, address: str) -> None:
        self._used.discard(number(address))
