"""One decoded object per process: components of one process that watch the same kind share their objects.

An object's state is named by (type, uid, resourceVersion); objects are frozen, so sharing is safe. The table holds weak
references: an object lives as long as some informer keeps it.
"""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from minikube_api.client import objects

T = TypeVar("T")


class _Identity(msgspec.Struct, frozen=True):
    uid: str = ""
    resourceVersion: str = ""


class _Identified(msgspec.Struct, frozen=True):
    metadata: _Identity = _Identity()


_identity = msgspec.json.Decoder(_Identified)
_interned: WeakValueDictionary[tuple[type, str, str], Any] = WeakValueDictionary()


def decode(kind: type[T], body: bytes | msgspec.Raw) -> T:
    """Decode `body`, or give the object of the same state that this process has already."""
    identity = _identity.decode(body).metadata
    if not identity.uid or not identity.resourceVersion:
        return objects.decode(kind, body)
    key = (kind, identity.uid, identity.resourceVersion)
    known = _interned.get(key)
    if known is None:
        known = _interned[key] = objects.decode(kind, body)
    return known


def size() -> int:
    """Number of distinct object states alive in this process (for /metrics)."""
    return len(_interned)
