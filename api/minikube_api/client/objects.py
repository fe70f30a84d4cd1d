"""Typed objects at the client's edge: what every kind's struct offers, encoding, decoding, list and metadata-only forms.

Neighbours: `minikube_api.schema.typed` (the generated structs), `interning` (one decoded object per process). Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
import orjson

from minikube_api.schema import typed

T = TypeVar("T")


class OwnerReference(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    apiVersion: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    blockOwnerDeletion: bool | None = None


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The part of ObjectMeta that generic machinery needs (garbage collector, namespace contents); managedFields is left out."""

    name: str = ""
    generateName: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    creationTimestamp: str | None = None
    deletionTimestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[OwnerReference, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class PartialObjectMetadata(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, weakref=True):
    """meta.k8s.io/v1 PartialObjectMetadata: any object without spec and status."""

    apiVersion: str = ""
    kind: str = ""
    metadata: Metadata = Metadata()


class ListMetadata(msgspec.Struct, frozen=True):
    resourceVersion: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remainingItemCount: int | None = None


class RawList(msgspec.Struct, frozen=True):
    """A list body whose items stay encoded."""

    metadata: ListMetadata = ListMetadata()
    items: list[msgspec.Raw] | None = None


class RawEvent(msgspec.Struct, frozen=True):
    """One line of a watch, the object still encoded."""

    type: str
    object: msgspec.Raw


@dataclass(frozen=True, slots=True)
class List(Generic[T]):
    """An answered list. `continue_token` is "" on the last page."""

    items: list[T]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """ADDED, MODIFIED, DELETED or BOOKMARK; an ERROR event is raised as a StatusError instead."""

    type: str
    object: T


def encode(obj: Any) -> bytes:
    """The JSON body of a typed object (apiVersion and kind first), of another struct, or of a JSON tree."""
    if isinstance(obj, typed.Object):
        return typed.encode(obj)
    return msgspec.json.encode(obj) if isinstance(obj, msgspec.Struct) else orjson.dumps(obj)


@cache
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(kind: type[T], body: bytes | msgspec.Raw) -> T:
    """Decode one object. A null where the struct wants a list or map counts as absent, as in Go."""
    try:
        return decoder(kind).decode(body)
    except msgspec.ValidationError:
        return msgspec.convert(without_nulls(orjson.loads(memoryview(body))), kind)


def from_tree(kind: type[T], tree: Any) -> T:
    return msgspec.convert(without_nulls(tree), kind)


def without_nulls(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [without_nulls(value) for value in tree]
    return tree
