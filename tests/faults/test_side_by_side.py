"""Clusters beside each other on one machine do not meet: ranges, host ports, names."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from clusters import PODS, Cluster, running, shell

SERVE = "exec python3 -S -c 'import http.server as h, socketserver as s; s.TCPServer.allow_reuse_address = True; " + (
    's.TCPServer(("", 8080), h.SimpleHTTPRequestHandler).serve_forever()\''
)


def ranges(cluster: Cluster) -> list[ipaddress.IPv4Network]:
    laid_out: dict[str, Any] = json.loads((cluster.data / "network" / "network.json").read_text())
    return [ipaddress.IPv4Network(laid_out[key]) for key in ("node_cidr", "pod_cidr", "service_cidr")]


def web(cluster: Cluster, name: str, **spec: Any) -> dict[str, Any]:
    port = {"containerPort": 8080, **spec.pop("port", {})}
    container = shell("c0", SERVE, ports=[port])
    body = {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}}
    return cluster.http.ok("POST", PODS, body)


FETCH = "python3 -S -c 'import urllib.request as u; print(u.urlopen(\"http://{}\", timeout=5).status)'"


def test_a_second_cluster_on_the_host_takes_other_ranges_and_both_work() -> None:
    with running("--network", "host") as one, running("--network", "host") as two:
        assert not any(a.overlaps(b) for a in ranges(one) for b in ranges(two))
        for cluster in (one, two):
            web(cluster, "web")
        for cluster in (one, two):
            address = cluster.until_ready("web")["status"]["podIP"]
            assert ipaddress.IPv4Address(address) in ranges(cluster)[1]
            assert cluster.executed("web", FETCH.format(f"{address}:8080")).strip() == "200"
        one.down()
        two.until_ready("web")
        address = two.pod("web")["status"]["podIP"]
        assert two.executed("web", FETCH.format(f"{address}:8080")).strip() == "200"


def test_two_private_clusters_have_the_same_ranges_and_do_not_meet() -> None:
    with running("--network", "private") as one, running("--network", "private") as two:
        assert ranges(one) == ranges(two)
        web(one, "only")
        address = one.until_ready("only")["status"]["podIP"]
        web(two, "other", nodeName=one.pod("only")["spec"]["nodeName"].replace(one.name, two.name))
        two.until_ready("other")
        assert one.executed("only", FETCH.format(f"{address}:8080")).strip() == "200"
        # what pods and Services are called and where they are is each cluster's own business
        assert two.http.find(f"{PODS}/only") is None


def test_two_nodes_use_the_same_host_port() -> None:
    with running() as cluster:
        nodes = [n["metadata"]["name"] for n in cluster.http.get("/api/v1/nodes")["items"]]
        for index, node in enumerate(nodes):
            web(cluster, f"web{index}", nodeName=node, port={"hostPort": 8081})
        addresses = [cluster.until_ready(f"web{i}")["status"]["hostIP"] for i in range(2)]
        assert len(set(addresses)) == 2
        for address in addresses:
            assert cluster.executed("web0", FETCH.format(f"{address}:8081")).strip() == "200"


@pytest.mark.parametrize("option", ["--pod-cidr", "--service-cidr"])
def test_a_range_that_the_machine_uses_already_is_refused(option: str, clusters_home: Path) -> None:
    with running("--network", "host", "--nodes", "1") as one:
        _, pods, services = ranges(one)
        second = Cluster("second", clusters_home, ("--network", "host", "--nodes", "1"))
        taken = pods if option == "--pod-cidr" else services
        done = second.up(option, str(taken), check=False)
        assert done.returncode == 1, done.stdout
        assert str(taken) in done.stderr
