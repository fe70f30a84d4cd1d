from __future__ import annotations

from typing import Any

from minikube_api.schema.typed.apps_v1 import Deployment, ReplicaSet
from minikube_py.controllers import conditions, rollout

BOTH = ("deployment-controller", "replicaset-controller")


def deployment(name: str = "web", replicas: int = 3, image: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
            **spec,
        },
    }


async def create(w, **kwargs: Any) -> None:
    await w.client.raw.create("/apis/apps/v1/namespaces/default/deployments", deployment(**kwargs))


async def get(w, name: str = "web") -> Deployment:
    return await w.client.get(Deployment, name, namespace="default")


async def sets(w) -> list[ReplicaSet]:
    return sorted((await w.client.list(ReplicaSet, namespace="default")).items, key=rollout.revision)


async def complete(w, *, revision: str | None = None) -> Deployment:
    """Run pods until the deployment is complete."""

    async def check() -> Deployment | None:
        await w.run_pods()
        d = await get(w)
        fits = revision is None or d.metadata.annotations.get(rollout.REVISION) == revision
        return d if fits and rollout.is_complete(d, d.status) else None

    return await w.until(check)


def progressing(d: Deployment) -> tuple[str | None, ...]:
    found = conditions.find(d.status.conditions, "Progressing")
    assert found is not None
    return found.status, found.reason, found.message


async def set_image(w, image: str) -> None:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}
    await w.client.patch(Deployment, "web", body, namespace="default", type="strategic")


async def test_a_deployment_becomes_available_with_its_pods(world):
    async with world(*BOTH) as w:
        await create(w)
        d = await complete(w)
        assert (d.status.replicas, d.status.readyReplicas, d.status.availableReplicas) == (3, 3, 3)
        assert d.metadata.annotations[rollout.REVISION] == "1"
        available = conditions.find(d.status.conditions, "Available")
        assert (available.status, available.reason) == ("True", "MinimumReplicasAvailable")
        (rs,) = await sets(w)
        assert progressing(d) == (
            "True", "NewReplicaSetAvailable", f'ReplicaSet "{rs.metadata.name}" has successfully progressed.'
        )  # fmt: skip
        hash = rs.metadata.labels["pod-template-hash"]
        assert rs.metadata.name == f"web-{hash}" and set(hash) <= set("bcdfghjklmnpqrstvwxz2456789")
        assert all(p.metadata.labels["pod-template-hash"] == hash for p in await w.pods())
        await w.quiet()
        assert f"Normal ScalingReplicaSet: Scaled up replica set web-{hash} from 0 to 3" in await w.events()


async def test_a_rolling_update_never_has_too_many_or_too_few_pods(world):
    async with world(*BOTH) as w:
        await create(w, replicas=4)
        await complete(w)
        await set_image(w, "v2")
        seen = []

        async def check() -> bool:
            pods = await w.pods()
            alive = [p for p in pods if not p.metadata.deletionTimestamp]
            seen.append((len(alive), sum(bool(p.status.conditions) for p in alive)))
            d = await get(w)
            await w.run_pods()
            return d.metadata.annotations[rollout.REVISION] == "2" and rollout.is_complete(d, d.status)

        await w.until(check)
        assert max(total for total, _ in seen) <= 5, "25 % of 4 may surge"
        assert min(ready for _, ready in seen) >= 3, "25 % of 4 may be unavailable"
        old, new = await sets(w)
        assert (old.spec.replicas, new.spec.replicas) == (0, 4)


async def test_recreate_ends_all_old_pods_before_it_makes_new_ones(world):
    async with world(*BOTH) as w:
        await create(w, replicas=2, strategy={"type": "Recreate"})
        await complete(w)
        await set_image(w, "v2")
        mixed = []

        async def check() -> bool:
            images = {p.spec.containers[0].image for p in await w.pods()}
            mixed.append(len(images) > 1)
            await w.run_pods()
            d = await get(w)
            return d.metadata.annotations[rollout.REVISION] == "2" and rollout.is_complete(d, d.status)

        await w.until(check)
        assert not any(mixed)


async def test_a_rollback_takes_the_old_replica_set_with_a_new_revision(world):
    async with world(*BOTH) as w:
        await create(w, replicas=1)
        await complete(w)
        (first,) = await sets(w)
        await set_image(w, "v2")
        await complete(w, revision="2")
        await set_image(w, "v1")
        await complete(w, revision="3")
        again = await w.client.get(ReplicaSet, first.metadata.name, namespace="default")
        assert again.spec.replicas == 1
        assert again.metadata.annotations[rollout.REVISION] == "3"
        assert again.metadata.annotations[rollout.REVISION_HISTORY] == "1"
        assert len(await sets(w)) == 2


async def test_a_paused_deployment_scales_but_does_not_roll(world):
    async with world(*BOTH) as w:
        await create(w, replicas=1)
        await complete(w)
        await w.client.patch(Deployment, "web", {"spec": {"paused": True}}, namespace="default")
        await set_image(w, "v2")
        await w.client.patch(Deployment, "web", {"spec": {"replicas": 3}}, namespace="default")
        await w.until(lambda: _count(w, 3))
        assert len(await sets(w)) == 1
        assert progressing(await get(w)) == ("Unknown", "DeploymentPaused", "Deployment is paused")
        await w.client.patch(Deployment, "web", {"spec": {"paused": False}}, namespace="default")
        await complete(w, revision="2")


async def _count(w, number: int) -> bool:
    return len(await w.pods()) == number


async def test_a_rollout_that_stands_still_exceeds_its_deadline(world):
    async with world(*BOTH) as w:
        await create(w, replicas=1, progressDeadlineSeconds=60)

        async def late() -> bool:
            d = await get(w)
            found = conditions.find(d.status.conditions, "Progressing")
            return found is not None and found.reason == "ProgressDeadlineExceeded"

        await w.quiet()
        await w.clock.advance(50)
        assert not await late()
        await w.clock.advance(15)
        await w.until(late)
        (rs,) = await sets(w)
        assert progressing(await get(w))[2] == f'ReplicaSet "{rs.metadata.name}" has timed out progressing.'


async def test_old_replica_sets_beyond_the_history_limit_are_deleted(world):
    async with world(*BOTH) as w:
        await create(w, replicas=1, revisionHistoryLimit=1)
        await complete(w)
        for n, image in enumerate(("v2", "v3", "v4"), start=2):
            await set_image(w, image)
            await complete(w, revision=str(n))

        async def check() -> bool:
            return [rollout.revision(rs) for rs in await sets(w)] == [3, 4]

        await w.until(check)


async def test_a_matching_orphan_replica_set_is_adopted(world):
    async with world(*BOTH) as w:
        await create(w, replicas=2)
        await complete(w)
        (rs,) = await sets(w)
        await w.client.delete(Deployment, "web", namespace="default", propagation="Orphan")
        # The garbage collector does not run here: let go as it would.
        body = {"metadata": {"finalizers": None}}
        try:
            await w.client.patch(Deployment, "web", body, namespace="default")
        except Exception as error:
            assert "not found" in str(error)
        await w.client.patch(ReplicaSet, rs.metadata.name, {"metadata": {"ownerReferences": None}}, namespace="default")
        names = {p.metadata.name for p in await w.pods()}
        await create(w, replicas=2)
        d = await complete(w)
        (again,) = await sets(w)
        assert again.metadata.uid == rs.metadata.uid
        assert again.metadata.ownerReferences[0].uid == d.metadata.uid
        assert {p.metadata.name for p in await w.pods()} == names


async def test_a_hash_collision_is_counted_and_passed_by(world):
    async with world(*BOTH) as w:
        await create(w, replicas=1)
        await complete(w)
        (rs,) = await sets(w)
        name = rs.metadata.name
        await w.client.delete(Deployment, "web", namespace="default")
        await w.client.delete(ReplicaSet, name, namespace="default")
        squatter = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "other"}},
                "template": deployment(name="other")["spec"]["template"],
            },
        }
        await w.quiet()
        await w.client.raw.create("/apis/apps/v1/namespaces/default/replicasets", squatter)
        await create(w, replicas=1)
        d = await complete(w)
        assert d.status.collisionCount == 1
        own = [r for r in await sets(w) if r.metadata.ownerReferences]
        assert [r.metadata.name != name for r in own] == [True]


async def test_nothing_is_written_once_all_is_done(world):
    async with world(*BOTH) as w:
        await create(w)
        await complete(w)
        await w.quiet()
        before = (await get(w)).metadata.resourceVersion, [r.metadata.resourceVersion for r in await sets(w)]
        await w.clock.advance(600)
        assert before == ((await get(w)).metadata.resourceVersion, [r.metadata.resourceVersion for r in await sets(w)])


async def test_a_status_write_makes_no_new_generation(world):
    async with world(*BOTH) as w:
        await create(w)
        d = await complete(w)
        assert d.metadata.generation == 1
