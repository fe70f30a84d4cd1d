"""What an object uses of a namespace's quota: pure arithmetic (documentation, "Resource Quotas").

Admission counts with it what a write adds, the quota controller what is there: both must agree.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta.pod_resources import pod_total
from minikube_api.meta.quantities import Quantity, parse

Object = dict[str, Any]

Usage = dict[str, Quantity]
_ONE = parse("1")
_ZERO = parse("0")
#: kinds that count under their plural alone, without count/
_OBJECTS = frozenset({"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services", "persistentvolumeclaims"})
#: compute resources under their bare name are requests
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def usage_of(group: str, plural: str, obj: Object | None) -> Usage:
    """All quota resources that an object counts for, with its share."""
    if obj is None:
        return {}
    usage: Usage = {f"count/{plural}.{group}" if group else f"count/{plural}": _ONE}
    if group:
        return usage
    if plural in _OBJECTS:
        usage[plural] = _ONE
    if plural == "pods":
        usage |= pod_usage(obj)
    elif plural == "services":
        usage |= service_usage(obj)
    elif plural == "persistentvolumeclaims":
        usage |= claim_usage(obj)
    return usage


def pod_usage(pod: Object) -> Usage:
    """A pod that has ended counts as an object only (count/pods)."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    usage: Usage = {"pods": _ONE}
    for name, value in pod_total(pod["spec"], "requests").items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = value
        usage[f"requests.{name}"] = value
    for name, value in pod_total(pod["spec"], "limits").items():
        usage[f"limits.{name}"] = value
    return usage


def service_usage(service: Object) -> Usage:
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    usage: Usage = {"services.nodeports": _ZERO, "services.loadbalancers": _ZERO}
    ports = Quantity.of(len(spec.get("ports") or ()))
    if kind == "NodePort":
        usage["services.nodeports"] = ports
    elif kind == "LoadBalancer":
        usage["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is not False:
            usage["services.nodeports"] = ports
        else:
            usage["services.nodeports"] = Quantity.of(sum(1 for p in spec.get("ports") or () if p.get("nodePort")))
    return usage


def claim_usage(claim: Object) -> Usage:
    spec = claim.get("spec") or {}
    usage: Usage = {}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is not None:
        usage["requests.storage"] = parse(str(size))
    name = spec.get("storageClassName")
    if name:
        prefix = f"{name}.storageclass.storage.k8s.io"
        usage[f"{prefix}/persistentvolumeclaims"] = _ONE
        if size is not None:
            usage[f"{prefix}/requests.storage"] = usage["requests.storage"]
    return usage


def delta(new: Usage, old: Usage) -> Usage:
    return {name: new.get(name, _ZERO) - old.get(name, _ZERO) for name in {**new, **old}}


def unstated(pod: Object, hard: dict[str, str]) -> list[tuple[str, list[str]]]:
    """(quota resource, names of containers that must state it and do not)."""
    found = []
    for name in sorted(hard):
        field, _, resource = name.partition(".") if name.startswith(("requests.", "limits.")) else ("requests", "", name)
        if resource not in _COMPUTE:
            continue
        lacking = [
            c.get("name", "")
            for kind in ("containers", "initContainers")
            for c in pod["spec"].get(kind) or ()
            if resource not in ((c.get("resources") or {}).get(field) or {})
        ]
        if lacking:
            found.append((name, lacking))
    return found


def in_scopes(quota: Object, pod: Object | None) -> bool:
    """Whether a quota's scopes take the object; kinds other than pods are in no scope."""
    spec = quota.get("spec") or {}
    selectors = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    selectors += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return not selectors or (pod is not None and all(_in_scope(selector, pod) for selector in selectors))


def _in_scope(selector: Object, pod: Object) -> bool:
    scope, operator = selector.get("scopeName"), selector.get("operator")
    spec = pod["spec"]
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (not pod_total(spec, "requests") and not pod_total(spec, "limits")) == (scope == "BestEffort")
    if scope == "PriorityClass":
        name = spec.get("priorityClassName", "")
        values = selector.get("values") or ()
        return {
            "Exists": bool(name),
            "DoesNotExist": not name,
            "In": name in values,
            "NotIn": name not in values,
        }.get(operator or "", False)
    if scope == "CrossNamespacePodAffinity":
        return _crosses_namespaces(spec.get("affinity") or {})
    return False


def _crosses_namespaces(affinity: Object) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        listed = [*(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())]
        listed += [t.get("podAffinityTerm") or {} for t in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in listed):
            return True
    return False


def kind_of(name: str) -> tuple[str, str]:
    """(group, plural) of the kind that a quota resource counts: `count/PLURAL.GROUP`, the plural itself, or a share of what it has."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return group, plural
    if name in _OBJECTS:
        return "", name
    if name.startswith("services."):
        return "", "services"
    if name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
        return "", "persistentvolumeclaims"
    return "", "pods"
