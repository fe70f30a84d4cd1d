"""Fields that field selectors may name, a function a kind: object -> {label: value}, and the words for labels a kind does not know.

Source: AddFieldLabelConversionFunc of each group's conversion.go and ToSelectableFields of each registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

_NAME = frozenset({"metadata.name"})
_NAME_AND_NAMESPACE = frozenset({"metadata.name", "metadata.namespace"})
_CORE_MESSAGE = "field label not supported: {}"


@dataclass(frozen=True, slots=True)
class Selectable:
    """What field selectors of a kind know beyond its metadata."""

    names: frozenset[str]
    fields: Callable[[Object], dict[str, str]]
    message: str = _CORE_MESSAGE
    metadata: frozenset[str] = _NAME_AND_NAMESPACE


def no_fields(obj: Object) -> dict[str, str]:
    return {}


NOTHING = Selectable(frozenset(), no_fields, "")


def _bool(value: Any) -> str:
    return "true" if value else "false"


def pod(obj: Object) -> dict[str, str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ips = status.get("podIPs")
    node = spec.get("nodeName") or ""
    return {
        "spec.nodeName": node,
        "spec.host": node,
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": _bool(spec.get("hostNetwork")),
        "status.phase": status.get("phase") or "",
        "status.podIP": (ips[0].get("ip") if ips else status.get("podIP")) or "",
        "status.podIPs": "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def node(obj: Object) -> dict[str, str]:
    return {"spec.unschedulable": _bool((obj.get("spec") or {}).get("unschedulable"))}


def namespace(obj: Object) -> dict[str, str]:
    return {"status.phase": (obj.get("status") or {}).get("phase") or "", "name": obj["metadata"].get("name", "")}


def secret(obj: Object) -> dict[str, str]:
    return {"type": obj.get("type") or ""}


def service(obj: Object) -> dict[str, str]:
    spec = obj.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}


def status_replicas(obj: Object) -> dict[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


def job(obj: Object) -> dict[str, str]:
    return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


def signing_request(obj: Object) -> dict[str, str]:
    return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


def resource_slice(obj: Object) -> dict[str, str]:
    spec = obj.get("spec") or {}
    return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver") or ""}


_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def core_event(obj: Object) -> dict[str, str]:
    involved = obj.get("involvedObject") or {}
    reporting = obj.get("reportingComponent") or ""
    fields = {f"involvedObject.{name}": str(involved.get(name) or "") for name in _INVOLVED}
    fields["reason"] = obj.get("reason") or ""
    fields["reportingComponent"] = reporting
    fields["source"] = (obj.get("source") or {}).get("component") or reporting
    fields["type"] = obj.get("type") or ""
    return fields


def events_event(obj: Object) -> dict[str, str]:
    """The same under the names of events.k8s.io, of an event in that version or as it is stored."""
    regarding = obj.get("regarding") or obj.get("involvedObject") or {}
    fields = {f"regarding.{name}": str(regarding.get(name) or "") for name in _INVOLVED}
    fields["reason"] = obj.get("reason") or ""
    fields["reportingController"] = obj.get("reportingController") or obj.get("reportingComponent") or ""
    fields["type"] = obj.get("type") or ""
    return fields


def _of(
    function: Callable[[Object], dict[str, str]], message: str = _CORE_MESSAGE, metadata: frozenset[str] = _NAME_AND_NAMESPACE
) -> Selectable:
    return Selectable(frozenset(function({"metadata": {}})), function, message, metadata)


BY_KIND: dict[tuple[str, str], Selectable] = {
    ("", "pods"): _of(pod),
    ("", "nodes"): _of(node, metadata=_NAME),
    ("", "namespaces"): _of(namespace, metadata=_NAME),
    ("", "secrets"): _of(secret),
    ("", "services"): _of(service),
    ("", "replicationcontrollers"): _of(status_replicas),
    ("", "events"): _of(core_event),
    ("events.k8s.io", "events"): _of(events_event),
    ("batch", "jobs"): _of(job, 'field label "{}" not supported for Job'),
    ("certificates.k8s.io", "certificatesigningrequests"): _of(signing_request, metadata=_NAME),
    ("resource.k8s.io", "resourceslices"): _of(
        resource_slice, "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}", _NAME
    ),
}
