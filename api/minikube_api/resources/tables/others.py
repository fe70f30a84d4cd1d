"""Cells of networking, discovery, storage, RBAC, admission, flow control, certificates, leases and resource.k8s.io kinds."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import conditions, durations, objects
from minikube_api.resources.tables.core import load_balancer
from minikube_api.resources.tables.text import NONE, UNSET, Object, age, selector, some, spec_of, status_of


def _name(obj: Object) -> str:
    return obj["metadata"]["name"]


def endpoint_slice(obj: Object, now: float) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") is not None else port.get("name") or "*" for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [_name(obj), obj.get("addressType", ""), some(ports) or UNSET, some(addresses) or UNSET, age(obj, now)]


def ingress(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        _name(obj),
        spec.get("ingressClassName") or NONE,
        some(hosts) or "*",
        load_balancer(obj),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def ingress_class(obj: Object, now: float) -> list[Any]:
    shown = NONE
    if parameters := spec_of(obj).get("parameters"):
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
        shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [_name(obj), spec_of(obj).get("controller", ""), shown, age(obj, now)]


def network_policy(obj: Object, now: float) -> list[Any]:
    return [_name(obj), selector(spec_of(obj).get("podSelector")), age(obj, now)]


def ip_address(obj: Object, now: float) -> list[Any]:
    parent = spec_of(obj).get("parentRef")
    if not parent:
        return [_name(obj), NONE]
    resource = ".".join(part for part in (parent.get("resource", ""), parent.get("group", "")) if part).lower()
    return [_name(obj), "/".join(part for part in (resource, parent.get("namespace", ""), parent.get("name", "")) if part)]


def service_cidr(obj: Object, now: float) -> list[Any]:
    return [_name(obj), ",".join(spec_of(obj).get("cidrs") or ()), age(obj, now)]


def role_binding(obj: Object, now: float) -> list[Any]:
    ref = obj.get("roleRef") or {}
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        shown = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            shown = f"{subject.get('namespace', '')}/{shown}"
        subjects.setdefault(subject.get("kind", ""), []).append(shown)
    listed = [", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [_name(obj), f"{ref.get('kind', '')}/{ref.get('name', '')}", age(obj, now), *listed]


def certificate_signing_request(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    types = {c.get("type") for c in status.get("conditions") or ()}
    shown = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    shown += ",Failed" if "Failed" in types else ""
    shown += ",Issued" if status.get("certificate") else ""
    seconds = spec.get("expirationSeconds")
    duration = NONE if seconds is None else durations.human(seconds)
    return [_name(obj), age(obj, now), spec.get("signerName") or NONE, spec.get("username", ""), duration, shown]


def lease(obj: Object, now: float) -> list[Any]:
    return [_name(obj), spec_of(obj).get("holderIdentity") or "", age(obj, now)]


def storage_class(obj: Object, now: float) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = any(annotations.get(f"storageclass.{prefix}kubernetes.io/is-default-class") == "true" for prefix in ("", "beta."))
    return [
        _name(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def volume_attributes_class(obj: Object, now: float) -> list[Any]:
    default = (obj["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return [_name(obj) + (" (default)" if default else ""), obj.get("driverName", ""), age(obj, now)]


def volume_attachment(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    volume = (spec.get("source") or {}).get("persistentVolumeName") or ""
    attached = bool(status_of(obj).get("attached"))
    return [_name(obj), spec.get("attacher", ""), volume, spec.get("nodeName", ""), attached, age(obj, now)]


def csi_node(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len(spec_of(obj).get("drivers") or ()), age(obj, now)]


def csi_driver(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    audiences = ",".join(request.get("audience", "") for request in spec.get("tokenRequests") or ())
    return [
        _name(obj),
        spec.get("attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        audiences if spec.get("tokenRequests") else UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age(obj, now),
    ]


def priority_class(obj: Object, now: float) -> list[Any]:
    policy = obj.get("preemptionPolicy", "")
    return [_name(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), policy]


def runtime_class(obj: Object, now: float) -> list[Any]:
    return [_name(obj), obj.get("handler", ""), age(obj, now)]


def webhook_configuration(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def _param_kind(obj: Object) -> str:
    kind = spec_of(obj).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def validating_admission_policy(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len(spec_of(obj).get("validations") or ()), _param_kind(obj), age(obj, now)]


def mutating_admission_policy(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len(spec_of(obj).get("mutations") or ()), _param_kind(obj), age(obj, now)]


def admission_policy_binding(obj: Object, now: float) -> list[Any]:
    ref = spec_of(obj).get("paramRef")
    shown = UNSET
    if ref:
        shown = f"{ref['namespace']}/{ref.get('name', '')}" if ref.get("namespace") else ref.get("name") or "*"
    return [_name(obj), spec_of(obj).get("policyName", ""), shown, age(obj, now)]


def flow_schema(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    dangling = conditions.status_of(status_of(obj).get("conditions"), "Dangling")
    return [
        _name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        (spec.get("distinguisherMethod") or {}).get("type") or NONE,
        age(obj, now),
        dangling or "?",
    ]


def priority_level(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    shares = limited.get("nominalConcurrencyShares") if spec.get("limited") else None
    return [
        _name(obj),
        spec.get("type", ""),
        NONE if shares is None else shares,
        *(queuing.get(name, 0) if queuing else NONE for name in ("queues", "handSize", "queueLengthLimit")),
        age(obj, now),
    ]


def api_service(obj: Object, now: float) -> list[Any]:
    service = spec_of(obj).get("service")
    where = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    condition = conditions.find(status_of(obj).get("conditions"), "Available")
    available = "Unknown"
    if condition:
        available = condition.get("status", "")
        available = available if available == "True" else f"{available} ({condition.get('reason', '')})"
    return [_name(obj), where, available, age(obj, now)]


def resource_claim(obj: Object, now: float) -> list[Any]:
    status, states = status_of(obj), []
    if objects.is_deleting(obj):
        states.append("deleted")
    if not status.get("allocation"):
        states += [] if objects.is_deleting(obj) else ["pending"]
    else:
        states.append("allocated")
        states += ["reserved"] if status.get("reservedFor") else []
    return [_name(obj), ",".join(states), age(obj, now)]


def resource_slice(obj: Object, now: float) -> list[Any]:
    spec = spec_of(obj)
    pool = (spec.get("pool") or {}).get("name", "")
    return [_name(obj), spec.get("nodeName") or "", spec.get("driver", ""), pool, age(obj, now)]
