"""What the files of configMap, secret, downwardAPI and projected volumes hold. Pure over objects fetched before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from minikube_agents.kubelet import downward
from minikube_agents.kubelet.downward import Surroundings
from minikube_agents.kubelet.environment import Sources
from minikube_agents.kubelet.volumes.atomic_writer import File
from minikube_api.schema.typed import core_v1 as v1

DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume can't be set up (yet): FailedMount; tried again."""


def of(
    pod: v1.Pod, volume: v1.Volume, sources: Sources, around: Surroundings, tokens: Mapping[tuple[str, str], str]
) -> dict[str, File] | None:
    """The payload by path, None for volumes that are no files of the API. `tokens`: (volume, path) -> token."""
    space = pod.metadata.namespace
    if (config_map := volume.configMap) is not None:
        found = sources.config_maps.get(config_map.name or "")
        return _config_map(found, space, config_map, _mode(config_map.defaultMode))
    if (secret := volume.secret) is not None:
        found_secret = sources.secrets.get(secret.secretName or "")
        return _secret(found_secret, space, secret.secretName or "", secret.items, secret.optional, _mode(secret.defaultMode))
    if (files := volume.downwardAPI) is not None:
        return _downward(pod, files.items, around, _mode(files.defaultMode))
    if (projected := volume.projected) is not None:
        return _projected(pod, volume.name, projected, sources, around, tokens)
    return None


def _mode(mode: int | None) -> int:
    return DEFAULT_MODE if mode is None else mode


def _config_map(
    found: v1.ConfigMap | None, space: str, source: v1.ConfigMapVolumeSource | v1.ConfigMapProjection, mode: int
) -> dict[str, File]:
    if found is None:
        if source.optional:
            return {}
        raise VolumeError(f'configmap "{source.name}" not found')
    data = {key: text.encode() for key, text in found.data.items()} | dict(found.binaryData)
    return _pick(data, source.items, mode, bool(source.optional), "configmap references non-existent config key: {}")


def _secret(
    found: v1.Secret | None, space: str, name: str, items: tuple[v1.KeyToPath, ...], optional: bool | None, mode: int
) -> dict[str, File]:
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found')
    return _pick(dict(found.data), items, mode, bool(optional), "references non-existent secret key: {}")


def _pick(
    data: Mapping[str, bytes], items: tuple[v1.KeyToPath, ...], mode: int, optional: bool, complaint: str
) -> dict[str, File]:
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise VolumeError(complaint.format(item.key))
        files[item.path] = File(data[item.key], mode if item.mode is None else item.mode)
    return files


def _downward(pod: v1.Pod, items: tuple[v1.DownwardAPIVolumeFile, ...], around: Surroundings, mode: int) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in items:
        try:
            if item.fieldRef is not None:
                text = downward.field_value(pod, item.fieldRef.fieldPath, around)
            elif item.resourceFieldRef is not None:
                text = downward.resource_value(pod, item.resourceFieldRef, around)
            else:
                continue
        except ValueError as error:
            raise VolumeError(str(error)) from error
        files[item.path] = File(text.encode(), mode if item.mode is None else item.mode)
    return files


def _projected(
    pod: v1.Pod,
    volume: str,
    projected: v1.ProjectedVolumeSource,
    sources: Sources,
    around: Surroundings,
    tokens: Mapping[tuple[str, str], str],
) -> dict[str, File]:
    mode = _mode(projected.defaultMode)
    space = pod.metadata.namespace
    files: dict[str, File] = {}
    for part in projected.sources or ():
        if (config_map := part.configMap) is not None:
            files |= _config_map(sources.config_maps.get(config_map.name or ""), space, config_map, mode)
        if (secret := part.secret) is not None:
            found = sources.secrets.get(secret.name or "")
            files |= _secret(found, space, secret.name or "", secret.items, secret.optional, mode)
        if part.downwardAPI is not None:
            files |= _downward(pod, part.downwardAPI.items, around, mode)
        if (token := part.serviceAccountToken) is not None:
            files[token.path] = _token_file(pod, tokens[(volume, token.path)], mode)
        if part.clusterTrustBundle is not None:
            raise VolumeError("ClusterTrustBundle projection is not supported by this node")
        if part.podCertificate is not None:
            raise VolumeError("PodCertificate projection is not supported by this node")
    return files


def _token_file(pod: v1.Pod, token: str, mode: int) -> File:
    """A token is readable by the pod's group (0640 is widened by fsGroup), or by the one user all its containers run as (0600)."""
    file = File(token.encode(), mode)
    security = pod.spec.securityContext
    if security is not None and security.fsGroup is not None:
        return replace(file, mode=0o600)
    users = {
        (c.securityContext.runAsUser if c.securityContext is not None else None)
        or (security.runAsUser if security is not None else None)
        for c in (*pod.spec.initContainers, *pod.spec.containers)
    }
    if len(users) == 1 and (user := users.pop()) is not None:
        return replace(file, mode=0o600, uid=user)
    return file
