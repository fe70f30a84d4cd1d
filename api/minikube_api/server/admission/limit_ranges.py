"""LimitRanger: defaults and bounds of containers, pods and claims in a namespace (documentation, "Limit Ranges")."""

from __future__ import annotations

from collections.abc import Iterator

from minikube_api.meta.pod_resources import Resources, pod_total, quantities
from minikube_api.meta.quantities import Quantity, canonical, parse
from minikube_api.server.admission.reading import Lister, Plugin, forbidden, is_kind, is_pod
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes

ANNOTATION = "kubernetes.io/limit-ranger"
_ZERO = parse("0")


class LimitRanger(Plugin):
    name = "LimitRanger"

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if not is_pod(attributes) or attributes.operation != "CREATE" or attributes.obj is None:
            return
        for limits in await self._ranges(attributes.namespace):
            set_defaults(attributes.obj, limits)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        obj = attributes.obj
        if obj is None:
            return
        if is_kind(attributes, "", "persistentvolumeclaims"):
            check = claim_problems
        elif _bounded(attributes):
            check = pod_problems
        else:
            return
        for limits in await self._ranges(attributes.namespace):
            problems = list(dict.fromkeys(check(obj, limits)))
            if problems:
                raise forbidden(attributes, problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")

    async def _ranges(self, namespace: str) -> list[list[Object]]:
        found = await self._lister.list("", "limitranges", namespace)
        return [limit_range.get("spec", {}).get("limits") or [] for limit_range in found]


def _bounded(attributes: AdmissionAttributes) -> bool:
    """Containers can't change on an update, but for a resize."""
    if attributes.subresource:
        return attributes.resource.plural == "pods" and attributes.subresource == "resize"
    return is_pod(attributes) and attributes.operation == "CREATE"


def set_defaults(pod: Object, limits: list[Object]) -> None:
    """Fill in the defaults for containers, and note in an annotation what was set."""
    requests: dict[str, str] = {}
    maxima: dict[str, str] = {}
    for limit in limits:
        if limit.get("type") == "Container":
            requests.update(limit.get("defaultRequest") or {})
            maxima.update(limit.get("default") or {})
    notes: list[str] = []
    # containers come first in the note, as in kube-apiserver
    for kind, prefix in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(kind) or ():
            notes += _default_container(container, requests, maxima, prefix)
    if notes:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: "LimitRanger plugin set: " + "; ".join(notes)}


def _default_container(container: Object, requests: dict[str, str], limits: dict[str, str], prefix: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for field, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
        lacking = sorted(set(defaults) - set(resources.get(field) or {}))
        if lacking:
            resources[field] = {**(resources.get(field) or {}), **{name: defaults[name] for name in lacking}}
            yield f"{', '.join(lacking)} {word} for {prefix} {container.get('name', '')}"
    container["resources"] = resources


def pod_problems(pod: Object, limits: list[Object]) -> Iterator[str]:
    spec = pod["spec"]
    for limit in limits:
        kind = limit.get("type", "")
        if kind == "Container":
            for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
                resources = container.get("resources") or {}
                yield from _bounds(limit, quantities(resources.get("requests")), quantities(resources.get("limits")))
        elif kind == "Pod":
            yield from _bounds(limit, pod_total(spec, "requests"), pod_total(spec, "limits"))


def claim_problems(claim: Object, limits: list[Object]) -> Iterator[str]:
    asked = quantities((claim["spec"].get("resources") or {}).get("requests"))
    for limit in limits:
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for name, bound in sorted((limit.get("min") or {}).items()):
            yield from _least(name, limit["type"], bound, asked, {})
        for name, bound in sorted((limit.get("max") or {}).items()):
            head = f"maximum {name} usage per {limit['type']} is {canonical(bound)}"
            if name not in asked:
                yield f"{head}.  No request is specified"
            elif asked[name] > parse(bound):
                yield f"{head}, but request is {asked[name]}"


def _bounds(limit: Object, requests: Resources, limits: Resources) -> Iterator[str]:
    kind = limit["type"]
    for name, bound in sorted((limit.get("min") or {}).items()):
        yield from _least(name, kind, bound, requests, limits)
    for name, bound in sorted((limit.get("max") or {}).items()):
        head = f"maximum {name} usage per {kind} is {canonical(bound)}"
        if name not in limits:
            yield f"{head}.  No limit is specified"
        elif limits[name] > parse(bound):
            yield f"{head}, but limit is {limits[name]}"
        elif name in requests and requests[name] > parse(bound):
            yield f"{head}, but request is {requests[name]}"
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(name, kind, bound, requests.get(name, _ZERO), limits.get(name, _ZERO))


def _least(name: str, kind: str, bound: str, requests: Resources, limits: Resources) -> Iterator[str]:
    head = f"minimum {name} usage per {kind} is {canonical(bound)}"
    if name not in requests:
        yield f"{head}.  No request is specified"
    elif requests[name] < parse(bound):
        yield f"{head}, but request is {requests[name]}"
    elif name in limits and limits[name] < parse(bound):
        yield f"{head}, but limit is {limits[name]}"


def _ratio(name: str, kind: str, bound: str, request: Quantity, limit: Quantity) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {kind} is {canonical(bound)}"
    if request.is_zero():
        yield f"{head}, but no request is specified or request is 0"
    elif limit.is_zero():
        yield f"{head}, but no limit is specified or limit is 0"
    elif limit.nanos / request.nanos > float(parse(bound)):
        yield f"{head}, but provided ratio is {limit.nanos / request.nanos:f}"
