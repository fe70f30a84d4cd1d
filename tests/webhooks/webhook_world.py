"""A real server with default admission, and real HTTPS webhooks on the loopback interface that say what a test wants."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from minikube_api.server.access.certificates import Authority
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Server

ADMIN = UserInfo("admin", "uid-admin", ("system:masters",))
MAPS = "/api/v1/namespaces/default/configmaps"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"

Reaction = Callable[[dict[str, Any]], Awaitable[dict[str, Any]] | dict[str, Any]]


class Api:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.warning = ""

    async def __call__(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> tuple[int, Any]:
        path, _, text = path.partition("?")
        query = dict(part.partition("=")[::2] for part in text.split("&")) if text else None
        data = None if body is None else orjson.dumps(body)
        transport = self.server.transport(ADMIN, "tests/1.0")
        answer = await transport.request(method, path, query=query, headers={"Content-Type": kind}, body=data)
        self.warning = answer.headers.get("warning", "")
        return answer.status, orjson.loads(answer.body)

    async def ok(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        status, tree = await self(method, path, body, kind=kind)
        assert status in (200, 201), tree
        return tree

    async def refused(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> tuple[int, str]:
        status, tree = await self(method, path, body, kind=kind)
        assert status >= 400, tree
        return status, tree["message"]

    async def configure(self, phase: str, name: str, *hooks: dict[str, Any]) -> None:
        body = {"metadata": {"name": name}, "webhooks": list(hooks)}
        await self.ok("POST", f"{ADMISSION}/{phase}webhookconfigurations", body)


class Webhooks:
    """Webhooks by path; `seen` keeps the requests of all, in order."""

    def __init__(self, authority: Authority, context: ssl.SSLContext) -> None:
        self.bundle = base64.b64encode(authority.pair.certificate).decode()
        self.context = context
        self.reactions: dict[str, Reaction] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.port = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        review = orjson.loads(await request.read())
        self.seen.append((request.path, review["request"]))
        made = self.reactions[request.path](review["request"])
        response = made if isinstance(made, dict) else await made
        if "raw" in response:
            return web.Response(status=response.get("code", 200), body=response["raw"])
        answer = {
            "apiVersion": response.pop("apiVersion", review["apiVersion"]),
            "kind": "AdmissionReview",
            "response": {"uid": review["request"]["uid"], "allowed": True, **response},
        }
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    def add(self, path: str, reaction: Reaction) -> dict[str, Any]:
        """The webhook (without rules' narrowing: configmaps, created) for a configuration."""
        self.reactions[path] = reaction
        return self.hook(path)

    def hook(self, path: str, **fields: Any) -> dict[str, Any]:
        return {
            "name": f"{path.strip('/')}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **fields,
        }

    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]


@asynccontextmanager
async def webhook_servers(tmp_path: Path, *names: str) -> AsyncIterator[Webhooks]:
    authority = Authority.create("webhooks")
    pair = authority.issue("webhook", hosts=["127.0.0.1", *names], server=True)
    (tmp_path / "hook.crt").write_bytes(pair.certificate)
    (tmp_path / "hook.key").write_bytes(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "hook.crt", tmp_path / "hook.key")
    hooks = Webhooks(authority, context)
    runner = web.ServerRunner(web.Server(hooks.serve), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    hooks.port = runner.addresses[0][1]
    try:
        yield hooks
    finally:
        await runner.cleanup()


@asynccontextmanager
async def api_server(**config: Any) -> AsyncIterator[Api]:
    server = Server(Config(listeners=(), **config))
    await server.start()
    try:
        yield Api(server)
    finally:
        await server.stop()


def config_map(name: str, data: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "data": data or {"k": "v"}}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(list(operations))).decode()}


def allow(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True}


def deny(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": "no"}}


def add_key(key: str, *, when: str = "") -> Reaction:
    """Adds a data key, if another is there already."""

    def react(request: dict[str, Any]) -> dict[str, Any]:
        data = request["object"].get("data") or {}
        if key in data or (when and when not in data):
            return {}
        return patch({"op": "add", "path": f"/data/{key}", "value": "yes"})

    return react


async def never(request: dict[str, Any]) -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")
