"""What the kubelet reads from a Pod: its containers by type, policies, QoS class, identity. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from minikube_api.schema.typed import core_v1 as v1

ContainerType = Literal["init", "sidecar", "app", "ephemeral"]
AnyContainer = v1.Container | v1.EphemeralContainer


class PodKey(NamedTuple):
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A container of a pod with its type; sidecars are init containers with restartPolicy Always (KEP-753)."""

    container: AnyContainer
    type: ContainerType

    @property
    def name(self) -> str:
        return self.container.name


def key(pod: v1.Pod) -> PodKey:
    return PodKey(pod.metadata.namespace, pod.metadata.name)


def full_name(pod: v1.Pod) -> str:
    """`NAME_NAMESPACE(UID)`, as the kubelet's messages name a pod."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"


def init_members(pod: v1.Pod) -> Iterator[Member]:
    for container in pod.spec.initContainers:
        yield Member(container, "sidecar" if container.restartPolicy == "Always" else "init")


def app_members(pod: v1.Pod) -> Iterator[Member]:
    for container in pod.spec.containers:
        yield Member(container, "app")


def members(pod: v1.Pod) -> Iterator[Member]:
    """All containers: init and sidecar, then app, then ephemeral."""
    yield from init_members(pod)
    yield from app_members(pod)
    for container in pod.spec.ephemeralContainers:
        yield Member(container, "ephemeral")


def member(pod: v1.Pod, name: str) -> Member | None:
    return next((one for one in members(pod) if one.name == name), None)


def is_deleted(pod: v1.Pod) -> bool:
    return pod.metadata.deletionTimestamp is not None


def is_terminal(pod: v1.Pod) -> bool:
    """The API says that the pod has ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def grace_period(pod: v1.Pod) -> float:
    """Seconds the pod's processes get to end: the deletion's own, else the spec's (default 30)."""
    if pod.metadata.deletionGracePeriodSeconds is not None:
        return float(pod.metadata.deletionGracePeriodSeconds)
    seconds = pod.spec.terminationGracePeriodSeconds
    return 30.0 if seconds is None else float(seconds)


def restart_policy(pod: v1.Pod, one: Member) -> str:
    """The policy that holds for a container: its own (sidecars, KEP-5307), else the pod's. A plain init container retries unless Never."""
    if one.container.restartPolicy:
        return one.container.restartPolicy
    policy = pod.spec.restartPolicy or "Always"
    if one.type == "ephemeral":
        return "Never"
    return "OnFailure" if one.type == "init" and policy == "Always" else policy


class Verdict(NamedTuple):
    restart: bool
    whole_pod: bool = False


def verdict(pod: v1.Pod, one: Member, exit_code: int) -> Verdict:
    """Whether an ended container starts again: its restartPolicyRules in order, then its policy."""
    for rule in one.container.restartPolicyRules:
        codes = rule.exitCodes
        if codes is None:
            continue
        inside = exit_code in codes.values
        if inside if codes.operator == "In" else not inside:
            return Verdict(restart=True, whole_pod=rule.action == "RestartAllContainers")
    policy = restart_policy(pod, one)
    return Verdict(restart=policy == "Always" or (policy == "OnFailure" and exit_code != 0))


def spec_hash(one: Member) -> str:
    """Changes when a container must be made anew: name and image, as the kubelet's hash of mutable fields."""
    return hashlib.sha256(f"{one.name}\0{one.container.image or ''}".encode()).hexdigest()[:8]


def qos_class(pod: v1.Pod) -> str:
    """Guaranteed, Burstable or BestEffort by cpu and memory of all containers (pod-level resources first, KEP-2837)."""
    if pod.spec.resources is not None and (pod.spec.resources.limits or pod.spec.resources.requests):
        sets = [(pod.spec.resources.requests, pod.spec.resources.limits)]
    else:
        sets = [(c.resources.requests, c.resources.limits) for c in (*pod.spec.initContainers, *pod.spec.containers)]
    some, guaranteed = False, True
    for requests, limits in sets:
        for resource in ("cpu", "memory"):
            request, limit = _nonzero(requests, resource), _nonzero(limits, resource)
            some = some or bool(request or limit)
            guaranteed = guaranteed and bool(limit) and (not request or same_quantity(request, limit))
    if not some:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _nonzero(amounts: Mapping[str, str], resource: str) -> str:
    text = amounts.get(resource, "")
    return text if text and text.strip("0.") else ""


def same_quantity(one: str, other: str) -> bool:
    from minikube_api.meta.quantities import parse

    return one == other or parse(one) == parse(other)


def host_network(pod: v1.Pod) -> bool:
    return bool(pod.spec.hostNetwork)


def hostname(pod: v1.Pod, node_name: str) -> str:
    """The name that the pod's processes see; cut to 63 characters as Linux wants. hostNetwork pods have the node's."""
    if pod.spec.hostnameOverride:
        return pod.spec.hostnameOverride
    if host_network(pod):
        return node_name
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def to_tree(part: msgspec.Struct) -> dict[str, object]:
    """A part of a pod as a JSON tree (without defaults)."""
    return msgspec.to_builtins(part)
