"""Custom kinds with Python's clients as their users write them: the official dynamic client, kr8s, lightkube."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.definitions import gadget
from tests.e2e.manifests import deployment


@pytest.fixture
def dynamic(cluster: Cluster, gadgets: str) -> Iterator[Any]:
    """The official client's view of Gadgets."""
    import kubernetes

    with kubernetes.config.new_client_from_config(str(cluster.kubeconfig)) as client:
        yield kubernetes.dynamic.DynamicClient(client).resources.get(api_version=f"{gadgets}/v1", kind="Gadget")


@pytest.fixture
def light(cluster: Cluster, namespace: str) -> Iterator[Any]:
    """A lightkube client of the test's namespace."""
    import lightkube

    config = lightkube.KubeConfig.from_file(str(cluster.kubeconfig))
    with lightkube.Client(config=config, namespace=namespace, field_manager="light", trust_env=False) as client:
        yield client


def test_dynamic_client_from_creation_to_deletion(dynamic: Any, namespace: str, gadgets: str) -> None:
    from kubernetes.dynamic import exceptions

    made = dynamic.create(body=gadget(gadgets, "lamp", colour="red"), namespace=namespace)
    assert made.spec.to_dict() == {"colour": "red", "size": 1}
    with pytest.raises(exceptions.UnprocessibleEntityError) as refused:
        dynamic.create(body=gadget(gadgets, "lump", size=-1), namespace=namespace)
    assert "spec.size in body should be greater than or equal to 0" in str(refused.value)

    mine = {"name": "lamp", "namespace": namespace, "field_manager": "test"}
    with pytest.raises(exceptions.ConflictError):
        dynamic.server_side_apply(body=gadget(gadgets, "lamp", colour="green"), **mine)
    applied = dynamic.server_side_apply(body=gadget(gadgets, "lamp", colour="green"), force_conflicts=True, **mine)
    assert (applied.spec.to_dict(), applied.metadata.generation) == ({"colour": "green", "size": 1}, 2)
    applied = dynamic.server_side_apply(body=gadget(gadgets, "lamp"), **mine)
    assert applied.spec.to_dict() == {"size": 1}, "what its only owner no longer applies goes"

    merge = {"name": "lamp", "namespace": namespace, "content_type": "application/merge-patch+json"}
    told = dynamic.status.patch(body={"status": {"size": 1, "phase": "Built"}, "spec": {"size": 9}}, **merge)
    assert (told.status.phase, told.spec.size, told.metadata.generation) == ("Built", 1, 3)
    scaled = dynamic.scale.patch(body={"spec": {"replicas": 4}}, **merge)
    assert (scaled.kind, scaled.apiVersion, scaled.spec.replicas, scaled.status.replicas) == ("Scale", "autoscaling/v1", 4, 1)
    assert dynamic.get(name="lamp", namespace=namespace).spec.size == 4

    assert dynamic.delete(name="lamp", namespace=namespace).status == "Success"
    with pytest.raises(exceptions.NotFoundError):
        dynamic.get(name="lamp", namespace=namespace)


def test_dynamic_client_watches_from_a_revision(dynamic: Any, namespace: str, gadgets: str) -> None:
    since = dynamic.get(namespace=namespace).metadata.resourceVersion
    for name in ("one", "two"):
        dynamic.create(body=gadget(gadgets, name), namespace=namespace)
    dynamic.scale.patch(
        body={"spec": {"replicas": 2}}, name="one", namespace=namespace, content_type="application/merge-patch+json"
    )
    dynamic.delete(name="two", namespace=namespace)
    seen = []
    for event in dynamic.watch(namespace=namespace, resource_version=since, timeout=20):
        seen.append((event["type"], event["object"].metadata.name, event["object"].spec.size))
        if event["type"] == "DELETED":
            break
    assert seen == [("ADDED", "one", 1), ("ADDED", "two", 1), ("MODIFIED", "one", 2), ("DELETED", "two", 1)]


async def test_kr8s_knows_a_custom_kind(cluster: Cluster, kubectl: Program, namespace: str, gadgets: str) -> None:
    import kr8s.asyncio
    from kr8s.asyncio.objects import new_class

    api = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig))
    gadget_class: Any = new_class(kind="Gadget", version=f"{gadgets}/v1", plural="gadgets", scalable=True, scalable_spec="size")
    tree = gadget(gadgets, "lamp", colour="red")
    tree["metadata"]["namespace"] = namespace
    lamp = await gadget_class(tree, api=api)
    await lamp.create()
    assert lamp.spec.size == 1
    await lamp.patch({"status": {"phase": "Built", "size": 1}}, subresource="status")
    await lamp.wait("jsonpath='{.status.phase}'=Built", timeout=20)
    await lamp.patch({"spec": {"size": 2}})
    await lamp.annotate(seen="yes")
    found = [g async for g in api.get(gadget_class, namespace=namespace)]
    assert [(g.name, g.spec.size, g.annotations["seen"]) for g in found] == [("lamp", 2, "yes")]
    async for event, changed in api.watch(gadget_class, namespace=namespace):
        assert (event, changed.name) == ("ADDED", "lamp")
        break
    await lamp.delete()
    await lamp.wait("delete", timeout=20)
    assert not await lamp.exists()


def test_lightkube_generic_resource(light: Any, gadgets: str) -> None:
    from lightkube import ApiError
    from lightkube.generic_resource import create_namespaced_resource
    from lightkube.types import PatchType

    kind = create_namespaced_resource(gadgets, "v1", "Gadget", "gadgets")
    made = light.create(kind(metadata={"name": "lamp"}, spec={"colour": "red"}))
    assert made.spec == {"colour": "red", "size": 1}
    since = made.metadata.resourceVersion
    with pytest.raises(ApiError) as refused:
        light.patch(kind, "lamp", {"spec": {"size": 2}}, patch_type=PatchType.STRATEGIC)
    assert refused.value.status.code == 415, "custom kinds know no strategic merge"
    assert light.patch(kind, "lamp", {"spec": {"size": 2}}, patch_type=PatchType.MERGE).spec["size"] == 2
    stale = kind(metadata={"name": "lamp", "resourceVersion": since}, spec={"size": 3})
    with pytest.raises(ApiError) as conflict:
        light.replace(stale)
    assert (conflict.value.status.code, conflict.value.status.reason) == (409, "Conflict")
    applied = light.apply(kind(metadata={"name": "lamp"}, spec={"size": 5}), force=True)
    assert applied.spec == {"colour": "red", "size": 5}
    told = light.patch(kind.Status, "lamp", {"status": {"size": 5}}, patch_type=PatchType.MERGE)
    assert told.status == {"size": 5}
    scale = light.get(kind.Scale, "lamp")
    assert (scale.spec.replicas, scale.status.replicas) == (5, 5)
    light.delete(kind, "lamp")
    seen = []
    for event, changed in light.watch(kind, resource_version=since, server_timeout=20):
        seen.append((event, changed.spec["size"]))
        if event == "DELETED":
            break
    assert seen == [("MODIFIED", 2), ("MODIFIED", 5), ("MODIFIED", 5), ("DELETED", 5)]


def test_lightkube_typed_deployment(light: Any, namespace: str) -> None:
    from lightkube.codecs import from_dict
    from lightkube.models.autoscaling_v1 import ScaleSpec
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import Pod
    from lightkube.types import CascadeType

    made = light.create(from_dict(deployment("crew", replicas=1)))
    assert isinstance(made, Deployment)
    assert made.metadata.creationTimestamp.tzinfo is not None
    assert made.spec.strategy.rollingUpdate.maxSurge == "25%"
    ready = light.wait(Deployment, "crew", for_conditions=["Available"])
    assert ready.status.availableReplicas == 1
    scale = Deployment.Scale(metadata=ObjectMeta(name="crew", namespace=namespace), spec=ScaleSpec(replicas=2))
    assert light.replace(scale).spec.replicas == 2
    for _, changed in light.watch(Deployment, fields={"metadata.name": "crew"}, server_timeout=30):
        if changed.status.readyReplicas == 2:
            break
    pods = list(light.list(Pod, labels={"app": "crew"}, chunk_size=1))
    assert len(pods) == 2, "pages of one follow each other"
    light.delete(Deployment, "crew", cascade=CascadeType.FOREGROUND)
    eventually(lambda: not list(light.list(Deployment)))
    assert list(light.list(Pod, labels={"app": "crew"})) == [], "dependents go first"
