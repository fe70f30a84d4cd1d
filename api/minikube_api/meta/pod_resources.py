"""What a pod asks for in all: requests or limits summed as the scheduler and quotas do (documentation, "Resource Management"). Pure, on trees."""

from __future__ import annotations

from typing import Any

from minikube_api.meta.quantities import Quantity, parse

Object = dict[str, Any]
Resources = dict[str, Quantity]
_ZERO = parse("0")


def quantities(tree: Object | None) -> Resources:
    return {name: parse(str(value)) for name, value in (tree or {}).items()}


def pod_total(spec: Object, field: str) -> Resources:
    """The sum over containers and sidecars, or the largest init container with the sidecars before it; plus overhead."""
    total: Resources = {}
    for container in spec.get("containers") or ():
        _add(total, quantities((container.get("resources") or {}).get(field)))
    sidecars: Resources = {}
    largest: Resources = {}
    for container in spec.get("initContainers") or ():
        own = quantities((container.get("resources") or {}).get(field))
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            own = dict(sidecars)
        else:
            _add(own, sidecars)
        _raise(largest, own)
    _raise(total, largest)
    for name, value in quantities(spec.get("overhead")).items():
        if field == "requests" or name in total:
            total[name] = total.get(name, _ZERO) + value
    return total


def _add(total: Resources, more: Resources) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _raise(total: Resources, least: Resources) -> None:
    for name, value in least.items():
        if name not in total or total[name] < value:
            total[name] = value
