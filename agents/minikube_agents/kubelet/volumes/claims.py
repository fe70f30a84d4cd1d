"""From a PersistentVolumeClaim to the volume bound to it."""

from __future__ import annotations

from minikube_agents.kubelet.volumes.payloads import VolumeError
from minikube_api.client.client import Client
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed import core_v1 as v1


class BoundClaims:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def volume_of(self, namespace: str, claim: str) -> v1.PersistentVolume:
        try:
            found = await self._client.get(v1.PersistentVolumeClaim, claim, namespace=namespace)
        except NotFound:
            raise VolumeError(f'persistentvolumeclaim "{claim}" not found') from None
        if found.status.phase != "Bound" or not found.spec.volumeName:
            raise VolumeError(f'PVC {namespace}/{claim} has non-bound phase ("{found.status.phase or "Pending"}")')
        return await self._client.get(v1.PersistentVolume, found.spec.volumeName)
