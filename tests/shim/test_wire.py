"""Frames with descriptors, the shim's socket, and what the shim may import."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_agents.shim import client, frames, launch, switch
from minikube_agents.shim import loop as loops
from minikube_agents.shim.server import Server

JSON = st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=4)


@given(st.lists(JSON, max_size=5), st.integers(1, 9))
def test_messages_survive_any_cutting(messages: list[dict[str, object]], size: int) -> None:
    data = b"".join(map(frames.encode, messages))
    decoder = frames.Decoder()
    seen = [message for at in range(0, len(data), size) for message, _fds in decoder.feed(data[at : at + size], [])]
    assert seen == messages


def test_descriptors_come_with_their_own_message() -> None:
    here, there = socket.socketpair()
    files = [os.memfd_create(name) for name in "abc"]
    with here, there:
        frames.send(here, frames.encode({"n": 1}, 1), files[:1])
        frames.send(here, frames.encode({"n": 2}), [])
        frames.send(here, frames.encode({"n": 3}, 2), files[1:])
        decoder, seen = frames.Decoder(), []
        while len(seen) < 3:
            seen += decoder.feed(*frames.receive(there))
    names = [[os.readlink(f"/proc/self/fd/{fd}") for fd in fds] for _message, fds in seen]
    assert names == [["/memfd:a (deleted)"], [], ["/memfd:b (deleted)", "/memfd:c (deleted)"]]
    for fd in [*files, *(fd for _message, fds in seen for fd in fds)]:
        os.close(fd)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff" * 6, id="huge"),
        pytest.param(b"\0\0\0\2\0\0[]", id="no object"),
        pytest.param(b"\0\0\0\2\0\0{x", id="no json"),
        pytest.param(frames.encode({}, 3), id="missing descriptors"),
    ],
)
def test_nonsense_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(frames.ProtocolError):
        list(frames.Decoder().feed(data, []))


class Echo(Server):
    def op_fail(self, call: object) -> None:
        raise OSError(13, "no", "x")

    def _reap(self) -> None: ...


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server in a thread, at a path longer than a socket's address may be."""
    monkeypatch.setattr(loops.Loop, "watch_children", lambda self, callback: None)
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)
    found = str(directory / "s.sock")
    server = Echo(switch.listen(found), loops.Loop())
    thread = threading.Thread(target=server.loop.run)
    thread.start()
    yield found
    with launch.connect(found) as sock:
        sock.sendall(frames.encode({"id": 1, "op": "shutdown"}))
        sock.recv(100)
    thread.join()


async def test_answers_errors_and_unknown_operations(path: str) -> None:
    async with client.ShimClient(path) as shim:
        assert (await shim.call("ping"))["pid"] == os.getpid()
        with pytest.raises(client.ShimError, match="unknown operation 'nope'"):
            await shim.call("nope")
        with pytest.raises(client.ShimError, match=r"no \(x\)") as caught:
            await shim.call("fail")
        assert (caught.value.kind, caught.value.errno) == ("os", 13)
        with pytest.raises(client.ShimError, match="KeyError"):
            await shim.call("socket")


async def test_a_nonsense_client_hurts_only_itself(path: str) -> None:
    with launch.connect(path) as bad:
        bad.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        assert bad.recv(10) == b""
    async with client.ShimClient(path) as shim:
        await shim.call("ping")


async def test_a_socket_is_made_there_and_used_here(path: str) -> None:
    async with client.ShimClient(path) as shim:
        with await shim.open_socket("listen", "127.0.0.1", 0) as listener:
            address = listener.getsockname()
            with await shim.open_socket("connect", *address) as one:
                assert one.getpeername() == address
        with pytest.raises(ConnectionRefusedError):
            await shim.open_socket("connect", *address)
        with await shim.open_socket("listen", "127.0.0.1", 0, type="udp") as udp, pytest.raises(OSError, match="in use"):
            await shim.open_socket("listen", *udp.getsockname(), type="udp")


async def test_only_its_owner_may_connect(path: str) -> None:
    assert os.stat(path).st_mode & 0o777 == 0o600


async def test_a_shim_that_is_gone_fails_calls(tmp_path: Path) -> None:
    with pytest.raises(client.ShimGone):
        await client.ShimClient(str(tmp_path / "none")).open()


def test_the_shim_imports_only_the_standard_librarys_light_parts() -> None:
    agents = os.path.dirname(os.path.dirname(os.path.dirname(launch.__file__)))
    code = f"""
import sys
sys.path.insert(0, {agents!r})
from minikube_agents.shim import __main__, libc, node, switch
print(*sorted(sys.modules))
"""
    done = subprocess.run([sys.executable, "-S", "-E", "-I", "-c", code], capture_output=True, text=True, check=True)
    names = {name.partition(".")[0] for name in done.stdout.split()}
    ours = {"minikube_agents", "__main__"}
    assert names - ours - set(sys.stdlib_module_names) <= {"sitecustomize", "__mp_main__"}
    assert not names & {
        "asyncio",
        "subprocess",
        "typing",
        "dataclasses",
        "inspect",
        "logging",
        "shutil",
        "random",
        "tarfile",
        "traceback",
    }
