"""What a node refuses when a pod arrives: pods that name it without asking the scheduler still must fit its rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from minikube_agents.kubelet.launching import SAFE_SYSCTLS
from minikube_agents.kubelet.options import KubeletOptions
from minikube_api.schema.typed import core_v1 as v1


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str
    message: str


def check(pod: v1.Pod, options: KubeletOptions) -> Refusal | None:
    """None = the pod may run here."""
    security = pod.spec.securityContext
    for sysctl in security.sysctls if security is not None else ():
        if not _allowed(sysctl.name, options.allowed_unsafe_sysctls):
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{sysctl.name}" not allowlisted')
    if pod.spec.os is not None and pod.spec.os.name != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _allowed(name: str, unsafe: frozenset[str]) -> bool:
    name = name.replace("/", ".")
    return name in SAFE_SYSCTLS or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in unsafe
    )
