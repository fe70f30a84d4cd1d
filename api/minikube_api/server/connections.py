"""The connection under a request: Go's limits on its head, and what Go's `net/http` answers to what is no request.

kube-apiserver leaves this to its HTTP server, so none of it is a Status: plain text, and the connection is closed. Selectors of
thousands of values and tokens of many groups must pass: a proxy's usual 8 KiB are too little.
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

#: bytes of the request line; Go's DefaultMaxHeaderBytes, which there bounds the whole head
LINE_LIMIT = 1 << 20
#: bytes of one header, and how many there may be: together what one client may make this server hold
FIELD_LIMIT = 256 << 10
FIELDS = 512

_BAD = "400 Bad Request"
#: what aiohttp's parser says -> status and text of Go's server
_ANSWERS = (
    ("too many headers", 431, "431 Request Header Fields Too Large"),
    ("missing 'host'", 400, f"{_BAD}: missing required Host header"),
    ("invalid http version", 505, "505 HTTP Version Not Supported: unsupported protocol version"),
    ("request has invalid `transfer-encoding`", 501, "Unsupported transfer encoding"),
)
_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Protocol(RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        if status != 400:
            return super().handle_error(request, status, exc, message)
        return refusal(*_go_answer(exc, message or ""))


class WebServer(Server):
    """aiohttp's, with the connections of this module."""

    def __call__(self) -> RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class Streamed(StreamResponse):
    """A response that does not name its server: kube-apiserver's never do, aiohttp's always."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class Whole(Response, Streamed):
    """The same in one piece."""


def limits() -> dict[str, Any]:
    return {"max_line_size": LINE_LIMIT, "max_field_size": FIELD_LIMIT, "max_headers": FIELDS}


def malformed(raw_path: str) -> bool:
    """A percent sign that escapes nothing: Go's server refuses such a path before anyone sees it."""
    return _MALFORMED.search(raw_path) is not None


def refusal(status: int = 400, text: str = _BAD) -> Response:
    response = Whole(status=status, text=text, headers={"Connection": "close"})
    response.force_close()
    return response


def _go_answer(error: BaseException | None, message: str) -> tuple[int, str]:
    if isinstance(error, LineTooLong):
        return 431, "431 Request Header Fields Too Large"
    said = message.lower()
    return next(((status, text) for words, status, text in _ANSWERS if words in said), (400, _BAD))
