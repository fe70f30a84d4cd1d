"""What a cluster is made of: the options of `minictl up`, checked and kept beside its data. Standard library only (start path)."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

COMPONENTS = ("apiserver", "scheduler", "controllers", "kubelet", "proxy", "dns")
RUNTIMES = ("process", "hollow")
STORES = ("sqlite", "memory")
NETWORKS = ("host", "private")
PROXY_MODES = ("nftables", "userspace")


#: what a cluster gets when it has the machine to itself
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
#: addresses that hollow nodes say they have; nothing listens there
HOLLOW_NODE_NETWORK = "172.20.0.0/16"


class SpecError(ValueError):
    """An option of a cluster that can't be: the message is for the user, one line."""


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """Options of one cluster. What is empty is chosen at the start: `runtime` process where namespaces can be had,
    `network` host as root and private otherwise, `proxy_mode` nftables where nft is installed, free address ranges."""

    name: str = "minikube"
    data_dir: str = ""
    listen: str = "127.0.0.1:6443"
    kubeconfig: str = ""
    nodes: int = 2
    runtime: str = ""
    store: str = "sqlite"
    network: str = ""
    proxy_mode: str = ""
    components: tuple[str, ...] = field(default=COMPONENTS)
    token_auth_file: str = ""
    pod_cidr: str = ""
    service_cidr: str = ""
    audit_log: str = ""
    node_monitor_grace_period: float = 40.0
    audit_policy: str = ""
    #: days, files and megabytes; 0 = for ever, all, 100
    audit_log_maxage: int = 0
    audit_log_maxbackup: int = 0
    audit_log_maxsize: int = 0
    anonymous_auth: bool = True
    separate: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", self.name):
            raise SpecError(f"--name {self.name!r}: must be a DNS label of at most 32 characters (a-z, 0-9 and -)")
        self.listen_address()
        for option, value, allowed in (
            ("runtime", self.runtime, ("", *RUNTIMES)),
            ("store", self.store, STORES),
            ("network", self.network, ("", *NETWORKS)),
            ("proxy-mode", self.proxy_mode, ("", *PROXY_MODES)),
        ):
            if value not in allowed:
                raise SpecError(f"--{option} {value!r}: must be one of {', '.join(a for a in allowed if a)}")
        unknown = [c for c in self.components if c not in COMPONENTS]
        if unknown or not self.components:
            raise SpecError(f"--components {','.join(unknown) or 'is empty'}: known are {', '.join(COMPONENTS)}")
        if "apiserver" not in self.components:
            raise SpecError("--components: apiserver must be among them")
        for limit in ("maxage", "maxbackup", "maxsize"):
            if (value := getattr(self, f"audit_log_{limit}")) < 0:
                raise SpecError(f"--audit-log-{limit} {value} can't be a negative number")
        if not 1 <= self.node_monitor_grace_period <= 3600:
            raise SpecError(f"--node-monitor-grace-period {self.node_monitor_grace_period:g}: must be between 1 and 3600 seconds")
        if not 0 <= self.nodes <= 10_000:
            raise SpecError(f"--nodes {self.nodes}: must be between 0 and 10000")
        if self.runtime != "hollow" and self.nodes > 200:
            raise SpecError(f"--nodes {self.nodes}: at most 200 with --runtime process; more with --runtime hollow")
        pods = _cidr("--pod-cidr", self.pod_cidr or POD_CIDR)
        services = _cidr("--service-cidr", self.service_cidr or SERVICE_CIDR)
        if self.pod_cidr and self.service_cidr and pods.overlaps(services):
            raise SpecError(f"--pod-cidr {self.pod_cidr} and --service-cidr {self.service_cidr} overlap")
        if services.prefixlen > 28:
            raise SpecError(f"--service-cidr {self.service_cidr}: too small, /28 or larger")
        if self.has("kubelet") and pods.prefixlen > 24:
            raise SpecError(f"--pod-cidr {self.pod_cidr}: too small, every node takes a /24")

    def listen_address(self) -> tuple[str, int]:
        # a supervisor pins the port that an API server with port 0 has got, so that it has the same after a restart
        host, _, port = os.environ.get("MINIKUBE_PY_LISTEN", self.listen).rpartition(":")
        host = host.strip("[]") or "127.0.0.1"
        try:
            ipaddress.ip_address(host)
            number = int(port)
        except ValueError:
            raise SpecError(f"--listen {self.listen!r}: must be ADDRESS:PORT, port 0 = any") from None
        if not 0 <= number <= 65535:
            raise SpecError(f"--listen {self.listen!r}: port must be between 0 and 65535")
        return host, number

    def with_default_ranges(self) -> ClusterSpec:
        return replace(self, pod_cidr=self.pod_cidr or POD_CIDR, service_cidr=self.service_cidr or SERVICE_CIDR)

    def has(self, component: str) -> bool:
        return component in self.components

    @property
    def real_nodes(self) -> bool:
        """Whether nodes are network namespaces with a shim each."""
        return self.runtime != "hollow" and self.has("kubelet") and self.nodes > 0

    @property
    def dns_ip(self) -> str:
        """The tenth address of the service range, as kubeadm has it."""
        return str(ipaddress.ip_network(self.service_cidr)[10])

    @property
    def kubernetes_ip(self) -> str:
        return str(ipaddress.ip_network(self.service_cidr)[1])

    def node_names(self) -> list[str]:
        return [f"{self.name}-node-{i}" for i in range(1, self.nodes + 1)]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> ClusterSpec:
        """The spec kept at `path`; unknown keys (of a newer version) are an error, never dropped."""
        try:
            tree = json.loads(path.read_bytes())
        except ValueError as error:
            raise SpecError(f"{path} can't be read: {error}") from None
        if not isinstance(tree, dict):
            raise SpecError(f"{path} can't be read: it is not an object")
        known = {f.name for f in fields(ClusterSpec)}
        if unknown := set(tree) - known:
            raise SpecError(f"{path}: unknown options {', '.join(sorted(unknown))}: written by a newer version?")
        if wrong := [f.name for f in fields(ClusterSpec) if f.name in tree and not _fits(tree[f.name], f.default)]:
            raise SpecError(f"{path}: {', '.join(wrong)}: not of the kind expected")
        tree["components"] = tuple(tree.get("components", COMPONENTS))
        return ClusterSpec(**tree)


def _fits(value: object, default: object) -> bool:
    """Whether a value of a file is of its default's type; a tuple is a list of strings there."""
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)


def _cidr(option: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise SpecError(f"{option} {text!r}: {error}") from None
