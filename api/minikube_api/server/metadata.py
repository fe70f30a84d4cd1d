"""Object metadata on its way into the store: what the server fills in and keeps (the registry's `BeforeCreate` and `BeforeUpdate`).

Pure: the time and the randomness are handed in. What is refused is in `resources.objectmeta`, called by the strategies.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from minikube_api.meta.errors import StatusError

Object = dict[str, Any]

#: apimachinery's alphabet of generated suffixes: no vowels, no digits that look like letters
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED = 63 - 5
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})


def generate_name(base: str, rng: random.Random) -> str:
    """`base` (cut to 58 characters) and five random characters."""
    return base[:_MAX_GENERATED] + "".join(rng.choices(SUFFIX_ALPHABET, k=5))


def new_uid(rng: random.Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def drop_on_create(obj: Object) -> None:
    """What a client may send but a new object never has; dropped before fields are tracked."""
    meta = obj["metadata"]
    for field in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "creationTimestamp", "uid"):
        meta.pop(field, None)


def fill_on_create(obj: Object, namespaced: bool, namespace: str, now: str, rng: random.Random) -> None:
    """Set what only the server may set on a new object (FillObjectMetaSystemFields). Raises what Kubernetes answers with 500."""
    meta = obj["metadata"]
    if meta.pop("resourceVersion", ""):
        raise StatusError("resourceVersion should not be set on objects to be created", reason="")
    if namespaced:
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    meta["creationTimestamp"] = now
    meta["uid"] = new_uid(rng)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generate_name(meta["generateName"], rng)


def keep_on_update(obj: Object, old: Object, namespaced: bool) -> None:
    """Carry over what an update may leave out and can't change (BeforeUpdate)."""
    meta, before = obj["metadata"], old["metadata"]
    if not namespaced:
        meta.pop("namespace", None)
    meta.pop("selfLink", None)
    _copy(meta, before, "generation")
    _copy(meta, before, "creationTimestamp")
    # what is not being deleted can't be made so by an update: that is refused as a change of an immutable field
    if "deletionTimestamp" in before:
        meta["deletionTimestamp"] = before["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in before and meta.get("deletionGracePeriodSeconds") is None:
        meta["deletionGracePeriodSeconds"] = before["deletionGracePeriodSeconds"]
    if not meta.get("uid"):
        _copy(meta, before, "uid")


def _copy(target: Object, source: Object, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def finalizer_warnings(finalizers: Iterable[str]) -> list[str]:
    """The server warns of finalizers without a domain."""
    return [
        f'metadata.finalizers: "{f}": prefer a domain-qualified finalizer name including a path (/) to avoid accidental '
        "conflicts with other finalizer writers"
        for f in finalizers
        if "/" not in f and f not in _STANDARD_FINALIZERS
    ]


def deduplicate_owners(obj: Object) -> list[str]:
    """Drop repeated owner references; returns the warning that goes out when there were any."""
    owners = obj["metadata"].get("ownerReferences")
    if not owners or len(owners) < 2:
        return []
    kept: list[Object] = []
    repeated: list[str] = []
    for owner in owners:
        if owner in kept:
            repeated.append(str(owner.get("uid", "")))
        else:
            kept.append(owner)
    if not repeated:
        return []
    obj["metadata"]["ownerReferences"] = kept
    return [
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
        f"reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {', '.join(dict.fromkeys(repeated))}"
    ]
