"""A full disk under a whole cluster: it ends and says why, and the next `up` with room again has everything that was acknowledged."""

from __future__ import annotations

import http.client
import os
import subprocess
from pathlib import Path

import pytest
from api_processes import wait_for
from clusters import Cluster, home

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs: needs root")]
PATH = "/api/v1/namespaces/default/configmaps"


def fill(cluster: Cluster) -> tuple[set[str], str]:
    """Write until a write fails: the names that were acknowledged, and the words of the failure."""
    acknowledged: set[str] = set()
    for number in range(200):
        body = {"metadata": {"name": f"m{number}"}, "data": {"text": "x" * 200_000}}
        try:
            status, tree = cluster.http("POST", PATH, body)
        except (OSError, http.client.HTTPException) as error:
            return acknowledged, f"the connection broke in place of an answer: {error!r}"
        if status != 201:
            return acknowledged, tree["message"]
        acknowledged.add(body["metadata"]["name"])
    return acknowledged, "the disk never filled"


def test_a_full_disk_ends_the_cluster_and_loses_nothing() -> None:
    with home() as path:
        name = f"full-{os.getpid() % 100000}"
        disk: Path = path / name
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", str(disk)], check=True)
        cluster = Cluster(name, path, ("--runtime", "hollow", "--nodes", "1"))
        try:
            cluster.up()
            acknowledged, failure = fill(cluster)
            assert acknowledged
            assert "full" in failure
            wait_for(lambda: cluster.minictl("status", "--name", name, check=False).returncode == 1, "the end of the cluster")
            assert f"{name}: stopped" in cluster.minictl("status", "--name", name, check=False).stdout
            log = (cluster.data / "logs" / "cluster.log").read_text()
            assert "full" in log

            refused = cluster.up(check=False)
            assert refused.returncode == 1
            assert refused.stderr.startswith("Error: ") and refused.stderr.count("\n") == 1, refused.stderr

            subprocess.run(["mount", "-o", "remount,size=48m", str(disk)], check=True)
            cluster.up()
            assert acknowledged <= {o["metadata"]["name"] for o in cluster.http.get(PATH)["items"]}
            cluster.http.ok("POST", PATH, {"metadata": {"name": "after"}})
            cluster.down()
        finally:
            cluster.forget()
            cluster.minictl("down", "--name", name, check=False)
            subprocess.run(["umount", "-l", str(disk)], check=True)
