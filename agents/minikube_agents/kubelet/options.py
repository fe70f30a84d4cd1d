"""What a kubelet is told when it is made. Intervals in seconds."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minikube_api.meta.times import SYSTEM, Clock

KUBERNETES_VERSION = "v1.36.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletOptions:
    node_name: str
    node_ip: str
    root: Path
    #: where container logs are; pods get `NAMESPACE_NAME_UID` below it. None: `root/pod-logs`
    log_root: Path | None = None
    #: a directory on a tmpfs for emptyDirs in memory; None: one below /dev/shm, named after `root`, if that is a tmpfs
    memory_root: Path | None = None
    #: told as the node's spec.podCIDR when it registers; "" = somebody else allocates
    pod_cidr: str = ""
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    #: the HTTPS server: address and port (0 = any free one), or a file descriptor of a listening socket; port -1 = no server
    listen_host: str = ""
    listen_port: int = 0
    listen_fd: int | None = None
    #: server certificate and the CA whose client certificates are accepted; None = no server
    tls: ssl.SSLContext | None = None
    #: common names of the client certificates that may use the server
    allowed_clients: frozenset[str] = frozenset({"kube-apiserver-kubelet-client", "kube-apiserver"})
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"
    max_pods: int = 110
    #: overrides of what psutil says ("cpu": "4", "memory": "8Gi"...)
    capacity: Mapping[str, str] = field(default_factory=dict)
    reserved: Mapping[str, str] = field(default_factory=dict)
    runtime_handlers: frozenset[str] = frozenset({""})
    allowed_unsafe_sysctls: frozenset[str] = frozenset()
    register_node: bool = True
    lease_seconds: int = 40
    lease_interval: float = 10.0
    status_interval: float = 10.0
    status_report_interval: float = 300.0
    housekeeping_interval: float = 60.0
    image_pull_backoff: float = 10.0
    restart_backoff: float = 10.0
    restart_backoff_max: float = 300.0
    version: str = KUBERNETES_VERSION
    clock: Clock = SYSTEM

    @property
    def memory_directory(self) -> Path | None:
        """Where emptyDirs in memory live; None = this machine has no tmpfs for them, and they are refused."""
        if self.memory_root is not None:
            return self.memory_root
        return default_memory_root(self.root)

    @property
    def logs(self) -> Path:
        return self.log_root or self.root / "pod-logs"


def default_memory_root(root: Path) -> Path | None:
    """`/dev/shm/kubelet-HASH` of a kubelet with this root, if /dev/shm is a tmpfs; whoever removes `root` for good removes it too."""
    mounts = Path("/proc/self/mounts")
    if not mounts.is_file():
        return None
    kinds = {line.split()[1]: line.split()[2] for line in mounts.read_text().splitlines()}
    if kinds.get("/dev/shm") != "tmpfs":
        return None
    return Path("/dev/shm", f"kubelet-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}")
