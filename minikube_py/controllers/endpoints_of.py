"""What a Service's selected pods give as endpoints: shared by the EndpointSlice and the Endpoints controller. Pure but for the indexes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from minikube_api.client.informers import Informer
from minikube_api.schema.typed.core_v1 import Pod, Service, ServicePort
from minikube_py.controllers import pods

LABEL_INDEX: Final = "labels"
SELECTOR_INDEX: Final = "selector"
HEADLESS: Final = "service.kubernetes.io/headless"


def labels_of(obj: Any) -> list[str]:
    """Index of pods: one entry a label."""
    namespace = obj.metadata.namespace
    return [f"{namespace}/{key}={value}" for key, value in obj.metadata.labels.items()]


def selector_entry(service: Service) -> tuple[str, ...]:
    """Index of services: under one pair of their selector, which every pod of theirs must carry."""
    selector = service.spec.selector
    if not selector or service.spec.type == "ExternalName":
        return ()
    key, value = min(selector.items())
    return (f"{service.metadata.namespace}/{key}={value}",)


def selected_pods(informer: Informer[Pod], service: Service) -> list[Pod]:
    """The pods that the service's selector matches, by the index of their labels."""
    selector = service.spec.selector
    namespace = service.metadata.namespace
    found = (informer.index(LABEL_INDEX, f"{namespace}/{key}={value}") for key, value in selector.items())
    candidates = min(found, key=len, default=[])
    return [pod for pod in candidates if selector.items() <= pod.metadata.labels.items()]


def services_of(informer: Informer[Service], pod: Pod) -> Iterable[Service]:
    labels = pod.metadata.labels
    for entry in labels_of(pod):
        for service in informer.index(SELECTOR_INDEX, entry):
            if service.spec.selector.items() <= labels.items():
                yield service


def is_headless(service: Service) -> bool:
    return service.spec.clusterIP in ("None", "", None)


def should_be_endpoint(pod: Pod, *, include_terminating: bool) -> bool:
    if pods.is_terminal(pod) or not addresses(pod):
        return False
    return include_terminating or pod.metadata.deletionTimestamp is None


def addresses(pod: Pod) -> list[str]:
    listed = [entry.ip for entry in pod.status.podIPs if entry.ip]
    return listed or ([pod.status.podIP] if pod.status.podIP else [])


def family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def families(service: Service) -> tuple[str, ...]:
    return service.spec.ipFamilies or (family(service.spec.clusterIP or ""),)


def find_port(pod: Pod, port: ServicePort) -> int | None:
    """The pod's number for a service port; None when a named target port is not there."""
    target = port.targetPort
    if isinstance(target, int) or (isinstance(target, str) and target.isdigit()):
        return int(target) or port.port
    if not target:
        return port.port
    sidecars = [c for c in pod.spec.initContainers if c.restartPolicy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for declared in container.ports:
            if declared.name == target and (declared.protocol or "TCP") == (port.protocol or "TCP"):
                return declared.containerPort
    return None


def hostname(pod: Pod, service: Service) -> str | None:
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        return pod.spec.hostname
    return None


def has_changed(old: Pod, new: Pod) -> bool:
    """Whether an update of a pod can change endpoints."""
    return (
        old.metadata.labels != new.metadata.labels
        or (old.metadata.deletionTimestamp is None) != (new.metadata.deletionTimestamp is None)
        or pods.is_ready(old) != pods.is_ready(new)
        or pods.is_terminal(old) != pods.is_terminal(new)
        or addresses(old) != addresses(new)
        or old.spec.nodeName != new.spec.nodeName
    )


def without(labels: Mapping[str, str], reserved: Iterable[str]) -> dict[str, str]:
    dropped = set(reserved)
    return {key: value for key, value in labels.items() if key not in dropped}
