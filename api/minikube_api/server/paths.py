"""Paths that are no resources: discovery, OpenAPI, health, version, metrics, and the root's listing of them."""

from __future__ import annotations

import logging
import platform
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from minikube_api.server.context import Answer, Object, Reply, Request
from minikube_api.server.health import NOT_FOUND, Check, Health
from minikube_api.server.negotiation import JSON, PLAIN, UNTRANSFORMED, View, negotiate, pretty
from minikube_api.server.openapi import OpenApi
from minikube_api.server.routing import method_not_allowed, wants_pretty
from minikube_api.server.views import encoded

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

#: serves one path; registered by other rooms of the server (JWKS, OpenID configuration)
PathHandler = Callable[[Request], Awaitable[Reply]]


class Paths:
    """Serves everything below / that is not an API resource. `handlers` is open to further exact paths."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.openapi = OpenApi(server.registry, server.definitions.open_api_schema, server.aggregation.remote_versions)
        self.handlers: dict[str, PathHandler] = {}
        self.live: dict[str, Check] = {"ping": _well, "log": _well, "etcd": self._store}
        self.ready: dict[str, Check] = {
            "informer-sync": _well,
            "poststarthook/bootstrap": self._started,
            "shutdown": self._started,
        }
        self._health = Health(self.live, self.ready, _log_failure)

    async def serve(self, request: Request) -> Reply:
        path = request.path.rstrip("/") or "/"
        handler = self.handlers.get(path)
        if handler is not None:
            return await handler(request)
        root = path.lstrip("/").partition("/")[0]  # of `OPTIONS *` the path has no slash
        if root in ("healthz", "livez", "readyz"):
            return await self._health.answer(request) or NOT_FOUND
        if request.method != "GET":
            if root in ("api", "apis", "version", "openapi", "metrics") or path == "/":
                raise method_not_allowed()
            return NOT_FOUND
        if root in ("api", "apis"):
            return self._discovery(request, path)
        if root == "openapi":
            return await self.openapi.answer(request, path) or NOT_FOUND
        if path == "/version":
            return encoded(200, orjson.dumps(version()), _raw(request))
        if path == "/metrics":
            collectors = (self._server.fairness.collect, self._server.admission_metrics.collect, *self._server.collectors)
            return Answer(200, self._server.metrics.text(collectors), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/":
            return encoded(200, orjson.dumps({"paths": self.listing()}), _raw(request))
        return NOT_FOUND

    def _discovery(self, request: Request, path: str) -> Answer:
        accept = request.headers.get("Accept", "")
        answer = self._server.discovery.answer(path, accept, request.headers.get("If-None-Match", ""))
        if answer is None:
            return NOT_FOUND
        if answer.content_type == JSON:
            view = _view(request)
            if view != PLAIN:
                shown = encoded(answer.status, answer.body, view)
                shown.headers.update(answer.headers)
                return shown
        return answer

    def listing(self) -> list[str]:
        found = {"/api", "/apis", "/healthz", "/livez", "/readyz", "/metrics", "/openapi/v2", "/openapi/v3", "/version"}
        for group, versions in self._server.discovery.groups.items():
            base = f"/apis/{group}" if group else "/api"
            found.add(base)
            found.update(f"{base}/{v}" for v in versions)
        for root, checks in (("livez", self.live), ("readyz", {**self.live, **self.ready})):
            found.update(f"/{root}/{name}" for name in checks)
        return sorted(found | set(self.handlers))

    async def _store(self) -> None:
        await self._server.storage.store.current_revision()

    async def _started(self) -> None:
        if not self._server.ready:
            raise RuntimeError("the server is starting or stopping")


async def _well() -> None:
    """Answering at all is the check."""


def _log_failure(name: str, error: Exception) -> None:
    log.warning("health check %s failed: %s", name, error)


def _view(request: Request) -> View:
    view = negotiate(request.headers.get("Accept", ""), UNTRANSFORMED)
    return pretty(view) if wants_pretty(request.query, request.headers) else view


def _raw(request: Request) -> View:
    """JSON whatever the client takes (WriteRawJSON): what is no object of the API has no other form."""
    return pretty(PLAIN) if wants_pretty(request.query, request.headers) else PLAIN


def version() -> Object:
    """/version: the Kubernetes release whose API is served."""
    from minikube_api.schema import builtin

    release = builtin.release()
    major, minor, _ = release.split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{release}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }
