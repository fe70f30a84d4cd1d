"""SPDY/3.1 frames and the WebSocket channel protocols."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_agents.kubelet import channels, spdy
from minikube_agents.kubelet.channels import Protocol


def client_open(stream: int, headers: dict[str, str], deflate: zlib._Compress, *, fin: bool = False) -> bytes:
    """SYN_STREAM as a client sends it."""
    block = struct.pack(">I", len(headers))
    for name, value in headers.items():
        for text in (name.encode(), value.encode()):
            block += struct.pack(">I", len(text)) + text
    body = struct.pack(">IIH", stream, 0, 0) + deflate.compress(block) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return struct.pack(">HHI", 0x8003, 1, (1 if fin else 0) << 24 | len(body)) + body


def test_the_dictionary_is_the_drafts() -> None:
    # The Adler-32 that every SPDY/3 header block names as its dictionary.
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_streams_open_with_their_headers_in_one_compression_state() -> None:
    session, deflate = spdy.Session(), zlib.compressobj(zdict=spdy.DICTIONARY)
    error = {"streamtype": "error", "port": "80", "requestid": "0"}
    data = error | {"streamtype": "data"}
    sent = client_open(1, error, deflate, fin=True) + client_open(3, data, deflate)
    assert session.feed(sent) == [spdy.Opened(1, error, fin=True), spdy.Opened(3, data, fin=False)]


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 9))
def test_frames_survive_any_cutting(pieces: list[bytes], step: int) -> None:
    sender, session = spdy.Session(), spdy.Session()
    sent = b"".join(sender.data(3, piece, fin=i == len(pieces) - 1) for i, piece in enumerate(pieces))
    events = [event for i in range(0, len(sent), step) for event in session.feed(sent[i : i + step])]
    assert events == [spdy.Data(3, piece, i == len(pieces) - 1) for i, piece in enumerate(pieces)]


def test_control_frames() -> None:
    session = spdy.Session()
    ping = struct.pack(">HHII", 0x8003, 6, 4, 7)
    assert session.feed(ping) == [spdy.Ping(7)]
    assert session.pong(spdy.Ping(7)) == ping
    assert session.feed(session.reset(5)) == [spdy.Reset(5)]
    assert session.feed(session.goaway(9)) == [spdy.GoAway(9)]


def test_garbage_is_a_protocol_error() -> None:
    with pytest.raises(spdy.ProtocolError):
        spdy.Session().feed(struct.pack(">HHI", 0x8003, 1, 14) + b"\0" * 14)


@pytest.mark.parametrize("name", [*channels.REMOTE_COMMAND, ""])
@given(channel=st.integers(0, 4), data=st.binary(max_size=20))
def test_channel_messages_come_back(name: str, channel: int, data: bytes) -> None:
    protocol = Protocol(name)
    message = protocol.encode(channel, data)
    assert isinstance(message, str) == ("base64" in name)
    assert protocol.decode(message) == (channel, data)


@pytest.mark.parametrize(
    ("name", "message"), [("v4.channel.k8s.io", b""), ("base64.channel.k8s.io", "x"), ("base64.channel.k8s.io", "0!")]
)
def test_bad_messages_are_refused(name: str, message: bytes | str) -> None:
    with pytest.raises(ValueError):
        Protocol(name).decode(message)


def test_exit_codes_on_the_error_channel() -> None:
    assert channels.exit_status(0) == {"metadata": {}, "status": "Success"}
    assert channels.exit_status(3)["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
