"""What a node refuses when a pod arrives: pods that name their node without asking the scheduler still must fit it. Pure.

A refused pod fails for good with the reason as its status reason, as in the kubelet's own admission handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from minikube_agents.kubelet import launching, pods
from minikube_agents.kubelet.launching import SAFE_SYSCTLS
from minikube_agents.kubelet.options import KubeletOptions
from minikube_api.meta import quantities
from minikube_api.schema.typed import core_v1 as v1


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str
    message: str


def check(
    pod: v1.Pod, options: KubeletOptions, *, others: Iterable[v1.Pod] = (), allocatable: Mapping[str, str] | None = None
) -> Refusal | None:
    """None = the pod may run here. `others`: the pods that are here already; `allocatable`: as in the node's status."""
    return _settings(pod, options) or (fits(pod, others, allocatable) if allocatable else None)


def _settings(pod: v1.Pod, options: KubeletOptions) -> Refusal | None:
    security = pod.spec.securityContext
    for sysctl in security.sysctls if security is not None else ():
        if not _allowed(sysctl.name, options.allowed_unsafe_sysctls):
            return Refusal("SysctlForbidden", f'forbidden sysctl: "{sysctl.name}" not allowlisted')
    if pod.spec.os is not None and pod.spec.os.name != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    profiles = [security.appArmorProfile if security is not None else None]
    profiles += [one.container.securityContext.appArmorProfile for one in pods.members(pod) if one.container.securityContext]
    if any(profile is not None and profile.type != "Unconfined" for profile in profiles):
        return Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    if security is not None and security.supplementalGroupsPolicy == "Strict":
        text = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Refusal("SupplementalGroupsPolicyNotSupported", text)
    return None


def _allowed(name: str, unsafe: frozenset[str]) -> bool:
    name = name.replace("/", ".")
    return name in SAFE_SYSCTLS or any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in unsafe
    )


def fits(pod: v1.Pod, others: Iterable[v1.Pod], allocatable: Mapping[str, str]) -> Refusal | None:
    """OutOfpods, OutOfcpu, OutOfmemory; cpu in millicores, memory in bytes."""
    live = [one for one in others if not pods.is_terminal(one) and one.metadata.uid != pod.metadata.uid]
    room = int(allocatable.get("pods", "110"))
    if len(live) + 1 > room:
        return _out_of("pods", 1, len(live), room)
    for resource in ("cpu", "memory"):
        wanted = _amount(pod, resource)
        if not wanted or resource not in allocatable:
            continue
        used, has = sum(_amount(one, resource) for one in live), _scaled(allocatable[resource], resource)
        if wanted + used > has:
            return _out_of(resource, wanted, used, has)
    return None


def _out_of(resource: str, wanted: int, used: int, has: int) -> Refusal:
    text = f"Node didn't have enough resource: {resource}, requested: {wanted}, used: {used}, capacity: {has}"
    return Refusal(f"OutOf{resource}", text)


def _amount(pod: v1.Pod, resource: str) -> int:
    _, requests = launching.pod_resources(pod)
    return _scaled(requests.get(resource, "0"), resource)


def _scaled(text: str, resource: str) -> int:
    amount = quantities.parse(text)
    return amount.milli_value() if resource == "cpu" else amount.value()


def unsupported(pod: v1.Pod) -> str:
    """A field of the pod that no runtime here can honour, in words; "" = none. Such a pod waits with an event that says so."""
    if pod.spec.hostUsers is False:
        return "hostUsers: false (a user namespace per pod) is not supported by this node"
    if pod.spec.resourceClaims:
        return "resourceClaims (dynamic resource allocation) are not supported by this node"
    return ""


def unsupported_in(one: pods.Member) -> str:
    """As `unsupported`, for one container."""
    lifecycle = one.container.lifecycle
    if lifecycle is not None and lifecycle.stopSignal:
        return f"lifecycle.stopSignal {lifecycle.stopSignal} is not supported by this node"
    for mount in one.container.volumeMounts:
        if mount.recursiveReadOnly == "Enabled":
            return f'recursiveReadOnly: Enabled of volume mount "{mount.name}" is not supported by this node'
    return ""
