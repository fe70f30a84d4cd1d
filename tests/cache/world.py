"""A running feed over a memory store with one kind, for the cache's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from minikube_api import store as stores
from minikube_api.cache import Cacher, Entry, Feed, Rendering, Watch, encode
from minikube_api.store.contract import Store

PODS = "/registry/pods/"


def fields(tree: dict[str, Any]) -> dict[str, str]:
    return {"spec.nodeName": tree.get("spec", {}).get("nodeName", "")}


def pod(name: str, namespace: str = "default", *, node: str = "", mark: str = "", **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node, "mark": mark}}


def bookmark(revision: int, initial_end: bool) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return orjson.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": metadata})


STORED = Rendering(key="stored", bookmark=bookmark)


class World:
    def __init__(self, store: Store, feed: Feed, pods: Cacher) -> None:
        self.store = store
        self.feed = feed
        self.pods = pods

    async def put(self, tree: dict[str, Any]) -> int:
        revision = await self.store.put(self.key(tree), encode(tree))
        await self.pods.wait(revision)
        return revision

    async def delete(self, name: str, namespace: str = "default") -> int:
        revision = await self.store.delete(self.pods.key(namespace, name))
        await self.pods.wait(revision)
        return revision

    def key(self, tree: dict[str, Any]) -> str:
        return self.pods.key(tree["metadata"]["namespace"], tree["metadata"]["name"])


@asynccontextmanager
async def world(*, clock: Any = None, patience: float = 0.02, **options: Any) -> AsyncIterator[World]:
    extra = {} if clock is None else {"clock": clock}
    store = await stores.open("memory", compaction_interval=None)
    feed = Feed(store, patience=patience, **extra)
    await feed.start()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(feed.run())
        try:
            yield World(store, feed, Cacher(feed, PODS, namespaced=True, fields=fields, **options))
        finally:
            running.cancel()
            await store.close()


def names(items: Any) -> list[str]:
    return [entry.name for entry in items]


def events_of(chunk: bytes) -> list[tuple[str, dict[str, Any]]]:
    assert chunk.endswith(b"\n")
    parsed = [orjson.loads(line) for line in chunk.splitlines()]
    return [(event["type"], event["object"]) for event in parsed]


def told(event: tuple[str, dict[str, Any]]) -> tuple[str, str, str]:
    """(type, name, resourceVersion)."""
    kind, obj = event
    return kind, obj["metadata"].get("name", ""), obj["metadata"]["resourceVersion"]


async def read(watch: Watch, count: int) -> list[tuple[str, dict[str, Any]]]:
    events: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(2):
        while len(events) < count:
            events += events_of(await anext(watch))
    return events


async def nothing_more(watch: Watch) -> bool:
    """Nothing is pending now."""
    task = asyncio.ensure_future(anext(watch))
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        return False
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return True


def metadata_only(entry: Entry) -> bytes:
    return orjson.dumps({"kind": "PartialObjectMetadata", "metadata": entry.tree()["metadata"]})
