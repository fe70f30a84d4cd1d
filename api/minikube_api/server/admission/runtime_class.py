"""RuntimeClass: a pod's overhead and node selection come from its RuntimeClass (KEP-688)."""

from __future__ import annotations

from minikube_api.meta.quantities import parse
from minikube_api.server.admission.reading import Lister, Plugin, forbidden, is_pod
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if not is_pod(attributes) or attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        found = await self._class(attributes, spec)
        overhead = ((found or {}).get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and not _same(spec["overhead"], overhead):
                raise forbidden(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = dict(overhead)
        elif found is not None and spec.get("overhead"):
            raise forbidden(attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        if found is not None:
            self._schedule(attributes, spec, found.get("scheduling") or {})

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if not is_pod(attributes) or attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        if not spec.get("runtimeClassName") and spec.get("overhead"):
            raise forbidden(attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")

    async def _class(self, attributes: AdmissionAttributes, spec: Object) -> Object | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        found = await self._lister.get("node.k8s.io", "runtimeclasses", "", name)
        if found is None:
            raise forbidden(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    def _schedule(self, attributes: AdmissionAttributes, spec: Object, scheduling: Object) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                raise forbidden(
                    attributes,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
            selector[key] = value
        if selector:
            spec["nodeSelector"] = selector
        tolerations = list(spec.get("tolerations") or ())
        tolerations += [dict(t) for t in scheduling.get("tolerations") or () if t not in tolerations]
        if tolerations:
            spec["tolerations"] = tolerations


def _same(one: Object, other: Object) -> bool:
    return {key: parse(str(value)) for key, value in one.items()} == {key: parse(str(value)) for key, value in other.items()}
