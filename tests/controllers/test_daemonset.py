from __future__ import annotations

from typing import Any

import pytest

from minikube_api.schema.typed.apps_v1 import ControllerRevision, DaemonSet
from minikube_api.schema.typed.core_v1 import Node, NodeSpec, Pod, PodSpec, Taint
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers import daemonset_plan
from minikube_py.controllers.daemonset_plan import target_node

CONTROLLER = "daemonset-controller"


async def create(w, **spec: Any) -> None:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
    template["spec"] |= spec.pop("pod", {})
    body = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template, **spec},
    }
    await w.client.raw.create("/apis/apps/v1/namespaces/default/daemonsets", body)


async def get(w) -> DaemonSet:
    return await w.client.get(DaemonSet, "agent", namespace="default")


async def set_image(w, image: str) -> None:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    await w.client.patch(DaemonSet, "agent", body, namespace="default", type="strategic")


async def placed(w) -> dict[str, str]:
    """Image by node."""
    return {target_node(p): p.spec.containers[0].image for p in await w.pods() if not p.metadata.deletionTimestamp}


async def reached(w, expected: dict[str, str]) -> None:
    async def check() -> bool:
        await w.run_pods()
        return await placed(w) == expected

    await w.until(check)


async def all_available(w, number: int) -> DaemonSet:
    async def check() -> DaemonSet | None:
        await w.run_pods()
        found = await get(w)
        s = found.status
        return found if s.numberAvailable == s.updatedNumberScheduled == s.desiredNumberScheduled == number else None

    return await w.until(check)


async def test_every_node_gets_one_pod_also_those_that_come_later(world):
    async with world(CONTROLLER) as w:
        await w.node("n1")
        await w.node("n2")
        await create(w)
        await reached(w, {"n1": "v1", "n2": "v1"})
        await w.node("n3")
        await reached(w, {"n1": "v1", "n2": "v1", "n3": "v1"})
        found = await all_available(w, 3)
        assert found.status.currentNumberScheduled == 3
        assert found.status.numberMisscheduled == 0
        assert found.status.numberUnavailable in (0, None)
        assert found.status.observedGeneration == 1
        pod = (await w.pods())[0]
        assert pod.metadata.name.startswith("agent-")
        assert ("node.kubernetes.io/unreachable", "Exists", "NoExecute") in [
            (t.key, t.operator, t.effect) for t in pod.spec.tolerations
        ]
        assert any(e.startswith("Normal SuccessfulCreate: Created pod: agent-") for e in await w.events())


async def test_nodes_that_the_selector_stops_matching_lose_their_pod(world):
    async with world(CONTROLLER) as w:
        await w.node("n1", labels={"disk": "ssd"})
        await w.node("n2")
        await create(w, pod={"nodeSelector": {"disk": "ssd"}})
        await reached(w, {"n1": "v1"})
        await w.client.patch(Node, "n2", {"metadata": {"labels": {"disk": "ssd"}}})
        await reached(w, {"n1": "v1", "n2": "v1"})
        await w.client.patch(Node, "n1", {"metadata": {"labels": {"disk": None}}})
        await reached(w, {"n2": "v1"})


async def test_failed_pods_are_replaced_the_second_after_a_backoff(world):
    async with world(CONTROLLER) as w:
        await w.node("n1")
        await create(w)
        await reached(w, {"n1": "v1"})

        async def fail_and_wait(seconds: float) -> None:
            (pod,) = await w.pods()
            await w.patch_status(pod, {"phase": "Failed"})

            async def replaced() -> bool:
                return [p.metadata.uid for p in await w.pods()] not in ([pod.metadata.uid], [])

            await w.until(replaced, seconds=seconds)

        await fail_and_wait(0.9)
        with pytest.raises(AssertionError, match="not reached"):
            await fail_and_wait(0.3)
        await w.quiet(1.5)
        (pod,) = await w.pods()
        assert pod.status.phase != "Failed"


async def test_a_rolling_update_replaces_one_node_at_a_time(world):
    async with world(CONTROLLER) as w:
        for name in ("n1", "n2", "n3"):
            await w.node(name)
        await create(w)
        await all_available(w, 3)
        await set_image(w, "v2")
        await w.quiet(1)
        assert sorted((await placed(w)).values()) == ["v1", "v1", "v2"]
        await w.quiet(1)
        assert sorted((await placed(w)).values()) == ["v1", "v1", "v2"], "the new one is not available yet"
        await all_available(w, 3)
        revisions = (await w.client.list(ControllerRevision, namespace="default")).items
        assert sorted(r.revision for r in revisions) == [1, 2]


async def test_a_surge_starts_the_new_pod_before_it_ends_the_old(world):
    async with world(CONTROLLER) as w:
        await w.node("n1")
        await create(w, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        await all_available(w, 1)
        await set_image(w, "v2")
        await w.quiet(1)
        assert sorted(p.spec.containers[0].image for p in await w.pods()) == ["v1", "v2"]
        await w.run_pods()
        await reached(w, {"n1": "v2"})


async def test_on_delete_waits_for_the_user(world):
    async with world(CONTROLLER) as w:
        await w.node("n1")
        await create(w, updateStrategy={"type": "OnDelete"})
        await all_available(w, 1)
        await set_image(w, "v2")
        await w.quiet(1)
        assert await placed(w) == {"n1": "v1"}
        (pod,) = await w.pods()
        await w.client.delete(Pod, pod.metadata.name, namespace="default", grace_period_seconds=0)
        await reached(w, {"n1": "v2"})


async def test_a_rollback_leaves_pods_of_the_old_template_alone(world):
    async with world(CONTROLLER) as w:
        for name in ("n1", "n2"):
            await w.node(name)
        await create(w)
        await all_available(w, 2)
        before = {p.metadata.uid for p in await w.pods()}
        await set_image(w, "broken")
        await w.quiet(1)
        kept = before & {p.metadata.uid for p in await w.pods()}
        assert len(kept) == 1
        await set_image(w, "v1")
        await all_available(w, 2)
        assert kept <= {p.metadata.uid for p in await w.pods()}
        revisions = (await w.client.list(ControllerRevision, namespace="default")).items
        assert sorted(r.revision for r in revisions) == [2, 3]


async def test_history_beyond_the_limit_is_deleted(world):
    async with world(CONTROLLER) as w:
        await w.node("n1")
        await create(w, revisionHistoryLimit=1)
        for image in ("v2", "v3", "v4"):
            await set_image(w, image)
            await all_available(w, 1)
        await w.quiet()
        revisions = (await w.client.list(ControllerRevision, namespace="default")).items
        assert sorted(r.revision for r in revisions)[-1] - len(revisions) >= 1
        assert len(revisions) == 2


async def test_matching_orphans_are_adopted(world):
    async with world(CONTROLLER) as w:
        await w.node("n1")
        body = {"metadata": {"name": "mine", "labels": {"app": "agent"}}}
        body["spec"] = {"nodeName": "n1", "containers": [{"name": "c", "image": "v1"}]}
        await w.client.raw.create("/api/v1/namespaces/default/pods", {"apiVersion": "v1", "kind": "Pod", **body})
        await create(w, updateStrategy={"type": "OnDelete"})

        async def adopted() -> bool:
            return [r.kind for r in (await w.pods())[0].metadata.ownerReferences] == ["DaemonSet"]

        await w.until(adopted)
        assert [p.metadata.name for p in await w.pods()] == ["mine"]


@pytest.mark.parametrize(
    ("taint", "expected"),
    [
        pytest.param(Taint(key="x", effect="NoSchedule"), (False, True), id="no-new-pods"),
        pytest.param(Taint(key="x", effect="NoExecute"), (False, False), id="no-pods"),
        pytest.param(Taint(key="x", effect="PreferNoSchedule"), (True, True), id="a-wish"),
        pytest.param(Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"), (True, True), id="cordoned"),
        pytest.param(Taint(key="node.kubernetes.io/not-ready", effect="NoExecute"), (True, True), id="not-ready"),
        pytest.param(Taint(key="node.kubernetes.io/network-unavailable", effect="NoSchedule"), (False, True), id="no-network"),
    ],
)
def test_taints_decide_where_pods_belong(taint, expected):
    spec = daemonset_plan.with_tolerations(PodSpec())
    node = Node(metadata=ObjectMeta(name="n"), spec=NodeSpec(taints=(taint,)))
    assert daemonset_plan.belongs(spec, node) == expected


def test_pods_in_the_host_network_need_no_pod_network():
    spec = daemonset_plan.with_tolerations(PodSpec(hostNetwork=True))
    taint = Taint(key="node.kubernetes.io/network-unavailable", effect="NoSchedule")
    node = Node(metadata=ObjectMeta(name="n"), spec=NodeSpec(taints=(taint,)))
    assert daemonset_plan.belongs(spec, node) == (True, True)
