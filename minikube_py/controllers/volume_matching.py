"""Which PersistentVolume fits a claim. Pure. Sources: "Persistent Volumes" (binding), component-helpers' storage/volume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_api.meta.quantities import Quantity, parse
from minikube_api.schema import node_matching
from minikube_api.schema.typed.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
from minikube_py.controllers import owners

_ZERO = parse("0")


def class_of(obj: PersistentVolume | PersistentVolumeClaim) -> str:
    """The older annotation wins over the field."""
    return obj.metadata.annotations.get("volume.beta.kubernetes.io/storage-class", obj.spec.storageClassName or "")


def size_of(resources: Mapping[str, str]) -> Quantity:
    return parse(str(resources["storage"])) if "storage" in resources else _ZERO


def is_bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """The volume's claimRef names the claim: by a user, without uid, or for good."""
    ref = volume.spec.claimRef
    return (
        ref is not None
        and (ref.namespace, ref.name) == (claim.metadata.namespace, claim.metadata.name)
        and (not ref.uid or ref.uid == claim.metadata.uid)
    )


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a volume that a claim names can't be bound to it, "" when it can."""
    if size_of(volume.spec.capacity) < size_of(claim.spec.resources.requests):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not set(claim.spec.accessModes) <= set(volume.spec.accessModes):
        return "incompatible accessMode"
    return ""


def best(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, node: Node | None, only_reserved: bool
) -> PersistentVolume | None:
    """The volume reserved for the claim, else the smallest that fits; `only_reserved` while the claim waits for its first consumer.

    `node`: where the claim will be used, when that is known.
    """
    selector = owners.selector_of(claim.spec.selector) if claim.spec.selector is not None else None
    wanted = size_of(claim.spec.resources.requests)
    fitting: list[tuple[Any, ...]] = []
    for volume in volumes:
        if volume.metadata.deletionTimestamp is not None or _mode(volume) != _mode(claim):
            continue
        size = size_of(volume.spec.capacity)
        if size < wanted or not set(claim.spec.accessModes) <= set(volume.spec.accessModes):
            continue
        if is_bound_to(volume, claim):
            return volume
        if only_reserved or volume.spec.claimRef is not None or volume.status.phase != "Available":
            continue
        if class_of(volume) != class_of(claim) or (selector is not None and not selector.matches(volume.metadata.labels)):
            continue
        if node is not None and not reachable(volume, node):
            continue
        fitting.append((size, len(volume.spec.accessModes), volume.metadata.name, volume))
    return min(fitting, key=lambda entry: entry[:3])[-1] if fitting else None


def reachable(volume: PersistentVolume, node: Node) -> bool:
    required = volume.spec.nodeAffinity.required if volume.spec.nodeAffinity is not None else None
    return required is None or node_matching.selector_holds(required, node.metadata.labels, node.metadata.name)


def _mode(obj: PersistentVolume | PersistentVolumeClaim) -> str:
    return obj.spec.volumeMode or "Filesystem"
