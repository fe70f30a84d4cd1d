"""What a container may see of its machine: read from the inside, compared with the node's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import PODS, Cluster, shell

SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> Iterator[Cluster]:
    """A pod `pair` of two containers, and another pod `other` on the same node."""
    node = cluster.http.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    for name in ("pair", "other"):
        body = {
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 1,
                "containers": [shell("c0", SLEEP, **limits), shell("c1", SLEEP)],
            },
        }
        cluster.http.ok("POST", PODS, body)
    for name in ("pair", "other"):
        cluster.until_ready(name)
    yield cluster
    for name in ("pair", "other"):
        cluster.http.ok("DELETE", f"{PODS}/{name}")


def namespaces_of(cluster: Cluster, pod: str, container: str) -> dict[str, str]:
    """Namespaces of the container's own first process, not of what exec runs."""
    text = cluster.executed(pod, f"for n in {' '.join(NAMESPACES)}; do readlink /proc/1/ns/$n; done", container)
    return dict(zip(NAMESPACES, text.split(), strict=True))


def namespaces_here(pid: str | int = "self") -> dict[str, str]:
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}


def test_every_namespace_differs_from_the_hosts_and_the_nodes(pair: Cluster) -> None:
    inside = namespaces_of(pair, "pair", "c0")
    host = namespaces_here()
    assert {name for name in NAMESPACES if inside[name] == host[name]} == set()
    for shim in pair.state()["shims"][1:]:
        node = namespaces_here(shim)
        assert inside["net"] != node["net"]
        assert inside["mnt"] != node["mnt"]
        assert inside["pid"] != node["pid"]
        assert inside["uts"] != node["uts"]
        assert inside["ipc"] != node["ipc"]


def test_containers_of_a_pod_share_net_ipc_and_uts_and_nothing_else(pair: Cluster) -> None:
    first, second = namespaces_of(pair, "pair", "c0"), namespaces_of(pair, "pair", "c1")
    assert {name for name in NAMESPACES if first[name] == second[name]} == {"net", "ipc", "uts"}


def test_two_pods_share_no_namespace(pair: Cluster) -> None:
    first, second = namespaces_of(pair, "pair", "c0"), namespaces_of(pair, "other", "c0")
    assert {name for name in NAMESPACES if first[name] == second[name]} == set()


def test_exec_enters_the_containers_namespaces(pair: Cluster) -> None:
    text = pair.executed("pair", f"for n in {' '.join(NAMESPACES)}; do readlink /proc/self/ns/$n; done")
    assert dict(zip(NAMESPACES, text.split(), strict=True)) == namespaces_of(pair, "pair", "c0")


def test_the_hostname_is_the_pods(pair: Cluster) -> None:
    assert pair.executed("pair", "hostname").strip() == "pair" != os.uname().nodename
    assert pair.executed("pair", "hostname", "c1").strip() == "pair"


def test_processes_of_others_can_not_be_seen(pair: Cluster) -> None:
    pids = pair.executed("pair", "echo /proc/[0-9]*").split()
    assert "/proc/1" in pids
    assert len(pids) < 6
    assert "sh -c trap" in pair.executed("pair", "tr '\\0' ' ' </proc/1/cmdline")


def test_mounts_are_the_containers_own(pair: Cluster) -> None:
    inside = pair.executed("pair", "cat /proc/self/mountinfo")
    root = next(line for line in inside.splitlines() if line.split()[4] == "/")
    assert " - overlay " in root
    points = {line.split()[4] for line in inside.splitlines()}
    assert {"/", "/proc", "/dev", "/etc/hosts", "/etc/resolv.conf"} <= points
    assert not any(str(pair.data) in line.split()[4] for line in inside.splitlines())
    # what a container writes is its own, and the machine's files are below it untouched
    pair.executed("pair", "echo mine > /etc/isolation-test")
    assert not Path("/etc/isolation-test").exists()
    assert pair.executed("pair", "cat /etc/isolation-test 2>/dev/null || echo none", "c1").strip() == "none"


def cgroups_from_outside(cluster: Cluster, pod: str, container: str) -> dict[str, str]:
    """Controller ("" for version 2) -> path, of the container's processes as the machine sees them."""
    namespace = namespaces_of(cluster, pod, container)["pid"]
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(f"{entry.path}/ns/pid") == namespace:
                return cgroups_of(Path(entry.path, "cgroup").read_text())
    raise AssertionError(f"no process of {pod}/{container} on this machine")


def cgroups_of(text: str) -> dict[str, str]:
    """/proc/PID/cgroup -> controller to path."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return {name: path for _, names, path in lines for name in names.split(",")}


def test_each_container_has_a_cgroup_of_its_own_with_its_limit(pair: Cluster) -> None:
    first, second = (cgroups_from_outside(pair, "pair", name) for name in ("c0", "c1"))
    host = cgroups_of(Path("/proc/self/cgroup").read_text())
    controller = "memory" if "memory" in first else ""
    assert len({first[controller], second[controller], host.get(controller)}) == 3
    top = Path("/sys/fs/cgroup") / controller
    limit = "memory.limit_in_bytes" if controller else "memory.max"
    assert int((top / first[controller].lstrip("/") / limit).read_text()) == 64 << 20


def test_cgroups_of_others_can_not_be_seen_from_inside(pair: Cluster) -> None:
    inside = cgroups_of(pair.executed("pair", "cat /proc/1/cgroup"))
    outside = cgroups_from_outside(pair, "pair", "c0")
    controller = "memory" if "memory" in outside else ""
    assert inside[controller] == "/" != outside[controller]


def test_only_the_pods_own_link_is_there(pair: Cluster) -> None:
    links = pair.executed("pair", "ls /sys/class/net; cut -d: -f1 /proc/net/dev | tail -n +3").split()
    assert "lo" in links
    assert not [name for name in links if name.startswith(("mkpy", "docker"))]
