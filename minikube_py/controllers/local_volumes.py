"""The provisioner `minikube.dev/local-path`: a directory on this machine per claim, tied to the node that the scheduler chose.

All nodes of a cluster are on one machine and see its files, so the directory is made and removed here. Binding is after the first consumer
(volumeBindingMode: WaitForFirstConsumer), as for every volume that is local to a node.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from minikube_api.schema.typed.core_v1 import (
    HostPathVolumeSource,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_api.schema.typed.storage_v1 import StorageClass

PROVISIONER: Final = "minikube.dev/local-path"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
HOSTNAME: Final = "kubernetes.io/hostname"


class ProvisioningError(Exception):
    """The claim can't have a volume of this class; told in an event."""


class LocalVolumes:
    """`directory` holds one directory per volume, by the volume's name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def provision(self, claim: PersistentVolumeClaim, storage: StorageClass, node: Node | None) -> PersistentVolume:
        """Make the directory; gives the volume, bound to the claim, for the caller to create. Raises ProvisioningError."""
        if node is None:
            raise ProvisioningError("configuration error, no node was specified")
        if claim.spec.volumeMode == "Block":
            raise ProvisioningError("block volumes are not supported")
        if set(claim.spec.accessModes) - {"ReadWriteOnce", "ReadWriteOncePod"}:
            raise ProvisioningError("only support ReadWriteOnce and ReadWriteOncePod access modes")
        volume = volume_for(claim, storage, node, self._directory)
        try:
            await asyncio.to_thread(_make, self._directory / volume.metadata.name)
        except OSError as error:
            raise ProvisioningError(f"making the volume's directory: {error}") from error
        return volume

    async def delete(self, volume: PersistentVolume) -> None:
        """Remove the directory with all that is in it. Raises ProvisioningError."""
        source = volume.spec.hostPath
        path = self._directory / volume.metadata.name
        if source is None or Path(source.path) != path:
            raise ProvisioningError(f"{source.path if source else volume.metadata.name} is no directory of this provisioner")
        try:
            await asyncio.to_thread(shutil.rmtree, path)
        except FileNotFoundError:
            return  # removed by an earlier try
        except OSError as error:
            raise ProvisioningError(f"removing the volume's directory: {error}") from error


def volume_for(claim: PersistentVolumeClaim, storage: StorageClass, node: Node, directory: Path) -> PersistentVolume:
    """Pure."""
    name = f"pvc-{claim.metadata.uid}"
    host = node.metadata.labels.get(HOSTNAME, node.metadata.name)
    place = NodeSelectorTerm(matchExpressions=(NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(host,)),))
    return PersistentVolume(
        metadata=ObjectMeta(name=name, annotations={PROVISIONED_BY: PROVISIONER}),
        spec=PersistentVolumeSpec(
            accessModes=claim.spec.accessModes,
            capacity={"storage": claim.spec.resources.requests["storage"]},
            claimRef=ObjectReference(
                apiVersion="v1",
                kind="PersistentVolumeClaim",
                namespace=claim.metadata.namespace,
                name=claim.metadata.name,
                uid=claim.metadata.uid,
                resourceVersion=claim.metadata.resourceVersion,
            ),
            hostPath=HostPathVolumeSource(path=str(directory / name), type="DirectoryOrCreate"),
            mountOptions=storage.mountOptions,
            nodeAffinity=VolumeNodeAffinity(required=NodeSelector(nodeSelectorTerms=(place,))),
            persistentVolumeReclaimPolicy=storage.reclaimPolicy or "Delete",
            storageClassName=storage.metadata.name,
            volumeMode=claim.spec.volumeMode or "Filesystem",
        ),
    )


def _make(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)  # whatever user the pod runs as
