from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest

from minikube_api.client.stepping import settle
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import ConfigMap


@pytest.fixture
def gc_world(world):
    @asynccontextmanager
    async def make(*others: str):
        async with world("garbage-collector-controller", *others) as w:
            collector = w.manager.controllers["garbage-collector-controller"]
            for _ in range(200):
                if collector._ready.is_set():
                    break
                await settle()
            assert collector._ready.is_set(), "the collector's monitors are not synced"
            yield w

    return make


async def create(w, name: str, *owners: ConfigMap, namespace: str = "default", block: bool = False, **meta: Any):
    refs = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": o.metadata.name,
            "uid": o.metadata.uid,
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for o in owners
    ]
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": refs, **meta}}
    await w.client.raw.create(f"/api/v1/namespaces/{namespace}/configmaps", body)
    return await w.client.get(ConfigMap, name, namespace=namespace)


async def names(w) -> list[str]:
    return sorted(c.metadata.name for c in (await w.client.list(ConfigMap, namespace="default")).items)


async def left(w, *expected: str) -> None:
    async def check() -> bool:
        return await names(w) == sorted(expected)

    await w.until(check)


async def delete(w, name: str, propagation: str = "") -> None:
    await w.client.delete(ConfigMap, name, namespace="default", propagation=propagation)


async def test_dependents_follow_their_owner_down_the_chain(gc_world):
    async with gc_world() as w:
        a = await create(w, "a")
        b = await create(w, "b", a)
        await create(w, "c", b)
        await create(w, "stays")
        await w.quiet()
        await delete(w, "a", "Background")
        await left(w, "stays")


async def test_an_object_with_another_owner_stays_and_loses_the_reference(gc_world):
    async with gc_world() as w:
        a, b = await create(w, "a"), await create(w, "b")
        await create(w, "child", a, b)
        await w.quiet()
        await delete(w, "a")

        async def check() -> bool:
            child = await w.client.get(ConfigMap, "child", namespace="default")
            return [r.name for r in child.metadata.ownerReferences] == ["b"]

        await w.until(check)
        await left(w, "b", "child")


async def test_foreground_deletion_ends_the_owner_after_its_dependents(gc_world):
    async with gc_world() as w:
        a = await create(w, "a")
        await create(w, "held", a, block=True, finalizers=["example.com/hold"])
        await create(w, "free", a, block=True)
        await w.quiet()
        await delete(w, "a", "Foreground")
        await left(w, "a", "held")
        owner = await w.client.get(ConfigMap, "a", namespace="default")
        assert owner.metadata.finalizers == ("foregroundDeletion",)
        await w.client.patch(ConfigMap, "held", {"metadata": {"finalizers": None}}, namespace="default")
        await left(w)


async def test_orphaned_dependents_stay_without_the_reference(gc_world):
    async with gc_world() as w:
        a = await create(w, "a")
        await create(w, "child", a)
        await w.quiet()
        await delete(w, "a", "Orphan")
        await left(w, "child")
        child = await w.client.get(ConfigMap, "child", namespace="default")
        assert child.metadata.ownerReferences == ()


async def test_an_object_whose_owner_never_was_goes(gc_world):
    async with gc_world() as w:
        a = await create(w, "a")
        await delete(w, "a")
        await w.quiet()
        await create(w, "late", a)
        await left(w)


async def test_an_owner_of_the_same_name_but_another_uid_is_no_owner(gc_world):
    async with gc_world() as w:
        a = await create(w, "a")
        await delete(w, "a")
        await create(w, "a")
        await create(w, "late", a)
        await left(w, "a")


async def test_a_cluster_scoped_object_with_a_namespaced_owner_is_kept(gc_world):
    async with gc_world() as w:
        ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "no-such-uid"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept", "ownerReferences": [ref]}}
        await w.client.raw.create("/api/v1/namespaces", body)
        await w.quiet(2)
        try:
            tree = await w.client.raw.get("/api/v1/namespaces/kept")
        except NotFound:
            pytest.fail("the namespace was deleted for an owner that can't be resolved")
        assert "deletionTimestamp" not in tree["metadata"]
        assert any("OwnerRefInvalidNamespace" in e for e in await w.events())


async def test_a_deployment_takes_its_replica_sets_and_pods_with_it(gc_world):
    async with gc_world("deployment-controller", "replicaset-controller") as w:
        labels = {"app": "web"}
        spec = {"containers": [{"name": "c", "image": "i"}]}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
        await w.client.raw.create("/apis/apps/v1/namespaces/default/deployments", body)

        async def made() -> bool:
            return len(await w.pods()) == 2

        await w.until(made)
        await w.client.raw.delete("/apis/apps/v1/namespaces/default/deployments/web", {"propagationPolicy": "Foreground"})

        async def all_gone() -> bool:
            await w.run_pods()
            paths = ("/apis/apps/v1/namespaces/default/deployments", "/apis/apps/v1/namespaces/default/replicasets")
            lists = [await w.client.raw.get(path) for path in paths]
            return not await w.pods() and not any(tree["items"] for tree in lists)

        await w.until(all_gone)
