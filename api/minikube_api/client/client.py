"""The typed client: CRUD, patch, apply and watch over the structs of `minikube_api.schema.typed`.

`Client.raw` reaches resources that have no struct. Objects given are never modified; objects answered are frozen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Literal, TypeVar

import msgspec

from minikube_api.client import interning, objects, paths
from minikube_api.client.objects import List, WatchEvent
from minikube_api.client.raw import PATCH_TYPES, RawClient
from minikube_api.client.transport import Transport
from minikube_api.schema.typed import Object
from minikube_api.schema.typed.meta_v1 import ObjectMeta

T = TypeVar("T", bound=Object)

PatchType = Literal["json", "merge", "strategic", "apply"]
Propagation = Literal["", "Background", "Foreground", "Orphan"]


class Client:
    """One identity's way to the API server. Cheap: make one per component. Methods raise StatusError and OSError.

    `user_agent` names the component; the part before the slash is the default field manager of its writes.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        user_agent: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.transport = transport
        self.raw = RawClient(transport, user_agent=user_agent, sleep=sleep)

    async def get(self, kind: type[T], name: str, *, namespace: str = "", resource_version: str | None = None) -> T:
        query = paths.list_query(resource_version=resource_version)
        path = paths.kind_path(kind.API, namespace=namespace, name=name)
        return objects.decode(kind, (await self.raw.send("GET", path, query=query)).body)

    async def list(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str | None = None,
        resource_version_match: str = "",
    ) -> List[T]:
        """One page (everything with `limit` 0). Over all namespaces when `namespace` is ""."""
        query = paths.list_query(
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )
        path = paths.kind_path(kind.API, namespace=namespace)
        return decode_list(kind, (await self.raw.send("GET", path, query=query)).body)

    async def create(
        self, obj: T, *, namespace: str = "", dry_run: bool = False, field_manager: str = "", field_validation: str = ""
    ) -> T:
        """Create in `namespace`, or where the object's metadata says."""
        query = paths.write_query(dry_run=dry_run, field_manager=field_manager, field_validation=field_validation)
        path = paths.kind_path(obj.API, namespace=namespace or _metadata(obj).namespace)
        return objects.decode(type(obj), (await self.raw.send("POST", path, query=query, body=obj)).body)

    async def update(self, obj: T, *, subresource: str = "", dry_run: bool = False, field_manager: str = "") -> T:
        """Replace. With a resourceVersion in the object the write is conditional (Conflict)."""
        path = paths.kind_path(obj.API, namespace=_metadata(obj).namespace, name=_metadata(obj).name, subresource=subresource)
        query = paths.write_query(dry_run=dry_run, field_manager=field_manager)
        return objects.decode(type(obj), (await self.raw.send("PUT", path, query=query, body=obj)).body)

    async def update_status(self, obj: T, *, field_manager: str = "") -> T:
        return await self.update(obj, subresource="status", field_manager=field_manager)

    async def patch(
        self,
        kind: type[T],
        name: str,
        body: Any,
        *,
        namespace: str = "",
        type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        """`body` is a tree (or bytes) of the patch `type`; `force` belongs to apply."""
        query = paths.write_query(dry_run=dry_run, field_manager=field_manager)
        if force:
            query["force"] = "true"
        path = paths.kind_path(kind.API, namespace=namespace, name=name, subresource=subresource)
        headers = {"content-type": PATCH_TYPES[type]}
        response = await self.raw.send("PATCH", path, query=query, headers=headers, body=body)
        return objects.decode(kind, response.body)

    async def apply(self, obj: T, *, field_manager: str, force: bool = False, subresource: str = "") -> T:
        """Server-side apply of a typed object: the fields that differ from the struct's defaults are applied."""
        return await self.patch(
            type(obj),
            _metadata(obj).name,
            objects.encode(obj),
            namespace=_metadata(obj).namespace,
            type="apply",
            subresource=subresource,
            field_manager=field_manager,
            force=force,
        )

    async def delete(
        self,
        kind: type[T],
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation = "",
        grace_period_seconds: int | None = None,
    ) -> None:
        """`uid` and `resource_version` are preconditions (Conflict when they don't hold)."""
        path = paths.kind_path(kind.API, namespace=namespace, name=name)
        options = delete_options(uid, resource_version, propagation, grace_period_seconds)
        await self.raw.send("DELETE", path, body={"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def delete_collection(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        propagation: Propagation = "",
        grace_period_seconds: int | None = None,
    ) -> None:
        path = paths.kind_path(kind.API, namespace=namespace)
        query = paths.list_query(label_selector=label_selector, field_selector=field_selector)
        options = delete_options("", "", propagation, grace_period_seconds)
        await self.raw.send("DELETE", path, query=query, body={"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def create_subresource(self, kind: type[T], name: str, subresource: str, body: Any, *, namespace: str = "") -> Any:
        """POST to a subresource (binding, eviction, token); gives the answer as a tree."""
        path = paths.kind_path(kind.API, namespace=namespace, name=name, subresource=subresource)
        return await self.raw.create(path, body)

    async def watch(
        self,
        kind: type[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        bookmarks: bool = False,
        timeout_seconds: int = 0,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Events after `resource_version`. Ends when the server ends the stream; wrap in `contextlib.aclosing` to leave early."""
        query = paths.list_query(
            label_selector=label_selector, field_selector=field_selector, resource_version=resource_version or None
        )
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        if timeout_seconds:
            query["timeoutSeconds"] = str(timeout_seconds)
        path = paths.kind_path(kind.API, namespace=namespace)
        async with aclosing(self.raw.watch_events(path, query=query)) as events:
            async for event in events:
                yield WatchEvent(event.type, objects.decode(kind, event.object))

    async def close(self) -> None:
        await self.transport.close()


def _metadata(obj: Object) -> ObjectMeta:
    metadata: ObjectMeta = getattr(obj, "metadata")  # noqa: B009 - every kind has it, though the base class can't say so
    return metadata


def delete_options(
    uid: str = "", resource_version: str = "", propagation: str = "", grace_period_seconds: int | None = None
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
    if preconditions:
        options["preconditions"] = preconditions
    if propagation:
        options["propagationPolicy"] = propagation
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    return options


_raw_list = msgspec.json.Decoder(objects.RawList)


def decode_list(kind: type[T], body: bytes) -> List[T]:
    """A list body; objects that this process holds already are shared (`interning`)."""
    raw = _raw_list.decode(body)
    items = [interning.decode(kind, item) for item in raw.items or ()]
    return List(items, raw.metadata.resourceVersion, raw.metadata.continue_)


__all__ = ["Client", "List", "WatchEvent"]
