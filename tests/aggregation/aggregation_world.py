"""A real server, and a real HTTPS API server behind a Service on loopback that only the front-proxy client may talk to."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from minikube_api.client.transport import Response
from minikube_api.server.access.certificates import Authority, KeyPair
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Listener, Server

ADMIN = UserInfo("admin", "uid-admin", ("system:masters",), {"scopes/a": ("x", "y")})
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "wardle.example.com"
BASE = f"/apis/{GROUP}/v1alpha1"
FLUNDERS = {
    "name": "flunders",
    "singularName": "flunder",
    "namespaced": True,
    "kind": "Flunder",
    "verbs": ["get", "list", "watch"],
    "shortNames": ["fl"],
}
STATUS = {"name": "flunders/status", "singularName": "", "namespaced": True, "kind": "Flunder", "verbs": ["get"]}

DOCUMENT = {
    "swagger": "2.0",
    "paths": {
        f"{BASE}/flunders": {
            "get": {"responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/com.example.wardle.Flunder"}}}}
        },
        "/api/v1/stolen": {"get": {"responses": {"200": {"description": "OK"}}}},
    },
    "definitions": {"com.example.wardle.Flunder": {"type": "object", "description": "A flat fish."}},
}


def put(path: Path, name: str, pair: KeyPair) -> None:
    (path / f"{name}.crt").write_bytes(pair.certificate)
    (path / f"{name}.key").write_bytes(pair.key)


class World:
    """`await w("GET", path)`; `w.backend_requests` is what arrived behind."""

    def __init__(self, server: Server, bundle: str) -> None:
        self.server = server
        self.bundle = bundle
        self.backend_requests: list[web.BaseRequest] = []
        self.discovery_status = self.document_status = 200
        self.port = 0
        self.more = asyncio.Event()

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        given = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = None if body is None else orjson.dumps(body)
        path, _, text = path.partition("?")
        query = dict(part.partition("=")[::2] for part in text.split("&")) if text else None
        return await self.server.transport(ADMIN, "tests/1.0").request(method, path, query=query, headers=given, body=data)

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self(method, path, body, **headers)
        assert answer.status in (200, 201), answer.body
        return orjson.loads(answer.body)

    def seen(self, path: str, user: str = "admin") -> list[web.BaseRequest]:
        return [r for r in self.backend_requests if r.path == path and r.headers["X-Remote-User"] == user]

    async def backend(self, request: web.BaseRequest) -> web.StreamResponse:
        self.backend_requests.append(request)
        if request.path == BASE:
            tree = {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/v1alpha1",
                "resources": [FLUNDERS, STATUS],
            }
            return web.Response(status=self.discovery_status, body=orjson.dumps(tree), content_type="application/json")
        if request.path == "/openapi/v3":
            entry = {"serverRelativeURL": f"/openapi/v3{BASE}?hash=abc"}
            return web.Response(body=orjson.dumps({"paths": {BASE.strip("/"): entry}}))
        if request.path == "/openapi/v2":
            if request.headers.get("If-None-Match") == '"1"':
                return web.Response(status=304)
            return web.Response(status=self.document_status, body=orjson.dumps(DOCUMENT), headers={"ETag": '"1"'})
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse(protocols=("v1.echo",))
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(message.data.upper())
            return socket
        if request.query.get("watch"):
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(b'{"type":"ADDED"}\n')
            await self.more.wait()
            await response.write(b'{"type":"DELETED"}\n')
            return response
        told = {"path": request.raw_path, "method": request.method, "body": (await request.read()).decode()}
        return web.Response(
            status=201 if request.method == "POST" else 200, body=orjson.dumps(told), content_type="application/json"
        )

    async def register(self, **spec: Any) -> None:
        service = {"namespace": "default", "name": "wardle", "port": 443}
        spec = {
            "group": GROUP,
            "version": "v1alpha1",
            "groupPriorityMinimum": 2000,
            "versionPriority": 10,
            "service": service,
            **spec,
        }
        if not spec.get("insecureSkipTLSVerify"):
            spec.setdefault("caBundle", self.bundle)
        await self.ok("POST", SERVICES, {"metadata": {"name": f"v1alpha1.{GROUP}"}, "spec": spec})

    async def add_service(self) -> None:
        body = {"metadata": {"name": "wardle"}, "spec": {"ports": [{"port": 443}]}}
        await self.ok("POST", "/api/v1/namespaces/default/services", body)

    async def add_endpoints(self) -> None:
        resource = self.server.registry.get("discovery.k8s.io", "v1", "endpointslices")
        assert resource is not None
        meta = {"name": "wardle-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "wardle"}}
        piece = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta,
            "addressType": "IPv4",
            "ports": [{"name": "", "port": self.port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        }
        # straight to the store: validation lets no loopback addresses through
        await self.server.storage.put(resource, "default", "wardle-1", piece, expect=0)

    async def condition(self, wanted: str) -> dict[str, Any]:
        """The Available condition once its reason is the wanted one."""
        async with asyncio.timeout(10):
            while True:
                tree = await self.ok("GET", f"{SERVICES}/v1alpha1.{GROUP}")
                conditions = (tree.get("status") or {}).get("conditions") or []
                if conditions and conditions[0]["reason"] == wanted:
                    return conditions[0]
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(path: Path, *, tls: bool = False) -> AsyncIterator[World]:
    front, own, authority = Authority.create("front-proxy-ca"), Authority.create("wardle-ca"), Authority.create()
    put(path, "ca", authority.pair)
    put(path, "front-proxy-ca", front.pair)
    put(path, "front-proxy-client", front.issue("front-proxy-client", client=True))
    put(path, "backend", own.issue("wardle", hosts=["wardle.default.svc"], server=True))
    put(path, "apiserver", authority.issue("kube-apiserver", hosts=["127.0.0.1"], server=True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "backend.crt", path / "backend.key")
    context.load_verify_locations(path / "front-proxy-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    (path / "tokens.csv").write_text('secret,admin,uid-admin,"system:masters"\n')
    server = Server(
        Config(
            listeners=(Listener(port=0),) if tls else (),
            certificate=path / "apiserver.crt",
            key=path / "apiserver.key",
            token_file=path / "tokens.csv",
            client_ca=path / "ca.crt",
            proxy_client_certificate=path / "front-proxy-client.crt",
            proxy_client_key=path / "front-proxy-client.key",
            requestheader_ca=path / "front-proxy-ca.crt",
        )
    )
    await server.start()
    made = World(server, base64.b64encode(own.pair.certificate).decode())
    runner = web.ServerRunner(web.Server(made.backend), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        made.more.set()
        await server.stop()
        await runner.cleanup()
