"""The API server: the stages every request passes, on one screen (`Server.serve`), and the start and stop order.

    limit and time-out -> authenticate -> audit -> impersonate -> priority and fairness -> authorize
        -> aggregated API servers, or route (write, read, subresource, path)

In-process components enter at the same place as HTTP with an identity that is given (`Server.transport`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from minikube_api import store as stores
from minikube_api.meta import durations, times
from minikube_api.meta.errors import BadRequest, InternalError, NotAcceptable, StatusError, Timeout
from minikube_api.resources.resource import Registry
from minikube_api.server import authentication, authorization, impersonation, views
from minikube_api.server.access.access import Access
from minikube_api.server.admission.chain import AdmissionChain
from minikube_api.server.admission.metrics import AdmissionMetrics
from minikube_api.server.aggregation.checking import Checker
from minikube_api.server.aggregation.following import Aggregation
from minikube_api.server.aggregation.registering import Registrar
from minikube_api.server.allocation import ServiceAllocator
from minikube_api.server.authentication import AuthenticatorChain
from minikube_api.server.authorization import AuthorizerChain
from minikube_api.server.bootstrap import Bootstrap
from minikube_api.server.context import Answer, Reply, Request, Stream, Tunnel, UserInfo
from minikube_api.server.contract import AdmissionPlugin, AuditSink, Authenticator, Authorizer, Dialer, DirectDialer
from minikube_api.server.crds.serving import Definitions
from minikube_api.server.deleting import Deleter
from minikube_api.server.discovery import Discovery
from minikube_api.server.fairness import dumping
from minikube_api.server.fairness.fairness import Fairness, too_many
from minikube_api.server.fairness.levels import Rejected
from minikube_api.server.front_proxy import Issuers, RequestHeader
from minikube_api.server.http import HttpFrontEnd
from minikube_api.server.local import LocalTransport
from minikube_api.server.metrics import Metrics
from minikube_api.server.negotiation import PLAIN, UNTRANSFORMED, negotiate
from minikube_api.server.paths import Paths
from minikube_api.server.routing import Router
from minikube_api.server.service_addresses import ServiceAddresses
from minikube_api.server.services import ServiceResolver
from minikube_api.server.storage import Storage
from minikube_api.server.subresources import install as install_subresources
from minikube_api.server.webhooks.calling import Caller
from minikube_api.server.writing import Writer
from minikube_api.store.contract import Store

log = logging.getLogger(__name__)

#: seconds; kube-apiserver's --request-timeout
REQUEST_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: an open socket, or host and port (0 = any). `tls` off is for tests on loopback only."""

    sock: socket.socket | None = None
    host: str = "127.0.0.1"
    port: int = 6443
    tls: bool = True

    def open(self) -> socket.socket:
        if self.sock is not None:
            return self.sock
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self.port))
            sock.listen(1024)
        except BaseException:
            sock.close()
            raise
        sock.setblocking(False)
        return sock


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a server is made of. Certificates are PEM files; `client_ca` verifies client certificates."""

    store: Literal["memory", "sqlite"] = "memory"
    data_dir: Path | None = None
    listeners: Sequence[Listener] = (Listener(),)
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    #: the server's own client certificate towards kubelets, and the CA that signs theirs
    kubelet_certificate: Path | None = None
    kubelet_key: Path | None = None
    kubelet_ca: Path | None = None
    #: the certificate towards aggregated API servers (they take the user from headers then), and the CA that signed it
    proxy_client_certificate: Path | None = None
    proxy_client_key: Path | None = None
    requestheader_ca: Path | None = None
    #: common names of front proxies; none: whoever that CA signed for
    requestheader_allowed_names: Sequence[str] = ("front-proxy-client",)
    token_file: Path | None = None
    service_cidr: str = "10.96.0.0/16"
    node_port_range: tuple[int, int] = (30000, 32767)
    #: where clients inside the cluster reach the server: Endpoints of default/kubernetes; None: the first listener's
    advertise: tuple[str, int] | None = None
    dialer: Dialer = field(default_factory=DirectDialer)
    clock: times.Clock = times.SYSTEM
    rng: random.Random = field(default_factory=random.Random)
    authenticators: Sequence[Authenticator] = ()
    #: None: Node and RBAC, kube-apiserver's --authorization-mode; system:masters may always do everything
    authorizers: Sequence[Authorizer] | None = None
    #: None: kube-apiserver's default plug-ins; else these, or what a function makes from the server (they may read its storage)
    admission: Sequence[AdmissionPlugin] | Callable[[Server], Sequence[AdmissionPlugin]] | None = None
    #: the key (PEM) that signs service account tokens; None: TokenRequest is not served
    service_account_key: Path | None = None
    audit: AuditSink | None = None
    registry: Registry | None = None
    anonymous: bool = True
    #: further objects that are there before /readyz says ok (default roles and bindings...)
    bootstrap_objects: Sequence[dict[str, Any]] = ()
    #: seats that priority and fairness shares out: kube-apiserver's --max-requests-inflight and --max-mutating-requests-inflight
    max_requests_in_flight: int = 600
    #: create what an empty cluster holds; off only where a test wants an empty store
    bootstrap: bool = True


class Server:
    """`await start()`, `await stop()`; `transport(user)` for components in this process.

    Start: store, feed, allocations, bootstrap objects, listeners. Stop: no new connections, watches end, requests under way
    finish, background tasks, store. Watches must end before the front end waits for its requests, or it waits for them in vain.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = config.clock
        self.metrics = Metrics()
        #: what others in this process show on /metrics
        self.collectors: list[Callable[[], Iterator[Any]]] = []
        self.ports: list[int] = []
        self.ready = False
        self._stopping = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._front: HttpFrontEnd | None = None
        self._rng = config.rng

    # start and stop

    async def start(self) -> None:
        """Returns when requests are answered and the bootstrap objects are there. Raises what the store or the listeners raise."""
        store = await self._open_store()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(store, started), name="apiserver")
        await asyncio.wait((self._main, started), return_when=asyncio.FIRST_COMPLETED)
        if self._main.done():
            await self._main
        await started

    async def _open_store(self) -> Store:
        return await stores.open(self.config.store, self.config.data_dir, clock=self.clock)

    async def _run(self, store: Store, started: asyncio.Future[None]) -> None:
        config = self.config
        try:
            async with asyncio.TaskGroup() as group:
                self._assemble(store)
                await self.storage.feed.start()
                running = [
                    group.create_task(self.storage.feed.run(), name="apiserver-feed"),
                    group.create_task(self.metrics.watch_loop(), name="apiserver-loop-lag"),
                    group.create_task(
                        self.allocator.repair(self.storage, self.registry, config.clock), name="apiserver-allocation-repair"
                    ),
                ]
                sockets = [(listener, listener.open()) for listener in self.config.listeners]
                self.ports = [sock.getsockname()[1] for _, sock in sockets]
                await self.allocator.rebuild(self.storage, self.registry)
                await self.definitions.load()
                running.append(group.create_task(self.definitions.run(), name="apiserver-definitions"))
                await self.aggregation.load()
                await self.registrar.load()
                await self.fairness.load()
                running += [
                    group.create_task(self.fairness.run(), name="apiserver-flow-schemas"),
                    group.create_task(self.registrar.run(), name="apiserver-local-apiservices"),
                    group.create_task(Checker(self, self.aggregation).run(), name="apiserver-aggregation"),
                ]
                await self.access.rbac.start()
                if config.bootstrap:
                    await self.access.bootstrap()
                    await Bootstrap(self, config.bootstrap_objects).run()
                    addresses = ServiceAddresses(self)
                    await addresses.load()
                    running.append(group.create_task(addresses.run(), name="apiserver-service-addresses"))
                front = self._front = HttpFrontEnd(self.serve, on_error=self._unexpected)
                self.metrics.long_running = lambda: front.long_running
                context = self._ssl_context()
                for listener, sock in sockets:
                    await front.listen(sock, context if listener.tls else None)
                self.ready = True
                if not started.done():
                    started.set_result(None)
                await self._stopping.wait()
                self.ready = False
                await self._close_front()
                for task in running:
                    task.cancel()
        finally:
            self.ready = False
            # also when the store failed: nobody may go on waiting for answers
            await self._close_front()
            await self.webhook_caller.close()
            await self.aggregation.close()
            if self.config.audit is not None:
                await asyncio.to_thread(self.config.audit.close)
            await store.close()

    async def _close_front(self) -> None:
        front, self._front = self._front, None
        if front is not None:
            await front.stop_listening()
            self.storage.close_watches()
            await front.close()

    async def stop(self) -> None:
        self._stopping.set()
        if self._main is not None:
            await self._main

    async def wait(self) -> None:
        """Until the server has stopped; raises what made it stop (a failed store)."""
        if self._main is not None:
            await asyncio.shield(self._main)

    def _assemble(self, store: Store) -> None:
        config = self.config
        if config.registry is None:
            from minikube_api.resources import builtin

            self.registry = builtin.registry()
        else:
            self.registry = config.registry
        self.storage = Storage(store, self.registry)
        self.allocator = ServiceAllocator(config.service_cidr, config.node_port_range, self._rng)
        self.access = Access(self, service_account_key=config.service_account_key)
        # kube-apiserver's order: proxies, certificates, tokens; the first that knows the client decides
        members: list[Authenticator] = [*config.authenticators]
        front_proxies = None
        if config.requestheader_ca is not None:
            front_proxies = Issuers(config.requestheader_ca)
            members.append(RequestHeader(front_proxies, config.requestheader_allowed_names))
        clients = Issuers(config.client_ca) if config.client_ca is not None else None
        members.append(authentication.ClientCertificate(clients, strangers=front_proxies))
        if config.token_file is not None:
            members.append(authentication.TokenFile.load(config.token_file))
        if self.access.tokens is not None:
            members.append(self.access.tokens)
        self.authenticator = AuthenticatorChain(members, anonymous=config.anonymous)
        authorizers = self.access.authorizers() if config.authorizers is None else config.authorizers
        self.authorizer = AuthorizerChain([authorization.PrivilegedGroup(), authorization.PublicPaths(), *authorizers])
        self.services = ServiceResolver(self.storage, self.registry, self._rng)
        self.webhook_caller = Caller(config.dialer, self.services)
        self.admission_metrics = AdmissionMetrics()
        self.admission = AdmissionChain(self._plugins())
        self.writer = Writer(
            self.storage,
            self.admission,
            clock=config.clock,
            rng=self._rng,
            reservers=(self.allocator,),
            authorizer=self.authorizer,
        )
        self.deleter = Deleter(self.writer)
        self.discovery = Discovery(self.registry)
        self.router = Router(self.registry, self.discovery, self.storage, self.writer, self.deleter, self._rng)
        install_subresources(self)
        self.definitions = Definitions(self)
        self.aggregation = Aggregation(self)
        self.registrar = Registrar(self)
        self.fairness = Fairness(self, config.max_requests_in_flight)
        self.discovery.elsewhere = self.aggregation.remote_versions
        self.paths = Paths(self)
        self.paths.handlers.update(dict.fromkeys(dumping.PATHS, self.fairness.dump))
        self.access.install()

    def _plugins(self) -> Sequence[AdmissionPlugin]:
        chosen = self.config.admission
        if chosen is None:
            return self.access.plugins()
        return chosen(self) if callable(chosen) else chosen

    def _ssl_context(self) -> ssl.SSLContext | None:
        config = self.config
        if config.certificate is None or config.key is None:
            if any(listener.tls for listener in config.listeners):
                raise ValueError("a TLS listener needs a certificate and a key")
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(config.certificate, config.key)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if config.client_ca is not None:
            context.load_verify_locations(config.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        if config.requestheader_ca is not None:
            context.load_verify_locations(config.requestheader_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def transport(self, user: UserInfo, user_agent: str = "") -> LocalTransport:
        """A client's transport with an identity of its own (`client.transport.Transport`)."""
        if authentication.AUTHENTICATED not in user.groups:
            user = authentication.in_group(user, authentication.AUTHENTICATED)
        return LocalTransport(self.serve, user, user_agent)

    # the way of a request

    async def serve(self, request: Request) -> Reply:
        """All stages. Never raises but CancelledError: failures are answers."""
        began = self.clock.monotonic()
        request.received = self.clock.time()
        request.audit_id = request.headers.get("Audit-Id") or f"{self._rng.getrandbits(128):032x}"
        audit = self.config.audit
        if audit is not None and audit.wants_bodies:
            keep_body(request)
        failure = None
        try:
            if is_long_running(request):
                reply = await self._stages(request)
            else:
                async with asyncio.timeout(time_limit(request)):
                    reply = await self._stages(request)
        except StatusError as error:
            failure, reply = error.status(), failed(request, error)
        except TimeoutError:
            late = Timeout("Timeout: request did not complete within requested timeout - context deadline exceeded", details={})
            failure, reply = late.status(), failed(request, late)
        except Exception as error:
            self._unexpected(error)
            broken = InternalError("This request caused apiserver to panic. Look in the logs for details.", code=500)
            failure, reply = broken.status(), failed(request, broken)
        code = 101 if isinstance(reply, Tunnel) else reply.status
        self.metrics.observe(request, code, self.clock.monotonic() - began)
        if audit is not None:
            if audit.wants_bodies and isinstance(reply, Answer):
                request.audit_answer = reply.body
            audit.record(request, "ResponseStarted" if isinstance(reply, Stream) else "ResponseComplete", code, failure)
        return reply

    async def _stages(self, request: Request) -> Reply:
        await self.authenticate(request)
        if self.config.audit is not None:
            self.config.audit.record(request, "RequestReceived", 0, None)
        await self.impersonate(request)
        flow = self.fairness.flow(request)
        if flow is None:
            return await self._answer(request)
        schema, level = flow
        request.flow = (schema.uid, level.uid)
        if request.info.verb != "watch" and is_long_running(request):
            return await self._answer(request)
        work, queue = self.fairness.work(request), None
        if not level.try_take(work, schema.name):
            try:
                queue = await level.take(f"{schema.name}/{schema.flow(request)}", work, request)
            except Rejected:
                return too_many()
        try:
            return await self._answer(request)
        finally:
            level.release(work, queue)

    async def _answer(self, request: Request) -> Reply:
        await self.authorize(request)
        if self.aggregation.remote:
            reply = await self.aggregation.serve(request)
            if reply is not None:
                return reply
        if request.info.is_resource:
            return await self.router.serve(request)
        return await self.paths.serve(request)

    async def authenticate(self, request: Request) -> None:
        if not request.in_process:
            request.user = await self.authenticator.authenticate(request)

    async def impersonate(self, request: Request) -> None:
        if request.in_process or not any(key.lower().startswith("impersonate-") for key in request.headers):
            return
        await impersonation.impersonate(request, self.authorizer)

    async def authorize(self, request: Request) -> None:
        attributes = authorization.attributes_of(request)
        decision = await self.authorizer.authorize(attributes)
        if not decision.allowed:
            raise authorization.refusal(attributes, decision.reason)

    def _unexpected(self, error: Exception) -> None:
        log.error("unexpected failure of a request", exc_info=error)


_LONG_RUNNING_SUBRESOURCES = frozenset({"exec", "attach", "portforward", "proxy", "log"})


def is_long_running(request: Request) -> bool:
    info = request.info
    return info.verb == "watch" or info.subresource in _LONG_RUNNING_SUBRESOURCES


def keep_body(request: Request) -> None:
    read = request.read_body

    async def read_and_keep() -> bytes:
        request.audit_body = await read()
        return request.audit_body

    request.read_body = read_and_keep


def time_limit(request: Request) -> float:
    """Seconds a request may take: ?timeout, if it asks for less than everybody gets. Raises BadRequest."""
    text = request.query.get("timeout")
    if text is None:
        return REQUEST_TIMEOUT
    try:
        asked = durations.parse(text)
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from None
    return asked if 0 < asked < REQUEST_TIMEOUT else REQUEST_TIMEOUT


def failed(request: Request, error: StatusError) -> Answer:
    """A Status answer in the media type the client takes."""
    try:
        view = negotiate(request.headers.get("Accept", ""), UNTRANSFORMED)
    except NotAcceptable:
        view = PLAIN
    answer = views.encoded(error.status_code, orjson.dumps(error.status()), view)
    if error.retry_after_seconds is not None:
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer
