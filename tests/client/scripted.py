"""A transport whose answers the test writes: for what a real server can't be made to do on demand (broken streams, 410)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from minikube_api.client.transport import Response


class Stream:
    """One open watch; the test sends events into it."""

    def __init__(self, path: str, query: Mapping[str, str]) -> None:
        self.path, self.query = path, dict(query)
        self.status, self.headers = 200, {"content-type": "application/json"}
        self.body = b""
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, type: str, obj: dict[str, Any]) -> None:
        self._lines.put_nowait(orjson.dumps({"type": type, "object": obj}))

    def bookmark(self, version: int, *, end: bool = False) -> None:
        annotations = {"k8s.io/initial-events-end": "true"} if end else {}
        self.send("BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": annotations}})

    def error(self, code: int, reason: str) -> None:
        self.send("ERROR", {"kind": "Status", "code": code, "reason": reason, "message": "too old resource version"})

    def end(self) -> None:
        self._lines.put_nowait(None)

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self._lines.get()) is not None:
            yield line

    chunks = lines

    async def read(self) -> bytes:
        return self.body


class ScriptedTransport:
    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.answers: list[tuple[int, Any]] = []
        self.refuse_streams: list[tuple[int, Any]] = []

    async def request(self, method, path, *, query=None, headers=None, body=None, timeout=30.0) -> Response:
        self.requests.append((method, path, dict(query or {})))
        status, tree = self.answers.pop(0)
        extra = tree.pop("__headers", {}) if isinstance(tree, dict) else {}
        return Response(status, {"content-type": "application/json", **extra}, orjson.dumps(tree))

    @asynccontextmanager
    async def stream(self, method, path, *, query=None, headers=None):
        stream = Stream(path, query or {})
        if self.refuse_streams:
            stream.status, tree = self.refuse_streams.pop(0)
            stream.body = orjson.dumps(tree)
        self.streams.append(stream)
        yield stream

    async def close(self) -> None:
        pass


def configmap(name: str, version: int, *, namespace: str = "default", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
