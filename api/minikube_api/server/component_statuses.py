"""ComponentStatus: what kube-apiserver finds when it asks the control plane's health endpoints on its own machine (deprecated)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from minikube_api.meta import selectors
from minikube_api.meta.errors import NotFound
from minikube_api.resources.resource import Resource
from minikube_api.server import views
from minikube_api.server.context import Object, Reply, Request
from minikube_api.server.negotiation import View
from minikube_api.server.outgoing import Unreachable, open_session, tls_context

if TYPE_CHECKING:
    from minikube_api.server.server import Server

#: seconds a component has to answer
TIMEOUT = 5.0
#: the secure ports of the components, on the API server's machine
_PORTS = {"scheduler": 10259, "controller-manager": 10257}
Check = Callable[[], Awaitable[tuple[str, str]]]


class ComponentStatuses:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def serve(self, request: Request, resource: Resource, view: View) -> Reply:
        include = request.query.get("includeObject", "")
        name = request.info.name if request.info.verb == "get" else ""
        checks: dict[str, Check] = {"etcd-0": self._store, **{n: self._healthz(port) for n, port in _PORTS.items()}}
        if name:
            if name not in checks:
                raise NotFound.object("componentstatuses", name)
            body = orjson.dumps(status(name, *await checks[name]()))
            return views.encoded(200, views.view_of(resource, body, None, view, include, ""), view)
        found = await asyncio.gather(*(check() for check in checks.values()))
        trees = [status(n, *result) for n, result in zip(checks, found, strict=True)]
        if selector := request.query.get("labelSelector"):
            trees = [tree for tree in trees if selectors.parse_labels(selector).matches({})]
        body = await views.list_body(resource, [], [orjson.dumps(tree) for tree in trees], {}, view, include)
        return views.encoded(200, body, view)

    async def _store(self) -> tuple[str, str]:
        await self._server.storage.store.current_revision()
        return "True", "ok"

    def _healthz(self, port: int) -> Check:
        async def check() -> tuple[str, str]:
            return await self._ask(port)

        return check

    async def _ask(self, port: int) -> tuple[str, str]:
        import aiohttp

        from minikube_api.server.contract import DirectDialer

        async def locate() -> tuple[str, int, str]:
            return "127.0.0.1", port, "127.0.0.1"

        url = f"https://127.0.0.1:{port}/healthz"
        try:
            async with asyncio.timeout(TIMEOUT):
                async with open_session(DirectDialer(), locate, tls_context("", verify=False)) as session:
                    async with session.get(url) as answer:
                        text = (await answer.text()).strip()
                        return ("True" if 200 <= answer.status < 400 else "False"), text
        except TimeoutError:
            return "False", f'Get "{url}": context deadline exceeded'
        except (Unreachable, aiohttp.ClientError) as error:
            return "False", f'Get "{url}": {error}'


def status(name: str, healthy: str, message: str) -> Object:
    condition = {"type": "Healthy", "status": healthy, "message": message}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}
