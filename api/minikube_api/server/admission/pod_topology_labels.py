"""PodTopologyLabels: a pod that is put on a node gets the node's zone and region as labels (KEP-4742)."""

from __future__ import annotations

from minikube_api.server.admission.reading import Lister, Plugin
from minikube_api.server.contract import AdmissionAttributes, Operation

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    """Sees bindings, whose labels go to the pod, and pods that are created on a node."""

    name = "PodTopologyLabels"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        resource, obj = attributes.resource, attributes.obj
        if resource.group or resource.plural != "pods" or obj is None:
            return
        if attributes.subresource == "binding":
            target = obj.get("target") or {}
            node = target.get("name", "") if target.get("kind") == "Node" else ""
        elif not attributes.subresource:
            node = obj["spec"].get("nodeName", "")
        else:
            return
        found = await self._lister.get("", "nodes", "", node) if node else None
        given = ((found or {}).get("metadata") or {}).get("labels") or {}
        added = {key: given[key] for key in LABELS if key in given}
        if added:
            metadata = obj["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **added}
