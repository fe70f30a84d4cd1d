"""A cluster that never became ready leaves nothing to adopt and nothing to clean up."""

from __future__ import annotations

from pathlib import Path

from clusters import Cluster, leftovers


def test_an_up_that_fails_takes_everything_away_again(clusters_home: Path) -> None:
    cluster = Cluster("failing", clusters_home)
    # an address of documentation (RFC 5737) that no machine has
    done = cluster.minictl("up", "--name", "failing", "--listen", "192.0.2.77:6443", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert not any(leftovers(cluster).values())
