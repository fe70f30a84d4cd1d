"""Access to any resource by path, as JSON trees or bytes: what the CLI, the garbage collector and the namespace controller use.

Answers of 400 and more are raised as the `StatusError` family. A 429 or 5xx with `Retry-After` is tried again, up to ten times,
as client-go does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import orjson

from minikube_api.client import objects
from minikube_api.client.transport import Response, StreamResponse, Transport
from minikube_api.meta.errors import StatusError

PATCH_TYPES: Final[Mapping[str, str]] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MAX_RETRIES: Final = 10


class RawClient:
    """Requests by path. Every method raises StatusError, and OSError when the server can't be reached."""

    def __init__(
        self,
        transport: Transport,
        *,
        user_agent: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.transport = transport
        self._sleep = sleep
        self._headers = {"user-agent": user_agent} if user_agent else {}

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: float | None = 30.0,
    ) -> Response:
        """One request; `body` is bytes, a tree or a typed object."""
        sent = {"accept": "application/json", **self._headers, **(headers or {})}
        data = body if body is None or isinstance(body, bytes) else objects.encode(body)
        if data is not None:
            sent.setdefault("content-type", "application/json")
        for attempt in range(MAX_RETRIES + 1):
            response = await self.transport.request(method, path, query=query, headers=sent, body=data, timeout=timeout)
            if response.status < 400:
                return response
            wait = _retry_after(response)
            if wait is None or attempt == MAX_RETRIES:
                break
            await self._sleep(wait)
        raise error_of(response.status, response.headers, response.body)

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """As `send`, with the answer as a tree (None when it is empty, text when it is not JSON)."""
        response = await self.send(method, path, **options)
        if not response.body:
            return None
        if "json" in response.headers.get("content-type", "json"):
            return orjson.loads(response.body)
        return response.body.decode()

    async def get(self, path: str, *, query: Mapping[str, str] | None = None, accept: str = "") -> Any:
        return await self.request("GET", path, query=query, headers={"accept": accept} if accept else None)

    async def create(self, path: str, body: Any, *, query: Mapping[str, str] | None = None) -> Any:
        return await self.request("POST", path, body=body, query=query)

    async def update(self, path: str, body: Any, *, query: Mapping[str, str] | None = None) -> Any:
        return await self.request("PUT", path, body=body, query=query)

    async def patch(self, path: str, body: Any, *, type: str = "merge", query: Mapping[str, str] | None = None) -> Any:
        """`type` is one of json, merge, strategic, apply."""
        headers = {"content-type": PATCH_TYPES[type]}
        return await self.request("PATCH", path, body=body, query=query, headers=headers)

    async def delete(self, path: str, options: Mapping[str, Any] | None = None, *, accept: str = "") -> Any:
        """`options` is a DeleteOptions tree (propagationPolicy, preconditions, gracePeriodSeconds...)."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options else None
        return await self.request("DELETE", path, body=body, headers={"accept": accept} if accept else None)

    async def stream(self, path: str, *, query: Mapping[str, str] | None = None, accept: str = "") -> AsyncGenerator[bytes, None]:
        """Pieces of a streamed answer (logs)."""
        headers = {**self._headers, **({"accept": accept} if accept else {})}
        async with self.transport.stream("GET", path, query=query, headers=headers) as response:
            await raise_for_status(response)
            async for chunk in response.chunks():
                yield chunk

    async def watch_events(
        self, path: str, *, query: Mapping[str, str], accept: str = ""
    ) -> AsyncGenerator[objects.RawEvent, None]:
        """Events of a watch with their objects still encoded; an ERROR event is raised. Ends when the server ends the stream.

        Close the generator (`contextlib.aclosing`) to end the stream early.
        """
        headers = {"accept": accept or "application/json", **self._headers}
        async with self.transport.stream("GET", path, query={**query, "watch": "true"}, headers=headers) as response:
            await raise_for_status(response)
            async for line in response.lines():
                if not line:
                    continue
                event = _raw_event.decode(line)
                if event.type == "ERROR":
                    raise StatusError.of(orjson.loads(bytes(event.object)))
                yield event


_raw_event = msgspec.json.Decoder(objects.RawEvent)


async def raise_for_status(response: StreamResponse) -> None:
    if response.status >= 400:
        raise error_of(response.status, response.headers, await response.read())


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> StatusError:
    """The error that an answer of 400 and more describes, also when it is not a Status object (proxies, plain text)."""
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        tree = None
    if isinstance(tree, dict) and tree.get("kind") == "Status":
        error = StatusError.of(tree)
    else:
        text = body.decode(errors="replace").strip()
        error = StatusError.of(
            {
                "code": status,
                "reason": _REASONS.get(status, "InternalError" if status >= 500 else ""),
                "message": text or f"the server responded with the status code {status}",
            }
        )
    if error.retry_after_seconds is None and headers.get("retry-after", "").isdigit():
        error.retry_after_seconds = int(headers["retry-after"])
    return error


_REASONS: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    406: "NotAcceptable", 409: "Conflict", 410: "Gone", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType",
    422: "Invalid", 429: "TooManyRequests", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip


def _retry_after(response: Response) -> float | None:
    """Seconds to wait before another try, or None when the answer is final."""
    seconds = response.headers.get("retry-after", "")
    if (response.status == 429 or response.status >= 500) and seconds.isdigit():
        return float(seconds)
    return None
