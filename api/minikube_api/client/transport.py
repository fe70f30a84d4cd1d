"""How a client reaches the API server: one Protocol, two implementations with identical results.

`HttpTransport` (this package) speaks HTTPS; the in-process one is implemented by `minikube_api.server` and injected by
`minikube_py.cluster`. Bodies cross as bytes both ways.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamResponse(Protocol):
    """An answer whose body is read piece by piece (watch, logs -f). For status >= 400 `read()` gives the Status body."""

    status: int
    headers: Mapping[str, str]

    def lines(self) -> AsyncIterator[bytes]:
        """Lines without their newline. Ends when the server ends the stream."""
        ...

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def read(self) -> bytes: ...


class Transport(Protocol):
    """`path` starts with a slash and is not percent-encoded; `query` values are strings. Raises OSError when the server can't be reached."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = 30.0,
    ) -> Response: ...

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[StreamResponse]:
        """Leaving the context ends the stream on both sides."""
        ...

    async def close(self) -> None: ...
