"""SPDY/3.1 framing, as much as port-forwarding needs: streams opened by the client, data both ways, ping, end. Pure: bytes in, events out.

Source: the SPDY draft 3.1. kubectl >= 1.30 sends these frames inside a WebSocket (subprotocol `SPDY/3.1+portforward.k8s.io`, KEP-4006);
its SPDY library has no flow control, and neither has this.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 0x01
PROTOCOL_ERROR, CANCEL = 1, 5
MAX_FRAME = 1 << 24

_WORD_TEXT = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_WORDS = _WORD_TEXT.split()
_PAIRS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
#: the zlib dictionary of header blocks (SPDY draft 3, section 2.6.10.1); its Adler-32 is part of every compressed stream
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in (*_WORDS, *_PAIRS)) + _TAIL.encode()


class ProtocolError(ConnectionError):
    """What came is no SPDY/3.1."""


@dataclass(frozen=True, slots=True)
class Opened:
    stream: int
    headers: dict[str, str]
    #: the client sends nothing more on it
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int


Event = Opened | Data | Reset | Ping | GoAway


@dataclass(slots=True)
class Session:
    """The server's side of one connection. `feed` gives events; `reply`, `data`, `reset`, `pong`, `goaway` give bytes to send."""

    _buffer: bytearray = field(default_factory=bytearray)
    _inflate: zlib._Decompress = field(default_factory=lambda: zlib.decompressobj(zdict=DICTIONARY))
    _deflate: zlib._Compress = field(default_factory=lambda: zlib.compressobj(zdict=DICTIONARY))

    def feed(self, data: bytes) -> list[Event]:
        """Raises ProtocolError."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            word, flags_length = struct.unpack_from(">II", self._buffer)
            flags, length = flags_length >> 24, flags_length & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if word >> 31:
                event = self._control(word & 0xFFFF, flags, body)
                if event is not None:
                    events.append(event)
            else:
                events.append(Data(word, body, bool(flags & FLAG_FIN)))
        return events

    def _control(self, kind: int, flags: int, body: bytes) -> Event | None:
        try:
            match kind:
                case 1:
                    (stream,) = struct.unpack_from(">I", body)
                    return Opened(stream & 0x7FFFFFFF, self._headers(body[10:]), bool(flags & FLAG_FIN))
                case 8:
                    # The block must be read even when nobody wants it: the compression state goes on.
                    self._headers(body[4:])
                    return None
                case 3:
                    return Reset(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF)
                case 6:
                    return Ping(struct.unpack_from(">I", body)[0])
                case 7:
                    return GoAway(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF)
                case _:
                    return None
        except (struct.error, zlib.error, IndexError) as error:
            raise ProtocolError(f"malformed SPDY frame of type {kind}: {error}") from error

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block)
        (count,) = struct.unpack_from(">I", plain)
        at, headers = 4, {}
        for _ in range(count):
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", plain, at)
                texts.append(plain[at + 4 : at + 4 + length].decode("latin-1"))
                at += 4 + length
            headers[texts[0].lower()] = texts[1]
        return headers

    def reply(self, stream: int) -> bytes:
        """SYN_REPLY without headers."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _frame(SYN_REPLY, 0, struct.pack(">I", stream) + block)

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        return struct.pack(">II", stream, (FLAG_FIN if fin else 0) << 24 | len(data)) + data

    def reset(self, stream: int, status: int = CANCEL) -> bytes:
        return _frame(RST_STREAM, 0, struct.pack(">II", stream, status))

    def pong(self, ping: Ping) -> bytes:
        return _frame(PING, 0, struct.pack(">I", ping.id))

    def goaway(self, last_stream: int) -> bytes:
        return _frame(GOAWAY, 0, struct.pack(">II", last_stream, 0))


def _frame(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body
