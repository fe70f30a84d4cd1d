from __future__ import annotations

from typing import Any

import pytest

from minikube_api.meta import conditions, times
from minikube_api.schema.typed.core_v1 import Pod
from minikube_api.schema.typed.policy_v1 import PodDisruptionBudget

BASE = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
WORKLOADS = ("disruption-controller", "replicaset-controller", "deployment-controller")


async def budget(w, **spec: Any) -> None:
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}}
    await w.client.raw.create(BASE, {**body, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}})


async def pod(w, name: str, **meta: Any) -> Pod:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}, **meta}}
    body["spec"] = {"nodeName": "n1", "containers": [{"name": "c", "image": "v1"}]}
    await w.client.raw.create("/api/v1/namespaces/default/pods", body)
    return await w.set_ready(await w.client.get(Pod, name, namespace="default"))


async def deployment(w, replicas: int) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    await w.client.raw.create("/apis/apps/v1/namespaces/default/deployments", body)


async def counts(w, *expected: int) -> PodDisruptionBudget:
    async def check() -> PodDisruptionBudget | None:
        found = await w.client.get(PodDisruptionBudget, "b", namespace="default")
        s = found.status
        got = (s.expectedPods or 0, s.desiredHealthy or 0, s.currentHealthy or 0, s.disruptionsAllowed or 0)
        return found if got == expected else None

    return await w.until(check)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"minAvailable": "50%"}, (3, 2, 3, 1), id="least-share-rounds-up"),
        pytest.param({"maxUnavailable": "50%"}, (3, 1, 3, 2), id="most-share-rounds-up"),
        pytest.param({"maxUnavailable": 1}, (3, 2, 3, 1), id="most"),
        pytest.param({"minAvailable": 3}, (3, 3, 3, 0), id="least"),
    ],
)
async def test_disruptions_allowed_of_a_deployment(world, spec, expected):
    async with world(*WORKLOADS) as w:
        await deployment(w, 3)

        async def ready() -> bool:
            await w.run_pods()
            return len(await w.pods()) == 3

        await w.until(ready)
        await budget(w, **spec)
        found = await counts(w, *expected)
        condition = conditions.find(found.status.conditions, "DisruptionAllowed")
        assert (condition.status, condition.reason) == (
            ("True", "SufficientPods") if expected[3] else ("False", "InsufficientPods")
        )
        (first, *_) = await w.pods()
        await w.set_ready(first, ready=False)
        await counts(w, expected[0], expected[1], 2, max(0, 2 - expected[1]))


async def test_a_pod_without_controller_is_counted_for_an_absolute_number_only(world):
    async with world("disruption-controller") as w:
        await pod(w, "one")
        await pod(w, "two")
        await budget(w, minAvailable=1)
        await counts(w, 2, 1, 2, 1)
        await w.client.patch(PodDisruptionBudget, "b", {"spec": {"minAvailable": "50%"}}, namespace="default")
        await counts(w, 0, 0, 2, 0)
        await w.quiet(2)
        assert any("were found to be unmanaged" in e for e in await w.events())


async def test_an_owner_that_cannot_be_scaled_stops_evictions(world):
    async with world("disruption-controller") as w:
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
        await pod(w, "one", ownerReferences=[owner])
        await budget(w, maxUnavailable=1)

        async def told() -> Any:
            found = await w.client.get(PodDisruptionBudget, "b", namespace="default")
            return conditions.find(found.status.conditions, "DisruptionAllowed")

        condition = await w.until(told)
        assert (condition.status, condition.reason) == ("False", "SyncFailed")
        assert condition.message == "daemonsets.apps does not implement the scale subresource"


async def test_an_eviction_that_leads_to_nothing_expires(world):
    async with world("disruption-controller") as w:
        await pod(w, "one")
        await pod(w, "two")
        await budget(w, minAvailable=1)
        await counts(w, 2, 1, 2, 1)
        status = {"disruptedPods": {"one": times.now(w.clock)}, "disruptionsAllowed": 0}
        await w.client.patch(PodDisruptionBudget, "b", {"status": status}, namespace="default", subresource="status")
        await counts(w, 2, 1, 1, 0)
        await w.clock.advance(122)
        found = await counts(w, 2, 1, 2, 1)
        assert found.status.disruptedPods == {}


async def test_a_target_that_was_not_deleted_is_a_target_no_longer(world):
    async with world("disruption-controller") as w:
        one = await pod(w, "one")
        mark = {"type": "DisruptionTarget", "status": "True", "reason": "Eviction", "lastTransitionTime": times.now(w.clock)}
        await w.patch_status(one, {"conditions": [mark]})
        await w.quiet()
        await w.clock.advance(121)

        async def cleared() -> bool:
            found = await w.client.get(Pod, "one", namespace="default")
            return conditions.status_of(found.status.conditions, "DisruptionTarget") == "False"

        await w.until(cleared)
