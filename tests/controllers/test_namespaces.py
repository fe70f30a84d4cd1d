from __future__ import annotations

from typing import Any

from minikube_api.meta import conditions
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import ConfigMap, Namespace, Pod, ServiceAccount
from minikube_py.controllers.namespaces import Progress, conditions_of


async def gone(w, name: str) -> bool:
    try:
        await w.client.get(Namespace, name)
    except NotFound:
        return True
    return False


async def create_map(w, namespace: str, name: str, **metadata: Any) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    await w.client.raw.create(f"/api/v1/namespaces/{namespace}/configmaps", body)


async def create_pod(w, namespace: str, name: str, **metadata: Any) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
    await w.client.raw.create(f"/api/v1/namespaces/{namespace}/pods", body)


async def test_a_deleted_namespace_goes_with_its_contents(world):
    async with world("namespace-controller") as w:
        await w.namespace("other")
        await create_map(w, "other", "a")
        await create_map(w, "default", "stays")
        await w.client.delete(Namespace, "other")
        await w.until(lambda: gone(w, "other"))
        assert [c.metadata.name for c in (await w.client.list(ConfigMap, namespace="default")).items] == ["stays"]
        assert (await w.client.list(ConfigMap, namespace="other")).items == []


async def test_pods_go_first_and_the_rest_waits_for_them(world):
    async with world("namespace-controller") as w:
        await w.namespace("other")
        await create_map(w, "other", "a")
        await create_pod(w, "other", "p")
        await w.client.delete(Namespace, "other")

        async def told() -> str:
            status = (await w.client.get(Namespace, "other")).status
            found = conditions.find(status.conditions, "NamespaceContentRemaining")
            return found.message if found is not None else ""

        assert await w.until(told) == "Some resources are remaining: pods has 1 resource instances"
        await w.quiet()
        assert len((await w.client.list(ConfigMap, namespace="other")).items) == 1
        (pod,) = await w.pods("other")
        assert pod.metadata.deletionTimestamp is not None
        await w.client.delete(Pod, "p", namespace="other", grace_period_seconds=0)
        await w.until(lambda: gone(w, "other"), seconds=2)


async def test_content_with_finalizers_is_told_and_waited_for(world):
    async with world("namespace-controller") as w:
        await w.namespace("other")
        await create_map(w, "other", "a", finalizers=["example.com/hold"])
        await w.client.delete(Namespace, "other")

        async def told() -> str:
            status = (await w.client.get(Namespace, "other")).status
            found = conditions.find(status.conditions, "NamespaceFinalizersRemaining")
            return found.message if found is not None else ""

        expected = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        assert await w.until(told) == expected
        await w.client.patch(ConfigMap, "a", {"metadata": {"finalizers": None}}, namespace="other")
        await w.until(lambda: gone(w, "other"), seconds=30)


async def test_a_namespace_that_is_not_deleted_is_left_alone(world):
    async with world("namespace-controller") as w:
        await create_map(w, "default", "a")
        await w.quiet()
        assert len((await w.client.list(ConfigMap, namespace="default")).items) == 1


def test_conditions_of_an_empty_namespace_are_all_false():
    assert [(c["type"], c["status"], c["reason"]) for c in conditions_of(Progress())] == [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions"),
        ("NamespaceDeletionContentFailure", "False", "ContentDeleted"),
        ("NamespaceContentRemaining", "False", "ContentRemoved"),
        ("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers"),
    ]


async def test_every_namespace_has_its_default_account_and_ca_again_when_deleted(world):
    names = ("serviceaccount-controller", "root-ca-certificate-publisher-controller")
    async with world(*names, root_ca="PEM") as w:
        await w.namespace("other")

        async def there() -> bool:
            accounts = (await w.client.list(ServiceAccount, namespace="other")).items
            maps = (await w.client.list(ConfigMap, namespace="other")).items
            return [a.metadata.name for a in accounts] == ["default"] and [m.data for m in maps] == [{"ca.crt": "PEM"}]

        await w.until(there)
        await w.client.delete(ServiceAccount, "default", namespace="other")
        await w.client.delete(ConfigMap, "kube-root-ca.crt", namespace="other")
        await w.until(there)
        await w.client.patch(ConfigMap, "kube-root-ca.crt", {"data": {"ca.crt": "forged"}}, namespace="other")
        await w.until(there)
