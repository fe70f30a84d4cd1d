"""Addresses, cgroup figures, capabilities, route messages: pure arithmetic."""

from __future__ import annotations

import socket
import struct

import pytest

from minikube_agents.shim import addresses, cgroups, netlink, seccomp, security, userns


def test_a_node_gets_its_own_subnet() -> None:
    assert addresses.subnet("10.244.0.0/16", 24, 3) == "10.244.3.0/24"
    assert addresses.nth("192.168.49.0/24", 1) == "192.168.49.1"
    with pytest.raises(ValueError, match="no 257 subnets"):
        addresses.subnet("10.244.0.0/16", 24, 256)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [("10.0.0.0/8", "10.96.0.0/16", True), ("10.96.0.0/16", "10.97.0.0/16", False), ("10.96.5.5/32", "10.96.0.0/16", True)],
)
def test_overlap(one: str, other: str, meet: bool) -> None:
    assert addresses.overlap(one, other) is meet
    assert addresses.overlap(other, one) is meet


def test_a_freed_address_comes_last() -> None:
    pool = addresses.Pool("10.0.0.0/29")
    taken = [pool.take() for _ in range(3)]
    assert taken == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    pool.give_back("10.0.0.3")
    assert [pool.take() for _ in range(3)] == ["10.0.0.5", "10.0.0.6", "10.0.0.3"]
    with pytest.raises(OSError, match="no free pod address"):
        pool.take()


def test_an_adopted_address_is_not_given_again() -> None:
    pool = addresses.Pool("10.0.0.0/29")
    pool.take("10.0.0.2")
    assert pool.take() == "10.0.0.3"


@pytest.mark.parametrize(
    ("cores", "shares", "weight", "quota"),
    [(0, 2, 1, -1), (0.1, 102, 4, 10_000), (1, 1024, 39, 100_000), (2.5, 2560, 98, 250_000), (0.001, 2, 1, 1000)],
)
def test_cpu_figures_are_runcs(cores: float, shares: int, weight: int, quota: int) -> None:
    assert (cgroups.shares(cores), cgroups.weight(cores), cgroups.quota(cores)) == (shares, weight, quota)


def test_capabilities() -> None:
    def names(add: tuple[str, ...], drop: tuple[str, ...]) -> set[str]:
        mask = security.capability_mask(add, drop, privileged=False)
        return {name for bit, name in enumerate(security.CAPABILITIES) if mask >> bit & 1}

    assert names((), ()) == set(security.DEFAULT)
    assert names(("NET_ADMIN", "CAP_SYS_TIME"), ("CHOWN",)) == set(security.DEFAULT) - {"CHOWN"} | {"NET_ADMIN", "SYS_TIME"}
    assert names(("NET_BIND_SERVICE",), ("ALL",)) == {"NET_BIND_SERVICE"}
    assert names(("ALL",), ("SYS_ADMIN",)) == set(security.CAPABILITIES) - {"SYS_ADMIN"}
    with pytest.raises(ValueError, match="'NOPE'"):
        security.capability_mask(("NOPE",), (), privileged=False)


def test_a_seccomp_program_is_whole_instructions_with_jumps_inside() -> None:
    program = seccomp.program()
    assert len(program) % 8 == 0
    lines = list(struct.iter_unpack("HBBI", program))
    for at, (code, yes, no, _value) in enumerate(lines):
        if code & 7 == 5:  # BPF_JMP
            assert at + 1 + max(yes, no) < len(lines)
    assert lines[-1][0] == 6


def test_a_route_message_says_what_it_should() -> None:
    message = netlink.add_route("10.1.0.0/16", via="10.0.0.1", index=7, source="10.0.0.9")
    fields = dict(netlink.attributes(message.body[12:]))
    assert message.body[1] == 16
    assert fields[1] == socket.inet_aton("10.1.0.0")
    assert fields[5] == socket.inet_aton("10.0.0.1")
    assert struct.unpack("=I", fields[4]) == (7,)
    assert fields[7] == socket.inet_aton("10.0.0.9")


def test_subordinate_ids_by_name_or_number(tmp_path: object) -> None:
    path = f"{tmp_path}/subuid"
    with open(path, "w", encoding="utf-8") as file:
        file.write("other:1:2\nme:100000:65536\n1001:5:6\n")
    assert userns.subordinate_ids(path, "me", 9) == (100000, 65536)
    assert userns.subordinate_ids(path, "x", 1001) == (5, 6)
    assert userns.subordinate_ids(path, "x", 7) is None
    assert userns.subordinate_ids(path + "-none", "me", 9) is None
