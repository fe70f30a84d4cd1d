"""Containers, shims and cables that break under a running cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from api_processes import is_alive, kill, wait_for
from clusters import NODES, PODS, Cluster, condition, container_status, running, shell

from minikube_agents.network.cluster import ClusterNetwork

SLEEP = "while :; do sleep 0.2; done"
APPS = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture(scope="module", params=[(), ("--separate",)], ids=["in-one-process", "separate"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with running("--node-monitor-grace-period", "2", *request.param) as made:
        yield made


def host_pid(cluster: Cluster, pod: str) -> int:
    """The container's first process, as the machine sees it."""
    namespace = cluster.executed(pod, "readlink /proc/1/ns/pid").strip()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                return int(entry)
        except OSError:
            continue
    raise AssertionError(f"no process of {pod} on this machine")


def node_ready(cluster: Cluster, name: str) -> str:
    return condition(cluster.http.get(f"{NODES}/{name}"), "Ready")


def test_a_killed_container_process_is_restarted_and_then_backed_off(cluster: Cluster) -> None:
    cluster.run("victim", SLEEP)
    cluster.until_ready("victim")
    kill(host_pid(cluster, "victim"))
    status = wait_for(lambda: (s := container_status(cluster.pod("victim")))["restartCount"] == 1 and s, "the first restart")
    assert status["lastState"]["terminated"]["exitCode"] == 137
    cluster.until_ready("victim")
    kill(host_pid(cluster, "victim"))
    waiting = wait_for(lambda: container_status(cluster.pod("victim"))["state"].get("waiting"), "the back-off")
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 10s restarting failed container=c0 pod=victim")
    cluster.http.ok("DELETE", f"{PODS}/victim?gracePeriodSeconds=0")


def test_a_node_whose_shim_is_killed_comes_back_and_runs_its_pods_again(cluster: Cluster) -> None:
    cluster.run("survivor", SLEEP)
    before = cluster.until_ready("survivor")
    node = before["spec"]["nodeName"]
    daemon, shims = cluster.state()["pid"], cluster.state()["shims"]
    number = int(node.rpartition("-")[2])
    kill(shims[number])
    status = wait_for(
        lambda: (s := container_status(cluster.pod("survivor")))["restartCount"] == 1 and s["ready"] and s, "the restart"
    )
    assert status["containerID"] != container_status(before)["containerID"]
    assert cluster.executed("survivor", "echo here").strip() == "here"
    assert node_ready(cluster, node) == "True"
    assert is_alive(daemon)
    cluster.http.ok("DELETE", f"{PODS}/survivor?gracePeriodSeconds=0")


def unplugged(cluster: Cluster, node: str, *, up: bool) -> None:
    async def act() -> None:
        network = await ClusterNetwork.connect(str(cluster.data))
        await (network.plug(node) if up else network.unplug(node))
        network.close()

    asyncio.run(act())


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
        for key in ("not-ready", "unreachable")
    ]
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels},
        }
    ]
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [shell("c0", SLEEP)],
            "tolerations": tolerations,
            "topologySpreadConstraints": spread,
            "terminationGracePeriodSeconds": 1,
        },
    }
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}


def test_an_unplugged_node_is_not_ready_and_its_pods_are_replaced_elsewhere(cluster: Cluster) -> None:
    cluster.http.ok("POST", APPS, deployment("spread", 2))
    pods = f"{PODS}?labelSelector=app%3Dspread"

    def ready_on() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for pod in cluster.http.get(pods)["items"]:
            if condition(pod, "Ready") == "True" and "deletionTimestamp" not in pod["metadata"]:
                found.setdefault(pod["spec"]["nodeName"], []).append(pod["metadata"]["name"])
        return found

    placed = wait_for(lambda: (r := ready_on()) and len(r) == 2 and r, "a ready pod on each node")
    lost, kept = sorted(placed)
    unplugged(cluster, lost, up=False)
    try:
        wait_for(lambda: node_ready(cluster, lost) == "Unknown", "the node to be not ready", seconds=15)
        taints = {t["key"] for t in wait_for(lambda: cluster.http.get(f"{NODES}/{lost}")["spec"].get("taints"), "taints")}
        assert "node.kubernetes.io/unreachable" in taints
        assert node_ready(cluster, kept) == "True"
        wait_for(lambda: len(ready_on().get(kept, ())) == 2, "the replacement on the other node", seconds=20)
        evicted = cluster.pod(placed[lost][0])
        assert "deletionTimestamp" in evicted["metadata"]
    finally:
        unplugged(cluster, lost, up=True)
    wait_for(lambda: node_ready(cluster, lost) == "True", "the node to be ready again", seconds=15)
    wait_for(lambda: cluster.http.find(f"{PODS}/{placed[lost][0]}") is None, "the evicted pod's end", seconds=20)
    wait_for(lambda: not cluster.http.get(f"{NODES}/{lost}")["spec"].get("taints"), "the taints' end")
    cluster.http.ok("DELETE", f"{APPS}/spread")
