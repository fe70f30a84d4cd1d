"""TaintNodesByCondition: a new node starts tainted not-ready, so that nothing is scheduled on it before it has reported."""

from __future__ import annotations

from minikube_api.server.admission.reading import Plugin, is_kind
from minikube_api.server.contract import AdmissionAttributes, Operation

TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if not is_kind(attributes, "", "nodes") or attributes.obj is None:
            return
        spec = attributes.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(t.get("key") == TAINT["key"] and t.get("effect") == TAINT["effect"] for t in taints):
            spec["taints"] = [*taints, dict(TAINT)]
