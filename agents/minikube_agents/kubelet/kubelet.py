"""The kubelet: registers a node, follows its pods, runs one worker per pod, serves its HTTPS paths.

Start: runtime -> node and lease -> pods' informer -> adoption of what runs -> workers. Stop (cancellation): workers and tasks end, nothing
of the pods is touched; the next kubelet adopts them by uid from the runtime.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from minikube_agents.kubelet import heartbeat, node_status
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.options import KubeletOptions
from minikube_agents.kubelet.pod_files import ClusterDNS, parse_resolv_conf
from minikube_agents.kubelet.references import References
from minikube_agents.kubelet.status_writing import StatusWriter
from minikube_agents.kubelet.statuses import NodeFacts
from minikube_agents.kubelet.volumes.claims import BoundClaims
from minikube_agents.kubelet.volumes.image_volumes import ImageVolumes
from minikube_agents.kubelet.volumes.mounting import Volumes
from minikube_agents.kubelet.volumes.tokens import TokenCache
from minikube_agents.kubelet.worker import PodWorker
from minikube_agents.kubelet.workers import PodWorkers
from minikube_agents.runtime.contract import DNSConfig, Runtime, RuntimeError_
from minikube_api.client.client import Client
from minikube_api.client.events import EventRecorder
from minikube_api.client.informers import Informer, InformerFactory
from minikube_api.meta.errors import StatusError
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)

#: first and last pause between tries to register, seconds
FIRST_RETRY, LAST_RETRY = 0.1, 7.0


class Kubelet:
    """`await run()` until cancelled. `started` is set when the node is registered, the server listens and pods are followed."""

    def __init__(
        self, client: Client, runtime: Runtime, options: KubeletOptions, *, factory: InformerFactory | None = None
    ) -> None:
        self.client = client
        self.runtime = runtime
        self.options = options
        self.clock = options.clock
        self.started = asyncio.Event()
        self.port = 0
        self._factory = factory
        self._machine = node_status.read_machine(_existing(options.root))
        self.workers = PodWorkers(runtime, self.clock, lambda _pod: self._host)
        self._recorder = EventRecorder(client, "kubelet", host=options.node_name, clock=self.clock)
        self._reporter = heartbeat.NodeReporter(client, options.node_name, self._status)
        self._lease = heartbeat.LeaseKeeper(client, options.node_name, seconds=options.lease_seconds, clock=self.clock)
        self._last_report = 0.0
        self._conditions: dict[str, Any] = {}
        self._host: Host | None = None
        self.node: dict[str, Any] = {}

    # life

    async def run(self) -> None:
        try:
            await self.runtime.start()
            self.options.root.mkdir(parents=True, exist_ok=True)
        except BaseException:
            if self.options.listen_fd is not None:
                os.close(self.options.listen_fd)  # the next kubelet takes the same port
            raise
        factory = self._factory or InformerFactory(self.client, clock=self.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run(), name="kubelet: events")
            pods_informer = factory.informer(v1.Pod, field_selector=f"spec.nodeName={self.options.node_name}")
            services = factory.informer(v1.Service)
            if self._factory is None:
                group.create_task(factory.run(), name="kubelet: informers")
            server = await self._serve()
            try:
                await self._register()
                self._host = self._make_host(group, services)
                await pods_informer.synced()
                await services.synced()
                self.workers.follow(pods_informer)
                await self.workers.adopt()
                assert self._host.volumes is not None
                self.workers.adopt_leftovers(self._host.volumes.leftovers())
                group.create_task(self.workers.follow_runtime(), name="kubelet: runtime events")
                self._keep_alive(group)
                self._recorder.event(self._node_reference(), "Normal", "Starting", "Starting kubelet.")
                for text in getattr(self.runtime, "warnings", ()):
                    self._recorder.event(self._node_reference(), "Warning", "RuntimeLimited", text)
                self.started.set()
                await self.workers.dispatch(group)
            finally:
                if server is not None:
                    await server.stop()

    def _make_host(self, group: asyncio.TaskGroup, services: Informer[v1.Service]) -> Host:
        options = self.options
        tokens = TokenCache(self.client, self.clock)
        resolv = Path(options.resolv_conf)
        return Host(
            client=self.client,
            runtime=self.runtime,
            options=options,
            clock=self.clock,
            group=group,
            recorder=self._recorder,
            statuses=StatusWriter(self.client, group, self.clock, self.workers.queue.add),
            facts=NodeFacts(options.node_name, (options.node_ip,), self.runtime.name),
            allocatable=self.allocatable,
            services=services.list,
            pods=self.pods,
            volumes=Volumes(
                options.root,
                memory_root=options.memory_directory,
                claims=BoundClaims(self.client),
                tokens=tokens,
                images=ImageVolumes(self.runtime),
            ),
            references=References(self.client, group, self.workers.queue.add, self.clock),
            tokens=tokens,
            cluster_dns=ClusterDNS(options.cluster_dns, options.cluster_domain),
            node_dns=parse_resolv_conf(resolv.read_text()) if resolv.is_file() else DNSConfig(),
            wake=self.workers.queue.add,
            wake_after=self.workers.queue.add_after,
        )

    async def _serve(self) -> Any:
        """The HTTPS server, unless there is no TLS material for one."""
        if self.options.tls is None or self.options.listen_port < 0:
            return None
        from minikube_agents.kubelet.server import KubeletServer

        server = KubeletServer(self)
        self.port = await server.start()
        return server

    # pods

    def pods(self) -> list[v1.Pod]:
        """The pods of this node, as the API gives them."""
        return self.workers.pods()

    def find_pod(self, namespace: str, name: str) -> v1.Pod | None:
        return self.workers.find_pod(namespace, name)

    def worker(self, uid: str) -> PodWorker | None:
        return self.workers.worker(uid)

    # the node

    def allocatable(self) -> dict[str, str]:
        return node_status.allocatable(node_status.capacity(self._machine, self.options), self.options)

    async def _status(self, before: dict[str, Any]) -> dict[str, Any]:
        self._machine = node_status.read_machine(_existing(self.options.root))
        error = ""
        found: list[Any] = []
        version = "0"
        try:
            version = await self.runtime.version()
            found = await self.runtime.images()
        except RuntimeError_ as failure:
            error = f"container runtime is down: {failure}"
        status = node_status.node_status(
            self.options,
            self._machine,
            now=self.clock.time(),
            port=self.port,
            runtime_name=self.runtime.name,
            runtime_version=version,
            found_images=found,
            runtime_error=error,
            before=before,
        )
        for reason in node_status.changes(self._conditions, status["conditions"]):
            self._recorder.event(
                self._node_reference(), "Normal", reason, f"Node {self.options.node_name} status is now: {reason}"
            )
        self._conditions = {condition["type"]: condition for condition in status["conditions"]}
        return status

    async def _register(self) -> None:
        delay = FIRST_RETRY
        while self.options.register_node:
            try:
                make = lambda status: node_status.node_tree(self.options, self._machine, status)  # noqa: E731
                self.node = await self._reporter.register(make)
                await self._lease.renew(self._reporter.uid)
                self._last_report = self.clock.monotonic()
                return
            except (StatusError, OSError) as error:
                log.warning("registering node %s: %s", self.options.node_name, error)
                await self.clock.sleep(delay)
                delay = min(delay * 2, LAST_RETRY)

    def _keep_alive(self, group: asyncio.TaskGroup) -> None:
        options = self.options

        async def renew() -> None:
            await self._lease.renew(self._reporter.uid)

        async def report() -> None:
            due = self.clock.monotonic() - self._last_report >= options.status_report_interval
            if await self._reporter.report(force=due):
                self._last_report = self.clock.monotonic()

        for interval, act, what in (
            (options.lease_interval, renew, "node lease"),
            (options.status_interval, report, "node status"),
            (options.housekeeping_interval, self._keep_house, "housekeeping"),
        ):
            group.create_task(heartbeat.beat(self.clock, interval, act, what), name=f"kubelet: {what}")

    async def _keep_house(self) -> None:
        """Looks at everything again, so that a lost event is not lost for good; evicts under pressure."""
        from minikube_agents.kubelet import eviction

        self.workers.wake_all()
        with suppress(RuntimeError_):
            await eviction.keep_house(self)

    def _node_reference(self) -> v1.ObjectReference:
        return v1.ObjectReference(kind="Node", name=self.options.node_name, uid=self.options.node_name, apiVersion="v1")


def _existing(path: Path) -> Path:
    """The path or its nearest parent that exists (for disk figures)."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
