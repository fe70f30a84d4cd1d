"""Hand-made rtnetlink: just the messages that a node needs, packed by pure functions and sent in one batch.

One batch with acknowledgements costs a system call each way, where `ip` costs a process and pyroute2 a thread and 80 ms. A socket keeps
the network namespace it was made in, so the shim configures other namespaces through sockets it opened there.
Messages: Linux Documentation/userspace-api/netlink, rtnetlink(7).
"""

from __future__ import annotations

import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

_REQUEST, _ACK, _ROOT_MATCH = 0x1, 0x4, 0x300
_REPLACE, _EXCL, _CREATE = 0x100, 0x200, 0x400

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_NET_NS_FD = 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC = 1, 4, 5, 7
_RTNH_ONLINK = 0x4
_IFF_UP = 0x1

LOOPBACK = 1

_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")


class Message:
    """One request: what to send, and the words that an error of it is told with."""

    __slots__ = ("body", "flags", "kind", "what")

    def __init__(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self.kind = kind
        self.flags = flags
        self.body = body
        self.what = what


def _attribute(kind: int, payload: bytes) -> bytes:
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _ifinfo(index: int, up: bool | None) -> bytes:
    flags = _IFF_UP if up else 0
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, 0 if up is None else _IFF_UP)


def add_bridge(name: str, *, index: int = 0, mtu: int = 0) -> Message:
    body = _ifinfo(index, True) + _text(_IFLA_IFNAME, name)
    if mtu:
        body += _number(_IFLA_MTU, mtu)
    body += _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "bridge"))
    return Message(RTM_NEWLINK, _CREATE | _EXCL, body, f"add bridge {name}")


def add_veth(
    name: str,
    peer: str,
    *,
    peer_ns: int,
    index: int = 0,
    peer_index: int = 0,
    peer_mac: bytes = b"",
    mtu: int = 0,
    master: int = 0,
) -> Message:
    """A pair: `name` here and up, `peer` in the namespace of the descriptor `peer_ns`, still down (it has no pair yet when it is made).
    Indexes of our choice save asking for them afterwards; the kernel takes `peer_index` only together with `index`."""
    other = _ifinfo(peer_index, None) + _text(_IFLA_IFNAME, peer) + _number(_IFLA_NET_NS_FD, peer_ns)
    mine = _ifinfo(index, True) + _text(_IFLA_IFNAME, name)
    if peer_mac:
        other += _attribute(_IFLA_ADDRESS, peer_mac)
    if mtu:
        mine += _number(_IFLA_MTU, mtu)
        other += _number(_IFLA_MTU, mtu)
    if master:
        mine += _number(_IFLA_MASTER, master)
    mine += _attribute(_IFLA_LINKINFO, _text(_INFO_KIND, "veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, other)))
    return Message(RTM_NEWLINK, _CREATE | _EXCL, mine, f"add veth {name}")


def set_link(index: int, *, up: bool | None = None, master: int | None = None, name: str = "") -> Message:
    body = _ifinfo(index, up)
    if master is not None:
        body += _number(_IFLA_MASTER, master)
    if name:
        body += _text(_IFLA_IFNAME, name)
    return Message(RTM_NEWLINK, 0, body, f"set link {index}")


def delete_link(name: str) -> Message:
    return Message(RTM_DELLINK, 0, _ifinfo(0, None) + _text(_IFLA_IFNAME, name), f"delete link {name}")


def delete_link_index(index: int) -> Message:
    return Message(RTM_DELLINK, 0, _ifinfo(index, None), f"delete link {index}")


def add_address(index: int, address: str, prefix: int) -> Message:
    packed = socket.inet_aton(address)
    body = _IFADDR.pack(socket.AF_INET, prefix, 0, 0, index)
    body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    return Message(RTM_NEWADDR, _CREATE | _REPLACE, body, f"add address {address}/{prefix}")


def _route(cidr: str, *, via: str, index: int, source: str, onlink: bool) -> bytes:
    address, _, prefix = cidr.partition("/")
    main_table, static, universe, link, unicast = 254, 4, 0, 253, 1
    scope = universe if via else link
    flags = _RTNH_ONLINK if onlink else 0
    body = _RTMSG.pack(socket.AF_INET, int(prefix), 0, 0, main_table, static, scope, unicast, flags)
    if int(prefix):
        body += _attribute(_RTA_DST, socket.inet_aton(address))
    if index:
        body += _number(_RTA_OIF, index)
    if via:
        body += _attribute(_RTA_GATEWAY, socket.inet_aton(via))
    if source:
        body += _attribute(_RTA_PREFSRC, socket.inet_aton(source))
    return body


def add_route(cidr: str, *, via: str = "", index: int = 0, source: str = "", onlink: bool = False) -> Message:
    """`0.0.0.0/0` is the default route. Replaces a route to the same destination."""
    body = _route(cidr, via=via, index=index, source=source, onlink=onlink)
    return Message(RTM_NEWROUTE, _CREATE | _REPLACE, body, f"add route {cidr}")


def add_local_range(cidr: str) -> Message:
    """Every address of the range is the namespace's own, without being configured one by one (a `local` route)."""
    address, _, prefix = cidr.partition("/")
    local_table, static, host, local = 255, 4, 254, 2
    body = _RTMSG.pack(socket.AF_INET, int(prefix), 0, 0, local_table, static, host, local, 0)
    body += _attribute(_RTA_DST, socket.inet_aton(address)) + _number(_RTA_OIF, LOOPBACK)
    return Message(RTM_NEWROUTE, _CREATE | _REPLACE, body, f"add local range {cidr}")


def delete_route(cidr: str, *, via: str = "", index: int = 0) -> Message:
    return Message(RTM_DELROUTE, 0, _route(cidr, via=via, index=index, source="", onlink=False), f"delete route {cidr}")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, offset)
        if size < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


class Socket:
    """A route socket of the network namespace that the process is in when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def apply(self, *messages: Message) -> None:
        """All in one send. OSError names the first that failed; those after it were tried all the same."""
        first = self._sequence + 1
        data = b""
        for message in messages:
            self._sequence += 1
            size = _HEADER.size + len(message.body)
            data += _HEADER.pack(size, message.kind, message.flags | _REQUEST | _ACK, self._sequence, 0)
            data += message.body + b"\0" * (-size % 4)
        self._socket.send(data)
        failure: OSError | None = None
        for sequence, code in self._acknowledgements(len(messages)):
            if code and failure is None:
                what = messages[sequence - first].what
                failure = OSError(code, os.strerror(code), what)
        if failure is not None:
            raise failure

    def _acknowledgements(self, count: int) -> Iterator[tuple[int, int]]:
        while count:
            for kind, sequence, body in _split(self._socket.recv(1 << 16)):
                if kind == 2:  # NLMSG_ERROR; error 0 is the acknowledgement
                    count -= 1
                    yield sequence, -struct.unpack_from("=i", body)[0]

    def routes(self) -> list[str]:
        """Destinations of the main IPv4 table as CIDRs, the default route included as 0.0.0.0/0."""
        self._sequence += 1
        body = _RTMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        header = _HEADER.pack(_HEADER.size + len(body), RTM_GETROUTE, _REQUEST | _ROOT_MATCH, self._sequence, 0)
        self._socket.send(header + body)
        found: list[str] = []
        while True:
            for kind, _sequence, payload in _split(self._socket.recv(1 << 16)):
                if kind == 3:  # NLMSG_DONE
                    return found
                prefix, table = payload[1], payload[4]
                if kind == RTM_NEWROUTE and table == 254:
                    target = dict(attributes(payload[_RTMSG.size :])).get(_RTA_DST, b"\0\0\0\0")
                    found.append(f"{socket.inet_ntoa(target)}/{prefix}")


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
        yield kind, sequence, data[offset + _HEADER.size : offset + size]
        offset += (size + 3) & ~3


def flush(messages: Sequence[Message]) -> None:
    """Apply in the namespace the process is in now, through a socket of its own."""
    with Socket() as route:
        route.apply(*messages)
