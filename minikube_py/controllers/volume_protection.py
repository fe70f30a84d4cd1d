"""Protection of claims that pods use and of volumes that claims use: their finalizers go when the last user has gone.

Source: "Storage Object in Use Protection", pkg/controller/volume/{pvcprotection,pvprotection}. Admission sets the finalizers.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from minikube_py.controllers.runner import Controller, Key, Result, key_of

CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"
#: Index of pods by `NAMESPACE/CLAIM`.
CLAIM_INDEX: Final = "claim"


def claims_of(pod: Pod) -> tuple[str, ...]:
    """Names of the claims that a pod uses, those of its ephemeral volumes (POD-VOLUME) among them."""
    names = []
    for volume in pod.spec.volumes:
        if volume.persistentVolumeClaim is not None:
            names.append(volume.persistentVolumeClaim.claimName)
        elif volume.ephemeral is not None:
            names.append(f"{pod.metadata.name}-{volume.name}")
    return tuple(names)


def claim_index(pod: Pod) -> tuple[str, ...]:
    return tuple(f"{pod.metadata.namespace}/{name}" for name in claims_of(pod))


async def _set_finalizers(controller: Controller, obj: Any, finalizers: tuple[str, ...]) -> None:
    try:
        await controller.client.update(replace(obj, metadata=replace(obj.metadata, finalizers=finalizers)))
    except NotFound:
        pass  # gone, so nothing is to be protected


class ClaimProtectionController(Controller):
    name = "persistentvolumeclaim-protection-controller"
    identity = "pvc-protection-controller"
    workers = 1

    def setup(self) -> None:
        self._claims = self.informers.informer(PersistentVolumeClaim)
        self._pods = self.informers.informer(Pod)
        self._pods.add_index(CLAIM_INDEX, claim_index)
        self._claims.on_change(self.enqueue)
        self._pods.on_delete(self._pod_gone)

    def _pod_gone(self, pod: Pod) -> None:
        for name in claims_of(pod):
            self.queue.add(Key(pod.metadata.namespace, name))

    async def reconcile(self, key: Key) -> Result | None:
        claim = self._claims.get(*key)
        if claim is None:
            return None
        finalizers = claim.metadata.finalizers
        is_protected = CLAIM_FINALIZER in finalizers
        if claim.metadata.deletionTimestamp is None:
            if not is_protected:
                await _set_finalizers(self, claim, (*finalizers, CLAIM_FINALIZER))
        elif is_protected and not self._is_used(self._pods.index(CLAIM_INDEX, str(key)), key):
            # The cache may be behind a pod that was just bound: ask the server before letting data go.
            if not self._is_used((await self.client.list(Pod, namespace=key.namespace)).items, key):
                await _set_finalizers(self, claim, tuple(f for f in finalizers if f != CLAIM_FINALIZER))
        return None

    @staticmethod
    def _is_used(listed: list[Pod], key: Key) -> bool:
        """A pod without node can't be started with a claim that is being deleted, so it does not hold it."""
        return any(pod.spec.nodeName and key.name in claims_of(pod) for pod in listed)


class VolumeProtectionController(Controller):
    name = "persistentvolume-protection-controller"
    identity = "pv-protection-controller"
    workers = 1

    def setup(self) -> None:
        self._volumes = self.informers.informer(PersistentVolume)
        self._volumes.on_change(self.enqueue)

    async def reconcile(self, key: Key) -> Result | None:
        volume = self._volumes.get(*key)
        if volume is None:
            return None
        finalizers = volume.metadata.finalizers
        is_protected = VOLUME_FINALIZER in finalizers
        if volume.metadata.deletionTimestamp is None:
            if not is_protected:
                await _set_finalizers(self, volume, (*finalizers, VOLUME_FINALIZER))
        elif is_protected and volume.status.phase != "Bound":
            await _set_finalizers(self, volume, tuple(f for f in finalizers if f != VOLUME_FINALIZER))
        return None


class EphemeralVolumeController(Controller):
    """Makes the claims of pods' ephemeral volumes (KEP-1698); the pod owns them, so they go with it."""

    name = "ephemeral-volume-controller"
    identity = "ephemeral-volume-controller"
    component = "ephemeral_volume"

    def setup(self) -> None:
        self._pods = self.informers.informer(Pod)
        self._claims = self.informers.informer(PersistentVolumeClaim)
        self._pods.add_index(CLAIM_INDEX, claim_index)
        self._pods.on_add(self._pod_added)
        self._claims.on_delete(self._claim_gone)

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletionTimestamp is None and any(volume.ephemeral is not None for volume in pod.spec.volumes):
            self.enqueue(pod)

    def _claim_gone(self, claim: PersistentVolumeClaim) -> None:
        for pod in self._pods.index(CLAIM_INDEX, str(key_of(claim))):
            self._pod_added(pod)

    async def reconcile(self, key: Key) -> Result | None:
        pod = self._pods.get(*key)
        if pod is None or pod.metadata.deletionTimestamp is not None:
            return None
        for volume in pod.spec.volumes:
            if volume.ephemeral is not None and volume.ephemeral.volumeClaimTemplate is not None:
                await self._ensure(pod, volume.name, volume.ephemeral.volumeClaimTemplate)
        return None

    async def _ensure(self, pod: Pod, volume: str, template: Any) -> None:
        from minikube_api.schema.typed.meta_v1 import ObjectMeta
        from minikube_py.controllers import owners

        name = f"{pod.metadata.name}-{volume}"
        found = self._claims.get(pod.metadata.namespace, name)
        if found is not None:
            if not owners.is_controlled_by(found, pod):
                # The pod must not use somebody else's data: tried again with back-off, since the claim may go.
                raise RuntimeError(f'PVC "{key_of(found)}" was not created for pod "{key_of(pod)}" (pod is not owner)')
            return
        claim = PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=name,
                namespace=pod.metadata.namespace,
                labels=template.metadata.labels,
                annotations=template.metadata.annotations,
                ownerReferences=(owners.controller_reference(pod),),
            ),
            spec=template.spec,
        )
        try:
            await self.client.create(claim)
        except Exception as error:
            self.recorder.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: create PVC {name}: {error}")
            raise
