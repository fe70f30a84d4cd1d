"""A server with definitions; `define` makes one and waits until it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from minikube_api.server.server import Config, Server
from tests.server.conftest import Api

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Define = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def server() -> Any:
    made = Server(Config(listeners=(), bootstrap=False, admission=()))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def api(server: Server) -> Api:
    return Api(server)


def definition(schema: Any, *, plural: str = "widgets", group: str = "example.com", **version: Any) -> dict[str, Any]:
    kind = plural[:-1].title()
    names = {"plural": plural, "kind": kind}
    one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [one]},
    }


async def served(api: Api, path: str, status: int = 200) -> None:
    async with asyncio.timeout(5):
        while (await api("GET", path))[0] != status:
            await asyncio.sleep(0)


@pytest.fixture
def define(api: Api) -> Define:
    async def make(schema: Any, **kwargs: Any) -> dict[str, Any]:
        body = schema if "spec" in schema and "metadata" in schema else definition(schema, **kwargs)
        made: dict[str, Any] = await api.ok("POST", DEFINITIONS, body)
        spec = body["spec"]
        version = next(v["name"] for v in spec["versions"] if v["served"])
        await served(api, f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
        return made

    return make


WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget(name: str = "w", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, **fields}
