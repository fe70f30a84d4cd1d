"""/openapi/v2 and /openapi/v3: which document, in which media type, with ETags. The documents are `schema.openapi`'s."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import orjson

from minikube_api.resources.resource import Registry
from minikube_api.schema import openapi_protobuf
from minikube_api.schema.openapi import CustomSchema, Documents
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.discovery import Elsewhere
from minikube_api.server.negotiation import JSON, UNTRANSFORMED, negotiate


class OpenApi:
    """Documents are made in a thread: the whole of v2 takes longer than the loop may be held."""

    def __init__(
        self,
        registry: Registry,
        custom: CustomSchema = lambda group, version, kind: None,
        elsewhere: Callable[[], Mapping[tuple[str, str], Elsewhere]] = dict,
    ) -> None:
        self._elsewhere = elsewhere
        self._documents = Documents(lambda: registry, custom, lambda: registry.version, self._parts)
        self._making = asyncio.Lock()

    async def answer(self, request: Request, path: str) -> Answer | None:
        """None when there is no such document."""
        if path == "/openapi/v2":
            accept = request.headers.get("Accept", "")
            as_protobuf = accept.startswith(openapi_protobuf.ACCEPTED)
            if not as_protobuf:
                negotiate(accept, UNTRANSFORMED)
            async with self._making:
                make = self._documents.v2_protobuf if as_protobuf else self._documents.v2
                body, tag = await asyncio.to_thread(make)
            return _tagged(request, body, tag, openapi_protobuf.CONTENT_TYPE if as_protobuf else JSON)
        if path == "/openapi/v3":
            async with self._making:
                index = await asyncio.to_thread(self._documents.index)
            return Answer(200, self._with_others(index), "text/plain; charset=utf-8")
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

    def _parts(self) -> list[tuple[str, Object]]:
        """The v2 documents of aggregated API servers, the most important group first."""
        others = sorted(self._elsewhere().items(), key=lambda item: (-item[1].priority, item[0]))
        return [other.open_api_v2 for _, other in others if other.open_api_v2 is not None]

    def _with_others(self, index: bytes) -> bytes:
        """The index with the documents of aggregated API servers, which are read from them."""
        others = self._elsewhere()
        if not others:
            return index
        tree = orjson.loads(index)
        tree["paths"] |= {
            f"apis/{group}/{version}": other.open_api for (group, version), other in others.items() if other.open_api
        }
        return orjson.dumps(tree)


def _tagged(request: Request, body: bytes, tag: str, content_type: str) -> Answer:
    etag = f'"{tag}"'
    headers = {"ETag": etag, "Vary": "Accept"}
    if request.headers.get("If-None-Match") == etag:
        return Answer(304, b"", "", headers)
    return Answer(200, body, content_type, headers)
