"""An API server in a process of its own, and a plain HTTPS client: for tests that kill, fill and restart.

The client is standard library only: a test must not share the code that it judges.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

TOKEN = "tests-token"


def wait_for(condition: Callable[[], T], what: str, *, seconds: float = 20.0) -> T:
    """The first true value of `condition`, asked every few milliseconds; an AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what} (last: {found!r})"
        time.sleep(0.02)


class Http:
    """`http("GET", path)` gives (status, tree); bodies that are not bytes are sent as JSON. One connection, made anew when it broke."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str = "") -> None:
        self.host, _, port = url.removeprefix("https://").rpartition(":")
        self.port = int(port)
        self.context, self.token = context, token
        self.headers: dict[str, str] = {}
        self._connection: http.client.HTTPSConnection | None = None

    @classmethod
    def from_kubeconfig(cls, path: str | Path) -> Http:
        tree = yaml.safe_load(Path(path).read_text())
        cluster, user = tree["clusters"][0]["cluster"], tree["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as file:
            file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            file.flush()
            context.load_cert_chain(file.name)
        return cls(cluster["server"], context)

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=20)

    def raw(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **headers: str
    ) -> tuple[int, bytes]:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": kind} if data is not None else {}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        given |= {key.replace("_", "-"): value for key, value in headers.items()}
        if self._connection is None:
            self._connection = self.connect()
        try:
            self._connection.request(method, path, body=data, headers=given)
            answer = self._connection.getresponse()
            self.headers = dict(answer.getheaders())
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        status, data = self.raw(method, path, body, **options)
        return status, json.loads(data) if data[:1] == b"{" else data.decode()

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        status, tree = self(method, path, body, **options)
        assert status in (200, 201, 202), (method, path, status, tree)
        return tree

    def get(self, path: str) -> Any:
        return self.ok("GET", path)

    def find(self, path: str) -> Any:
        """The object, None when it is not there."""
        status, tree = self("GET", path)
        assert status in (200, 404), tree
        return tree if status == 200 else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class ApiServer:
    """`python -m minikube_api.server` over sqlite, on a port that stays the same over restarts."""

    def __init__(self, directory: Path) -> None:
        self.data = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.tokens = directory.parent / "tokens.csv"
        self.tokens.write_text(f'{TOKEN},tester,1,"system:masters"\n')
        self.log = directory.parent / "server.log"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.data / "pki" / "ca.crt"

    def start(self, *, seconds: float = 20.0) -> None:
        """Returns when it serves; AssertionError with its log when it ends instead."""
        command = [sys.executable, "-m", "minikube_api.server", "--data-dir", str(self.data)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--token-auth-file", str(self.tokens)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(b"serving on"), f"exit code {self.process.wait(seconds)}: {self.log.read_text()[-2000:]}"

    def kill(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def http(self) -> Http:
        return Http(self.url, ssl.create_default_context(cafile=str(self.ca)), TOKEN)


@contextlib.contextmanager
def api_server(directory: Path) -> Iterator[ApiServer]:
    """Started and, whatever happens, ended."""
    server = ApiServer(directory)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is gone. For children of others."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), f"the end of process {pid}", seconds=5)
