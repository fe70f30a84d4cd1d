"""Environment variables that tell pods of Services, in Kubernetes' form and docker-link style. Pure.

Source: "Discovering services" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable

from minikube_api.schema.typed import core_v1 as v1

MASTER_NAMESPACE, MASTER_SERVICE = "default", "kubernetes"


def variables(services: Iterable[v1.Service], namespace: str, *, links: bool) -> dict[str, str]:
    """Variables of the services visible to a pod of `namespace`: always those of default/kubernetes, all others with `links`."""
    chosen: dict[str, v1.Service] = {}
    for service in services:
        if service.spec.clusterIP in (None, "", "None"):
            continue
        name = service.metadata.name
        if service.metadata.namespace == namespace and (links or (namespace, name) == (MASTER_NAMESPACE, MASTER_SERVICE)):
            chosen[name] = service
        elif (service.metadata.namespace, name) == (MASTER_NAMESPACE, MASTER_SERVICE):
            chosen.setdefault(name, service)
    env: dict[str, str] = {}
    for name in sorted(chosen):
        env |= _of(chosen[name])
    return env


def _of(service: v1.Service) -> dict[str, str]:
    prefix = service.metadata.name.upper().replace("-", "_")
    host = service.spec.clusterIP or ""
    ports = service.spec.ports
    if not ports:
        return {}
    env = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            env[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    bracketed = f"[{host}]" if ":" in host else host
    for i, port in enumerate(ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{bracketed}:{port.port}"
        if i == 0:
            env[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        env |= {link: url, f"{link}_PROTO": protocol.lower(), f"{link}_PORT": str(port.port), f"{link}_ADDR": host}
    return env
