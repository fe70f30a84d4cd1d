"""`--separate`: a component that is killed comes back, and the cluster works on meanwhile and after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_processes import is_alive, kill, wait_for
from clusters import PODS, Cluster, command_lines, running

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running("--separate", "--nodes", "1") as made:
        yield made


def component_pid(cluster: Cluster, name: str) -> int | None:
    """The process of a component as its command line tells it: `kubelet NODE`, `scheduler`..."""
    component, _, node = name.partition(" ")
    for pid, line in command_lines():
        if (
            str(cluster.data) in line
            and f"cluster.component {component} " in line
            and (f"--node {node}" in line if node else "--node" not in line)
        ):
            return pid
    return None


def test_every_component_comes_back_after_kill_nine(cluster: Cluster) -> None:
    names = sorted(cluster.state()["components"])
    assert {"apiserver", "controllers", "scheduler", "dns", f"kubelet {cluster.name}-node-1"} <= set(names)
    cluster.run("steady", "while :; do sleep 0.2; done")
    before = cluster.until_ready("steady")
    supervisor = cluster.state()["pid"]
    killed = {name: component_pid(cluster, name) for name in names}
    assert None not in killed.values()
    for pid in killed.values():
        assert pid is not None
        kill(pid)
    cluster.forget()
    for name in names:
        wait_for(lambda name=name: component_pid(cluster, name) not in (None, killed[name]), f"{name} again", seconds=15)
    assert is_alive(supervisor)

    def answers() -> bool:
        try:
            return bool(cluster.http.get("/readyz"))
        except OSError:
            return False

    wait_for(answers, "the API server", seconds=20)
    cluster.run("later", "while :; do sleep 0.2; done")
    cluster.until_ready("later", seconds=40)
    after = cluster.pod("steady")
    assert after["status"]["containerStatuses"][0]["containerID"] == before["status"]["containerStatuses"][0]["containerID"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0
    for name in ("steady", "later"):
        cluster.http.ok("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")


LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


@pytest.mark.parametrize(("lease", "component"), [("kube-scheduler", "scheduler"), ("kube-controller-manager", "controllers")])
def test_leaders_hold_their_leases_and_renew_them(cluster: Cluster, lease: str, component: str) -> None:
    before = cluster.http.get(f"{LEASES}/{lease}")["spec"]
    assert before["holderIdentity"].endswith(f"_{cluster.name}")
    assert before["leaseDurationSeconds"] == 15
    renewed = lambda: cluster.http.get(f"{LEASES}/{lease}")["spec"]["renewTime"] > before["renewTime"]  # noqa: E731
    wait_for(renewed, f"renewal of {lease}", seconds=10)
    pid = component_pid(cluster, component)
    assert pid is not None
    kill(pid)
    wait_for(lambda: component_pid(cluster, component) not in (None, pid), f"{component} again", seconds=15)
    # the same candidate: it goes on with its lease
    again = cluster.http.get(f"{LEASES}/{lease}")["spec"]
    wait_for(
        lambda: cluster.http.get(f"{LEASES}/{lease}")["spec"]["renewTime"] > again["renewTime"], "the next renewal", seconds=10
    )
    assert cluster.http.get(f"{LEASES}/{lease}")["spec"]["holderIdentity"] == before["holderIdentity"]
