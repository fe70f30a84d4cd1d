from __future__ import annotations

from typing import Any

import pytest

from minikube_api.meta.errors import Forbidden
from minikube_api.schema.typed.core_v1 import ConfigMap, Pod, ResourceQuota
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers import resourcequota

CORE = "/api/v1/namespaces/default"


async def quota(w, hard: dict[str, str], **spec: Any) -> None:
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}
    await w.client.raw.create(f"{CORE}/resourcequotas", body)


async def pod(w, name: str, **requests: str) -> None:
    spec = {"containers": [{"name": "c", "image": "v1", "resources": {"requests": requests}}]}
    await w.client.raw.create(f"{CORE}/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


async def used(w, **expected: str) -> None:
    async def check() -> bool:
        found = await w.client.get(ResourceQuota, "q", namespace="default")
        return found.status.used == {name.replace("__", "."): value for name, value in expected.items()}

    await w.until(check)


async def test_what_is_there_is_counted_when_the_quota_comes(world):
    async with world("resourcequota-controller") as w:
        await pod(w, "one", cpu="250m", memory="1Gi")
        await pod(w, "two", cpu="250m")
        await quota(w, {"pods": "10", "requests.cpu": "1", "memory": "2Gi", "limits.cpu": "5"})
        await used(w, pods="2", requests__cpu="500m", memory="1Gi", limits__cpu="0")
        found = await w.client.get(ResourceQuota, "q", namespace="default")
        assert found.status.hard == found.spec.hard


async def test_pods_that_go_or_end_are_counted_no_longer(world):
    async with world("resourcequota-controller", "serviceaccount-controller", plugins=True) as w:
        await w.quiet()
        await quota(w, {"pods": "2", "count/pods": "3"})
        await used(w, pods="0", **{"count/pods": "0"})
        await pod(w, "one")
        await pod(w, "two")
        await used(w, pods="2", **{"count/pods": "2"})
        with pytest.raises(Forbidden, match="exceeded quota: q"):
            await pod(w, "three")
        await w.patch_status(await w.client.get(Pod, "one", namespace="default"), {"phase": "Succeeded"})
        await used(w, pods="1", **{"count/pods": "2"})
        await pod(w, "three")
        await w.client.delete(Pod, "two", namespace="default", grace_period_seconds=0)
        await used(w, pods="1", **{"count/pods": "2"})


async def test_objects_of_any_kind_are_counted_by_their_number(world):
    async with world("resourcequota-controller") as w:
        await w.client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))
        await quota(w, {"configmaps": "5", "count/deployments.apps": "1", "count/unknowns.example.com": "1"})
        await used(w, configmaps="1", **{"count/deployments.apps": "0"})
        await w.client.delete(ConfigMap, "a", namespace="default")
        await used(w, configmaps="0", **{"count/deployments.apps": "0"})


async def test_a_count_of_a_write_that_failed_is_put_right(world):
    async with world("resourcequota-controller") as w:
        await quota(w, {"pods": "2"})
        await used(w, pods="0")
        await w.client.patch(ResourceQuota, "q", {"status": {"used": {"pods": "2"}}}, namespace="default", subresource="status")
        await w.quiet()
        await w.clock.advance(resourcequota.RESYNC)
        await used(w, pods="0")


async def test_scopes_select_the_pods_that_count(world):
    async with world("resourcequota-controller") as w:
        await pod(w, "plain")
        await pod(w, "asking", cpu="1")
        await quota(w, {"pods": "9"}, scopes=["BestEffort"])
        await used(w, pods="1")
