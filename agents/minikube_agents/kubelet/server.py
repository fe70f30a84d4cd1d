"""The kubelet's HTTPS server, on its real paths; only the API server's client certificate is accepted.

/containerLogs/NS/POD/CONTAINER, /exec/..., /attach/..., /portForward/NS/POD, /pods, /runningpods/, /stats/summary, /healthz, /metrics.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from minikube_agents.kubelet import logs, pods, port_forwarding, stats, streaming
from minikube_agents.kubelet.hosting import NodeView, WorkerView
from minikube_agents.kubelet.logs import LogOptions
from minikube_agents.runtime.contract import ContainerStatus, ExecStreams
from minikube_api.meta import times
from minikube_api.schema import typed
from minikube_api.schema.typed import core_v1 as v1

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: seconds between looks at a log that is followed
FOLLOW_PAUSE = 0.1


def server_tls(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """A context that demands a client certificate of the cluster's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def caller(transport: asyncio.BaseTransport | None) -> tuple[str, frozenset[str]]:
    """Common name and organizations of the client's certificate."""
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    fields = [pair for rdn in (certificate or {}).get("subject", ()) for pair in rdn]
    name = next((value for key, value in fields if key == "commonName"), "")
    return name, frozenset(value for key, value in fields if key == "organizationName")


class KubeletServer:
    def __init__(self, kubelet: NodeView) -> None:
        self._kubelet = kubelet
        self._runner: web.AppRunner | None = None

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._authorize])
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for path, handler in (("exec", self._exec), ("attach", self._attach)):
            app.router.add_route("*", f"/{path}/{{namespace}}/{{pod}}/{{container}}", handler)
            app.router.add_route("*", f"/{path}/{{namespace}}/{{pod}}/{{uid}}/{{container}}", handler)
        app.router.add_route("*", "/portForward/{namespace}/{pod}", self._port_forward)
        app.router.add_route("*", "/portForward/{namespace}/{pod}/{uid}", self._port_forward)
        app.router.add_get("/pods", self._pods)
        app.router.add_get("/pods/", self._pods)
        app.router.add_get("/runningpods/", self._running_pods)
        app.router.add_get("/stats/summary", self._summary)
        app.router.add_get("/metrics", self._metrics)
        for path in ("/healthz", "/healthz/ping", "/healthz/syncloop"):
            app.router.add_get(path, self._healthz)
        return app

    async def start(self) -> int:
        """The port it listens on."""
        options = self._kubelet.options
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        if options.listen_fd is not None:
            sock = socket.socket(fileno=options.listen_fd)
            sock.setblocking(False)
            site: web.BaseSite = web.SockSite(self._runner, sock, ssl_context=options.tls)
        else:
            host = options.listen_host or options.node_ip
            site = web.TCPSite(self._runner, host, options.listen_port, ssl_context=options.tls)
        await site.start()
        return self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name, organizations = caller(request.transport)
        if not name:
            raise web.HTTPUnauthorized(text="Unauthorized")
        if name not in self._kubelet.options.allowed_clients and "system:masters" not in organizations:
            text = f"Forbidden (user={name}, verb={request.method.lower()}, resource=nodes, subresource=proxy)"
            raise web.HTTPForbidden(text=text)
        return await handler(request)

    # what a request means

    def _pod(self, request: web.Request) -> v1.Pod:
        pod = self._kubelet.find_pod(request.match_info["namespace"], request.match_info["pod"])
        if pod is None or request.match_info.get("uid", pod.metadata.uid) != pod.metadata.uid:
            raise web.HTTPNotFound(text=f'pod "{request.match_info["pod"]}" does not exist')
        return pod

    async def _container(self, request: web.Request, *, previous: bool = False) -> tuple[v1.Pod, ContainerStatus]:
        """The newest container of that name that ever started (or the one before it). Raises HTTP errors as the kubelet words them."""
        pod = self._pod(request)
        name = request.match_info["container"]
        if pods.member(pod, name) is None:
            raise web.HTTPNotFound(text=f"container {name} not found in pod {pod.metadata.name}")
        worker = self._kubelet.worker(pod.metadata.uid)
        records = (await worker.observe()).containers.get(name, ()) if worker is not None else ()
        records = tuple(one for one in records if one.state in ("running", "exited"))
        if previous:
            if len(records) < 2:
                text = f'previous terminated container "{name}" in pod "{pod.metadata.name}" not found'
                raise web.HTTPBadRequest(text=text)
            return pod, records[1]
        if not records:
            text = f'container "{name}" in pod "{pod.metadata.name}" is waiting to start: {_waits_for(pod, worker, name)}'
            raise web.HTTPBadRequest(text=text)
        return pod, records[0]

    # logs

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        options = self._log_options(request)
        _, container = await self._container(request, previous=_flag(request, "previous"))
        path = Path(container.log_path)
        if not path.is_file():
            raise web.HTTPInternalServerError(text=f"failed to open log file {path.name!r}: no such file")

        async def running() -> bool:
            try:
                return (await self._kubelet.runtime.container_status(container.id)).state == "running"
            except Exception as error:
                if type(error).__name__ == "NotFoundError":
                    return False
                raise

        async def pause() -> None:
            await asyncio.sleep(FOLLOW_PAUSE)

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with suppress(ConnectionError):
            async for piece in logs.read(path, options, running=running, pause=pause):
                await response.write(piece)
            await response.write_eof()
        return response

    def _log_options(self, request: web.Request) -> LogOptions:
        query = request.query
        since: float | None = None
        try:
            if "sinceSeconds" in query:
                since = self._kubelet.clock.time() - int(query["sinceSeconds"])
            elif "sinceTime" in query:
                since = times.parse(query["sinceTime"])
            tail = int(query["tailLines"]) if "tailLines" in query else None
            limit = int(query["limitBytes"]) if "limitBytes" in query else None
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"Unable to decode query: {error}") from error
        if (tail is not None and tail < 0) or (limit is not None and limit < 1):
            raise web.HTTPUnprocessableEntity(text="Invalid request.")
        return LogOptions(
            follow=_flag(request, "follow"), timestamps=_flag(request, "timestamps"), since=since, tail=tail,
            limit_bytes=limit, stream=query.get("stream", "All"),
        )  # fmt: skip

    # exec, attach, port-forward

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        command = request.query.getall("command", [])
        if not command:
            raise web.HTTPBadRequest(
                text="you must specify at least 1 of stdin, stdout, stderr" if not request.query else "missing command"
            )
        _, container = await self._running_container(request)
        stdin, stdout, stderr, tty = _streams(request)

        async def open_streams() -> ExecStreams:
            return await self._kubelet.runtime.exec(
                container.id, command, stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty
            )

        return await streaming.serve(request, open_streams, stdin=stdin, stdout=stdout, stderr=stderr)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        pod, container = await self._running_container(request)
        stdin, stdout, stderr, _ = _streams(request)
        member = pods.member(pod, container.name)
        tty = bool(member is not None and member.container.tty)

        async def open_streams() -> ExecStreams:
            return await self._kubelet.runtime.attach(
                container.id, stdin=stdin, stdout=stdout, stderr=stderr and not tty, tty=tty
            )

        return await streaming.serve(request, open_streams, stdin=stdin, stdout=stdout, stderr=stderr)

    async def _running_container(self, request: web.Request) -> tuple[v1.Pod, ContainerStatus]:
        """Raises 500 as the kubelet does: clients show its text after "unable to upgrade connection"."""
        pod, name = self._pod(request), request.match_info["container"]
        worker = self._kubelet.worker(pod.metadata.uid)
        newest = (await worker.observe()).newest(name) if worker is not None else None
        if newest is None or newest.state != "running":
            raise web.HTTPInternalServerError(text=f'container not found ("{name}")')
        return pod, newest

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        worker = self._kubelet.worker(pod.metadata.uid)
        sandbox = (await worker.observe()).sandbox if worker is not None else None
        if sandbox is None:
            raise web.HTTPInternalServerError(text=f"unable to forward port: pod {pod.metadata.name} is not running")
        try:
            ports = [int(text) for entry in request.query.getall("port", []) for text in entry.split(",")]
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"invalid port: {error}") from error

        async def connect(port: int) -> socket.socket:
            return await self._kubelet.runtime.connect(sandbox.id, port)

        return await port_forwarding.serve(request, connect, ports, f"{pod.metadata.name}_{pod.metadata.namespace}")

    # what the node tells of itself

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        items = [typed.tree(pod) for pod in self._kubelet.pods()]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _running_pods(self, request: web.Request) -> web.StreamResponse:
        items: list[dict[str, Any]] = []
        for sandbox in await self._kubelet.runtime.sandboxes():
            if sandbox.state != "ready":
                continue
            found = [one for one in await self._kubelet.runtime.containers(sandbox.id) if one.state == "running"]
            items.append(
                {
                    "metadata": {"name": sandbox.name, "namespace": sandbox.namespace, "uid": sandbox.uid},
                    "spec": {"containers": [{"name": one.name, "image": one.image, "resources": {}} for one in found]},
                    "status": {},
                }
            )
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _summary(self, request: web.Request) -> web.StreamResponse:
        return _json(await stats.summary(self._kubelet))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=await stats.metrics(self._kubelet), headers={"Content-Type": stats.METRICS_TYPE})

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")


def _waits_for(pod: v1.Pod, worker: WorkerView | None, name: str) -> str:
    """Why a container has no log yet."""
    problem = worker.memory.problems.get(name) if worker is not None else None
    if problem is None:
        return "PodInitializing" if pod.spec.initContainers else "ContainerCreating"
    if problem.reason == "ErrImagePull":
        return "image can't be pulled"
    if problem.reason == "ImagePullBackOff":
        return "trying and failing to pull image"
    return problem.reason


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("1", "t", "true")


def _streams(request: web.Request) -> tuple[bool, bool, bool, bool]:
    """stdin, stdout, stderr, tty; the kubelet's names are input, output, error. Raises HTTPBadRequest when none is asked for."""
    asked = [
        _flag(request, one) or _flag(request, other)
        for one, other in (("input", "stdin"), ("output", "stdout"), ("error", "stderr"), ("tty", "tty"))
    ]
    if not any(asked[:3]):
        raise web.HTTPBadRequest(text="you must specify at least 1 of stdin, stdout, stderr")
    return asked[0], asked[1], asked[2], asked[3]


def _json(tree: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(tree), content_type="application/json")
