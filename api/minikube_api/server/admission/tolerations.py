"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable, unless they say otherwise."""

from __future__ import annotations

from minikube_api.server.admission.reading import Plugin, is_pod
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes

SECONDS = 300
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"

    async def admit(self, attributes: AdmissionAttributes) -> None:
        if not is_pod(attributes) or attributes.obj is None:
            return
        spec = attributes.obj["spec"]
        tolerations = spec.get("tolerations") or []
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
            for key in (NOT_READY, UNREACHABLE)
            if not any(_tolerates(toleration, key) for toleration in tolerations)
        ]
        if added:
            spec["tolerations"] = [*tolerations, *added]


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
