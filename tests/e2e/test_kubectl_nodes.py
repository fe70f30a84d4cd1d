"""Nodes through kubectl 1.37: taints, cordon, drain. The two nodes are shared, so each test gives back what it takes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from tests.e2e.clusters import Cluster, Program
from tests.e2e.manifests import Tree, deployment, pod, shell


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """The second node; schedulable and without the test's taint again at the end."""
    name = cluster.nodes[1]
    yield name
    cluster.kubectl("uncordon", name)
    with contextlib.suppress(AssertionError):  # the test took its taint away itself
        cluster.kubectl("taint", "node", name, "example.test/kept-")


def nodes_of(kubectl: Program) -> set[str]:
    items = kubectl("get", "pods", "-o", "json").json["items"]
    return {p["spec"].get("nodeName", "") for p in items if "deletionTimestamp" not in p["metadata"]}


def test_cordoned_node_gets_no_pods(cluster: Cluster, kubectl: Program, node: str) -> None:
    assert kubectl("cordon", node).out == f"node/{node} cordoned\n"
    assert kubectl("get", "node", node).rows[1][1] == "Ready,SchedulingDisabled"
    kubectl.apply(deployment("elsewhere", replicas=3))
    kubectl("rollout", "status", "deployment/elsewhere", "--timeout=30s")
    assert nodes_of(kubectl) == {cluster.nodes[0]}
    assert kubectl("uncordon", node).out == f"node/{node} uncordoned\n"


def spread(name: str) -> Tree:
    """A Deployment with a replica on each node."""
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": name}}}
    tree = deployment(name, replicas=2)
    tree["spec"]["template"]["spec"]["affinity"] = {
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]}
    }
    return tree


def test_drain_moves_pods_to_the_other_node(cluster: Cluster, kubectl: Program, node: str) -> None:
    kubectl.apply(spread("moved"))
    kubectl("rollout", "status", "deployment/moved", "--timeout=30s")
    assert nodes_of(kubectl) == set(cluster.nodes)
    done = kubectl("drain", node, "--pod-selector=app=moved", "--timeout=30s")
    assert re.search(r"^pod/moved-\S+ evicted$", done.out, re.MULTILINE)
    assert f"node/{node} drained" in done.lines
    kubectl("rollout", "status", "deployment/moved", "--timeout=30s")
    assert nodes_of(kubectl) == {cluster.nodes[0]}


def test_drain_respects_the_budget(kubectl: Program, node: str) -> None:
    kubectl.apply(spread("guarded"))
    kubectl("rollout", "status", "deployment/guarded", "--timeout=30s")
    kubectl("create", "poddisruptionbudget", "guarded", "--selector=app=guarded", "--min-available=2")
    kubectl("wait", "--for=jsonpath={.status.currentHealthy}=2", "pdb/guarded", "--timeout=5s")
    refused = kubectl("drain", node, "--pod-selector=app=guarded", "--timeout=1s", check=False)
    assert refused.code == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused.err
    kubectl("patch", "pdb", "guarded", "-p", '{"spec":{"minAvailable":1}}')
    kubectl("wait", "--for=jsonpath={.status.disruptionsAllowed}=1", "pdb/guarded", "--timeout=5s")
    assert f"node/{node} drained" in kubectl("drain", node, "--pod-selector=app=guarded", "--timeout=30s").lines


def test_drain_refuses_pods_that_nobody_would_replace(kubectl: Program, node: str) -> None:
    kubectl.apply(pod("alone", nodeName=node))
    kubectl("wait", "--for=condition=Ready", "pod/alone", "--timeout=30s")
    refused = kubectl("drain", node, "--pod-selector=app=alone", "--timeout=5s", check=False)
    assert refused.code == 1
    assert "cannot delete" in refused.err
    kubectl("drain", node, "--pod-selector=app=alone", "--force", "--timeout=30s")
    assert kubectl("get", "pod", "alone", check=False).code == 1


def test_tainted_node_takes_only_pods_that_tolerate_it(cluster: Cluster, kubectl: Program, node: str) -> None:
    assert kubectl("taint", "node", node, "example.test/kept=yes:NoSchedule").out == f"node/{node} tainted\n"
    chosen = {"kubernetes.io/hostname": node}
    tolerations = [{"key": "example.test/kept", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]
    kubectl.apply(pod("refused", nodeSelector=chosen), pod("welcome", nodeSelector=chosen, tolerations=tolerations))
    kubectl("wait", "--for=condition=Ready", "pod/welcome", "--timeout=30s")
    kubectl("wait", "--for=condition=PodScheduled=False", "pod/refused", "--timeout=30s")
    message = kubectl("get", "pod", "refused", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}").out
    assert message.startswith("0/2 nodes are available: ")
    assert "1 node(s) had untolerated taint(s)" in message
    assert "1 node(s) didn't match Pod's node affinity/selector" in message
    events = kubectl("events", "--for", "pod/refused").out
    assert "FailedScheduling" in events
    assert kubectl("taint", "node", node, "example.test/kept-").out == f"node/{node} untainted\n"
    kubectl("wait", "--for=condition=Ready", "pod/refused", "--timeout=30s")


def test_no_execute_taint_drives_pods_away(cluster: Cluster, kubectl: Program, node: str) -> None:
    kubectl.apply(pod("driven", nodeName=node))
    kubectl("wait", "--for=condition=Ready", "pod/driven", "--timeout=30s")
    kubectl("taint", "node", node, "example.test/kept=yes:NoExecute")
    kubectl("wait", "--for=delete", "pod/driven", "--timeout=30s")


def test_pod_that_fits_nowhere_stays_pending_and_says_why(kubectl: Program) -> None:
    kubectl.apply(pod("huge", shell("true", resources={"requests": {"cpu": "1000"}})))
    kubectl("wait", "--for=condition=PodScheduled=False", "pod/huge", "--timeout=30s")
    assert kubectl("get", "pod", "huge").rows[1][1:3] == ["0/1", "Pending"]
    message = kubectl("get", "pod", "huge", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}").out
    assert message.startswith("0/2 nodes are available: 2 Insufficient cpu.")


def test_node_says_the_addresses_its_pods_have(cluster: Cluster, kubectl: Program) -> None:
    import ipaddress

    kubectl.apply(*(pod(f"on-{i}", nodeName=name) for i, name in enumerate(cluster.nodes)))
    for i, name in enumerate(cluster.nodes):
        kubectl("wait", "--for=condition=Ready", f"pod/on-{i}", "--timeout=30s")
        cidr = ipaddress.ip_network(kubectl("get", "node", name, "-o", "jsonpath={.spec.podCIDR}").out)
        assert ipaddress.ip_address(kubectl("get", "pod", f"on-{i}", "-o", "jsonpath={.status.podIP}").out) in cidr
