"""Volumes in scheduling: claims must exist and be bound (or bindable where the pod goes), bound volumes tie the pod to their nodes.

Sources: "Persistent Volumes", "Storage Classes" (volumeBindingMode). For WaitForFirstConsumer the chosen node is written on the claim
(`volume.kubernetes.io/selected-node`) for whoever provisions it, and the pod is bound at once: the kubelet waits for the claim.
"""

from __future__ import annotations

from minikube_api.client.client import Client
from minikube_api.client.informers import InformerFactory
from minikube_api.schema import node_matching as matching
from minikube_api.schema.typed import core_v1, storage_v1
from minikube_py.scheduler.deciding import Decision
from minikube_py.scheduler.filters import Check, Refusal
from minikube_py.scheduler.queue import Happening, SchedulingQueue
from minikube_py.scheduler.state import ClusterState, NodeInfo, PodInfo

SELECTED_NODE = "volume.kubernetes.io/selected-node"
WRONG_NODE = Refusal("VolumeBinding", ("node(s) didn't match PersistentVolume's node affinity",))


class VolumeChecker:
    def __init__(self, factory: InformerFactory, queue: SchedulingQueue) -> None:
        self._claims = factory.informer(core_v1.PersistentVolumeClaim)
        self._volumes = factory.informer(core_v1.PersistentVolume)
        self._classes = factory.informer(storage_v1.StorageClass)
        for informer in (self._claims, self._volumes, self._classes):
            informer.on_change(lambda obj: queue.happened(Happening.VOLUME_CHANGED))
            informer.on_delete(lambda obj: queue.happened(Happening.VOLUME_CHANGED))

    @staticmethod
    def _claim_names(pod: PodInfo) -> list[str]:
        """Claims that the pod names, and those of its ephemeral volumes (POD-VOLUME)."""
        names = []
        for volume in pod.pod.spec.volumes:
            if volume.persistentVolumeClaim is not None:
                names.append(volume.persistentVolumeClaim.claimName)
            elif volume.ephemeral is not None:
                names.append(f"{pod.name}-{volume.name}")
        return names

    def _waits_for_consumer(self, claim: core_v1.PersistentVolumeClaim) -> bool:
        storage = self._classes.get("", claim.spec.storageClassName or "")
        return storage is not None and storage.volumeBindingMode == "WaitForFirstConsumer"

    def problem(self, pod: PodInfo) -> str:
        """Why no node can take the pod, "" when its claims are fine."""
        for name in self._claim_names(pod):
            claim = self._claims.get(pod.namespace, name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim.metadata.deletionTimestamp is not None:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if claim.status.phase == "Lost":
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volumeName}"'
            if not claim.spec.volumeName and not self._waits_for_consumer(claim):
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    @staticmethod
    def refusal(problem: str, state: ClusterState) -> Decision:
        """The decision for a pod that fails before any node is looked at."""
        refused = Refusal("VolumeBinding", (problem,))
        count = len(state.order)
        return Decision("", {n.name: refused for n in state}, f"0/{count} nodes are available: {problem}.")

    def check(self, pod: PodInfo) -> Check | None:
        """The node check of the pod's bound volumes, None when it has none with an affinity."""
        required: list[core_v1.NodeSelector] = []
        for name in self._claim_names(pod):
            claim = self._claims.get(pod.namespace, name)
            volume = self._volumes.get("", claim.spec.volumeName) if claim is not None and claim.spec.volumeName else None
            affinity = volume.spec.nodeAffinity if volume is not None else None
            if affinity is not None and affinity.required is not None:
                required.append(affinity.required)
        if not required:
            return None

        def check(node: NodeInfo) -> Refusal | None:
            fits = all(matching.selector_holds(r, node.labels, node.name) for r in required)
            return None if fits else WRONG_NODE

        return check

    async def prepare(self, client: Client, pod: PodInfo, node: str) -> None:
        """Tell provisioners where unbound claims of the pod will be used. Raises StatusError."""
        for name in self._claim_names(pod):
            claim = self._claims.get(pod.namespace, name)
            if claim is not None and not claim.spec.volumeName and claim.metadata.annotations.get(SELECTED_NODE) != node:
                patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
                await client.patch(core_v1.PersistentVolumeClaim, name, patch, namespace=pod.namespace)
