"""One script, two clusters: with all components in one process and each in its own, the audit log tells of the same users, writes and refusals."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from api_processes import Http, wait_for
from clusters import Cluster, home

NEEDS_NO_RIGHTS = True
pytestmark = pytest.mark.timeout(120)
APPS = "/apis/apps/v1/namespaces/shop"
CORE = "/api/v1/namespaces/shop"


def script(cluster: Cluster) -> None:
    """A deployment comes, grows and goes with its namespace; somebody without rights tries to look."""
    http = cluster.http
    http.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    wait_for(lambda: http.find(f"{CORE}/serviceaccounts/default"), "the service account")
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    http.ok("POST", f"{APPS}/deployments", {"metadata": {"name": "web"}, "spec": spec})
    http.ok(
        "POST", f"{CORE}/services", {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    )
    available = lambda n: http.get(f"{APPS}/deployments/web")["status"].get("availableReplicas") == n  # noqa: E731
    wait_for(lambda: available(1), "one replica")
    http.ok("PATCH", f"{APPS}/deployments/web", {"spec": {"replicas": 2}}, kind="application/merge-patch+json")
    wait_for(lambda: available(2), "two replicas")
    token = http.ok("POST", f"{CORE}/serviceaccounts/default/token", {"spec": {}})["status"]["token"]
    stranger = Http(cluster.state()["url"], ssl.create_default_context(cafile=str(cluster.data / "pki" / "ca.crt")), token)
    for method, path in (("GET", f"{CORE}/secrets"), ("DELETE", f"{CORE}/pods/none"), ("GET", "/api/v1/nodes")):
        assert stranger(method, path)[0] == 403
    stranger.close()
    # one after the other: who is the first to delete what in a namespace that goes as a whole is a race
    http.ok("DELETE", f"{APPS}/deployments/web?propagationPolicy=Foreground")
    wait_for(lambda: http.find(f"{APPS}/deployments/web") is None, "the end of the deployment")
    http.ok("DELETE", f"{CORE}/services/web")
    slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    wait_for(lambda: not http.get(slices)["items"] and not http.find(f"{CORE}/endpoints/web"), "the end of the endpoints")
    http.ok("DELETE", "/api/v1/namespaces/shop")
    wait_for(lambda: http.find("/api/v1/namespaces/shop") is None, "the end of the namespace")


def events(log: Path) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, log.read_text().splitlines()) if e["stage"] in ("ResponseStarted", "ResponseComplete")]


def told(found: Iterable[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(user, verb, resource/subresource)."""
    return {
        (
            e["user"]["username"],
            e["verb"],
            "/".join(filter(None, (e["objectRef"].get("resource"), e["objectRef"].get("subresource")))),
        )
        for e in found
        if "objectRef" in e
    }


def of_the_script(event: dict[str, Any]) -> bool:
    reference = event.get("objectRef", {})
    return "shop" in (reference.get("namespace"), reference.get("name"))


def run(path: Path, *options: str) -> list[dict[str, Any]]:
    log = path / f"audit{len(options)}.log"
    name = f"audited{os.getpid() % 10000}-{len(options)}"
    cluster = Cluster(name, path, ("--runtime", "hollow", "--nodes", "1", "--audit-log", str(log), *options))
    cluster.up()
    try:
        script(cluster)
    finally:
        cluster.down("--purge")
    return events(log)


def test_both_ways_of_running_leave_the_same_traces() -> None:
    with home() as path:
        together, separate = run(path), run(path, "--separate")
    writes = [
        told(
            e
            for e in found
            if of_the_script(e) and e["verb"] not in ("get", "list", "watch") and e["responseStatus"]["code"] < 400
        )
        for found in (together, separate)
    ]
    users = {user for user, _, _ in writes[0]}
    assert {"system:kube-scheduler", "system:serviceaccount:kube-system:replicaset-controller"} <= users
    assert writes[0] == writes[1]
    refusals = [told(e for e in found if e["responseStatus"]["code"] in (401, 403)) for found in (together, separate)]
    assert len(refusals[0]) == 3
    assert refusals[0] == refusals[1]
    names = [{e["user"]["username"] for e in found} for found in (together, separate)]
    assert names[0] == names[1]
