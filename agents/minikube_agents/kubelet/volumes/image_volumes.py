"""Image volumes (KEP-4639): an image's files, read-only. Only where the runtime keeps images as directories on the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from minikube_agents.kubelet.volumes.payloads import VolumeError
from minikube_agents.runtime.contract import ImageNotFound, Runtime
from minikube_api.schema.typed import core_v1 as v1


class ImageVolumes:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def place(self, source: v1.ImageVolumeSource) -> Path:
        """The directory of the image, pulled if the policy asks for it. Raises VolumeError."""
        find: Callable[[str], Awaitable[str]] | None = getattr(self._runtime, "image_directory", None)
        if find is None:
            raise VolumeError(f'image volumes are not supported by the runtime "{self._runtime.name}"')
        image = source.reference or ""
        policy = source.pullPolicy or (
            "Always" if image.endswith(":latest") or ":" not in image.rpartition("/")[2] else "IfNotPresent"
        )
        present = await self._runtime.image_status(image)
        if present is None and policy == "Never":
            raise VolumeError(f'Container image "{image}" is not present with pull policy of Never')
        try:
            if present is None or policy == "Always":
                await self._runtime.pull_image(image)
            directory = await find(image)
        except ImageNotFound as error:
            raise VolumeError(f'failed to pull image "{image}": {error}') from error
        if not directory:
            raise VolumeError(f'image "{image}" has no files of its own to mount')
        return Path(directory)
