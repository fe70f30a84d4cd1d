"""Sets up and removes the volumes of pods on the node's disk, and turns a container's volumeMounts into bind mounts.

Layout, the kubelet's own: `ROOT/pods/UID/volumes/kubernetes.io~TYPE/NAME`. Memory emptyDirs live below `memory_root`, a directory on a
tmpfs of the node (a size limit is not enforced by the kernel there). After a restart of the kubelet the directories are found again.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from minikube_agents.kubelet.downward import Surroundings
from minikube_agents.kubelet.environment import ConfigError, Sources
from minikube_agents.kubelet.expansion import expand, missing
from minikube_agents.kubelet.pods import AnyContainer
from minikube_agents.kubelet.volumes import atomic_writer, payloads
from minikube_agents.kubelet.volumes.atomic_writer import File
from minikube_agents.kubelet.volumes.payloads import VolumeError
from minikube_agents.network import owning, removing
from minikube_agents.runtime.contract import Mount
from minikube_api.schema.typed import core_v1 as v1

TYPES = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}


class Claims(Protocol):
    """Finds the volume behind a claim."""

    async def volume_of(self, namespace: str, claim: str) -> v1.PersistentVolume:
        """Raises VolumeError."""
        ...


class Tokens(Protocol):
    async def tokens(self, pod: v1.Pod) -> Mapping[tuple[str, str], str]:
        """Current service-account tokens of the pod's projected volumes by (volume, path)."""
        ...


@dataclass(frozen=True, slots=True)
class VolumeFailure(Exception):
    """One volume of a pod can't be set up."""

    volume: str
    why: str

    def __str__(self) -> str:
        return f'MountVolume.SetUp failed for volume "{self.volume}" : {self.why}'


class Images(Protocol):
    async def place(self, source: v1.ImageVolumeSource) -> Path:
        """Where an image's files are. Raises VolumeError."""
        ...


def pod_directory(root: Path, uid: str) -> Path:
    return root / "pods" / uid


class Volumes:
    def __init__(self, root: Path, *, memory_root: Path | None, claims: Claims, tokens: Tokens, images: Images) -> None:
        self._root = root
        self._memory_root = memory_root
        self._claims = claims
        self._tokens = tokens
        self._images = images

    async def set_up(self, pod: v1.Pod, sources: Sources, around: Surroundings, now: float) -> dict[str, Path]:
        """Makes every volume of the pod, or brings it up to date; gives its place on the node. Raises VolumeFailure."""
        places: dict[str, Path] = {}
        tokens: Mapping[tuple[str, str], str] = {}
        for volume in pod.spec.volumes:
            try:
                if not tokens and volume.projected is not None and _wants_token(volume.projected):
                    tokens = await self._tokens.tokens(pod)
                places[volume.name] = await self._one(pod, volume, sources, around, tokens, now)
            except (VolumeError, OSError, ValueError) as error:
                raise VolumeFailure(volume.name, str(error)) from error
        return places

    async def _one(
        self,
        pod: v1.Pod,
        volume: v1.Volume,
        sources: Sources,
        around: Surroundings,
        tokens: Mapping[tuple[str, str], str],
        now: float,
    ) -> Path:
        group = pod.spec.securityContext.fsGroup if pod.spec.securityContext is not None else None
        files = payloads.of(pod, volume, sources, around, tokens)
        if files is not None:
            place = self._place(pod, volume)
            if group is not None:
                files = {path: owned_by_group(file, group) for path, file in files.items()}
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)
            atomic_writer.write(place, files, now=now)
            if group is not None:
                share_with_group(place, group)
            return place
        if volume.emptyDir is not None:
            return self._empty_dir(pod, volume, group)
        if volume.hostPath is not None:
            return host_path(volume.hostPath.path, volume.hostPath.type or "")
        if volume.persistentVolumeClaim is not None:
            return await self._claimed(pod, volume.persistentVolumeClaim.claimName)
        if volume.ephemeral is not None:
            return await self._claimed(pod, f"{pod.metadata.name}-{volume.name}")
        if volume.image is not None:
            return await self._images.place(volume.image)
        raise VolumeError(f'volume type "{_type_of(volume)}" is not supported by this node')

    def _place(self, pod: v1.Pod, volume: v1.Volume) -> Path:
        return pod_directory(self._root, pod.metadata.uid) / "volumes" / TYPES[_type_of(volume)] / volume.name

    def _empty_dir(self, pod: v1.Pod, volume: v1.Volume, group: int | None) -> Path:
        assert volume.emptyDir is not None
        medium = volume.emptyDir.medium or ""
        if medium == "Memory":
            if self._memory_root is None:
                raise VolumeError('emptyDir medium "Memory": this node has no tmpfs to put it on')
            place = self._memory_root / pod.metadata.uid / volume.name
        elif medium:
            raise VolumeError(f'storage medium "{medium}" is not supported by this node')
        else:
            place = self._place(pod, volume)
        if not place.is_dir():
            place.mkdir(parents=True)
            place.chmod(0o777)
            if group is not None:
                share_with_group(place, group)
        return place

    async def _claimed(self, pod: v1.Pod, claim: str) -> Path:
        found = await self._claims.volume_of(pod.metadata.namespace, claim)
        if found.spec.hostPath is not None:
            return host_path(found.spec.hostPath.path, found.spec.hostPath.type or "DirectoryOrCreate")
        if found.spec.local is not None:
            return host_path(found.spec.local.path, "")
        raise VolumeError(
            f'persistent volume "{found.metadata.name}": only hostPath and local volumes are supported by this node'
        )

    def read_file(self, places: Mapping[str, Path], volume: str, path: str) -> bytes | None:
        """A file of a volume for fileKeyRef; None when there is none."""
        place = places.get(volume)
        if place is None:
            return None
        file = inside(place, path)
        return file.read_bytes() if file.is_file() else None

    async def tear_down(self, uid: str) -> None:
        """Removes everything of the pod. hostPath and claims are not touched: they are not below the pod's directory."""
        for place in self._directories(uid):
            if place.exists():
                await asyncio.to_thread(removing.remove_tree, str(place))

    def _directories(self, uid: str) -> list[Path]:
        return [pod_directory(self._root, uid), *([self._memory_root / uid] if self._memory_root else [])]

    def leftovers(self) -> set[str]:
        """Uids that have a directory."""
        places = [self._root / "pods", *([self._memory_root] if self._memory_root else [])]
        return {entry.name for place in places if place.is_dir() for entry in place.iterdir()}


def _wants_token(projected: v1.ProjectedVolumeSource) -> bool:
    return any(part.serviceAccountToken is not None for part in projected.sources or ())


def _type_of(volume: v1.Volume) -> str:
    return next((name for name in volume.__struct_fields__ if name != "name" and getattr(volume, name) is not None), "")


# mounts


def mounts(
    container: AnyContainer, places: Mapping[str, Path], variables: Mapping[str, str], read_only: frozenset[str]
) -> list[Mount]:
    """The bind mounts of a container. `read_only`: volumes that can't be written (claims mounted so). Raises ConfigError."""
    result: list[Mount] = []
    for mount in container.volumeMounts:
        place = places.get(mount.name)
        if place is None:
            raise ConfigError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        sub_path = mount.subPath or ""
        if mount.subPathExpr:
            unknown = missing(mount.subPathExpr, variables)
            if unknown:
                raise ConfigError(f"missing value for {unknown[0]!r}".replace("'", '"'))
            sub_path = expand(mount.subPathExpr, variables.get)
        source = sub_path_of(place, sub_path, container.name) if sub_path else place
        propagation = mount.mountPropagation or "None"
        result.append(
            Mount(
                host_path=str(source),
                container_path=mount.mountPath if mount.mountPath.startswith("/") else "/" + mount.mountPath,
                read_only=bool(mount.readOnly) or mount.name in read_only,
                propagation="Bidirectional"
                if propagation == "Bidirectional"
                else "HostToContainer"
                if propagation == "HostToContainer"
                else "None",
            )
        )
    for device in container.volumeDevices:
        raise ConfigError(f'volumeDevice "{device.name}": block volumes are not supported by this node')
    return result


def sub_path_of(volume: Path, sub_path: str, container: str) -> Path:
    """The real place of a subPath: inside the volume whatever symlinks say; a directory is made when nothing is there."""
    if sub_path.startswith("/"):
        raise ConfigError(f"subPath `{sub_path}` must not be an absolute path".replace("`", '"'))
    if ".." in Path(sub_path).parts:
        raise ConfigError(f'subPath "{sub_path}" must not contain ".."')
    try:
        place = inside(volume, sub_path)
        if not place.exists():
            place.mkdir(parents=True, mode=0o750)
            # As the kubelet: what it makes for a subPath has the volume's own permissions.
            place.chmod(stat.S_IMODE(volume.stat().st_mode))
        return place
    except (VolumeError, OSError) as error:
        raise ConfigError(f'failed to prepare subPath for volumeMount of container "{container}": {error}') from error


def inside(volume: Path, sub_path: str) -> Path:
    """Resolves symlinks; raises VolumeError when they lead out of the volume."""
    root = volume.resolve()
    place = (root / sub_path).resolve()
    if place != root and root not in place.parents:
        raise VolumeError(f'subpath "{sub_path}" not within volume path "{volume}"')
    return place


# host paths and owners


def host_path(path: str, kind: str) -> Path:
    """Checks a hostPath as its type says, making it for the OrCreate types. Raises VolumeError."""
    place = Path(path)
    if kind == "DirectoryOrCreate":
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        kind = "Directory"
    elif kind == "FileOrCreate":
        if not place.exists():
            place.touch(mode=0o644)
        kind = "File"
    checks = {
        "Directory": ("a directory", stat.S_ISDIR),
        "File": ("a file", stat.S_ISREG),
        "Socket": ("a socket", stat.S_ISSOCK),
        "CharDevice": ("a character device", stat.S_ISCHR),
        "BlockDevice": ("a block device", stat.S_ISBLK),
    }
    if kind == "":
        # No check; but a bind mount needs something there, so the runtime makes a directory as container runtimes do.
        if not place.exists():
            place.mkdir(parents=True, exist_ok=True)
        return place
    if kind not in checks:
        raise VolumeError(f"unknown hostPath type {kind}")
    what, is_kind = checks[kind]
    if not place.exists() or not is_kind(place.stat().st_mode):
        raise VolumeError(f"hostPath type check failed: {path} is not {what}")
    return place


def owned_by_group(file: File, group: int) -> File:
    """fsGroup on a file of the API: group readable (and writable where the owner writes)."""
    mode = file.mode | 0o440
    return replace(file, gid=group, mode=mode)


def share_with_group(place: Path, group: int) -> None:
    """fsGroup on a directory tree: owned by the group, setgid on directories, group may do what the owner may."""
    for directory, _, _ in os.walk(place):
        here = Path(directory)
        here.chmod(stat.S_IMODE(here.stat().st_mode) | 0o2070)
        owning.chown(here, -1, group)


def read_only_volumes(pod: v1.Pod) -> frozenset[str]:
    """Volumes of the pod that are read-only as a whole: what the API gives, and claims that say so."""
    return frozenset(
        volume.name
        for volume in pod.spec.volumes
        if volume.image or volume.configMap or volume.secret or volume.projected or volume.downwardAPI
        or (volume.persistentVolumeClaim and volume.persistentVolumeClaim.readOnly)
    )  # fmt: skip
