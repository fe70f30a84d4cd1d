"""A real server over the memory store with its default access and admission, for the tests of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from minikube_api.server.access.certificates import key_pem, new_key
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Server

ADMIN = UserInfo("admin", groups=("system:masters",))
BOB = UserInfo("bob", groups=("devs",))
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NS = "/api/v1/namespaces/default"


def node(name: str) -> UserInfo:
    return UserInfo(f"system:node:{name}", groups=("system:nodes",))


class World:
    def __init__(self, server: Server) -> None:
        self.server = server

    async def __call__(self, user: UserInfo, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        path, _, text = path.partition("?")
        query = dict(part.partition("=")[::2] for part in text.split("&")) if text else None
        given = {"Content-Type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
        data = None if body is None else orjson.dumps(body)
        answer = await self.server.transport(user, "tests/1.0").request(method, path, query=query, headers=given, body=data)
        self.warning = answer.headers.get("warning", "")
        return answer.status, orjson.loads(answer.body)

    async def ok(self, method: str, path: str, body: Any = None, user: UserInfo = ADMIN, **headers: str) -> Any:
        status, tree = await self(user, method, path, body, **headers)
        assert status in (200, 201), tree
        return tree

    async def refused(self, method: str, path: str, body: Any = None, user: UserInfo = ADMIN) -> str:
        status, tree = await self(user, method, path, body)
        assert status == 403, tree
        return tree["message"]


@asynccontextmanager
async def world(tmp_path: Path, **config: Any) -> AsyncIterator[World]:
    key = tmp_path / "sa.key"
    if not key.exists():
        key.write_bytes(key_pem(new_key()))
    server = Server(Config(listeners=(), service_account_key=key, **config))
    await server.start()
    try:
        made = World(server)
        status, _ = await made(ADMIN, "POST", f"{NS}/serviceaccounts", {"metadata": {"name": "default"}})
        assert status in (201, 409)
        yield made
    finally:
        await server.stop()


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": list(containers) or [container("c")], **spec}}


def container(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", **fields}
