"""Cells of the core group's kinds other than Pod (pkg/printers/internalversion)."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import conditions
from minikube_api.resources.tables.text import (
    NONE,
    UNKNOWN,
    UNSET,
    Object,
    access_modes,
    age,
    containers,
    labels,
    since,
    some,
    spec_of,
    status_of,
    template_of,
)  # fmt: skip


def namespace(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], status_of(obj).get("phase", ""), age(obj, now)]


def secret(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def config_map(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def pod_template(obj: Object, now: float) -> list[Any]:
    template = obj.get("template") or {}
    names, images = containers(template.get("spec"))
    return [obj["metadata"]["name"], names, images, labels((template.get("metadata") or {}).get("labels"))]


def replication_controller(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    counts = [spec.get("replicas") or 0, status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [obj["metadata"]["name"], *counts, age(obj, now), *containers(template_of(obj)), labels(spec.get("selector"))]


def node(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    info = status.get("nodeInfo") or {}
    ready = conditions.find(status.get("conditions"), "Ready")
    shown = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if spec.get("unschedulable"):
        shown.append("SchedulingDisabled")
    return [
        obj["metadata"]["name"],
        ",".join(shown),
        ",".join(_roles(obj["metadata"].get("labels") or {})) or NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


_ROLE = "node-role.kubernetes.io/"


def _roles(node_labels: Object) -> list[str]:
    roles = {key.removeprefix(_ROLE) for key in node_labels if key.startswith(_ROLE)}
    return sorted((roles | {node_labels.get("kubernetes.io/role", "")}) - {""})


def _address(status: Object, type_: str) -> str:
    return next((a.get("address", "") for a in status.get("addresses") or () if a.get("type") == type_), NONE)


def service(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    ips = spec.get("clusterIPs") or ()
    ports = ",".join(_service_port(port) for port in spec.get("ports") or ())
    return [
        obj["metadata"]["name"],
        spec.get("type", ""),
        ips[0] if ips and spec.get("type") != "ExternalName" else NONE,
        _external_ip(obj),
        ports or NONE,
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _service_port(port: Object) -> str:
    number = f"{port.get('port')}:{port['nodePort']}" if port.get("nodePort") else str(port.get("port"))
    return f"{number}/{port.get('protocol', 'TCP')}"


def _external_ip(obj: Object) -> str:
    spec = spec_of(obj)
    external = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            balancer = load_balancer(obj)
            return ",".join([*([balancer] if balancer else []), *external]) or "<pending>"
        case "ExternalName":
            return spec.get("externalName", "")
    return UNKNOWN


def load_balancer(obj: Object) -> str:
    """The points of status.loadBalancer, sorted."""
    points = (status_of(obj).get("loadBalancer") or {}).get("ingress") or ()
    return ",".join(sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""}))


def endpoints(obj: Object, now: float) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [a.get("ip", "") for a in subset.get("addresses") or ()]
        if not subset.get("ports"):
            found += addresses
        for port in subset.get("ports") or ():
            found += [_host_port(ip, port.get("port", 0)) for ip in addresses]
    return [obj["metadata"]["name"], some(found) or NONE, age(obj, now)]


def _host_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def event(obj: Object, now: float) -> list[Any]:
    """Cells of a core/v1 Event."""
    first = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last = since(obj["lastTimestamp"], now) if obj.get("lastTimestamp") else first
    count = obj.get("count") or 1
    if series := obj.get("series"):
        last, count = since(series.get("lastObservedTime"), now), series.get("count", 0)
    involved = obj.get("involvedObject") or {}
    target = involved.get("kind", "").lower()
    return [
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{target}/{involved['name']}" if involved.get("name") else target,
        involved.get("fieldPath", ""),
        _event_source(obj),
        obj.get("message", "").strip(),
        first,
        count,
        obj["metadata"]["name"],
    ]


def _event_source(obj: Object) -> str:
    source = obj.get("source") or {}
    component, instance = source.get("component", ""), source.get("host", "")
    if not component:
        component, instance = obj.get("reportingComponent", ""), obj.get("reportingInstance", "")
    return f"{component}, {instance}" if instance else component


_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _storage_class(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    return annotations.get(_BETA_CLASS) or spec_of(obj).get("storageClassName") or ""


def persistent_volume(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    claim = spec.get("claimRef") or {}
    return [
        obj["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", "0"),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def persistent_volume_claim(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    bound = bool(spec.get("volumeName"))
    return [
        obj["metadata"]["name"],
        "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _storage_class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def resource_quota(obj: Object, now: float) -> list[Any]:
    status = status_of(obj)
    used = status.get("used") or {}
    requests, limits = [], []
    for name, hard in sorted((status.get("hard") or {}).items()):
        (limits if name.startswith("limits.") else requests).append(f"{name}: {used.get(name, '0')}/{hard}")
    return [obj["metadata"]["name"], ", ".join(requests), ", ".join(limits), age(obj, now)]


def component_status(obj: Object, now: float) -> list[Any]:
    status, message, error = "Unknown", "", ""
    for condition in obj.get("conditions") or ():
        if condition.get("type") == "Healthy":
            healthy = condition.get("status") == "True"
            status = "Healthy" if healthy else "Unhealthy"
            message, error = condition.get("message", ""), condition.get("error", "")
            break
    return [obj["metadata"]["name"], status, message, error]


def name_and_age(obj: Object, now: float) -> list[Any]:
    return [obj["metadata"]["name"], age(obj, now)]


def name_and_created(obj: Object, now: float) -> list[Any]:
    """The default of kinds without a printer: the creation time itself, not the age."""
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]
