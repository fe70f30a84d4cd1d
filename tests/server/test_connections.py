"""What is no request, or a very long one: Go's limits and Go's answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minikube_api.server import connections
from minikube_api.server.server import Config, Listener, Server

END = b"Host: x\r\nAuthorization: Bearer adm\r\nConnection: close\r\n"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    (tmp_path / "tokens").write_text('adm,admin,uid-admin,"system:masters"\n')
    made = Server(Config(listeners=[Listener(port=0, tls=False)], bootstrap=False, admission=(), token_file=tmp_path / "tokens"))
    await made.start()
    yield made
    await made.stop()


async def answer(server: Server, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to bytes on a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[0])
    writer.write(data)
    got = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        pytest.param(b"\0\1garbage\r\n\r\n", 400, b"400 Bad Request", id="garbage"),
        pytest.param(b"GET /api HTTP/1.1\r\n\r\n", 400, b"400 Bad Request: missing required Host header", id="no-host"),
        pytest.param(
            b"GET /api HTTP/9.1\r\n" + END + b"\r\n",
            505,
            b"505 HTTP Version Not Supported: unsupported protocol version",
            id="version",
        ),
        pytest.param(b"GET /api/%zz HTTP/1.1\r\n" + END + b"\r\n", 400, b"400 Bad Request", id="escape-of-nothing"),
        pytest.param(
            b"POST /api HTTP/1.1\r\n" + END + b"Content-Length: -1\r\n\r\n", 400, b"400 Bad Request", id="negative-length"
        ),
        pytest.param(
            b"POST /api HTTP/1.1\r\n" + END + b"Transfer-Encoding: gzip\r\n\r\n",
            501,
            b"Unsupported transfer encoding",
            id="transfer-encoding",
        ),
        pytest.param(
            b"GET /api HTTP/1.1\r\n" + END + b"X: " + b"a" * (connections.FIELD_LIMIT + 1) + b"\r\n\r\n",
            431,
            b"431 Request Header Fields Too Large",
            id="huge-header",
        ),
        pytest.param(
            b"GET /api HTTP/1.1\r\n" + END + b"X: a\r\n" * 5000 + b"\r\n",
            431,
            b"431 Request Header Fields Too Large",
            id="many-headers",
        ),
    ],
)
async def test_what_is_no_request_is_answered_as_gos_server_does(server: Server, data: bytes, status: int, text: bytes) -> None:
    got, headers, body = await answer(server, data)
    assert (got, body) == (status, text)
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Connection"] == "close"


async def test_selectors_of_thousands_of_values_and_long_tokens_pass(server: Server) -> None:
    values = ",".join(f"value-{i}" for i in range(10_000))
    line = f"GET /api/v1/pods?labelSelector=a+in+({values}) HTTP/1.1\r\n".encode()
    assert len(line) > 100_000
    status, headers, body = await answer(server, line + END + b"X-Token: " + b"t" * 60_000 + b"\r\n\r\n")
    assert (status, json.loads(body)["kind"]) == (200, "PodList")
    assert "Server" not in headers, "kube-apiserver does not name what serves"


async def test_two_hundred_impersonated_groups_pass(server: Server) -> None:
    groups = b"".join(b"Impersonate-Group: %s\r\n" % g for g in [b"system:masters", *(b"g%d" % i for i in range(200))])
    review = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
    head = b"POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\n" + END + b"Impersonate-User: u\r\n" + groups
    length = f"Content-Type: application/json\r\nContent-Length: {len(review)}\r\n\r\n".encode()
    status, _, body = await answer(server, head + length + review)
    assert status == 201, body
    assert "g199" in json.loads(body)["status"]["userInfo"]["groups"]


async def test_who_waits_to_be_told_to_go_on_is_told(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[0])
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}'
    head = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\n" + END + b"Expect: 100-continue\r\n"
    writer.write(head + f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 201")
    writer.close()
