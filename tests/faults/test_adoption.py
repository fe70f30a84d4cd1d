"""SIGKILL of everything but the shims: containers run on, and the next `up` takes them over as they are."""

from __future__ import annotations

import itertools
import re
import time

from api_processes import wait_for
from clusters import container_status, running

COUNT = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.02; done"


def numbers(log: str) -> list[int]:
    return [int(n) for n in re.findall(r"^line (\d+)$", log, re.M)]


def test_containers_keep_pid_restart_count_and_log_over_a_killed_cluster() -> None:
    with running() as cluster:
        cluster.run("counter", COUNT)
        # it ends by itself while nobody but its shim is there to see it
        cluster.run("leaver", "sleep 1.5; exit 7", restartPolicy="Never")
        before = {name: cluster.until_ready(name) for name in ("counter", "leaver")}
        pid = cluster.executed("counter", "readlink /proc/self/ns/pid; cut -d' ' -f22 /proc/1/stat")
        daemon = cluster.state()["pid"]
        shims = cluster.state()["shims"]

        cluster.kill_all_but_shims()
        time.sleep(1.7)
        cluster.up()

        assert cluster.state()["pid"] != daemon
        assert cluster.state()["shims"] == shims
        cluster.until_ready("counter")
        after = cluster.pod("counter")
        assert container_status(after)["restartCount"] == 0
        assert container_status(after)["containerID"] == container_status(before["counter"])["containerID"]
        assert container_status(after)["state"] == container_status(before["counter"])["state"]
        assert after["status"]["podIP"] == before["counter"]["status"]["podIP"]
        assert cluster.executed("counter", "readlink /proc/self/ns/pid; cut -d' ' -f22 /proc/1/stat") == pid

        left = wait_for(
            lambda: (s := container_status(cluster.pod("leaver"))["state"].get("terminated")) and s, "the end of leaver"
        )
        assert (left["exitCode"], left["reason"]) == (7, "Error")
        assert container_status(cluster.pod("leaver"))["restartCount"] == 0
        assert cluster.pod("leaver")["status"]["phase"] == "Failed"

        seen = numbers(cluster.log("counter"))
        wait_for(lambda: len(numbers(cluster.log("counter"))) > len(seen), "more lines after the adoption")
        seen = numbers(cluster.log("counter"))
        assert seen == list(range(len(seen))), "the log has a gap or a double line"
        # it wrote all the while: 50 lines a second over the seconds without a cluster
        stamps = [line.split(" ")[0] for line in cluster.log("counter", timestamps="true").splitlines()]
        seconds = [float(s[17:-1]) + 60 * int(s[14:16]) for s in stamps]
        assert max((b - a) % 3600 for a, b in itertools.pairwise(seconds)) < 1.0


def test_a_restarting_container_that_ended_meanwhile_is_restarted_once() -> None:
    with running("--nodes", "1") as cluster:
        cluster.run("again", "sleep 1; exit 7")
        first = cluster.until_ready("again")
        cluster.kill_all_but_shims()
        time.sleep(1.2)
        cluster.up()
        status = wait_for(
            lambda: (s := container_status(cluster.pod("again")))["restartCount"] >= 1 and s, "the restart of the container"
        )
        assert status["lastState"]["terminated"]["exitCode"] == 7
        assert status["lastState"]["terminated"]["containerID"] == container_status(first)["containerID"]
