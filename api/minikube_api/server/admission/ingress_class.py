"""DefaultIngressClass: an Ingress without a class gets the one that is marked as default."""

from __future__ import annotations

from minikube_api.server.admission.reading import Lister, Plugin, is_kind
from minikube_api.server.contract import AdmissionAttributes, Operation

GROUP = "networking.k8s.io"
_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_OLD_CLASS = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        ingress = attributes.obj
        if not is_kind(attributes, GROUP, "ingresses") or ingress is None:
            return
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _OLD_CLASS in (ingress["metadata"].get("annotations") or {}):
            return
        marked = [
            c
            for c in await self._lister.list(GROUP, "ingressclasses")
            if (c["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
        ]
        if not marked:
            return
        marked.sort(key=lambda c: c["metadata"]["name"])
        newest = max(marked, key=lambda c: c["metadata"].get("creationTimestamp", ""))
        spec["ingressClassName"] = newest["metadata"]["name"]
