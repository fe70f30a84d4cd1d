from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod

BINDER = "persistentvolume-binder-controller"
PROTECTION = ("persistentvolume-protection-controller", "persistentvolumeclaim-protection-controller")
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


async def volume(w, name: str, size: str, **spec: Any) -> None:
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}}
    body["spec"] = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}} | spec
    await w.client.raw.create("/api/v1/persistentvolumes", body)


async def claim(w, size: str = "1Gi", **spec: Any) -> None:
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    body["spec"] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}} | spec
    await w.client.raw.create(CLAIMS, body)


async def storage_class(w, **fields: Any) -> None:
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "standard"}} | fields
    await w.client.raw.create("/apis/storage.k8s.io/v1/storageclasses", body)


async def pod(w, **spec: Any) -> None:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}}
    body["spec"] = {"nodeName": "n1", "containers": [{"name": "c", "image": "v1"}], "volumes": volumes} | spec
    await w.client.raw.create("/api/v1/namespaces/default/pods", body)


async def get(w) -> PersistentVolumeClaim:
    return await w.client.get(PersistentVolumeClaim, "data", namespace="default")


async def phase(w, expected: str) -> PersistentVolumeClaim:
    async def check() -> PersistentVolumeClaim | None:
        found = await get(w)
        return found if found.status.phase == expected else None

    return await w.until(check)


async def volume_phase(w, name: str, expected: str) -> None:
    async def check() -> bool:
        return (await w.client.get(PersistentVolume, name)).status.phase == expected

    await w.until(check)


async def test_the_smallest_fitting_volume_is_bound(world):
    async with world(BINDER) as w:
        await volume(w, "large", "5Gi")
        await volume(w, "fits", "2Gi")
        await volume(w, "small", "500Mi")
        for name in ("large", "fits", "small"):
            await volume_phase(w, name, "Available")
        await claim(w, "1Gi", storageClassName="")
        found = await phase(w, "Bound")
        assert (found.spec.volumeName, found.status.capacity) == ("fits", {"storage": "2Gi"})
        bound = await w.client.get(PersistentVolume, "fits")
        assert (bound.status.phase, bound.spec.claimRef.uid) == ("Bound", found.metadata.uid)


async def test_a_claim_waits_for_a_volume(world):
    async with world(BINDER) as w:
        await claim(w, storageClassName="")
        await phase(w, "Pending")
        await volume(w, "late", "1Gi")
        assert (await phase(w, "Bound")).spec.volumeName == "late"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [pytest.param("Retain", "Released", id="retain"), pytest.param("Delete", "Failed", id="delete-host-path")],
)
async def test_what_becomes_of_the_volume_of_a_deleted_claim(world, policy, expected):
    async with world(BINDER) as w:
        await volume(w, "v", "1Gi", persistentVolumeReclaimPolicy=policy)
        await claim(w, storageClassName="")
        await phase(w, "Bound")
        await w.client.delete(PersistentVolumeClaim, "data", namespace="default")
        await volume_phase(w, "v", expected)


async def test_a_claim_whose_volume_vanished_is_lost(world):
    async with world(BINDER) as w:
        await volume(w, "v", "1Gi")
        await claim(w, storageClassName="")
        await phase(w, "Bound")
        await w.client.delete(PersistentVolume, "v")
        await phase(w, "Lost")


async def test_a_local_volume_is_made_on_the_selected_node_and_removed_with_its_claim(world, tmp_path: Path):
    async with world(BINDER, volumes_directory=str(tmp_path)) as w:
        await w.node("n1", labels={"kubernetes.io/hostname": "n1"})
        mode = {"volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete"}
        await storage_class(w, provisioner="minikube.dev/local-path", **mode)
        await claim(w, storageClassName="standard")
        await phase(w, "Pending")
        await w.quiet()
        assert list(tmp_path.iterdir()) == []
        selected = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}
        await w.client.patch(PersistentVolumeClaim, "data", selected, namespace="default")
        found = await phase(w, "Bound")
        directory = tmp_path / f"pvc-{found.metadata.uid}"
        (directory / "file").write_text("kept")
        await w.client.delete(PersistentVolumeClaim, "data", namespace="default")

        async def gone() -> bool:
            return not (await w.client.list(PersistentVolume)).items

        await w.until(gone)
        assert not directory.exists()


async def test_a_claim_in_use_is_deleted_when_its_last_pod_has_gone(world):
    async with world(*PROTECTION) as w:
        await claim(w, storageClassName="")

        async def protected() -> bool:
            return "kubernetes.io/pvc-protection" in (await get(w)).metadata.finalizers

        await w.until(protected)
        await pod(w)
        await w.quiet()
        await w.client.delete(PersistentVolumeClaim, "data", namespace="default")
        await w.quiet()
        assert (await get(w)).metadata.deletionTimestamp
        await w.client.delete(Pod, "user", namespace="default", grace_period_seconds=0)
        await w.quiet()
        with pytest.raises(NotFound):
            await get(w)


async def test_an_ephemeral_volume_gets_a_claim_that_the_pod_owns(world):
    async with world("ephemeral-volume-controller") as w:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await pod(w, volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}])

        async def made() -> PersistentVolumeClaim | None:
            found = (await w.client.list(PersistentVolumeClaim, namespace="default")).items
            return found[0] if found else None

        found = await w.until(made)
        assert (found.metadata.name, found.metadata.ownerReferences[0].kind) == ("user-scratch", "Pod")
