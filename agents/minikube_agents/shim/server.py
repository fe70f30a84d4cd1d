"""The shim's socket: connections, calls, replies, and the services that the cluster's and a node's shim share.

A call is `{"id": 1, "op": NAME, ...}`; the answer `{"id": 1, "ok": {...}}` or `{"id": 1, "error": {"kind": ..., "message":
...}}`, sent when it is ready, in any
order. Who subscribed gets `{"event": {...}}` besides. The socket's file has mode 0600: who may connect may do everything.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections import deque

from minikube_agents.shim import frames, libc
from minikube_agents.shim import loop as loops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Refused(Exception):
    """An answer that is an error. `kind`: notfound, invalid, start, setup, conflict."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Call:
    """One request. Answered once, now or later; an answer to a client that left goes nowhere."""

    __slots__ = ("_connection", "fds", "request")

    def __init__(self, connection: Connection, request: dict[str, Any], fds: list[int]) -> None:
        self._connection = connection
        self.request = request
        self.fds = fds

    @property
    def connection(self) -> Connection:
        return self._connection

    def reply(self, result: dict[str, Any] | None = None, fds: Sequence[int] = ()) -> None:
        """Takes `fds` over: they are closed here when the client has them."""
        self._connection.send({"id": self.request.get("id"), "ok": result or {}}, fds)

    def fail(self, kind: str, message: str, **more: Any) -> None:
        self._connection.send({"id": self.request.get("id"), "error": {"kind": kind, "message": message, **more}}, ())


class Connection:
    def __init__(self, server: Server, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._server = server
        self._socket = sock
        self._fd = sock.fileno()
        self._decoder = frames.Decoder()
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self.subscribed = False
        self.is_open = True
        self.on_close: list[Callable[[], None]] = []
        server.loop.add(self._fd, loops.READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & loops.WRITE:
            self._flush()
        if events & ~loops.WRITE and self.is_open:
            self._read()

    def _read(self) -> None:
        try:
            data, fds = frames.receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self.close()
            return
        try:
            for message, mine in self._decoder.feed(data, fds):
                self._server.dispatch(Call(self, message, mine))
        except frames.ProtocolError as error:
            loops.log(f"client: {error}")
            self.close()

    def send(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        if not self.is_open:
            for fd in fds:
                os.close(fd)
            return
        idle = not self._outgoing
        self._outgoing.append((memoryview(frames.encode(message, len(fds))), list(fds)))
        if idle:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                data, fds = self._outgoing[0]
                sent = frames.send(self._socket, data, fds)
                for fd in fds:
                    os.close(fd)
                fds.clear()
                if sent < len(data):
                    self._outgoing[0] = (data[sent:], fds)
                else:
                    self._outgoing.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._server.loop.modify(self._fd, loops.READ | (loops.WRITE if self._outgoing else 0))

    def close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._server.loop.remove(self._fd)
        self._server.connections.discard(self)
        self._socket.close()
        self._decoder.close()
        for _data, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        for callback in self.on_close:
            callback()


class Server:
    """Accepts, dispatches to methods named `op_NAME(call)`, reaps children. A method returns the answer, or None to answer later."""

    def __init__(self, listener: socket.socket, loop: loops.Loop) -> None:
        self.loop = loop
        self.connections: set[Connection] = set()
        #: what to do when the child with this pid has ended: callback(wait status)
        self.children: dict[int, Callable[[int], None]] = {}
        self._listener = listener
        listener.setblocking(False)
        loop.add(listener.fileno(), loops.READ, self._accept)
        loop.watch_children(self._reap)

    def _accept(self, _events: int) -> None:
        try:
            sock, _address = self._listener.accept()
        except BlockingIOError:
            return
        self.connections.add(Connection(self, sock))

    def dispatch(self, call: Call) -> None:
        operation = call.request.get("op")
        method = getattr(self, f"op_{operation}", None)
        try:
            if method is None:
                raise Refused("invalid", f"unknown operation {operation!r}")
            result = method(call)
        except Refused as error:
            call.fail(error.kind, str(error))
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            call.fail("os", f"{error.strerror or error}{where}", errno=error.errno or 0)
        except (KeyError, TypeError, ValueError) as error:
            import traceback

            loops.log(traceback.format_exc())
            call.fail("invalid", f"{operation}: {type(error).__name__}: {error}")
        else:
            if result is not None:
                call.reply(result)
        finally:
            for fd in call.fds:
                os.close(fd)

    def publish(self, event: dict[str, Any]) -> None:
        for connection in list(self.connections):
            if connection.subscribed:
                connection.send({"event": event}, ())

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self.children.pop(pid, None)
            if callback is not None:
                callback(status)

    # -- services -------------------------------------------------------------------------------------------------------

    def namespace(self, call: Call) -> int:
        """The network namespace that a call is about, -1 for our own; nodes also know their pods'."""
        return -1

    def inside(self, fd: int, action: Callable[[], Any]) -> Any:
        """Run `action` in a network namespace."""
        if fd < 0:
            return action()
        own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.setns(fd, libc.CLONE_NEWNET)
            try:
                return action()
            finally:
                libc.setns(own, libc.CLONE_NEWNET)
        finally:
            os.close(own)

    def op_ping(self, _call: Call) -> dict[str, Any]:
        return {"pid": os.getpid(), "python": sys.version.split()[0]}

    def op_subscribe(self, call: Call) -> dict[str, Any]:
        call.connection.subscribed = True
        return {}

    def op_socket(self, call: Call) -> None:
        """A socket made in the namespace, passed over: bound and listening with `listen`, else for the client to connect."""
        request = call.request
        kind = socket.SOCK_DGRAM if request["type"] == "udp" else socket.SOCK_STREAM
        family = socket.AF_INET6 if ":" in request.get("host", "") else socket.AF_INET
        sock: socket.socket = self.inside(self.namespace(call), lambda: socket.socket(family, kind))
        if request.get("listen"):
            self._listen(sock, request["host"], request["port"], request.get("backlog", 1024))
        call.reply({}, [sock.detach()])

    @staticmethod
    def _listen(sock: socket.socket, host: str, port: int, backlog: int) -> None:
        is_stream = sock.type == socket.SOCK_STREAM
        try:
            if is_stream:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            if is_stream:
                sock.listen(backlog)
        except OSError:
            sock.close()
            raise

    def op_run(self, call: Call) -> None:
        """Run a program in the namespace; answers with its exit code and output when it has ended."""
        request = call.request
        fds = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr")]
        os.write(fds[0], request.get("stdin", "").encode())
        os.lseek(fds[0], 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)]

        def spawn() -> int:
            return os.posix_spawnp(
                request["argv"][0],
                request["argv"],
                {**os.environ, **request.get("env", {})},
                file_actions=actions,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )

        def ended(status: int) -> None:
            output = []
            for fd in fds[1:]:
                os.lseek(fd, 0, os.SEEK_SET)
                with open(fd, "rb") as file:
                    output.append(file.read().decode(errors="replace"))
            os.close(fds[0])
            call.reply({"code": os.waitstatus_to_exitcode(status), "stdout": output[0], "stderr": output[1]})

        try:
            pid = self.inside(self.namespace(call), spawn)
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        self.children[pid] = ended

    def op_shutdown(self, call: Call) -> None:
        """End everything this shim holds, then itself; answered before the end."""
        self.shut_down(call.reply)

    def shut_down(self, done: Callable[[], None]) -> None:
        done()
        self.loop.stop()

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: self.shut_down(lambda: None))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.loop.run()
