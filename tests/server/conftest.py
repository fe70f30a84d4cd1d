"""A real server over the memory store, spoken to through the in-process transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Server

ADMIN = UserInfo("admin", "uid-admin", ("system:masters",))
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


class Api:
    """`await api("POST", path, body)` gives (status, tree); `api.headers` are those of the last answer."""

    def __init__(self, server: Server, user: UserInfo = ADMIN) -> None:
        self.server = server
        self.transport = server.transport(user, "tests/1.0")
        self.headers: dict[str, str] = {}

    async def __call__(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **headers: str
    ) -> tuple[int, Any]:
        path, _, text = path.partition("?")
        query = dict(part.partition("=")[::2] for part in text.split("&")) if text else None
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        given = {"Content-Type": kind, **{key.replace("_", "-"): value for key, value in headers.items()}}
        answer = await self.transport.request(method, path, query=query, headers=given, body=data)
        self.headers = dict(answer.headers)
        if "json" in answer.headers["content-type"]:
            return answer.status, orjson.loads(answer.body)
        return answer.status, answer.body.decode()

    async def ok(self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **headers: str) -> Any:
        status, tree = await self(method, path, body, kind=kind, **headers)
        assert status in (200, 201), tree
        return tree

    async def patch(self, path: str, body: Any, kind: str = MERGE) -> Any:
        return await self.ok("PATCH", path, body, kind=kind)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(Config(listeners=(), bootstrap=False, admission=()))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def api(server: Server) -> Api:
    return Api(server)


def config_map(name: str, data: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "data": data or {"k": "v"}}


def pod(name: str, node: str = "", **meta: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i:1"}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, **meta}, "spec": spec}
