"""A server next to the cluster, over HTTPS: admission webhooks and an aggregated API server, as an organisation would run them.

It listens on every address of this host, so that the API server reaches it by URL on the loopback interface and by a Service
whose endpoint is the host's address in the nodes' network.
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from minikube_api.server.access.certificates import Authority

Tree = dict[str, Any]
GROUP, VERSION = "wardle.example.test", "v1alpha1"
BASE = f"/apis/{GROUP}/{VERSION}"
_FLUNDER = {
    "kind": "Flunder",
    "apiVersion": f"{GROUP}/{VERSION}",
    "metadata": {"name": "sole", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"fins": 3},
}
_KNOWN = {"group": GROUP, "version": VERSION, "kind": "Flunder"}
_DEFINITION = {
    "type": "object",
    "description": "Flunder is a flat fish.",
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "spec": {"type": "object", "properties": {"fins": {"type": "integer", "description": "How many fins it has."}}},
    },
    "x-kubernetes-group-version-kind": [_KNOWN],
}
_RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {
            "name": "flunders",
            "singularName": "flunder",
            "namespaced": True,
            "kind": "Flunder",
            "verbs": ["get", "list"],
            "shortNames": ["fl"],
        }
    ],
}
_DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Wardle", "version": "v0"},
    "paths": {
        f"{BASE}/namespaces/{{namespace}}/flunders": {
            "get": {
                "x-kubernetes-action": "list",
                "x-kubernetes-group-version-kind": _KNOWN,
                "responses": {"200": {"description": "OK"}},
            }
        }
    },
    "components": {"schemas": {"test.example.wardle.v1alpha1.Flunder": _DEFINITION}},
}
_PAGES: dict[str, Tree] = {
    BASE: _RESOURCES,
    f"{BASE}/namespaces/default/flunders": {
        "kind": "FlunderList",
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": {"resourceVersion": "1"},
        "items": [_FLUNDER],
    },
    f"{BASE}/namespaces/default/flunders/sole": _FLUNDER,
    "/openapi/v3": {"paths": {BASE.strip("/"): {"serverRelativeURL": f"/openapi/v3{BASE}?hash=1"}}},
    f"/openapi/v3{BASE}": _DOCUMENT,
    "/openapi/v2": {
        "swagger": "2.0",
        "info": {"title": "Wardle", "version": "v0"},
        "paths": {
            f"{BASE}/namespaces/{{namespace}}/flunders/{{name}}": {
                "get": {
                    "x-kubernetes-action": "get",
                    "x-kubernetes-group-version-kind": _KNOWN,
                    "responses": {
                        "200": {"description": "OK", "schema": {"$ref": "#/definitions/test.example.wardle.v1alpha1.Flunder"}}
                    },
                }
            }
        },
        "definitions": {"test.example.wardle.v1alpha1.Flunder": _DEFINITION},
    },
}


class Neighbour:
    """`url(path)` and `bundle` for client configurations; `hooks[path]` gives the response to an AdmissionReview's request."""

    def __init__(self, directory: Path, *names: str) -> None:
        authority = Authority.create("neighbour-ca")
        pair = authority.issue("neighbour", hosts=["127.0.0.1", *names], server=True)
        (directory / "tls.crt").write_bytes(pair.certificate)
        (directory / "tls.key").write_bytes(pair.key)
        self.bundle = base64.b64encode(authority.pair.certificate).decode()
        self.hooks: dict[str, Callable[[Tree], Tree]] = {}
        self.server = ThreadingHTTPServer(("", 0), self._handler())
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        neighbour = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """The test's output stays readable."""

            def do_GET(self) -> None:
                page = _PAGES.get(self.path.partition("?")[0])
                self._answer(200 if page else 404, page or {"kind": "Status", "apiVersion": "v1", "code": 404})

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                given = neighbour.hooks[self.path.partition("?")[0]](review["request"])
                response = {"uid": review["request"]["uid"], "allowed": True, **given}
                self._answer(200, {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response})

            def _answer(self, status: int, tree: Tree) -> None:
                body = json.dumps(tree).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


@contextlib.contextmanager
def serving(directory: Path, *names: str) -> Iterator[Neighbour]:
    neighbour = Neighbour(directory, *names)
    thread = threading.Thread(target=neighbour.server.serve_forever, args=(0.05,), name="neighbour")
    thread.start()
    try:
        yield neighbour
    finally:
        neighbour.server.shutdown()
        thread.join(10)
        neighbour.server.socket.close()
