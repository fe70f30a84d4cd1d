"""Resource names and quantities of containers; the QoS class of a pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import quantities
from minikube_api.resources.checks import NEGATIVE, Errors
from minikube_api.resources.objectmeta import qualified_problems

Object = dict[str, Any]

_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "storage", "services.nodeports",
    "services.loadbalancers",
})  # fmt: skip
_INTEGER = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip
HUGE_PAGES = "hugepages-"


def is_standard(name: str) -> bool:
    return name in _STANDARD or name.startswith((HUGE_PAGES, "requests.hugepages-"))


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    return not is_native(name) and not name.startswith("requests.") and not qualified_problems(f"requests.{name}")


def name_problems(name: str, path: str) -> Errors:
    """validateResourceName."""
    errors = [err.invalid(path, name, m) for m in qualified_problems(name)]
    if not errors and "/" not in name and not is_standard(name):
        errors.append(err.invalid(path, name, "must be a standard resource type or fully qualified"))
    return errors


def container_name_problems(name: str, path: str) -> Errors:
    if name in _CONTAINER:
        return []
    errors = name_problems(name, path)
    if "/" not in name:
        if not name.startswith(HUGE_PAGES):
            errors.append(err.invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(err.invalid(path, name, "doesn't follow extended resource name standard"))
    return errors


def quantity_problems(name: str, value: Any, path: str) -> Errors:
    """ValidateResourceQuantityValue."""
    quantity = quantities.of(value)
    if quantity.nanos < 0:
        return [err.invalid(path, str(quantity), NEGATIVE)]
    if quantity.nanos % quantities.NANO and (name in _INTEGER or is_extended(name)):
        return [err.invalid(path, str(quantity), "must be an integer")]
    return []


def requirements(tree: Object | None, path: str, claims: frozenset[str] = frozenset()) -> Errors:
    """ValidateContainerResourceRequirements: limits, requests, claims."""
    if not tree:
        return []
    errors: Errors = []
    limits, requests = tree.get("limits") or {}, tree.get("requests") or {}
    for name, value in limits.items():
        at = f"{path}.limits[{name}]"
        errors += container_name_problems(name, at) + quantity_problems(name, value, at)
    for name, value in requests.items():
        at = f"{path}.requests[{name}]"
        errors += container_name_problems(name, at) + quantity_problems(name, value, at)
        errors += _request_within_limit(name, value, limits, path)
    listed = {*limits, *requests}
    if any(name.startswith(HUGE_PAGES) for name in listed) and not listed & {"cpu", "memory"}:
        errors.append(err.forbidden(path, "HugePages require cpu or memory"))
    return errors + _claims(tree.get("claims") or (), claims, f"{path}.claims")


def _request_within_limit(name: str, value: Any, limits: Object, path: str) -> Errors:
    overcommit = name in _CONTAINER or (is_native(name) and not name.startswith(HUGE_PAGES))
    if name not in limits:
        return [] if overcommit else [err.required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    if limits[name] == value:
        return []
    request, limit = quantities.of(value), quantities.of(limits[name])
    if request != limit and not overcommit:
        return [err.invalid(f"{path}.requests", str(request), f"must be equal to {name} limit of {limit}")]
    if request > limit:
        return [err.invalid(f"{path}.requests", str(request), f"must be less than or equal to {name} limit of {limit}")]
    return []


def _claims(claims: Any, known: frozenset[str], path: str) -> Errors:
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for i, claim in enumerate(claims):
        name, request = claim.get("name", ""), claim.get("request", "")
        if not name:
            errors.append(err.required(f"{path}[{i}]"))
            continue
        if (name, request) in seen:
            errors.append(err.duplicate(f"{path}[{i}]", f"{name}/{request}" if request else name))
        seen.add((name, request))
        if name not in known:
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            found = err.not_found(f"{path}[{i}]", name)
            errors.append(replace(found, message=f"{found.message}: must be one of the names in pod.spec.resourceClaims{listed}"))
    return errors


def qos_class(spec: Object) -> str:
    """Guaranteed: every container has cpu and memory limits equal to its requests; BestEffort: none asks for anything."""
    requests: dict[str, quantities.Quantity] = {}
    limits: dict[str, quantities.Quantity] = {}
    guaranteed = True
    if spec.get("resources"):
        listed: list[Object] = [spec["resources"]]
    else:
        listed = [c.get("resources") or {} for c in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))]
    for resources in listed:
        if not resources:
            guaranteed = False
            continue
        _add(requests, resources.get("requests"))
        guaranteed &= len(_add(limits, resources.get("limits"))) == 2
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and len(requests) == len(limits) and all(limits.get(name) == value for name, value in requests.items()):
        return "Guaranteed"
    return "Burstable"


def _add(total: dict[str, quantities.Quantity], listed: Object | None) -> set[str]:
    found = set()
    for name in ("cpu", "memory"):
        value = (listed or {}).get(name)
        if value is not None and value != "0":
            quantity = quantities.of(value)
            if quantity.nanos > 0:
                found.add(name)
                total[name] = total.get(name, quantities.ZERO) + quantity
    return found
