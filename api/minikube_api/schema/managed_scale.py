"""managedFields across the scale subresource: a Scale shows who owns the parent's replicas, and a write through it moves that ownership.

Source: apimachinery's `managedfields.ScaleHandler`. As there, entries that come in through a Scale carry no time.
"""

from __future__ import annotations

from typing import Any

from minikube_api.schema import apply_sets
from minikube_api.schema.apply_sets import Fields
from minikube_api.schema.managed_entries import Entry, Managed, decode, encode

SCALE_VERSION = "autoscaling/v1"
REPLICAS = ("f:spec", "f:replicas")


def to_scale(parent: Any, path: tuple[str, ...] = REPLICAS) -> list[Entry]:
    """managedFields of the Scale of an object with these `parent` entries, whose replicas stand at `path`."""
    managed = decode(parent)
    if managed is None:
        return []
    shown = Managed({}, {}, {})
    for key, fields in managed.sets.items():
        if apply_sets.has(fields, path):
            shown.sets[key] = _only(REPLICAS)
            shown.versions[key] = SCALE_VERSION
            shown.times[key] = managed.times[key]
    return encode(shown)


def to_parent(parent: Any, scale: Any, api_version: str, path: tuple[str, ...] = REPLICAS) -> list[Entry]:
    """The parent's new managedFields after a write through its Scale, which has `scale` entries now.

    An entry of the parent that lost the replicas to the Scale's writer gives them up; whoever came to own them gets an entry of its own.
    """
    managed, through = decode(parent), decode(scale)
    if managed is None or through is None:
        return []
    owners = {(manager, operation, subresource) for manager, operation, _, subresource in through.sets}
    only = _only(path)
    for key, fields in list(managed.sets.items()):
        if not apply_sets.has(fields, path):
            continue
        manager, operation, _, subresource = key
        if (manager, operation, subresource) in owners:
            owners.discard((manager, operation, subresource))
            continue
        left = apply_sets.difference(fields, only)
        if left:
            managed.sets[key] = left
        else:
            del managed.sets[key]
    for manager, operation, subresource in owners:
        key = (manager, operation, api_version if operation == "Update" else "", subresource)
        managed.sets[key] = apply_sets.union(managed.sets.get(key, apply_sets.LEAF), only)
        managed.versions[key] = api_version
    return encode(managed)


def _only(path: tuple[str, ...]) -> Fields:
    return apply_sets.from_paths([path])
