"""Defaults of a pod spec, for Pods and templates alike, and the few that only a Pod gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from minikube_api.meta import pod_resources, quantities

Object = dict[str, Any]

_MODE = 0o644
_VOLUME_DEFAULTS: dict[str, dict[str, Any]] = {
    "secret": {"defaultMode": _MODE},
    "configMap": {"defaultMode": _MODE},
    "downwardAPI": {"defaultMode": _MODE},
    "projected": {"defaultMode": _MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def pod(obj: Object) -> None:
    """SetDefaults_Pod on top of the spec's own defaults."""
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    pod_spec(spec)
    for container in all_containers(spec):
        _requests_from_limits(container.get("resources"))
    if spec.get("resources"):
        _pod_requests(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")
    if obj.get("status"):
        _pod_ips(obj["status"])


def template(tree: Object) -> None:
    """A pod template: metadata is always there, the spec gets its defaults."""
    if tree.get("metadata") is None:
        tree["metadata"] = {}
    if tree.get("spec") is None:
        tree["spec"] = {}
    pod_spec(tree["spec"])


def pod_spec(spec: Object) -> None:
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        # the old name of the field follows the new one
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for one in all_containers(spec):
        container(one)
    for one in spec.get("volumes") or ():
        volume(one)
    if spec.get("overhead"):
        resource_list(spec["overhead"])
    if spec.get("resources"):
        _resources(spec["resources"])


def all_containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("containers") or ()
    if spec.get("initContainers"):
        yield from spec["initContainers"]
    if spec.get("ephemeralContainers"):
        yield from spec["ephemeralContainers"]


def container(one: Object) -> None:
    if not one.get("imagePullPolicy"):
        one["imagePullPolicy"] = pull_policy(one.get("image") or "")
    if not one.get("terminationMessagePath"):
        one["terminationMessagePath"] = "/dev/termination-log"
    if not one.get("terminationMessagePolicy"):
        one["terminationMessagePolicy"] = "File"
    if one.get("resources") is None:
        one["resources"] = {}
    else:
        _resources(one["resources"])
    for port in one.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in one.get("env") or ():
        if variable.get("valueFrom"):
            _field_refs(variable["valueFrom"])
            if (variable["valueFrom"].get("fileKeyRef") or {}).get("optional", 0) is None:
                variable["valueFrom"]["fileKeyRef"]["optional"] = False
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if one.get(name) is not None:
            _probe(one[name])
    if one.get("lifecycle"):
        for handler in one["lifecycle"].values():
            if isinstance(handler, dict):
                _http_get(handler)


_HOST = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
#: a reference to an image as distribution/reference reads it
_image_re = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::(?P<tag>[\w][\w.-]{{0,127}}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


def pull_policy(image: str) -> str:
    """Always for `latest`, also when neither tag nor digest is given; never for what is no reference."""
    found = _image_re.fullmatch(image)
    if found is None:
        return "IfNotPresent"
    tag = found["tag"] or ("" if found["digest"] else "latest")
    return "Always" if tag == "latest" else "IfNotPresent"


_PROBE = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))


def _probe(probe: Object) -> None:
    for field, value in _PROBE:
        if not probe.get(field):
            probe[field] = value
    _http_get(probe)
    if probe.get("grpc") is not None and probe["grpc"].get("service") is None:
        probe["grpc"]["service"] = ""


def _http_get(handler: Object) -> None:
    action = handler.get("httpGet")
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"


def _field_refs(source: Object) -> None:
    ref = source.get("fieldRef")
    if ref is not None and not ref.get("apiVersion"):
        ref["apiVersion"] = "v1"
    ref = source.get("resourceFieldRef")
    if ref is not None:
        ref["divisor"] = str(quantities.of(ref.get("divisor")))


def volume(one: Object) -> None:
    sources = [field for field, value in one.items() if field != "name" and value is not None]
    if not sources:
        one["emptyDir"] = {}
        return
    for source in sources:
        for field, value in _VOLUME_DEFAULTS.get(source, {}).items():
            if one[source].get(field) in (None, "") and (one[source].get(field) is None or value):
                one[source][field] = value
    if "downwardAPI" in one:
        _downward(one["downwardAPI"])
    if "projected" in one:
        for source in one["projected"].get("sources") or ():
            if source.get("serviceAccountToken") is not None and source["serviceAccountToken"].get("expirationSeconds") is None:
                source["serviceAccountToken"]["expirationSeconds"] = 3600
            if source.get("downwardAPI") is not None:
                _downward(source["downwardAPI"])
    claim = ((one.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
    if claim is not None and not claim.get("volumeMode"):
        claim["volumeMode"] = "Filesystem"
    if one.get("image") is not None and not one["image"].get("pullPolicy"):
        one["image"]["pullPolicy"] = pull_policy(one["image"].get("reference") or "")


def _downward(source: Object) -> None:
    for item in source.get("items") or ():
        _field_refs(item)


def _resources(resources: Object) -> None:
    if resources.get("limits"):
        resource_list(resources["limits"])
    if resources.get("requests"):
        resource_list(resources["requests"])


def resource_list(listed: Object) -> None:
    """Canonical quantities, rounded up to a thousandth."""
    for name, value in listed.items():
        try:
            quantity = quantities.of(value)
        except quantities.QuantityError:
            # what is no quantity is refused by the decoder, or by validation
            continue
        if quantity.nanos % 1_000_000:
            quantity = quantities.Quantity.of_milli(quantity.milli_value(), quantity.format)
        listed[name] = str(quantity)


def _requests_from_limits(resources: Object | None) -> None:
    limits = (resources or {}).get("limits")
    if not limits or resources is None:
        return
    requests = resources.get("requests")
    if requests is None:
        requests = resources["requests"] = {}
    for name, value in limits.items():
        requests.setdefault(name, value)


def _pod_requests(spec: Object) -> None:
    """Pod-level requests (KEP-2837): what the containers ask for together, else the pod's limits."""
    resources = spec["resources"]
    limits = resources.get("limits")
    if not limits:
        return
    requests = dict(resources.get("requests") or {})
    sums = pod_resources.pod_total({key: value for key, value in spec.items() if key != "overhead"}, "requests")
    for name, value in sums.items():
        if name in ("cpu", "memory"):
            requests.setdefault(name, str(value))
    for name, value in limits.items():
        requests.setdefault(name, value)
    resources["requests"] = requests


def _pod_ips(status: Object) -> None:
    """podIP is the first of podIPs; the old field wins when they differ, as in the conversion to the internal type."""
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]
