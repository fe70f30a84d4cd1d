from __future__ import annotations

from typing import Any

import pytest

from minikube_api.client.objects import from_tree
from minikube_api.meta import conditions, times
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.coordination_v1 import Lease, LeaseSpec
from minikube_api.schema.typed.core_v1 import Node, Pod, Taint, Toleration
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers import node_ipam, node_lifecycle, pod_gc, taints

LIFECYCLE = ("node-lifecycle-controller", "taint-eviction-controller")


async def lease_namespace(w) -> None:
    try:
        await w.namespace("kube-node-lease")
    except Exception as error:
        assert "already exists" in str(error)


async def beat(w, name: str) -> None:
    """What a kubelet does every ten seconds."""
    spec = LeaseSpec(holderIdentity=name, renewTime=times.now_micro(w.clock), leaseDurationSeconds=40)
    try:
        lease = await w.client.get(Lease, name, namespace="kube-node-lease")
        await w.client.patch(Lease, name, {"spec": {"renewTime": spec.renewTime}}, namespace=lease.metadata.namespace)
    except NotFound:
        await w.client.create(Lease(metadata=ObjectMeta(name=name, namespace="kube-node-lease"), spec=spec))


async def pass_time(w, seconds: int, *alive: str) -> None:
    for _ in range(seconds // 10):
        for name in alive:
            await beat(w, name)
        await w.clock.advance(10)


async def ready(w, name: str) -> tuple[str, str | None]:
    node = await w.client.get(Node, name)
    found = conditions.find(node.status.conditions, "Ready")
    return (found.status, found.reason) if found is not None else ("", None)


async def taint_keys(w, name: str) -> set[tuple[str, str]]:
    return {(t.key, t.effect) for t in (await w.client.get(Node, name)).spec.taints}


async def create_pod(w, name: str, node: str = "n1", *, tolerations: list[dict[str, Any]] | None = None) -> Pod:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "nodeName": node,
            "tolerations": tolerations or [],
        },
    }
    await w.client.raw.create("/api/v1/namespaces/default/pods", body)
    return await w.set_ready(await w.client.get(Pod, name, namespace="default"))


async def test_a_node_that_renews_its_lease_stays_ready(world):
    async with world(*LIFECYCLE) as w:
        await lease_namespace(w)
        await w.node("n1")
        await pass_time(w, 120, "n1")
        assert (await ready(w, "n1"))[0] == "True"
        assert await taint_keys(w, "n1") == set()


async def test_a_silent_node_becomes_unknown_and_tainted_after_its_grace(world):
    async with world(*LIFECYCLE, node_monitor_grace=40) as w:
        await lease_namespace(w)
        for name in ("n1", "n2"):
            await w.node(name)
        await pass_time(w, 30, "n1", "n2")
        await pass_time(w, 30, "n2")
        assert (await ready(w, "n1"))[0] == "True"
        await pass_time(w, 20, "n2")
        assert await ready(w, "n1") == ("Unknown", "NodeStatusUnknown")
        assert await taint_keys(w, "n1") == {(taints.UNREACHABLE, "NoSchedule"), (taints.UNREACHABLE, "NoExecute")}
        assert (await ready(w, "n2"))[0] == "True" and await taint_keys(w, "n2") == set()
        await w.quiet()
        assert "Normal NodeNotReady: Node n1 status is now: NodeNotReady" in await w.events()


async def test_a_node_that_comes_back_loses_its_taints(world):
    async with world(*LIFECYCLE) as w:
        await lease_namespace(w)
        await w.node("n1")
        await w.node("n2")
        await pass_time(w, 60, "n2")
        assert (await ready(w, "n1"))[0] == "Unknown"
        await w.node("n1")

        async def clean() -> bool:
            return not await taint_keys(w, "n1")

        await w.until(clean)


async def test_pods_of_a_silent_node_are_marked_not_ready_and_evicted_after_their_toleration(world):
    async with world(*LIFECYCLE) as w:
        await lease_namespace(w)
        await w.node("n1")
        await w.node("n2")
        unreachable = {"key": taints.UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
        await create_pod(w, "short", tolerations=[{**unreachable, "tolerationSeconds": 30}])
        await create_pod(w, "long", tolerations=[{**unreachable, "tolerationSeconds": 300}])
        await create_pod(w, "forever", tolerations=[unreachable])
        await create_pod(w, "elsewhere", "n2")
        await pass_time(w, 50, "n2")
        by_name = {p.metadata.name: p for p in await w.pods()}
        marked = {name: conditions.status_of(p.status.conditions, "Ready") for name, p in by_name.items()}
        assert marked == {"short": "False", "long": "False", "forever": "False", "elsewhere": "True"}
        await pass_time(w, 40, "n2")
        leaving = {p.metadata.name for p in await w.pods() if p.metadata.deletionTimestamp}
        assert leaving == {"short"}
        (short,) = [p for p in await w.pods() if p.metadata.name == "short"]
        target = conditions.find(short.status.conditions, "DisruptionTarget")
        assert (target.status, target.reason) == ("True", "DeletionByTaintManager")
        await pass_time(w, 270, "n2")
        assert {p.metadata.name for p in await w.pods() if p.metadata.deletionTimestamp} == {"short", "long"}


async def test_when_every_node_is_silent_nothing_is_evicted(world):
    async with world(*LIFECYCLE) as w:
        await lease_namespace(w)
        await w.node("n1")
        await pass_time(w, 100)
        assert (await ready(w, "n1"))[0] == "Unknown"
        assert await taint_keys(w, "n1") == {(taints.UNREACHABLE, "NoSchedule")}


async def test_a_cordoned_node_is_tainted(world):
    async with world(*LIFECYCLE) as w:
        await lease_namespace(w)
        await w.node("n1")
        await w.client.patch(Node, "n1", {"spec": {"unschedulable": True}})

        async def check() -> bool:
            return (taints.UNSCHEDULABLE, "NoSchedule") in await taint_keys(w, "n1")

        await w.until(check)


async def test_nodes_get_pod_cidrs_of_the_cluster_cidr(world):
    async with world("node-ipam-controller", cluster_cidr="10.9.0.0/22") as w:
        for name in ("n1", "n2", "n3"):
            await w.node(name)

        async def check() -> set[str | None]:
            cidrs = {n.spec.podCIDR for n in (await w.client.list(Node)).items}
            return cidrs if None not in cidrs else set()

        cidrs = await w.until(check)
        assert len(cidrs) == 3 and cidrs < {f"10.9.{n}.0/24" for n in range(4)}
        node = await w.client.get(Node, "n1")
        assert node.spec.podCIDRs == (node.spec.podCIDR,)


async def test_pods_of_a_vanished_node_are_ended_after_the_quarantine(world):
    async with world("pod-garbage-collector-controller") as w:
        await w.node("n1")
        await create_pod(w, "a")
        await w.client.delete(Node, "n1")
        await w.clock.advance(30)
        assert len(await w.pods()) == 1
        await w.clock.advance(15)

        async def gone() -> bool:
            return not await w.pods()

        await w.until(gone)


async def test_finished_pods_beyond_the_threshold_go_oldest_first(world):
    async with world("pod-garbage-collector-controller", terminated_pod_threshold=2) as w:
        await w.node("n1")
        for n in range(4):
            pod = await create_pod(w, f"p{n}")
            await w.patch_status(pod, {"phase": "Succeeded"})
            await w.clock.advance(2)
        await w.clock.advance(30)

        async def check() -> bool:
            return {p.metadata.name for p in await w.pods()} == {"p2", "p3"}

        await w.until(check)


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], 100.0, id="untolerated: at once"),
        pytest.param([{"key": "a", "operator": "Exists"}], None, id="tolerated for ever"),
        pytest.param([{"operator": "Exists"}], None, id="tolerates everything"),
        pytest.param([{"key": "a", "operator": "Exists", "tolerationSeconds": 30}], 130.0, id="for a while"),
        pytest.param([{"key": "a", "operator": "Exists", "tolerationSeconds": -5}], 100.0, id="negative: at once"),
        pytest.param([{"key": "a", "value": "x"}], 100.0, id="another value"),
        pytest.param([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}], 100.0, id="another effect"),
    ],
)
def test_eviction_time(tolerations, expected):
    listed = [from_tree(Toleration, t) for t in tolerations]
    assert taints.eviction_time([Taint(key="a", effect="NoExecute")], listed, 100.0, since=100.0) == expected


@pytest.mark.parametrize(
    ("ready", "not_ready", "rate"),
    [
        pytest.param(5, 1, 0.1, id="normal"),
        pytest.param(1, 2, 0.1, id="a small zone is never partly disrupted by two"),
        pytest.param(4, 6, 0.0, id="small zone mostly down"),
        pytest.param(20, 60, 0.01, id="large zone mostly down"),
        pytest.param(0, 5, 0.1, id="a zone that is wholly down"),
    ],
)
def test_eviction_rate(ready, not_ready, rate):
    assert node_lifecycle.eviction_rate(ready, not_ready) == rate


def test_cidrs_are_not_given_twice_and_run_out():
    shares = node_ipam.CidrSet("10.0.0.0/22")
    shares.occupy("10.0.1.0/24")
    assert [shares.allocate() for _ in range(4)] == ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24", None]
    shares.release("10.0.2.0/24")
    assert shares.allocate() == "10.0.2.0/24"
    shares.occupy("192.168.0.0/24")


def test_evicted_pods_are_the_first_surplus():
    def pod(name: str, created: int, reason: str | None = None) -> Pod:
        meta = {"name": name, "creationTimestamp": f"2024-01-01T00:00:{created:02}Z"}
        return from_tree(Pod, {"metadata": meta, "status": {"phase": "Failed", "reason": reason}})

    listed = [pod("old", 1), pod("new", 3), pod("evicted", 9, "Evicted")]
    assert [p.metadata.name for p in pod_gc.surplus(listed, 1)] == ["evicted", "old"]
    assert pod_gc.surplus(listed, 0) == [] and pod_gc.surplus(listed, 3) == []


async def test_a_toleration_ends_although_the_taint_does_not_say_when_it_was_added(world):
    async with world("taint-eviction-controller") as w:
        await w.node("n1")
        toleration = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "tolerations": [toleration]}
        await w.client.raw.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": spec})
        await w.client.patch(Node, "n1", {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}]}})
        await w.quiet(1)
        assert [p.metadata.deletionTimestamp for p in await w.pods()] == [None]

        async def leaving() -> bool:
            return all(p.metadata.deletionTimestamp for p in await w.pods())

        await w.until(leaving, seconds=3)
