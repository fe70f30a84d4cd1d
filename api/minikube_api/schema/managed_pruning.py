"""Taking out of an object what its applier named last time and does not name any more.

Source: structured-merge-diff's `Updater.prune`, with what it adds back (`addBackOwnedItems`, `addBackDanglingItems`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minikube_api.schema import apply_compare, apply_merge, apply_sets
from minikube_api.schema.apply_sets import LEAF, Fields
from minikube_api.schema.apply_shapes import Shape, root_shape
from minikube_api.schema.managed_entries import Managed
from minikube_api.schema.model import Schema

Object = dict[str, Any]
#: an object in another API version and that version's schema; None when the version is not served any more
Versions = Callable[[Object, str], tuple[Object, Schema] | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """The API version of a write; without `versions` all versions are taken to have one form."""

    api_version: str
    schema: Schema
    versions: Versions | None


def pruned(merged: Object, managed: Managed, last: Fields, version: str, terms: Terms) -> Object:
    """`merged` without what this manager named last time and nobody, itself included, names any more.

    Each set is read in the API version that it was written in: what is one field there may be several here.
    """

    def in_version(obj: Object, wanted: str) -> tuple[Object, Shape] | None:
        if wanted == obj.get("apiVersion") == terms.api_version or terms.versions is None:
            return obj, root_shape(terms.schema)
        found = terms.versions(obj, wanted)
        return None if found is None else (found[0], root_shape(found[1]))

    there = in_version(merged, version)
    if there is None:
        return merged
    whole, shape = there
    gone = apply_merge.with_named_fields(last, shape)
    kept = apply_merge.remove(whole, gone, shape)
    for written, owned in _owned_by_version(managed, first=version).items():
        both = in_version(whole, written), in_version(kept, written)
        if both[0] is not None and both[1] is not None:
            kept = _with_owned(both[0][0], both[1][0], owned, both[0][1])
    left = in_version(kept, version)
    if left is None:
        return merged
    # what was below a removed container and never was this manager's stays
    lost = apply_sets.difference(_named(whole, shape), _named(left[0], shape))
    back = in_version(apply_merge.remove(whole, apply_sets.intersection(lost, gone), shape), terms.api_version)
    return merged if back is None else back[0]


def _owned_by_version(managed: Managed, *, first: str) -> dict[str, Fields]:
    owned: dict[str, Fields] = {first: LEAF}
    for key, fields in managed.sets.items():
        version = managed.versions[key]
        owned[version] = apply_sets.union(owned.get(version, LEAF), fields)
    return owned


def _named(obj: Object, shape: Shape) -> Fields:
    return apply_merge.with_named_fields(apply_compare.field_set(obj, shape), shape)


def _with_owned(whole: Object, kept: Object, owned: Fields, shape: Shape) -> Object:
    """`kept` with what of `whole` is owned."""
    keep = apply_sets.union(_named(kept, shape), apply_merge.with_named_fields(owned, shape))
    return apply_merge.remove(whole, apply_sets.difference(_named(whole, shape), keep), shape)
