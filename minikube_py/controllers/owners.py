"""Owner references, and claiming: which objects a controller owns, adopts or lets go (controller.ControllerRefManager)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from minikube_api.client.client import Client
from minikube_api.meta import selectors
from minikube_api.meta.errors import Invalid, NotFound
from minikube_api.schema.typed import Object
from minikube_api.schema.typed.meta_v1 import LabelSelector, OwnerReference

T = TypeVar("T", bound=Object)


def controller_of(obj: Any) -> OwnerReference | None:
    for ref in obj.metadata.ownerReferences:
        if ref.controller:
            return ref
    return None


def is_controlled_by(obj: Any, owner: Any) -> bool:
    ref = controller_of(obj)
    return ref is not None and ref.uid == owner.metadata.uid


def controller_reference(owner: Any) -> OwnerReference:
    """What a controller writes on its children (metav1.NewControllerRef)."""
    return OwnerReference(
        apiVersion=owner.API.api_version,
        kind=owner.API.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


#: Index of children: by the uid of their controller, or `orphans NAMESPACE` for those without one.
CONTROLLER_INDEX = "controller"


def controller_index(obj: Any) -> tuple[str, ...]:
    ref = controller_of(obj)
    return (ref.uid,) if ref is not None else (orphans_of(obj.metadata.namespace),)


def orphans_of(namespace: str) -> str:
    return f"orphans {namespace}"


def selector_of(selector: LabelSelector | None) -> selectors.LabelSelector:
    return selectors.from_label_selector(None if selector is None else msgspec.to_builtins(selector))


async def claim(
    client: Client,
    owner: Any,
    kind: type[T],
    children: Iterable[T],
    *,
    matches: Callable[[T], bool],
    fresh_owner: Callable[[], Awaitable[Any]],
    finalizers: tuple[str, ...] = (),
) -> list[T]:
    """The children that are `owner`'s: owned and matching. Matching orphans are adopted, owned ones that match no longer are released.
    `finalizers` go on with adoption and off with release.

    Before the first adoption the owner is read again from the server (`fresh_owner`): a deleted or replaced owner adopts nothing.
    """
    claimed: list[T] = []
    checked = False
    for child in children:
        metadata: Any = child.metadata  # type: ignore[attr-defined]
        ref = controller_of(child)
        if ref is not None:
            if ref.uid != owner.metadata.uid:
                continue
            if matches(child):
                claimed.append(child)
            elif owner.metadata.deletionTimestamp is None:
                await _release(client, owner, kind, metadata, finalizers)
            continue
        if owner.metadata.deletionTimestamp is not None or metadata.deletionTimestamp is not None or not matches(child):
            continue
        if not checked:
            fresh = await fresh_owner()
            if fresh.metadata.uid != owner.metadata.uid:
                raise NotFound(f"original {owner.API.kind} {metadata.namespace}/{owner.metadata.name} is gone")
            if fresh.metadata.deletionTimestamp is not None:
                return claimed
            checked = True
        adopted = await _adopt(client, owner, kind, child, metadata, finalizers)
        if adopted is not None:
            claimed.append(adopted)
    return claimed


async def _adopt(client: Client, owner: Any, kind: type[T], child: T, metadata: Any, finalizers: tuple[str, ...]) -> T | None:
    reference = controller_reference(owner)
    body: dict[str, Any] = {"metadata": {"ownerReferences": [msgspec.to_builtins(reference)], "uid": metadata.uid}}
    if finalizers:
        body["metadata"]["finalizers"] = list(finalizers)
    try:
        await client.patch(kind, metadata.name, body, namespace=metadata.namespace, type="strategic")
    except NotFound:
        return None
    return replace(child, metadata=replace(metadata, ownerReferences=(*metadata.ownerReferences, reference)))


async def _release(client: Client, owner: Any, kind: type[T], metadata: Any, finalizers: tuple[str, ...]) -> None:
    body: dict[str, Any] = {
        "metadata": {"uid": metadata.uid, "ownerReferences": [{"$patch": "delete", "uid": owner.metadata.uid}]}
    }
    if finalizers:
        body["metadata"]["$deleteFromPrimitiveList/finalizers"] = list(finalizers)
    try:
        await client.patch(kind, metadata.name, body, namespace=metadata.namespace, type="strategic")
    except (NotFound, Invalid):
        pass  # gone, or another object of that name stands there: nothing to release
