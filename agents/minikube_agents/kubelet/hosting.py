"""What all pod workers of a node share: the way to the API, the runtime, the node's facts. Wired by `Kubelet` and by hollow nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minikube_agents.kubelet.observations import Memory, Observed
from minikube_agents.kubelet.options import KubeletOptions
from minikube_agents.kubelet.pod_files import ClusterDNS
from minikube_agents.kubelet.references import References
from minikube_agents.kubelet.status_writing import StatusWriter
from minikube_agents.kubelet.statuses import NodeFacts
from minikube_agents.kubelet.volumes.mounting import Volumes
from minikube_agents.kubelet.volumes.tokens import TokenCache
from minikube_agents.runtime.contract import DNSConfig, Runtime
from minikube_api.client.client import Client
from minikube_api.meta.times import Clock
from minikube_api.schema.typed import core_v1 as v1


class Recorder(Protocol):
    def event(self, obj: Any, type: Any, reason: str, message: str, *, field_path: str = "") -> None: ...


@dataclass(slots=True, kw_only=True)
class Host:
    """One node, as its pod workers see it."""

    client: Client
    runtime: Runtime
    options: KubeletOptions
    clock: Clock
    group: asyncio.TaskGroup
    recorder: Recorder
    statuses: StatusWriter
    facts: NodeFacts
    #: resources that pods may have, as in node.status.allocatable
    allocatable: Callable[[], dict[str, str]]
    services: Callable[[], Iterable[v1.Service]]
    #: the pods of this node; hollow nodes tell none, and do not refuse pods for want of room
    pods: Callable[[], Iterable[v1.Pod]]
    #: None on hollow nodes: pods get no files and no environment there
    volumes: Volumes | None
    references: References | None
    tokens: TokenCache | None
    cluster_dns: ClusterDNS
    node_dns: DNSConfig
    wake: Callable[[str], None]
    wake_after: Callable[[str, float], None]


class NodeView(Protocol):
    """A running kubelet, as its HTTPS server, statistics and eviction see it."""

    runtime: Runtime
    options: KubeletOptions
    clock: Clock

    def pods(self) -> list[v1.Pod]:
        """The pods of this node, as the API gives them."""
        ...

    def find_pod(self, namespace: str, name: str) -> v1.Pod | None: ...

    def worker(self, uid: str) -> WorkerView | None: ...


class WorkerView(Protocol):
    """One pod's worker, as others see it."""

    host: Host
    memory: Memory
    sandbox_ids: set[str]

    @property
    def places(self) -> Mapping[str, Path]:
        """Where the pod's volumes are on the node, by name."""
        ...

    async def observe(self) -> Observed: ...
