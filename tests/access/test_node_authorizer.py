"""Kubelets read what their pods use, change what is theirs, and nothing else."""

from __future__ import annotations

import pytest
from access_world import NS, World, container, node, pod

N1, N2 = node("n1"), node("n2")
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@pytest.fixture
async def cluster(w: World) -> World:
    for name in ("n1", "n2"):
        await w.ok("POST", "/api/v1/nodes", {"metadata": {"name": name}}, user=node(name))
    for name in ("used", "other"):
        await w.ok("POST", f"{NS}/secrets", {"metadata": {"name": name}})
        await w.ok("POST", f"{NS}/configmaps", {"metadata": {"name": name}})
    env = [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "used", "key": "k"}}}]
    volume = {"name": "v", "configMap": {"name": "used"}}
    await w.ok("POST", f"{NS}/pods", pod("p", container("c", env=env), volumes=[volume], nodeName="n1"))
    return w


@pytest.mark.parametrize("plural", ["secrets", "configmaps"])
async def test_a_node_reads_what_its_pods_use(cluster: World, plural: str) -> None:
    await cluster.ok("GET", f"{NS}/{plural}/used", user=N1)
    message = await cluster.refused("GET", f"{NS}/{plural}/other", user=N1)
    assert message.endswith("no relationship found between node 'n1' and this object")
    await cluster.refused("GET", f"{NS}/{plural}/used", user=N2)
    await cluster.refused("GET", f"{NS}/{plural}", user=N1)


async def test_reading_ends_with_the_pod(cluster: World) -> None:
    await cluster.ok("DELETE", f"{NS}/pods/p?gracePeriodSeconds=0")
    await cluster.refused("GET", f"{NS}/secrets/used", user=N1)


async def test_a_node_lists_its_own_pods_only(cluster: World) -> None:
    listed = await cluster.ok("GET", "/api/v1/pods?fieldSelector=spec.nodeName=n1", user=N1)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["p"]
    await cluster.refused("GET", "/api/v1/pods", user=N1)
    await cluster.refused("GET", "/api/v1/pods?fieldSelector=spec.nodeName=n2", user=N1)


async def test_a_node_changes_the_status_of_its_pods_only(cluster: World) -> None:
    patch = {"status": {"phase": "Running"}}
    kind = "application/merge-patch+json"
    await cluster.ok("PATCH", f"{NS}/pods/p/status", patch, user=N1, Content_Type=kind)
    status, tree = await cluster(N2, "PATCH", f"{NS}/pods/p/status", patch, Content_Type=kind)
    assert (status, "can only update status for pods with spec.nodeName set to itself" in tree["message"]) == (403, True)


async def test_a_node_changes_itself_only(cluster: World) -> None:
    assert "is not allowed to modify node 'n2'" in (
        await cluster(N1, "PATCH", "/api/v1/nodes/n2", {"metadata": {"labels": {"a": "b"}}}, Content_Type="application/merge-patch+json")
    )[1]["message"]  # fmt: skip


async def test_a_node_may_not_give_itself_restricted_labels(cluster: World) -> None:
    labels = {"node-restriction.kubernetes.io/x": "y"}
    _, tree = await cluster(
        N1, "PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": labels}}, Content_Type="application/merge-patch+json"
    )
    assert "is not allowed to modify labels: node-restriction.kubernetes.io/x" in tree["message"]


async def test_a_node_has_a_lease_of_its_name_only(cluster: World) -> None:
    await cluster.ok("POST", LEASES, {"metadata": {"name": "n1"}}, user=N1)
    await cluster.refused("POST", LEASES, {"metadata": {"name": "n2"}}, user=N1)


async def test_a_node_gets_tokens_for_its_pods_only(cluster: World) -> None:
    uid = (await cluster.ok("GET", f"{NS}/pods/p"))["metadata"]["uid"]
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}
    path = f"{NS}/serviceaccounts/default/token"
    await cluster.ok("POST", path, {"spec": {"boundObjectRef": ref}}, user=N1)
    assert "not bound to a pod" in await cluster.refused("POST", path, {"spec": {}}, user=N1)
    await cluster.refused("POST", path, {"spec": {"boundObjectRef": ref}}, user=N2)


async def test_a_new_node_is_tainted(cluster: World) -> None:
    made = await cluster.ok("GET", "/api/v1/nodes/n1")
    assert made["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
