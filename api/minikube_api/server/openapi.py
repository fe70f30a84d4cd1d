"""/openapi/v2 and /openapi/v3: which document, in which media type, with ETags. The documents are `schema.openapi`'s."""

from __future__ import annotations

import asyncio

from minikube_api.resources.resource import Registry
from minikube_api.schema import openapi_protobuf
from minikube_api.schema.openapi import CustomSchema, Documents
from minikube_api.server.context import Answer, Request
from minikube_api.server.negotiation import JSON, negotiate


class OpenApi:
    """Documents are made in a thread: the whole of v2 takes longer than the loop may be held."""

    def __init__(self, registry: Registry, custom: CustomSchema = lambda group, version, kind: None) -> None:
        self._documents = Documents(lambda: registry, custom, lambda: registry.version)
        self._making = asyncio.Lock()

    async def answer(self, request: Request, path: str) -> Answer | None:
        """None when there is no such document."""
        if path == "/openapi/v2":
            accept = request.headers.get("Accept", "")
            as_protobuf = accept.startswith(openapi_protobuf.ACCEPTED)
            if not as_protobuf:
                negotiate(accept, False)
            async with self._making:
                make = self._documents.v2_protobuf if as_protobuf else self._documents.v2
                body, tag = await asyncio.to_thread(make)
            return _tagged(request, body, tag, openapi_protobuf.CONTENT_TYPE if as_protobuf else JSON)
        if path == "/openapi/v3":
            async with self._making:
                return Answer(200, await asyncio.to_thread(self._documents.index), "text/plain; charset=utf-8")
        if not path.startswith("/openapi/v3/"):
            return None
        async with self._making:
            found = await asyncio.to_thread(self._documents.v3, path.removeprefix("/openapi/v3/"))
        if found is None:
            return Answer(404, b"", "")
        answer = _tagged(request, found[0], found[1], JSON)
        if request.query.get("hash") == found[1] and answer.status == 200:
            answer.headers["Cache-Control"] = "public, immutable"
        return answer


def _tagged(request: Request, body: bytes, tag: str, content_type: str) -> Answer:
    etag = f'"{tag}"'
    headers = {"ETag": etag, "Vary": "Accept"}
    if request.headers.get("If-None-Match") == etag:
        return Answer(304, b"", "", headers)
    return Answer(200, body, content_type, headers)
