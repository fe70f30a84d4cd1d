"""What is known of one pod besides its spec: what the runtime shows, and what the worker remembers between passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from minikube_agents.kubelet.backoff import Backoff
from minikube_agents.runtime.contract import ContainerStatus, SandboxStatus
from minikube_api.schema.typed import core_v1 as v1

LABEL_POD = "io.kubernetes.pod.name"
LABEL_NAMESPACE = "io.kubernetes.pod.namespace"
LABEL_UID = "io.kubernetes.pod.uid"
LABEL_CONTAINER = "io.kubernetes.container.name"
LABEL_HASH = "io.kubernetes.container.hash"
LABEL_TYPE = "minikube.dev/container-type"
LABEL_TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
LABEL_TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
LABEL_TERMINATION_FILE = "minikube.dev/termination-message-file"


@dataclass(frozen=True, slots=True)
class Observed:
    """Sandboxes and containers of one pod in the runtime, newest first."""

    sandboxes: tuple[SandboxStatus, ...] = ()
    containers: Mapping[str, tuple[ContainerStatus, ...]] = field(default_factory=dict)

    @staticmethod
    def of(sandboxes: Iterable[SandboxStatus], containers: Iterable[ContainerStatus]) -> Observed:
        grouped: dict[str, list[ContainerStatus]] = {}
        for one in containers:
            grouped.setdefault(one.name, []).append(one)
        return Observed(
            tuple(sorted(map(_with_real_ips, sandboxes), key=lambda s: (s.attempt, s.created_at), reverse=True)),
            {name: tuple(sorted(ones, key=lambda c: (c.attempt, c.created_at), reverse=True)) for name, ones in grouped.items()},
        )

    @property
    def sandbox(self) -> SandboxStatus | None:
        """The newest sandbox, if it is ready."""
        return self.sandboxes[0] if self.sandboxes and self.sandboxes[0].state == "ready" else None

    def newest(self, name: str) -> ContainerStatus | None:
        records = self.containers.get(name)
        return records[0] if records else None

    def running(self) -> list[ContainerStatus]:
        return [one for records in self.containers.values() for one in records if one.state == "running"]

    def find(self, container_id: str) -> ContainerStatus | None:
        return next((one for ones in self.containers.values() for one in ones if one.id == container_id), None)


def _with_real_ips(sandbox: SandboxStatus) -> SandboxStatus:
    """A sandbox in the node's network may tell an empty address."""
    return sandbox if all(sandbox.ips) else replace(sandbox, ips=tuple(ip for ip in sandbox.ips if ip))


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a container waits: reason and message of its waiting state; tried again at `retry_at` (epoch seconds)."""

    reason: str
    message: str
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a pod that no container decided: eviction, deadline, refused admission."""

    phase: str
    reason: str
    message: str


@dataclass(slots=True)
class Memory:
    """What the worker of one pod remembers. The pure functions only read it."""

    restarts: Backoff = field(default_factory=Backoff)
    pulls: Backoff = field(default_factory=Backoff)
    #: by image: when its last pull failed (epoch seconds) and why
    failed_pulls: dict[str, tuple[float, str]] = field(default_factory=dict)
    #: by container name; "" is the pod's sandbox and volumes
    problems: dict[str, Problem] = field(default_factory=dict)
    #: by container id: ids that are being stopped
    killing: set[str] = field(default_factory=set)
    #: by container id: ids whose postStart hook still runs
    hooks: set[str] = field(default_factory=set)
    #: by container id: probe results; absent = no result yet
    startup: dict[str, bool] = field(default_factory=dict)
    readiness: dict[str, bool] = field(default_factory=dict)
    #: by container id: why it must be restarted (a failed liveness or startup probe, a failed hook)
    condemned: dict[str, str] = field(default_factory=dict)
    #: by container id: termination messages
    messages: dict[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None
    #: the pod's processes are being ended, or have been
    terminating: bool = False
    #: by container name: resources granted by this node (in-place resize)
    allocated: dict[str, v1.ResourceRequirements] = field(default_factory=dict)
    #: by container name: resources that the running container really has
    actual: dict[str, v1.ResourceRequirements] = field(default_factory=dict)
    #: the pod's own limits are lifted until a resize of its containers is done
    lifted: bool = False
    #: conditions of a resize: type -> (reason, message)
    resize: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: epoch seconds at which this kubelet first saw the pod
    start_time: float = 0.0
    #: by type: (status, lastTransitionTime) as last told
    transitions: dict[str, tuple[str, str]] = field(default_factory=dict)
