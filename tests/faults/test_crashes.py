"""After kill -9 of everything, `down` leaves nothing, and neither does the next `up`; garbage in the cluster's own files is told, not swallowed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from api_processes import kill, wait_for
from clusters import Cluster, leftovers, links, running, tables

SLEEP = "while :; do sleep 0.2; done"
UP = Path("/sys/class/net")


def network_namespaces() -> set[str]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found.add(os.readlink(f"{entry.path}/ns/net"))
            except OSError:
                continue
    return found


def cgroups_of(cluster: Cluster) -> set[str]:
    return {path for path, _, _ in os.walk("/sys/fs/cgroup") if f"minikube-py/{cluster.name}" in path}


@pytest.fixture
def filled() -> object:
    with running("--nodes", "2") as cluster:
        cluster.run("sleeper", SLEEP, SLEEP)
        service = {"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}
        cluster.http.ok("POST", "/api/v1/namespaces/default/services", service)
        cluster.until_ready("sleeper")
        yield cluster


def traces(cluster: Cluster) -> dict[str, object]:
    """All that a cluster can leave on the machine, its data directory apart."""
    link = json.loads((cluster.data / "network" / "network.json").read_text())["link"]
    found = leftovers(cluster)
    found |= {"links": links() & {link}, "cgroups": cgroups_of(cluster)}
    return {kind: what for kind, what in found.items() if what}


def test_a_running_cluster_has_traces_of_every_kind(filled: Cluster) -> None:
    """Otherwise the tests below would show nothing."""
    assert {"processes", "links", "tables", "cgroups", "journal"} <= set(traces(filled))


def test_down_leaves_nothing(filled: Cluster) -> None:
    filled.down()
    assert traces(filled) == {}


def test_down_after_kill_nine_of_the_daemon_leaves_nothing(filled: Cluster) -> None:
    filled.kill_all_but_shims()
    assert "processes" in traces(filled)
    filled.down()
    assert traces(filled) == {}


def test_down_after_kill_nine_of_everything_leaves_nothing(filled: Cluster) -> None:
    filled.kill_everything()
    filled.down()
    assert traces(filled) == {}


def test_up_after_kill_nine_of_everything_starts_clean_and_runs_the_pod_again(filled: Cluster) -> None:
    before = filled.pod("sleeper")["status"]["containerStatuses"][0]
    old_tables = tables()
    filled.kill_everything()
    filled.up()
    status = wait_for(
        lambda: (s := filled.pod("sleeper")["status"]["containerStatuses"][0])["restartCount"] > before["restartCount"] and s,
        "the restart of the container",
    )
    assert status["containerID"] != before["containerID"]
    filled.until_ready("sleeper")
    assert len(tables()) == len(old_tables)
    filled.down()
    assert traces(filled) == {}


def test_a_second_up_on_the_same_data_says_so_and_stops(filled: Cluster) -> None:
    state = filled.state()
    done = filled.up(check=False)
    assert done.returncode == 1
    assert f"a cluster is already running on {filled.data} (pid {state['pid']})" in done.stderr
    assert filled.state() == state
    filled.until_ready("sleeper")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        pytest.param("cluster.json", b"\x00{garbage", "cluster.json", id="cluster.json"),
        pytest.param("cluster.json", b'["a list"]', "cluster.json", id="cluster.json-of-another-form"),
        pytest.param("cluster.json", b'{"name": 7}', "cluster.json", id="cluster.json-with-a-number-as-name"),
    ],
)
def test_garbage_in_the_kept_options_is_told_by_status_and_healed_by_up(
    clusters_home: Path, file: str, content: bytes, message: str
) -> None:
    cluster = Cluster("g", clusters_home, ("--components", "apiserver"))
    cluster.up()
    cluster.down()
    (cluster.data / file).write_bytes(content)
    done = cluster.minictl("status", "--name", "g", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    listed = json.loads(cluster.minictl("status", "--name", "g", "-o", "json", check=False).stdout)
    assert message in listed[0]["problem"]
    cluster.up()
    assert cluster.http.get("/version")["major"] == "1"
    cluster.down("--purge")
    assert not cluster.data.exists()


def test_garbage_in_the_lock_file_does_not_matter(clusters_home: Path) -> None:
    cluster = Cluster("g", clusters_home, ("--components", "apiserver"))
    cluster.up()
    (cluster.data / "lock").write_bytes(b"\xff\xfe no pid \n" * 10)
    assert cluster.up(check=False).returncode == 1
    # who holds it is asked of the kernel or the state file then
    cluster.down()
    (cluster.data / "lock").write_bytes(b"\xff\xfe no pid")
    cluster.up()
    assert cluster.state()["running"]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"not json\n", id="a-line-of-text"),
        pytest.param(b'{"kind": "process", "iden', id="a-torn-line"),
        pytest.param(b'\xff\xfe\x00\n[1]\n{"kind": "unheard-of"}\n{"kind": "cgroup"}\n', id="lines-of-another-form"),
    ],
)
def test_garbage_in_the_clean_up_journal_does_not_keep_the_rest_from_being_removed(filled: Cluster, garbage: bytes) -> None:
    filled.kill_everything()
    journal = filled.data / "cleanup.jsonl"
    journal.write_bytes(garbage + (b"" if garbage.endswith(b"\n") else b"\n") + journal.read_bytes())
    done = filled.down()
    assert "could not be removed" in done.stderr
    assert "Traceback" not in done.stderr
    found = traces(filled)
    found.pop("journal", None)
    assert found == {}
    # the next start is not kept up by it
    filled.up()
    filled.until_ready("sleeper")


def test_garbage_in_the_network_file_does_not_keep_the_cluster_from_starting(filled: Cluster) -> None:
    filled.kill_everything()
    (filled.data / "network" / "network.json").write_bytes(b"\x00")
    filled.up()
    filled.until_ready("sleeper")


def test_garbage_in_the_kept_ranges_is_told(clusters_home: Path) -> None:
    cluster = Cluster("g", clusters_home, ("--components", "apiserver"))
    cluster.up()
    cluster.down()
    (cluster.data / "ranges.json").write_bytes(b"{")
    done = cluster.up(check=False)
    assert done.returncode == 1
    assert "ranges.json" in done.stderr and "Traceback" not in done.stderr


def test_a_shim_that_dies_with_the_daemon_gone_is_started_anew_by_up(filled: Cluster) -> None:
    shims = filled.state()["shims"]
    filled.kill_all_but_shims()
    kill(shims[1])
    filled.up()
    filled.until_ready("sleeper")
    assert len(filled.state()["shims"]) == len(shims)
