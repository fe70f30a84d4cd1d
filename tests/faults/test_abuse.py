"""What clients do to an API server that they should not: it answers in Kubernetes' words, or hangs up, and serves on."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from api_processes import ApiServer, Http, api_server, wait_for

NEEDS_NO_RIGHTS = True
MAPS = "/api/v1/namespaces/default/configmaps"
LIMIT = 3 * 1024 * 1024
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
MERGE, PATCH, APPLY = "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("abused") / "data") as made:
        yield made


@pytest.fixture
def client(server: ApiServer) -> Iterator[Http]:
    """The server must answer after each test as before it."""
    made = server.http()
    yield made
    made.close()
    assert server.process is not None and server.process.poll() is None
    assert made.get("/version")["major"] == "1"
    made.close()


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        pytest.param(b"", JSON, 400, "unexpected end of JSON input", id="empty"),
        pytest.param(b"{", JSON, 400, "unexpected", id="torn"),
        pytest.param(b"\xff\xfe\x00", JSON, 400, "invalid", id="no-text"),
        pytest.param(b"[]", JSON, 400, "cannot unmarshal array", id="a-list"),
        pytest.param(b'"text"', JSON, 400, "cannot unmarshal string", id="a-string"),
        pytest.param(
            b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}',
            JSON,
            400,
            "cannot be handled as a ConfigMap",
            id="another-kind",
        ),
        pytest.param(b'{"metadata":{"name":7}}', JSON, 400, "cannot unmarshal number", id="a-number-as-name"),
        pytest.param(b'{"metadata":{"name":"UPPER"}}', JSON, 422, "RFC 1123", id="a-bad-name"),
        pytest.param(b'{"metadata":' * 50_000, JSON, 400, "", id="fifty-thousand-deep-and-torn"),
        pytest.param(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, JSON, 400, "", id="fifty-thousand-deep"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, YAML, 400, "", id="yaml-deep"),
        pytest.param(b"a: [1, 2", YAML, 400, "yaml", id="yaml-torn"),
        pytest.param(BOMB, YAML, 400, "", id="yaml-of-a-billion-laughs"),
        pytest.param(b"k8s\x00\xff\xff\xff\xff", PROTOBUF, 400, "", id="protobuf-garbage"),
        pytest.param(b"{}", "text/plain", 415, "unknown format", id="another-media-type"),
    ],
)
def test_a_malformed_body_is_refused_with_a_status(client: Http, body: bytes, kind: str, status: int, message: str) -> None:
    code, tree = client("POST", MAPS, body, kind=kind)
    assert (code, tree["kind"], tree["status"], tree["code"]) == (status, "Status", "Failure", status), tree
    assert message in tree["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        pytest.param(b"{", MERGE, 400, id="merge-torn"),
        pytest.param(b"[]", MERGE, 400, id="merge-with-a-list"),
        pytest.param(b"{}", PATCH, 400, id="json-patch-without-a-list"),
        pytest.param(b'[{"op":"fly","path":"/a"}]', PATCH, 422, id="json-patch-of-an-unknown-op"),
        pytest.param(b'[{"op":"test","path":"/data/k","value":"w"}]', PATCH, 422, id="json-patch-whose-test-fails"),
        pytest.param(
            json.dumps([{"op": "add", "path": "/data/x", "value": "1"}] * 10_001).encode(), PATCH, 413, id="json-patch-of-10001"
        ),
        pytest.param(b"a: [", APPLY, 400, id="apply-torn"),
        pytest.param(b"{}", "application/unheard-of", 415, id="another-media-type"),
    ],
)
def test_a_malformed_patch_is_refused_and_changes_nothing(client: Http, body: bytes, kind: str, status: int) -> None:
    if client.find(f"{MAPS}/patched") is None:
        client.ok("POST", MAPS, {"metadata": {"name": "patched"}, "data": {"k": "v"}})
    before = client.get(f"{MAPS}/patched")
    code, tree = client("PATCH", f"{MAPS}/patched?fieldManager=t", body, kind=kind)
    assert (code, tree["kind"]) == (status, "Status"), tree
    assert client.get(f"{MAPS}/patched") == before


@pytest.mark.parametrize("chunked", [False, True], ids=["with-a-length", "in-chunks"])
def test_a_body_of_more_than_three_mebibytes_is_too_large(client: Http, chunked: bool) -> None:
    body = json.dumps({"metadata": {"name": "huge"}, "data": {"k": "x" * LIMIT}}).encode()
    connection = client.connect()
    headers = {"Content-Type": JSON, "Authorization": f"Bearer {client.token}"}
    try:
        parts = (body[i : i + 65536] for i in range(0, len(body), 65536))
        connection.request("POST", MAPS, parts if chunked else body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        tree = json.loads(answer.read())
    finally:
        connection.close()
    assert (answer.status, tree["reason"]) == (413, "RequestEntityTooLarge")
    assert tree["message"] == "Request entity too large: limit is 3145728"


def test_a_body_of_exactly_three_mebibytes_is_read(client: Http) -> None:
    body = json.dumps({"metadata": {"name": "big"}, "data": {"k": ""}}).encode()
    body = body.replace(b'"k": ""', b'"k": "' + b"x" * (LIMIT - len(body)) + b'"')
    assert len(body) == LIMIT
    code, tree = client("POST", MAPS, body)
    assert (code, tree["reason"]) == (422, "Invalid")
    assert "may not be more than 1048576 bytes" in tree["message"]


def _jwt(claims: dict[str, Any], algorithm: str, signature: bytes) -> str:
    parts = [json.dumps({"alg": algorithm, "typ": "JWT"}).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


CLAIMS = {"iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:default:default", "exp": 1 << 33}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("Bearer wrong", id="unknown"),
        pytest.param("Bearer ", id="empty"),
        pytest.param("Bearer a.b.c", id="three-parts-of-nothing"),
        pytest.param("Bearer " + "x" * 7000, id="long"),
        pytest.param("Bearer " + _jwt(CLAIMS, "none", b""), id="a-jwt-signed-by-nobody"),
        pytest.param("Bearer " + _jwt(CLAIMS, "ES256", b"\1" * 64), id="a-jwt-signed-by-another"),
        pytest.param("Bearer " + _jwt({}, "HS256", b"\1" * 32), id="a-jwt-of-another-algorithm"),
    ],
)
def test_a_bad_token_is_unauthorized(client: Http, header: str) -> None:
    client.token = ""
    code, tree = client("GET", MAPS, Authorization=header)
    expected = (401, "Unauthorized", "Unauthorized") if header != "Bearer " else (403, "Forbidden", tree["message"])
    assert (code, tree["reason"], tree["message"]) == expected


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearertoken", "Negotiate abc"])
def test_who_shows_no_token_is_anonymous(client: Http, header: str) -> None:
    client.token = ""
    code, tree = client("GET", MAPS, **({"Authorization": header} if header else {}))
    assert (code, tree["reason"]) == (403, "Forbidden")
    assert 'User "system:anonymous" cannot list resource "configmaps"' in tree["message"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{MAPS}?limit=many", id="limit-of-words"),
        pytest.param(f"{MAPS}?continue=%00garbage", id="continue-garbage"),
        pytest.param(f"{MAPS}?labelSelector=a%20b%20c", id="label-selector"),
        pytest.param(f"{MAPS}?labelSelector=" + "(" * 3000, id="label-selector-of-brackets"),
        pytest.param(f"{MAPS}?fieldSelector=spec.unheard%3D1", id="field-selector"),
        pytest.param(f"{MAPS}?resourceVersionMatch=Sometimes&resourceVersion=1", id="resource-version-match"),
    ],
)
def test_bad_parameters_are_a_bad_request_or_invalid(client: Http, path: str) -> None:
    code, tree = client("GET", path)
    assert code in (400, 422), tree
    assert tree["kind"] == "Status"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="plain-http"),
        pytest.param(b"\x16\x03\x01\x02\x00" + b"\0" * 600, id="a-bad-handshake"),
        pytest.param(b"\x00" * 10_000, id="zeros"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_bytes_that_are_no_tls_end_in_a_closed_connection(client: Http, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as plain:
        plain.sendall(sent)
        plain.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while plain.recv(4096):
                pass


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GARBAGE\r\n\r\n", id="no-http"),
        pytest.param(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", id="another-version"),
        pytest.param(b"GET /api HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n", id="a-huge-header"),
        pytest.param(b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="a-huge-path"),
        pytest.param(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", id="a-negative-length"),
        pytest.param(b"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", id="chunks-of-garbage"),
    ],
)
def test_garbage_inside_tls_is_refused_or_hung_up_on(client: Http, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as plain:
        with client.context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                secure.sendall(sent)
                answer = secure.recv(4096)
                assert answer == b"" or re.match(rb"HTTP/1\.[01] (4\d\d|505) ", answer), answer


def test_a_client_that_stops_in_the_middle_of_its_body_writes_nothing(client: Http) -> None:
    body = json.dumps({"metadata": {"name": "half"}}).encode()
    connection = client.connect()
    connection.putrequest("POST", MAPS)
    for name, value in (
        ("Content-Type", JSON),
        ("Authorization", f"Bearer {client.token}"),
        ("Content-Length", str(len(body) + 9)),
    ):
        connection.putheader(name, value)
    connection.endheaders(body)
    connection.close()
    assert client.find(f"{MAPS}/half") is None


def watchers(client: Http) -> int:
    """Watches that the server has open, by its own metrics."""
    status, data = client.raw("GET", "/metrics")
    assert status == 200
    found = re.findall(r"^apiserver_longrunning_requests (\S+)$", data.decode(), re.M)
    return int(sum(float(n) for n in found))


def test_watchers_that_vanish_are_forgotten(client: Http) -> None:
    before = watchers(client)
    connections: list[http.client.HTTPSConnection] = []
    for _ in range(40):
        connection = client.connect()
        connection.request("GET", f"{MAPS}?watch=1", headers={"Authorization": f"Bearer {client.token}"})
        connection.getresponse()
        connections.append(connection)
    assert watchers(client) == before + 40
    for index, connection in enumerate(connections):
        sock = connection.sock
        if index % 2:  # a reset in place of a goodbye
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(sock.detach())
    client.ok("POST", MAPS, {"metadata": {"generateName": "seen-"}})
    wait_for(lambda: watchers(client) == before, "the end of the vanished watches", seconds=10)


def test_two_hundred_clients_at_once_all_get_what_they_ask_for(server: ApiServer, client: Http) -> None:
    clients, rounds = 200, 3
    revisions: list[int] = []
    problems: list[str] = []
    gate = threading.Barrier(clients)

    def one(number: int) -> None:
        mine = server.http()
        try:
            gate.wait(30)
            for turn in range(rounds):
                name = f"p{number}-{turn}"
                made = mine.ok("POST", MAPS, {"metadata": {"name": name, "labels": {"p": str(number)}}})
                read = mine.get(f"{MAPS}/{name}")
                assert read == made
                changed = mine.ok("PUT", f"{MAPS}/{name}", {**read, "data": {"a": str(turn)}})
                status, _ = mine("PUT", f"{MAPS}/{name}", {**read, "data": {"a": "late"}})
                assert status == 409, "a stale write was taken"
                revisions.extend(int(o["metadata"]["resourceVersion"]) for o in (made, changed))
            found = mine.get(f"{MAPS}?labelSelector=p%3D{number}")["items"]
            assert [o["metadata"]["name"] for o in found] == [f"p{number}-{turn}" for turn in range(rounds)]
        except Exception as error:
            problems.append(f"{number}: {error!r}")
        finally:
            mine.close()

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert not problems, problems[:5]
    assert len(revisions) == clients * rounds * 2 == len(set(revisions))
