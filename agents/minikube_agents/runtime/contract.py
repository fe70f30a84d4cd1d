"""The runtime's contract, in the words of CRI (Container Runtime Interface): what the kubelet asks of process, docker and hollow.

Times are seconds since the epoch (float). All methods are coroutines and safe to repeat: stopping what is stopped or removing
what is gone is not an error. A field that a runtime can't honour raises `Unsupported` with a reason a user understands.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


class RuntimeError_(Exception):  # noqa: N801 - `RuntimeError` is taken
    """Base. `reason` is what stands in a waiting state or event (CreateContainerError, RunContainerError...)."""

    reason = "RuntimeError"


class Unsupported(RuntimeError_):
    reason = "CreateContainerConfigError"


class ImageNotFound(RuntimeError_):
    """The image is not in the node's store and can't be pulled (ErrImagePull / ErrImageNeverPull)."""

    reason = "ErrImagePull"


class NotFoundError(RuntimeError_):
    reason = "NotFound"


class ExecFailed(RuntimeError_):
    """The command could not be started (not found, not executable): exit code 126/127 for probes, StartError for containers."""

    reason = "StartError"


@dataclass(frozen=True, slots=True, kw_only=True)
class DNSConfig:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    container_port: int
    host_port: int
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """A pod's shared namespaces. `log_directory` is absolute; `cgroup_parent` may be empty (no limits to be had)."""

    namespace: str
    name: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str
    dns: DNSConfig = DNSConfig()
    port_mappings: tuple[PortMapping, ...] = ()
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    #: limits of the whole pod, for the pod's cgroup: cpu cores, memory bytes (0 = none)
    cpu_limit: float = 0
    memory_limit: int = 0
    cpu_request: float = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bind mount of `host_path` (file or directory on the node) at `container_path`; `sub_path` is already joined in."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: Literal["None", "HostToContainer", "Bidirectional"] = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityContext:
    """Effective security of a container (pod and container levels merged). None = the image's or the runtime's default."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool = True
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = ""
    proc_mount: str = "Default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """One container. `command`/`args` as in the pod, `$(VAR)` already expanded; None = the image's entry point / cmd."""

    name: str
    attempt: int
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    #: relative to the sandbox's log_directory: `CONTAINER/ATTEMPT.log` (CRI log format)
    log_path: str
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    security: SecurityContext = SecurityContext()
    cpu_limit: float = 0
    cpu_request: float = 0
    memory_limit: int = 0
    #: container id whose PID namespace is joined (pidMode target, ephemeral containers)
    target_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


SandboxState = Literal["ready", "notready"]
ContainerState = Literal["created", "running", "exited", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStatus:
    id: str
    namespace: str
    name: str
    uid: str
    attempt: int
    state: SandboxState
    created_at: float
    ips: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStatus:
    """`reason`: Completed, Error, OOMKilled, StartError, ContainerCannotRun... when exited. `pid` on the node, 0 unless running."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    created_at: float
    started_at: float = 0
    finished_at: float = 0
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    pid: int = 0
    log_path: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStats:
    id: str
    name: str
    timestamp: float
    cpu_seconds: float
    memory_working_set: int
    memory_usage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of the node's store; `id` is `sha256:...`; `size` in bytes."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...] = ()
    size: int = 0
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEvent:
    """Something changed: the kubelet then reads the statuses of that sandbox again (an event carries no state)."""

    sandbox_id: str
    pod_uid: str
    type: Literal["sandbox-started", "sandbox-stopped", "container-started", "container-exited", "container-removed"]
    container_id: str = ""


class ExecStreams(Protocol):
    """A running exec or attach. With a tty stderr is merged into stdout and `resize` works."""

    async def read(self) -> tuple[Literal["stdout", "stderr"], bytes] | None:
        """The next output, None at the end."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None: ...

    async def wait(self) -> int:
        """The exit code (128 + n for signal n). For attach: that of the container."""
        ...

    async def close(self) -> None:
        """Drop the streams; an exec'd process gets SIGHUP/SIGKILL, an attached container lives on."""
        ...


class Runtime(Protocol):
    name: str

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Let go without stopping anything: a later runtime adopts what runs."""
        ...

    async def run_sandbox(self, config: SandboxConfig) -> str:
        """Create and start; returns the sandbox id."""
        ...

    async def stop_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_sandbox(self, sandbox_id: str) -> None: ...

    async def update_sandbox(self, sandbox_id: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        """Change the limits of the whole pod in place; 0 = none."""
        ...

    async def sandboxes(self) -> list[SandboxStatus]: ...

    async def sandbox_status(self, sandbox_id: str) -> SandboxStatus: ...

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str: ...

    async def start_container(self, container_id: str) -> None:
        """Raises ExecFailed when the entry point can't be executed."""
        ...

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        """SIGTERM (or the image's stop signal), SIGKILL after `grace_seconds`; returns when it is gone."""
        ...

    async def remove_container(self, container_id: str) -> None: ...

    async def containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]: ...

    async def container_status(self, container_id: str) -> ContainerStatus: ...

    async def update_container(self, container_id: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        """Change limits in place."""
        ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        """(exit code, stdout, stderr); TimeoutError after `timeout` seconds, with the command killed."""
        ...

    async def exec(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> ExecStreams: ...

    async def attach(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> ExecStreams: ...

    async def connect(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A connected TCP socket opened inside the sandbox (port-forward, probes)."""
        ...

    async def stats(self, sandbox_id: str | None = None) -> list[ContainerStats]: ...

    async def reopen_log(self, container_id: str) -> None: ...

    async def image_status(self, image: str) -> Image | None: ...

    async def pull_image(self, image: str) -> Image:
        """Raises ImageNotFound with the reason why it can't be had."""
        ...

    async def import_image(self, archive: str, tag: str = "") -> list[Image]:
        """Load a docker-save or OCI archive (a path on the node)."""
        ...

    async def alias_image(self, image: str, alias: str) -> None: ...

    async def images(self) -> list[Image]: ...

    async def remove_image(self, image: str) -> None: ...

    def events(self) -> AsyncIterator[RuntimeEvent]: ...

    async def version(self) -> str: ...
