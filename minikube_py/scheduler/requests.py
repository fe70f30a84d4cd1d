"""What a pod asks of a node: resources, host ports. Pure.

Sources: "Resource Management for Pods and Containers", KEP-753 (sidecar containers), KEP-2837 (pod-level resources), pod overhead.
CPU is in millicores, memory and storage in bytes, everything else in whole units.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from minikube_api.meta import quantities
from minikube_api.schema.typed.core_v1 import Container, Pod

#: what a container without requests counts for in scores (not in filters): 100m and 200 MB, as kube-scheduler
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024

Amounts = dict[str, int]


@lru_cache(maxsize=65536)
def amount(resource: str, text: str) -> int:
    """A quantity in the scheduler's unit of the resource, rounded up."""
    quantity = quantities.parse(text)
    return quantity.milli_value() if resource == "cpu" else quantity.value()


def amounts(tree: Mapping[str, str]) -> Amounts:
    return {name: amount(name, text) for name, text in tree.items()}


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for name, value in least.items():
        if value > total.get(name, 0):
            total[name] = value


def _of_container(container: Container, nonzero: bool) -> Amounts:
    found = amounts(container.resources.requests)
    if nonzero:
        found.setdefault("cpu", DEFAULT_MILLI_CPU)
        found.setdefault("memory", DEFAULT_MEMORY)
    return found


def of_pod(pod: Pod, *, nonzero: bool = False) -> Amounts:
    """The effective request: containers and sidecars together, or the largest init container beside the sidecars before it.

    `nonzero` counts containers without CPU or memory requests with the defaults above.
    """
    spec = pod.spec
    total: Amounts = {}
    for container in spec.containers:
        _add(total, _of_container(container, nonzero))
    sidecars: Amounts = {}
    initial: Amounts = {}
    for container in spec.initContainers:
        wanted = _of_container(container, nonzero)
        if container.restartPolicy == "Always":
            _add(total, wanted)
            _add(sidecars, wanted)
            _raise_to(initial, sidecars)
        else:
            _add(wanted, sidecars)
            _raise_to(initial, wanted)
    _raise_to(total, initial)
    if spec.resources is not None:
        total.update(
            {k: v for k, v in amounts(spec.resources.requests).items() if k in ("cpu", "memory") or k.startswith("hugepages-")}
        )
    _add(total, amounts(spec.overhead))
    return {name: value for name, value in total.items() if value}


HostPort = tuple[str, str, int]


def host_ports(pod: Pod) -> frozenset[HostPort]:
    """(address, protocol, port) of every host port; the address "0.0.0.0" means all."""
    sidecars = [c for c in pod.spec.initContainers if c.restartPolicy == "Always"]
    return frozenset(
        (p.hostIP or "0.0.0.0", p.protocol or "TCP", p.hostPort)
        for c in (*pod.spec.containers, *sidecars)
        for p in c.ports
        if p.hostPort
    )


def ports_conflict(wanted: frozenset[HostPort], used: Mapping[HostPort, int]) -> bool:
    """Whether a wanted port is taken; the wildcard address conflicts with every other."""
    for ip, protocol, port in wanted:
        for used_ip, used_protocol, used_port in used:
            if (protocol, port) == (used_protocol, used_port) and (ip == used_ip or "0.0.0.0" in (ip, used_ip)):
                return True
    return False
