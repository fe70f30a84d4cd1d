"""An unplugged node hears nothing of the API server and tells it nothing, although its agents may live in the server's own process.

`Cables` knows which nodes are unplugged (the cluster's shim says so); `SeveredTransport` is a node's way to the API server through its cable.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from minikube_api.client.transport import Response, StreamResponse, Transport


class Cables:
    """The unplugged nodes; `pulled(node)` is an event that is set while the node is one of them."""

    def __init__(self) -> None:
        self._pulled: dict[str, asyncio.Event] = {}

    def pulled(self, node: str) -> asyncio.Event:
        return self._pulled.setdefault(node, asyncio.Event())

    def note(self, node: str, *, up: bool) -> None:
        if up:
            self.pulled(node).clear()
        else:
            self.pulled(node).set()


def unreachable(node: str) -> OSError:
    return OSError(errno.EHOSTUNREACH, f"node {node} is unplugged")


class SeveredTransport:
    """A Transport that ends what is under way, and refuses what is new, while the node is unplugged. Raises OSError then."""

    def __init__(self, inner: Transport, pulled: asyncio.Event, node: str) -> None:
        self._inner, self._pulled, self._node = inner, pulled, node

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = 30.0,
    ) -> Response:
        if self._pulled.is_set():
            raise unreachable(self._node)
        return await self._inner.request(method, path, query=query, headers=headers, body=body, timeout=timeout)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[StreamResponse]:
        if self._pulled.is_set():
            raise unreachable(self._node)
        async with self._inner.stream(method, path, query=query, headers=headers) as response:
            yield _SeveredStream(response, self._pulled, self._node)

    async def close(self) -> None:
        await self._inner.close()


class _SeveredStream:
    def __init__(self, inner: StreamResponse, pulled: asyncio.Event, node: str) -> None:
        self._inner, self._pulled, self._node = inner, pulled, node
        self.status, self.headers = inner.status, inner.headers

    def lines(self) -> AsyncIterator[bytes]:
        return self._until_pulled(self._inner.lines())

    def chunks(self) -> AsyncIterator[bytes]:
        return self._until_pulled(self._inner.chunks())

    async def read(self) -> bytes:
        return await self._inner.read()

    async def _until_pulled(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces; OSError as soon as the cable is pulled, also while none comes."""
        pulled = asyncio.ensure_future(self._pulled.wait())
        piece: asyncio.Future[bytes] | None = None
        try:
            while True:
                piece = asyncio.ensure_future(anext(pieces))
                await asyncio.wait((piece, pulled), return_when=asyncio.FIRST_COMPLETED)
                if pulled.done():
                    raise unreachable(self._node)
                try:
                    yield piece.result()
                except StopAsyncIteration:
                    return
        finally:
            pulled.cancel()
            if piece is not None and not piece.done():
                piece.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await piece
