from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from minikube_api.schema.typed.apps_v1 import (
    ControllerRevision,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetUpdateStrategy,
)
from minikube_api.schema.typed.core_v1 import PersistentVolumeClaim, Pod
from minikube_py.controllers import statefulset_plan


async def create(w, replicas: int = 3, **spec: Any) -> None:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            **spec,
        },
    }
    await w.client.raw.create("/apis/apps/v1/namespaces/default/statefulsets", body)


async def get(w) -> StatefulSet:
    return await w.client.get(StatefulSet, "db", namespace="default")


async def names(w) -> list[str]:
    return sorted(p.metadata.name for p in await w.pods())


async def reached(w, *expected: str) -> None:
    async def check() -> bool:
        return await names(w) == sorted(expected)

    await w.until(check)


async def all_ready(w, number: int) -> StatefulSet:
    async def check() -> StatefulSet | None:
        await w.run_pods()
        found = await get(w)
        is_done = found.status.readyReplicas == found.status.updatedReplicas == number
        return found if is_done and found.status.replicas == number else None

    return await w.until(check)


async def set_image(w, image: str) -> None:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    await w.client.patch(StatefulSet, "db", body, namespace="default", type="strategic")


async def images(w) -> dict[str, str]:
    return {p.metadata.name: p.spec.containers[0].image for p in await w.pods()}


async def test_pods_come_one_after_the_other_each_when_the_last_is_ready(world):
    async with world("statefulset-controller") as w:
        await create(w)
        await reached(w, "db-0")
        await w.quiet()
        assert await names(w) == ["db-0"]
        await w.run_pods()
        await reached(w, "db-0", "db-1")
        await all_ready(w, 3)
        pod = await w.client.get(Pod, "db-1", namespace="default")
        assert (pod.spec.hostname, pod.spec.subdomain) == ("db-1", "db")
        assert pod.metadata.labels["statefulset.kubernetes.io/pod-name"] == "db-1"
        assert pod.metadata.labels["apps.kubernetes.io/pod-index"] == "1"
        await w.quiet()
        assert "Normal SuccessfulCreate: create Pod db-0 in StatefulSet db successful" in await w.events()


async def test_parallel_pods_come_at_once(world):
    async with world("statefulset-controller") as w:
        await create(w, podManagementPolicy="Parallel")
        await reached(w, "db-0", "db-1", "db-2")


async def test_shrinking_ends_the_highest_first(world):
    async with world("statefulset-controller") as w:
        await create(w)
        await all_ready(w, 3)
        await w.client.patch(StatefulSet, "db", {"spec": {"replicas": 1}}, namespace="default")

        async def ending() -> list[str]:
            return [p.metadata.name for p in await w.pods() if p.metadata.deletionTimestamp]

        gone: list[str] = []
        for _ in range(400):
            now = await ending()
            gone += [n for n in now if n not in gone]
            assert len(now) <= 1
            await w.run_pods()
            await w.clock.advance(0.05)
            if await names(w) == ["db-0"]:
                break
        # a pod that no node runs is deleted at once, so it may never be seen ending
        assert await names(w) == ["db-0"]


async def test_an_update_replaces_from_the_highest_and_makes_a_revision(world):
    async with world("statefulset-controller") as w:
        await create(w, replicas=2)
        first = await all_ready(w, 2)
        await set_image(w, "v2")

        async def highest() -> bool:
            return (await images(w)).get("db-1") == "v2"

        await w.until(highest)
        assert (await images(w))["db-0"] == "v1"
        done = await all_ready(w, 2)
        assert await images(w) == {"db-0": "v2", "db-1": "v2"}
        assert done.status.currentRevision == done.status.updateRevision != first.status.currentRevision
        revisions = (await w.client.list(ControllerRevision, namespace="default")).items
        assert sorted(r.revision for r in revisions) == [1, 2]


async def test_pods_below_the_partition_keep_their_revision(world):
    async with world("statefulset-controller") as w:
        await create(w, replicas=2, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})
        await w.until(lambda: _ready(w, 2))
        await set_image(w, "v2")

        async def updated() -> bool:
            await w.run_pods()
            return await images(w) == {"db-0": "v1", "db-1": "v2"}

        await w.until(updated)
        await w.client.delete(Pod, "db-0", namespace="default", grace_period_seconds=0)
        await w.until(updated)


async def _ready(w, number: int) -> bool:
    await w.run_pods()
    return (await get(w)).status.readyReplicas == number


async def test_a_failed_pod_is_made_again_under_its_name(world):
    async with world("statefulset-controller") as w:
        await create(w, replicas=1)
        await reached(w, "db-0")
        (pod,) = await w.pods()
        await w.patch_status(pod, {"phase": "Failed"})

        async def again() -> bool:
            listed = await w.pods()
            return [p.metadata.name for p in listed] == ["db-0"] and listed[0].metadata.uid != pod.metadata.uid

        await w.until(again)


async def test_each_pod_has_its_own_claim_which_outlives_it(world):
    async with world("statefulset-controller") as w:
        claim = {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        await create(w, replicas=2, volumeClaimTemplates=[claim])
        await w.until(lambda: _ready(w, 2))
        claims = (await w.client.list(PersistentVolumeClaim, namespace="default")).items
        assert sorted(c.metadata.name for c in claims) == ["data-db-0", "data-db-1"]
        (pod,) = [p for p in await w.pods() if p.metadata.name == "db-1"]
        assert [v.persistentVolumeClaim.claimName for v in pod.spec.volumes if v.name == "data"] == ["data-db-1"]
        await w.client.patch(StatefulSet, "db", {"spec": {"replicas": 1}}, namespace="default")

        async def one() -> bool:
            await w.run_pods()
            return await names(w) == ["db-0"]

        await w.until(one)
        assert len((await w.client.list(PersistentVolumeClaim, namespace="default")).items) == 2


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


async def claim_owners(w) -> dict[str, list[str]]:
    listed = (await w.client.list(PersistentVolumeClaim, namespace="default")).items
    return {c.metadata.name: [f"{r.kind}/{r.name}" for r in c.metadata.ownerReferences] for c in listed}


async def test_claims_that_go_with_the_set_are_owned_by_it(world):
    async with world("statefulset-controller") as w:
        policy = {"whenDeleted": "Delete", "whenScaled": "Retain"}
        await create(w, replicas=1, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
        await w.until(lambda: _ready(w, 1))
        await w.quiet()
        assert await claim_owners(w) == {"data-db-0": ["StatefulSet/db"]}
        policy = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}
        await w.client.patch(StatefulSet, "db", {"spec": policy}, namespace="default")
        await w.quiet()
        assert await claim_owners(w) == {"data-db-0": []}


async def test_claims_of_pods_that_are_scaled_away_go_with_them(world):
    async with world("statefulset-controller", "garbage-collector-controller") as w:
        policy = {"whenDeleted": "Retain", "whenScaled": "Delete"}
        await create(w, replicas=2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
        await w.until(lambda: _ready(w, 2))
        await w.client.patch(StatefulSet, "db", {"spec": {"replicas": 1}}, namespace="default")

        async def collected() -> bool:
            await w.run_pods()
            return await claim_owners(w) == {"data-db-0": []}

        await w.until(collected, seconds=10)


async def test_an_update_takes_away_as_many_as_may_be_unavailable(world):
    async with world("statefulset-controller") as w:
        await create(w, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        await w.until(lambda: _ready(w, 3))
        found = await get(w)
        spec = replace(
            found.spec, updateStrategy=StatefulSetUpdateStrategy(rollingUpdate=RollingUpdateStatefulSetStrategy(maxUnavailable=2))
        )
        doomed = statefulset_plan.plan(replace(found, spec=spec), await w.pods(), "old", "new", w.clock.time()).delete
        assert [p.metadata.name for p in doomed] == ["db-2", "db-1"]
