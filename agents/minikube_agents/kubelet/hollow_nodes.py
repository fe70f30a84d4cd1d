"""Thousands of hollow nodes in one process: one pods' informer for all of them, one runtime, leases and statuses spread over time.

Each pod has the same worker as on a real node; what a hollow node leaves out is said here: no volumes, no environment, no HTTPS server, no
events unless asked for, and figures (capacity) that are told instead of measured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from minikube_agents.kubelet import heartbeat, node_status
from minikube_agents.kubelet.hosting import Host, Recorder
from minikube_agents.kubelet.node_status import Machine
from minikube_agents.kubelet.options import KubeletOptions
from minikube_agents.kubelet.pod_files import ClusterDNS
from minikube_agents.kubelet.status_writing import StatusWriter
from minikube_agents.kubelet.statuses import NodeFacts
from minikube_agents.kubelet.workers import PodWorkers
from minikube_agents.runtime.contract import DNSConfig
from minikube_agents.runtime.hollow import HollowRuntime, address_pool
from minikube_api.client.client import Client
from minikube_api.client.events import EventRecorder
from minikube_api.client.informers import InformerFactory
from minikube_api.meta.errors import StatusError
from minikube_api.meta.times import SYSTEM, Clock
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HollowOptions:
    """`label(i)` gives extra labels of the i-th node (zones, pools). Intervals in seconds."""

    prefix: str = "hollow-"
    capacity: Mapping[str, str] = field(default_factory=lambda: {"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi"})
    max_pods: int = 110
    node_network: str = "172.20.0.0/16"
    pod_network: str = "10.128.0.0/9"
    label: Callable[[int], Mapping[str, str]] = lambda _i: {}
    lease_interval: float = 20.0
    lease_seconds: int = 40
    status_report_interval: float = 300.0
    #: requests under way at once while nodes register and renew
    parallel: int = 16
    events: bool = False
    clock: Clock = SYSTEM


class _Silence:
    """A recorder of a node that writes no events."""

    def event(self, obj: Any, type: Any, reason: str, message: str, *, field_path: str = "") -> None:
        return


class HollowNodes:
    """`await run()` until cancelled; `registered` is set when all nodes are there."""

    def __init__(
        self, client: Client, count: int, options: HollowOptions | None = None, *, factory: InformerFactory | None = None
    ) -> None:
        self._client = client
        self._factory = factory
        self.options = options or HollowOptions()
        self.clock = self.options.clock
        self.registered = asyncio.Event()
        self.runtime = HollowRuntime(self.clock, address=address_pool(self.options.pod_network), write_logs=False)
        self.workers = PodWorkers(self.runtime, self.clock, self._host_of)
        network = ip_network(self.options.node_network)
        self._nodes: dict[str, KubeletOptions] = {}
        for i in range(count):
            name = f"{self.options.prefix}{i}"
            self._nodes[name] = KubeletOptions(
                node_name=name, node_ip=str(network[2 + i]), root=Path(f"/nonexistent/{name}"), labels=dict(self.options.label(i)),
                max_pods=self.options.max_pods, capacity={**self.options.capacity, "pods": str(self.options.max_pods)},
                clock=self.clock,
            )  # fmt: skip
        self._machine = Machine(cpus=1, memory=1 << 40, memory_available=1 << 40, disk=1 << 40, disk_available=1 << 40)
        self._reporters: dict[str, heartbeat.NodeReporter] = {}
        self._leases: dict[str, heartbeat.LeaseKeeper] = {}
        self._hosts: dict[str, Host] = {}
        self._shared: Host | None = None

    @property
    def names(self) -> list[str]:
        return list(self._nodes)

    async def run(self) -> None:
        await self.runtime.start()
        factory = self._factory or InformerFactory(self._client, clock=self.clock)
        try:
            async with asyncio.TaskGroup() as group:
                self._shared = self._share(group)
                informer = factory.informer(v1.Pod, field_selector="spec.nodeName!=")
                if self._factory is None:
                    group.create_task(factory.run(), name="hollow: informers")
                await self._each(self._nodes, self._register)
                self.registered.set()
                await informer.synced()
                self.workers.follow(informer)
                group.create_task(self.workers.follow_runtime(), name="hollow: runtime events")
                group.create_task(self._renew(), name="hollow: leases")
                group.create_task(self._report(), name="hollow: statuses")
                await self.workers.dispatch(group)
        finally:
            await self.runtime.close()

    def _share(self, group: asyncio.TaskGroup) -> Host:
        recorder: Recorder = _Silence()
        if self.options.events:
            events = EventRecorder(self._client, "kubelet", clock=self.clock)
            group.create_task(events.run(), name="hollow: events")
            recorder = events
        queue = self.workers.queue
        return Host(
            client=self._client, runtime=self.runtime, options=next(iter(self._nodes.values())), clock=self.clock, group=group,
            recorder=recorder, statuses=StatusWriter(self._client, group, self.clock, queue.add),
            facts=NodeFacts("", ("",), self.runtime.name), allocatable=dict, services=tuple, pods=tuple, volumes=None, references=None,
            tokens=None, cluster_dns=ClusterDNS((), "cluster.local"), node_dns=DNSConfig(), wake=queue.add,
            wake_after=queue.add_after,
        )  # fmt: skip

    def _host_of(self, pod: v1.Pod | None) -> Host | None:
        """Only pods of our nodes have a worker; a host is made when the first pod arrives on its node."""
        name = (pod.spec.nodeName or "") if pod is not None else ""
        options = self._nodes.get(name)
        if options is None or self._shared is None:
            return None
        host = self._hosts.get(name)
        if host is None:
            facts = NodeFacts(name, (options.node_ip,), self.runtime.name)
            full = node_status.capacity(self._machine, options)
            host = self._hosts[name] = replace(
                self._shared, options=options, facts=facts, allocatable=lambda: node_status.allocatable(full, options)
            )
        return host

    # nodes

    async def _each(self, names: Iterable[str], act: Callable[[str], Any]) -> None:
        """`act` on every name, `parallel` at a time; failures are logged, and met again at the next round."""
        left = iter(names)

        async def work() -> None:
            for name in left:
                try:
                    await act(name)
                except (StatusError, OSError) as error:
                    log.warning("hollow node %s: %s", name, error)

        async with asyncio.TaskGroup() as group:
            for i in range(self.options.parallel):
                group.create_task(work(), name=f"hollow: worker {i}")

    async def _register(self, name: str) -> None:
        options = self._nodes[name]

        async def status(before: Mapping[str, Any]) -> dict[str, Any]:
            return node_status.node_status(
                options, self._machine, now=self.clock.time(), port=0, runtime_name=self.runtime.name,
                runtime_version="0.1.0", found_images=[], before=before,
            )  # fmt: skip

        reporter = self._reporters[name] = heartbeat.NodeReporter(self._client, name, status, follow=False)
        self._leases[name] = heartbeat.LeaseKeeper(self._client, name, seconds=self.options.lease_seconds, clock=self.clock)
        await reporter.register(lambda made: node_status.node_tree(options, self._machine, made))
        await self._leases[name].renew(reporter.uid)

    async def _spread(self, interval: float, act: Callable[[str], Any]) -> None:
        """`act` on every node once an interval, in even batches."""
        names = list(self._nodes)
        size = max(self.options.parallel, len(names) // max(int(interval * 4), 1))
        while True:
            for i in range(0, len(names), size):
                batch = names[i : i + size]
                await self.clock.sleep(interval * len(batch) / len(names))
                await self._each(batch, act)

    async def _renew(self) -> None:
        async def renew(name: str) -> None:
            await self._leases[name].renew(self._reporters[name].uid)

        await self._spread(self.options.lease_interval, renew)

    async def _report(self) -> None:
        async def report(name: str) -> None:
            if not self._reporters[name].uid:
                await self._register(name)
            await self._reporters[name].report(force=True)

        while True:
            await self.clock.sleep(self.options.status_report_interval)
            await self._each(self._nodes, report)
