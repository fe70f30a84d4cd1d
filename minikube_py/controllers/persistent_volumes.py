"""PersistentVolume binder: ties claims to volumes, has volumes made for claims, reclaims those of claims that are gone.

Source: pkg/controller/volume/persistentvolume (pv_controller.go). One worker: two claims must not be given one volume. Every step of a binding
is a write of its own; whatever was interrupted is taken up where it stopped, since each step is seen in the objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from minikube_api.meta import times
from minikube_api.meta.errors import AlreadyExists, NotFound
from minikube_api.schema.typed.core_v1 import Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod
from minikube_api.schema.typed.storage_v1 import StorageClass
from minikube_py.controllers import volume_matching
from minikube_py.controllers.local_volumes import PROVISIONED_BY, PROVISIONER, LocalVolumes, ProvisioningError
from minikube_py.controllers.runner import Context, Controller, Key, Result, key_of
from minikube_py.controllers.volume_protection import CLAIM_INDEX, claim_index

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"


class PersistentVolumeController(Controller):
    """Keys are claims, and volumes (without namespace)."""

    name = "persistentvolume-binder-controller"
    identity = "persistent-volume-binder"
    component = "persistentvolume-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        directory = self.options.volumes_directory
        self._local = LocalVolumes(Path(directory)) if directory else None

    def setup(self) -> None:
        self._claims = self.informers.informer(PersistentVolumeClaim)
        self._volumes = self.informers.informer(PersistentVolume)
        self._classes = self.informers.informer(StorageClass)
        self._nodes = self.informers.informer(Node)
        self._pods = self.informers.informer(Pod)
        self._pods.add_index(CLAIM_INDEX, claim_index)
        self._claims.on_change(self._claim_changed)
        self._volumes.on_change(self._volume_changed)
        self._classes.on_change(lambda _: self._enqueue_unbound())

    def _claim_changed(self, claim: PersistentVolumeClaim) -> None:
        self.enqueue(claim)
        if claim.spec.volumeName:
            self.queue.add(Key("", claim.spec.volumeName))

    def _volume_changed(self, volume: PersistentVolume) -> None:
        self.enqueue(volume)
        ref = volume.spec.claimRef
        if ref is not None:
            self.queue.add(Key(ref.namespace or "", ref.name or ""))
        else:
            self._enqueue_unbound()

    def _enqueue_unbound(self) -> None:
        for claim in self._claims:
            if BIND_COMPLETED not in claim.metadata.annotations:
                self.enqueue(claim)

    async def reconcile(self, key: Key) -> Result | None:
        if not key.namespace:
            volume = self._volumes.get(*key)
            if volume is not None:
                await self._sync_volume(volume)
            return None
        claim = self._claims.get(*key)
        if claim is None:
            return None
        if BIND_COMPLETED in claim.metadata.annotations:
            await self._sync_bound(claim)
        elif claim.metadata.deletionTimestamp is None:
            await self._sync_unbound(claim)
        return None

    # claims

    async def _sync_unbound(self, claim: PersistentVolumeClaim) -> None:
        claim = await self._with_default_class(claim)
        if not claim.spec.volumeName:
            await self._find_volume(claim)
            return
        volume = self._volumes.get("", claim.spec.volumeName)
        if volume is None:
            await self._set_claim_status(claim, "Pending")
        elif volume.spec.claimRef is None:
            if why := volume_matching.mismatch(volume, claim):
                message = f'Cannot bind to requested volume "{volume.metadata.name}": {why}'
                self.recorder.event(claim, "Warning", "VolumeMismatch", message)
                await self._set_claim_status(claim, "Pending")
            else:
                await self._bind(volume, claim)
        elif volume_matching.is_bound_to(volume, claim):
            await self._bind(volume, claim)
        else:
            message = f'volume "{volume.metadata.name}" already bound to a different claim.'
            self.recorder.event(claim, "Warning", "FailedBinding", message)
            await self._set_claim_status(claim, "Pending")

    async def _with_default_class(self, claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
        """A claim that was made before there was a default class gets it now (KEP-3333)."""
        if claim.spec.storageClassName is not None or claim.spec.volumeName:
            return claim
        defaults = [c for c in self._classes if c.metadata.annotations.get(DEFAULT_CLASS) == "true"]
        if not defaults:
            return claim
        newest = max(defaults, key=lambda c: (c.metadata.creationTimestamp or "", c.metadata.name))
        return await self.client.update(replace(claim, spec=replace(claim.spec, storageClassName=newest.metadata.name)))

    async def _find_volume(self, claim: PersistentVolumeClaim) -> None:
        storage = self._classes.get("", volume_matching.class_of(claim))
        selected = claim.metadata.annotations.get(SELECTED_NODE)
        waits = storage is not None and storage.volumeBindingMode == "WaitForFirstConsumer" and not selected
        node = self._nodes.get("", selected) if selected else None
        volume = volume_matching.best(claim, self._volumes, node=node, only_reserved=waits)
        if volume is not None:
            await self._bind(volume, claim)
            return
        if waits:
            self._tell_waiting(claim)
        elif storage is not None:
            await self._provision(claim, storage, node)
        elif volume_matching.class_of(claim):
            message = f'storageclass.storage.k8s.io "{volume_matching.class_of(claim)}" not found'
            self.recorder.event(claim, "Warning", "ProvisioningFailed", message)
        else:
            message = "no persistent volumes available for this claim and no storage class is set"
            self.recorder.event(claim, "Normal", "FailedBinding", message)
        await self._set_claim_status(claim, "Pending")

    def _tell_waiting(self, claim: PersistentVolumeClaim) -> None:
        using = [pod for pod in self._pods.index(CLAIM_INDEX, str(key_of(claim))) if not pod.spec.nodeName]
        if using:
            names = ",".join(sorted(pod.metadata.name for pod in using))
            self.recorder.event(claim, "Normal", "WaitForPodScheduled", f"waiting for pod {names} to be scheduled")
        else:
            message = "waiting for first consumer to be created before binding"
            self.recorder.event(claim, "Normal", "WaitForFirstConsumer", message)

    async def _provision(self, claim: PersistentVolumeClaim, storage: StorageClass, node: Node | None) -> None:
        name = storage.provisioner
        if name == NO_PROVISIONER:
            return
        if name != PROVISIONER or self._local is None:
            await self._ask_external(claim, name)
            return
        try:
            volume = await self._local.provision(claim, storage, node)
        except ProvisioningError as error:
            message = f'failed to provision volume with StorageClass "{storage.metadata.name}": {error}'
            self.recorder.event(claim, "Warning", "ProvisioningFailed", message)
            return
        try:
            await self.client.create(volume)
        except AlreadyExists:
            return  # by an earlier try: its event comes
        message = f"Successfully provisioned volume {volume.metadata.name} using {name}"
        self.recorder.event(claim, "Normal", "ProvisioningSucceeded", message)

    async def _ask_external(self, claim: PersistentVolumeClaim, name: str) -> None:
        """Provisioners that run elsewhere look for the annotation."""
        annotations = claim.metadata.annotations
        if annotations.get(STORAGE_PROVISIONER) != name:
            asked = annotations | {STORAGE_PROVISIONER: name, "volume.beta.kubernetes.io/storage-provisioner": name}
            await self.client.update(replace(claim, metadata=replace(claim.metadata, annotations=asked)))
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system administrator. "
            "If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        )
        self.recorder.event(claim, "Normal", "ExternalProvisioning", message)

    async def _sync_bound(self, claim: PersistentVolumeClaim) -> None:
        volume = self._volumes.get("", claim.spec.volumeName) if claim.spec.volumeName else None
        if volume is None:
            what = "its PersistentVolume" if claim.spec.volumeName else "reference to PersistentVolume"
            await self._lose(claim, "ClaimLost", f"Bound claim has lost {what}. Data on the volume is lost!")
        elif volume.spec.claimRef is None or volume.spec.claimRef.uid == claim.metadata.uid:
            await self._bind(volume, claim)
        else:
            message = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", message)

    async def _lose(self, claim: PersistentVolumeClaim, reason: str, message: str) -> None:
        if claim.status.phase != "Lost":
            self.recorder.event(claim, "Warning", reason, message)
        await self._set_claim_status(claim, "Lost")

    async def _bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        """All steps that are not done yet: the volume names the claim, is Bound; the claim names the volume, is Bound."""
        ref = volume.spec.claimRef
        if ref is None or ref.uid != claim.metadata.uid:
            annotations = volume.metadata.annotations | ({BOUND_BY_CONTROLLER: "yes"} if ref is None else {})
            new = replace(volume, metadata=replace(volume.metadata, annotations=annotations))
            volume = await self.client.update(replace(new, spec=replace(new.spec, claimRef=_reference(claim))))
        volume = await self._set_phase(volume, "Bound")
        annotations = dict(claim.metadata.annotations)
        if not claim.spec.volumeName:
            annotations[BOUND_BY_CONTROLLER] = "yes"
        annotations[BIND_COMPLETED] = "yes"
        if annotations != claim.metadata.annotations or claim.spec.volumeName != volume.metadata.name:
            new_claim = replace(claim, metadata=replace(claim.metadata, annotations=annotations))
            claim = await self.client.update(replace(new_claim, spec=replace(new_claim.spec, volumeName=volume.metadata.name)))
        await self._set_claim_status(claim, "Bound", volume)

    async def _set_claim_status(self, claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None = None) -> None:
        old = claim.status
        status = replace(old, phase=phase, accessModes=(), capacity={})
        if volume is not None:
            # A claim keeps the capacity that it has been grown to.
            capacity = old.capacity if old.phase == "Bound" and old.capacity else volume.spec.capacity
            status = replace(status, accessModes=volume.spec.accessModes, capacity=capacity)
        if status != old:
            await self.client.update_status(replace(claim, status=status))

    # volumes

    async def _sync_volume(self, volume: PersistentVolume) -> None:
        ref = volume.spec.claimRef
        if ref is None or not ref.uid:
            await self._set_phase(volume, "Available")
            return
        claim = self._claims.get(ref.namespace or "", ref.name or "")
        if claim is None or claim.metadata.uid != ref.uid:
            claim = await self._live_claim(ref)
        if claim is None:
            await self._release(volume)
        elif claim.spec.volumeName == volume.metadata.name:
            await self._set_phase(volume, "Bound")
        elif not claim.spec.volumeName:
            self.enqueue(claim)  # half bound: the claim's turn takes it up
        elif PROVISIONED_BY in volume.metadata.annotations and volume.spec.persistentVolumeReclaimPolicy == "Delete":
            await self._release(volume)
        else:
            await self._unbind(volume, ref)

    async def _live_claim(self, ref: ObjectReference) -> PersistentVolumeClaim | None:
        """Nothing is reclaimed on a cache that is behind."""
        try:
            found = await self.client.get(PersistentVolumeClaim, ref.name or "", namespace=ref.namespace or "")
        except NotFound:
            return None
        return found if found.metadata.uid == ref.uid else None

    async def _unbind(self, volume: PersistentVolume, ref: ObjectReference) -> None:
        """The claim was bound to another volume: this one is free, or keeps the name that a user reserved it for."""
        annotations = dict(volume.metadata.annotations)
        by_controller = annotations.pop(BOUND_BY_CONTROLLER, None) is not None
        left = None if by_controller else replace(ref, uid=None, resourceVersion=None)
        new = replace(volume, metadata=replace(volume.metadata, annotations=annotations))
        new = await self.client.update(replace(new, spec=replace(new.spec, claimRef=left)))
        await self._set_phase(new, "Available")

    async def _release(self, volume: PersistentVolume) -> None:
        if volume.status.phase not in ("Released", "Failed"):
            volume = await self._set_phase(volume, "Released")
        policy = volume.spec.persistentVolumeReclaimPolicy
        if policy == "Delete" and volume.metadata.deletionTimestamp is None:
            await self._delete(volume)
        elif policy == "Recycle":
            await self._fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")

    async def _delete(self, volume: PersistentVolume) -> None:
        provisioner = volume.metadata.annotations.get(PROVISIONED_BY, "")
        if provisioner == PROVISIONER and self._local is not None:
            try:
                await self._local.delete(volume)
            except ProvisioningError as error:
                await self._fail(volume, "VolumeFailedDelete", str(error))
                return
        elif provisioner:
            return  # whoever provisioned it deletes it
        else:
            await self._fail(volume, "VolumeFailedDelete", _no_deleter(volume))
            return
        try:
            await self.client.delete(PersistentVolume, volume.metadata.name, uid=volume.metadata.uid)
        except NotFound:
            pass  # somebody was quicker

    async def _fail(self, volume: PersistentVolume, reason: str, message: str) -> None:
        if volume.status.phase == "Failed":
            return
        self.recorder.event(volume, "Warning", reason, message)
        await self._set_phase(volume, "Failed", message)

    async def _set_phase(self, volume: PersistentVolume, phase: str, message: str | None = None) -> PersistentVolume:
        old = volume.status
        if old.phase == phase and (old.message or None) == message:
            return volume
        since = old.lastPhaseTransitionTime if old.phase == phase else times.format_time(self.clock.time())
        status: Any = replace(old, phase=phase, message=message, lastPhaseTransitionTime=since)
        return await self.client.update_status(replace(volume, status=status))


def _no_deleter(volume: PersistentVolume) -> str:
    if volume.spec.hostPath is not None:
        return f"host_path deleter only supports /tmp/.+ but received provided {volume.spec.hostPath.path}"
    return f'error getting deleter volume plugin for volume "{volume.metadata.name}": no deletable volume plugin matched'


def _reference(claim: PersistentVolumeClaim) -> ObjectReference:
    return ObjectReference(
        apiVersion="v1",
        kind="PersistentVolumeClaim",
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        uid=claim.metadata.uid,
        resourceVersion=claim.metadata.resourceVersion,
    )
