"""The downward API: values of pod fields and container resources, for environment variables and files. Pure.

Source: "Available fields" in the Kubernetes documentation of the downward API. Raises ValueError for an unknown field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import orjson

from minikube_agents.kubelet import pods
from minikube_api.meta import quantities
from minikube_api.schema.typed import core_v1 as v1

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What fields may refer to besides the pod's own spec: addresses and the node's allocatable resources."""

    pod_ips: tuple[str, ...]
    host_ips: tuple[str, ...]
    allocatable: Mapping[str, str]


def field_value(pod: v1.Pod, path: str, around: Surroundings) -> str:
    """Files also know whole maps (`metadata.labels`); the API server refuses those in variables."""
    meta = pod.metadata
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return (meta.labels if subscript[1] == "labels" else meta.annotations).get(subscript[2], "")
    match path:
        case "metadata.name":
            return meta.name
        case "metadata.namespace":
            return meta.namespace
        case "metadata.uid":
            return meta.uid
        case "metadata.labels":
            return format_map(meta.labels)
        case "metadata.annotations":
            return format_map(meta.annotations)
        case "spec.nodeName":
            return pod.spec.nodeName or ""
        case "spec.serviceAccountName":
            return pod.spec.serviceAccountName or ""
        case "status.hostIP":
            return around.host_ips[0] if around.host_ips else ""
        case "status.hostIPs":
            return ",".join(around.host_ips)
        case "status.podIP":
            return around.pod_ips[0] if around.pod_ips else ""
        case "status.podIPs":
            return ",".join(around.pod_ips)
    raise ValueError(f"unsupported fieldPath: {path}")


def format_map(entries: Mapping[str, str]) -> str:
    """`key="value"` a line, sorted; values quoted as Go quotes."""
    return "\n".join(f"{key}={orjson.dumps(entries[key]).decode()}" for key in sorted(entries))


def resource_value(pod: v1.Pod, ref: v1.ResourceFieldSelector, around: Surroundings, container: str = "") -> str:
    """`limits.cpu` and the like, divided by the divisor and rounded up; a missing limit is what the node can give."""
    one = pods.member(pod, ref.containerName or container)
    if one is None:
        raise ValueError(f"container {ref.containerName or container} not found")
    side, _, resource = ref.resource.partition(".")
    amounts = one.container.resources
    text = (amounts.limits if side == "limits" else amounts.requests).get(resource, "")
    if side == "limits" and not text:
        text = around.allocatable.get(resource, "0")
    if side == "requests" and not text:
        text = amounts.limits.get(resource, "0")
    if side not in ("limits", "requests") or not resource:
        raise ValueError(f"unsupported container resource : {ref.resource}")
    divisor = quantities.parse(ref.divisor) if ref.divisor and ref.divisor != "0" else quantities.parse("1")
    scale = quantities.Quantity.milli_value if resource == "cpu" else quantities.Quantity.value
    return str(_ceil(Fraction(scale(quantities.parse(text)), scale(divisor) or 1)))


def _ceil(value: Fraction) -> int:
    return -((-value.numerator) // value.denominator)
