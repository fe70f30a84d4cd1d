"""EndpointSlice, Endpoints and mirroring controllers against the server."""

from __future__ import annotations

from typing import Any

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import Endpoints, Pod
from minikube_api.schema.typed.discovery_v1 import EndpointSlice
from minikube_py.controllers import slices

ALL = ("endpointslice-controller", "endpoints-controller", "endpointslice-mirroring-controller")


async def create_service(w, name: str = "web", **spec: Any) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"team": "x"}},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec},
    }
    await w.client.raw.create("/api/v1/namespaces/default/services", body)


async def create_pod(w, name: str, ip: str, **labels: str) -> Pod:
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", **labels}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"},
    }
    await w.client.raw.create("/api/v1/namespaces/default/pods", body)
    pod = await w.client.get(Pod, name, namespace="default")
    return await w.set_ready(pod, ip=ip)


async def slices_of(w, name: str) -> list[EndpointSlice]:
    return (await w.client.list(EndpointSlice, namespace="default", label_selector=f"{slices.SERVICE_NAME}={name}")).items


async def addresses(w, name: str = "web") -> dict[str, bool | None]:
    return {
        address: e.conditions.ready for s in await slices_of(w, name) for e in s.endpoints or () for address in e.addresses or ()
    }


async def reached(w, expected: dict[str, bool], name: str = "web") -> None:
    async def check() -> bool:
        return await addresses(w, name) == expected

    await w.until(check)


async def test_a_service_gets_slices_and_endpoints_of_its_pods(world):
    async with world(*ALL) as w:
        await create_service(w, selector={"app": "web"})
        await create_pod(w, "a", "10.0.0.1")
        await create_pod(w, "other", "10.0.0.9", app="other")
        await reached(w, {"10.0.0.1": True})
        (only,) = await slices_of(w, "web")
        assert only.metadata.name.startswith("web-") and only.addressType == "IPv4"
        assert only.metadata.labels[slices.MANAGED_BY] == "endpointslice-controller.k8s.io"
        assert only.metadata.labels["team"] == "x"
        assert [(p.name, p.port, p.protocol) for p in only.ports] == [("http", 8080, "TCP")]
        assert only.endpoints[0].nodeName == "n1" and only.endpoints[0].targetRef.name == "a"
        assert only.metadata.ownerReferences[0].kind == "Service"
        endpoints = await w.client.get(Endpoints, "web", namespace="default")
        assert [a.ip for s in endpoints.subsets for a in s.addresses] == ["10.0.0.1"]


async def test_endpoints_follow_readiness_labels_and_deletion(world):
    async with world(*ALL) as w:
        await create_service(w, selector={"app": "web"})
        a = await create_pod(w, "a", "10.0.0.1")
        b = await create_pod(w, "b", "10.0.0.2")
        await reached(w, {"10.0.0.1": True, "10.0.0.2": True})
        await w.set_ready(b, ready=False, ip="10.0.0.2")
        await reached(w, {"10.0.0.1": True, "10.0.0.2": False})
        await w.client.patch(Pod, "b", {"metadata": {"labels": {"app": "x"}}}, namespace="default")
        await reached(w, {"10.0.0.1": True})
        await w.client.delete(Pod, a.metadata.name, namespace="default", grace_period_seconds=0)
        await reached(w, {})


async def test_a_slice_that_somebody_deletes_comes_back(world):
    async with world(*ALL) as w:
        await create_service(w, selector={"app": "web"})
        await create_pod(w, "a", "10.0.0.1")
        await reached(w, {"10.0.0.1": True})
        (only,) = await slices_of(w, "web")
        await w.client.delete(EndpointSlice, only.metadata.name, namespace="default")
        await reached(w, {"10.0.0.1": True})
        (again,) = await slices_of(w, "web")
        assert again.metadata.uid != only.metadata.uid


async def test_endpoints_of_a_deleted_service_go(world):
    async with world(*ALL) as w:
        await create_service(w, selector={"app": "web"})
        await create_pod(w, "a", "10.0.0.1")
        await reached(w, {"10.0.0.1": True})
        await w.client.raw.delete("/api/v1/namespaces/default/services/web")

        async def gone() -> bool:
            try:
                await w.client.get(Endpoints, "web", namespace="default")
            except NotFound:
                return True
            return False

        await w.until(gone)


async def test_custom_endpoints_are_mirrored(world):
    async with world(*ALL) as w:
        await create_service(w, name="custom")
        body = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "custom"},
            "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "http", "port": 99}]}],
        }
        await w.client.raw.create("/api/v1/namespaces/default/endpoints", body)
        await reached(w, {"192.0.2.7": True}, "custom")
        (only,) = await slices_of(w, "custom")
        assert only.metadata.labels[slices.MANAGED_BY] == "endpointslicemirroring-controller.k8s.io"
        await w.client.patch(Endpoints, "custom", {"subsets": None}, namespace="default")
        await reached(w, {}, "custom")
