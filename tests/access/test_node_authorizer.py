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
    assert (status, "can only update pod status for pods with spec.nodeName set to itself" in tree["message"]) == (403, True)


async def test_a_node_changes_itself_only(cluster: World) -> None:
    assert 'node "n1" is not allowed to modify node "n2"' in (
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


MERGE = {"Content_Type": "application/merge-patch+json"}


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        pytest.param("GET", "/api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object", id="all-nodes"),
        pytest.param("GET", "/api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object", id="another-node"),
        pytest.param("GET", f"{NS}/serviceaccounts", "can only create tokens for individual service accounts", id="accounts"),
        pytest.param("GET", "/api/v1/persistentvolumes", "can only get individual resources of this type", id="volumes"),
        pytest.param(
            "GET", "/apis/storage.k8s.io/v1/volumeattachments/a", "no relationship found between node 'n1' and this object", id="va"
        ),
        pytest.param(
            "GET", "/apis/resource.k8s.io/v1/resourceslices",
            "can only list/watch/deletecollection resourceslices with nodeName field selector", id="slices",
        ),
        pytest.param("DELETE", "/api/v1/nodes/n1", 'cannot delete resource "nodes" in API group "" at the cluster scope', id="itself"),
    ],
)  # fmt: skip
async def test_refusals_say_what_a_node_may(cluster: World, method: str, path: str, says: str) -> None:
    assert (await cluster.refused(method, path, user=N1)).endswith(says)


async def test_a_node_reads_the_secret_of_a_volume_that_its_pod_has_claimed(cluster: World) -> None:
    ref = {"name": "other", "namespace": "default"}
    volume = {
        "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d", "volumeHandle": "h", "nodePublishSecretRef": ref},
        },
    }  # fmt: skip
    claim = {
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "pv", "resources": {"requests": {"storage": "1Gi"}}},
    }
    await cluster.ok("POST", "/api/v1/persistentvolumes", volume)
    await cluster.ok("POST", f"{NS}/persistentvolumeclaims", claim)
    await cluster.refused("GET", f"{NS}/secrets/other", user=N1)
    used = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    await cluster.ok("POST", f"{NS}/pods", pod("q", volumes=[used], nodeName="n1"))
    await cluster.ok("GET", "/api/v1/persistentvolumes/pv", user=N1)
    await cluster.ok("GET", f"{NS}/secrets/other", user=N1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({}, "", id="its-own"),
        pytest.param({"annotations": {}}, 'annotation, node "n1" can only create mirror pods', id="no-mirror"),
        pytest.param({"ownerReferences": []}, "can only create pods with an owner reference set to itself", id="no-owner"),
        pytest.param(
            {"controller": False}, "can only create pods with a controller owner reference set to itself", id="no-controller"
        ),
        pytest.param({"blockOwnerDeletion": True}, "must not set blockOwnerDeletion on an owner reference", id="blocking"),
        pytest.param({"uid": "u"}, "node n1 UID mismatch: expected u got ", id="another-node-of-that-name"),
    ],
)
async def test_a_node_creates_mirrors_of_its_static_pods_only(cluster: World, changes: dict, says: str) -> None:
    uid = (await cluster.ok("GET", "/api/v1/nodes/n1"))["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
    owner |= {key: value for key, value in changes.items() if key in ("controller", "blockOwnerDeletion", "uid")}
    made = pod("mirror", nodeName="n1")
    made["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [owner]}
    made["metadata"] |= {key: value for key, value in changes.items() if key in ("annotations", "ownerReferences")}
    status, tree = await cluster(N1, "POST", f"{NS}/pods", made)
    assert (status == 201) is not bool(says)
    assert says in tree.get("message", "")


async def test_a_node_asks_for_audiences_that_the_pod_wants(cluster: World) -> None:
    source = {"serviceAccountToken": {"path": "t", "audience": "vault"}}
    made = await cluster.ok(
        "POST", f"{NS}/pods", pod("q", volumes=[{"name": "v", "projected": {"sources": [source]}}], nodeName="n1")
    )
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "q", "uid": made["metadata"]["uid"]}
    path = f"{NS}/serviceaccounts/default/token"
    await cluster.ok("POST", path, {"spec": {"boundObjectRef": ref, "audiences": ["vault"]}}, user=N1)
    said = await cluster.refused("POST", path, {"spec": {"boundObjectRef": ref, "audiences": ["other"]}}, user=N1)
    assert 'audience "other" not found in pod spec volume' in said
    both = {"spec": {"boundObjectRef": ref, "audiences": ["vault", "other"]}}
    assert "node may only request 0 or 1 audiences" in await cluster.refused("POST", path, both, user=N1)


async def test_a_node_does_not_relabel_its_pods_through_their_status(cluster: World) -> None:
    patch = {"metadata": {"labels": {"a": "b"}}}
    status, tree = await cluster(N1, "PATCH", f"{NS}/pods/p/status", patch, **MERGE)
    assert (status, "cannot update labels through pod status" in tree["message"]) == (403, True)
