"""An unexpected exception in one component of an all-in-one cluster: that component starts anew, nothing else notices.

The daemon is the real one; a `sitecustomize` module on its path lets the test strike it: on a signal the task that a file names gets an
exception out of what it waits for, as a bug in it would raise one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dnslib
import pytest
from api_processes import wait_for
from clusters import PODS, Cluster, container_status, home

pytestmark = pytest.mark.timeout(120)

STRIKING = """
import asyncio, os, signal

def strike(number, frame):
    loop = asyncio.get_running_loop()
    with open(os.environ["STRIKE"]) as file:
        name = file.read()
    for task in asyncio.all_tasks(loop):
        waits_for = getattr(task, "_fut_waiter", None)
        if task.get_name().startswith(name) and waits_for is not None and not waits_for.done():
            waits_for.set_exception(ZeroDivisionError(f"struck: {name}"))
            return

signal.signal(signal.SIGUSR2, strike)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with home() as path:
        (path / "sitecustomize.py").write_text(STRIKING)
        environment = {"PYTHONPATH": str(path), "STRIKE": str(path / "strike")}
        made = Cluster(f"struck-{os.getpid() % 100000}", path, ("--nodes", "1"), environment)
        made.up()
        yield made
        made.forget()


def strike(cluster: Cluster, unit: str, task: str) -> None:
    """Fail a task of the unit; returns when the unit has been started anew and told so."""
    Path(cluster.environment["STRIKE"]).write_text(task)
    before = cluster.state()["restarts"].get(unit, {"times": 0})["times"]
    os.kill(cluster.state()["pid"], signal.SIGUSR2)

    def struck() -> bool:
        told = cluster.state()["restarts"].get(unit)
        return bool(told) and told["times"] == before + 1 and "ZeroDivisionError: struck" in told["last"]

    wait_for(struck, f"the restart of {unit}", seconds=10)


def resolves(cluster: Cluster, name: str) -> bool:
    host, _, port = cluster.state()["dns"].rpartition(":")
    try:
        reply = dnslib.DNSRecord.question(name).send(host, int(port), timeout=0.5)
    except OSError:
        return False
    return dnslib.DNSRecord.parse(reply).header.rcode == dnslib.RCODE.NOERROR


def test_each_component_comes_back_and_pods_stay(cluster: Cluster) -> None:
    node = f"{cluster.name}-node-1"
    pid = cluster.state()["pid"]
    assert cluster.state()["restarts"] == {}
    cluster.run("steady", "while :; do sleep 0.2; done")
    before = container_status(cluster.until_ready("steady"))
    for unit, task in (
        ("scheduler", "scheduler"),
        ("controllers", "deployment-controller worker 0"),
        (f"kubelet {node}", f"kubelet {node}"),
        (f"proxy {node}", f"proxy {node}"),
        ("dns", "dns-('127.0.0.1'"),
    ):
        strike(cluster, unit, task)
    told = cluster.minictl("status", "--name", cluster.name).stdout
    assert "restarted   scheduler: 1 time, last ZeroDivisionError: struck: scheduler" in told
    log = (cluster.data / "logs" / "cluster.log").read_text()
    assert "Traceback" in log and "scheduler failed; again in 1 s" in log

    # everything works again: scheduler and kubelet run a new pod, and the old one is as it was
    cluster.run("later", "while :; do sleep 0.2; done")
    cluster.until_ready("later")
    after = container_status(cluster.pod("steady"))
    assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
    assert cluster.executed("steady", "echo here") == "here\n"
    wait_for(lambda: resolves(cluster, "kubernetes.default.svc.cluster.local"), "DNS")
    assert cluster.state()["pid"] == pid
    for name in ("steady", "later"):
        cluster.http.ok("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
