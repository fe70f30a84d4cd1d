from __future__ import annotations

from typing import Any

import pytest

from minikube_api.schema.typed.apps_v1 import ReplicaSet
from minikube_api.schema.typed.core_v1 import Pod
from minikube_py.controllers import conditions


def replicaset(name: str = "rs", replicas: int = 2, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
            **spec,
        },
    }


async def create(w, **kwargs: Any) -> None:
    await w.client.raw.create("/apis/apps/v1/namespaces/default/replicasets", replicaset(**kwargs))


async def get(w) -> ReplicaSet:
    return await w.client.get(ReplicaSet, "rs", namespace="default")


def alive(pods: list[Pod]) -> list[Pod]:
    return [p for p in pods if not p.metadata.deletionTimestamp]


async def count(w, number: int) -> None:
    async def check() -> bool:
        return len(alive(await w.pods())) == number

    await w.until(check)


@pytest.fixture
def rs_world(world):
    return lambda: world("replicaset-controller")


async def test_missing_pods_are_made_and_surplus_ones_deleted(rs_world):
    async with rs_world() as w:
        await create(w, replicas=3)
        await count(w, 3)
        await w.client.patch(ReplicaSet, "rs", {"spec": {"replicas": 1}}, namespace="default")
        await count(w, 1)
        await w.client.patch(ReplicaSet, "rs", {"spec": {"replicas": 0}}, namespace="default")
        await count(w, 0)


async def test_a_deleted_or_failed_pod_is_replaced(rs_world):
    async with rs_world() as w:
        await create(w, replicas=2)
        await count(w, 2)
        first, second = await w.pods()
        await w.client.delete(Pod, first.metadata.name, namespace="default", grace_period_seconds=0)
        await w.patch_status(second, {"phase": "Failed"})

        async def check() -> bool:
            names = {p.metadata.name for p in await w.pods() if p.status.phase != "Failed"}
            return len(names) == 2 and not names & {first.metadata.name, second.metadata.name}

        await w.until(check)


async def test_pods_are_owned_and_carry_the_template(rs_world):
    async with rs_world() as w:
        await create(w, replicas=1)
        await count(w, 1)
        (pod,) = await w.pods()
        (ref,) = pod.metadata.ownerReferences
        rs = await get(w)
        assert (ref.kind, ref.name, ref.uid, ref.controller, ref.blockOwnerDeletion) == (
            "ReplicaSet", "rs", rs.metadata.uid, True, True
        )  # fmt: skip
        assert pod.metadata.labels == {"app": "rs"} and pod.metadata.generateName == "rs-"


async def test_status_counts_ready_and_available_pods(rs_world):
    async with rs_world() as w:
        await create(w, replicas=2, minReadySeconds=10)
        await count(w, 2)
        first, _ = await w.pods()
        await w.set_ready(first)

        async def ready() -> bool:
            status = (await get(w)).status
            return (status.readyReplicas or 0, status.availableReplicas or 0) == (1, 0)

        await w.until(ready)
        await w.clock.advance(11)

        async def available() -> bool:
            status = (await get(w)).status
            return (status.replicas, status.fullyLabeledReplicas, status.readyReplicas, status.availableReplicas) == (
                2, 2, 1, 1
            )  # fmt: skip

        await w.until(available)


async def test_an_orphan_that_matches_is_adopted_and_counts(rs_world):
    async with rs_world() as w:
        body = {"metadata": {"name": "orphan", "namespace": "default", "labels": {"app": "rs"}}, "spec": {}}
        body["spec"] = {"containers": [{"name": "c", "image": "i"}]}
        await w.client.raw.create("/api/v1/namespaces/default/pods", {"apiVersion": "v1", "kind": "Pod", **body})
        await create(w, replicas=2)
        await count(w, 2)
        orphan = await w.client.get(Pod, "orphan", namespace="default")
        assert orphan.metadata.ownerReferences[0].uid == (await get(w)).metadata.uid


async def test_a_pod_whose_labels_no_longer_match_is_released_and_replaced(rs_world):
    async with rs_world() as w:
        await create(w, replicas=1)
        await count(w, 1)
        (pod,) = await w.pods()
        await w.client.patch(Pod, pod.metadata.name, {"metadata": {"labels": {"app": "x"}}}, namespace="default")
        await count(w, 2)
        released = await w.client.get(Pod, pod.metadata.name, namespace="default")
        assert released.metadata.ownerReferences == ()


async def test_a_pod_of_another_owner_is_left_alone(rs_world):
    async with rs_world() as w:
        other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u", "controller": True}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "foreign", "labels": {"app": "rs"}, "ownerReferences": [other]},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        await w.client.raw.create("/api/v1/namespaces/default/pods", body)
        await create(w, replicas=1)
        await count(w, 2)
        foreign = await w.client.get(Pod, "foreign", namespace="default")
        assert foreign.metadata.ownerReferences[0].uid == "u"


async def test_a_refused_creation_is_told_as_condition_and_event(world):
    async with world("replicaset-controller", refuse="pods") as w:
        await create(w, replicas=5)

        async def check() -> Any:
            return conditions.find((await get(w)).status.conditions, "ReplicaFailure")

        failure = await w.until(check)
        assert (failure.status, failure.reason) == ("True", "FailedCreate")
        assert "exceeded quota" in failure.message
        await w.quiet()
        events = await w.events()
        assert any(e.startswith("Warning FailedCreate: Error creating: ") for e in events)


async def test_unready_and_young_pods_go_first(rs_world):
    async with rs_world() as w:
        await create(w, replicas=3)
        await count(w, 3)
        pods = await w.pods()
        for pod in pods[:2]:
            await w.set_ready(pod)
        await w.quiet()
        await w.client.patch(ReplicaSet, "rs", {"spec": {"replicas": 2}}, namespace="default")
        await count(w, 2)
        assert {p.metadata.name for p in alive(await w.pods())} == {p.metadata.name for p in pods[:2]}


async def test_what_was_done_is_told_as_events(rs_world):
    async with rs_world() as w:
        await create(w, replicas=1)
        await count(w, 1)
        (pod,) = await w.pods()
        await w.client.patch(ReplicaSet, "rs", {"spec": {"replicas": 0}}, namespace="default")
        await count(w, 0)
        await w.quiet()
        events = await w.events()
        assert f"Normal SuccessfulCreate: Created pod: {pod.metadata.name}" in events
        assert f"Normal SuccessfulDelete: Deleted pod: {pod.metadata.name}" in events
