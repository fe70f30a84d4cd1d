"""The pods that a kubelet may create: images of its static pods, owned by its node, that use nothing of the API. Pure."""

from __future__ import annotations

from minikube_api.server.admission.secret_references import refers_to
from minikube_api.server.context import Object

_MIRROR = "kubernetes.io/config.mirror"


def problem(pod: Object, node: str, found: Object | None) -> str:
    """Why the kubelet of `node` may not create the pod; empty when it may. `found` is the Node (None: it is not there, say so)."""
    if _MIRROR not in (pod["metadata"].get("annotations") or {}):
        return f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
    spec, owners = pod["spec"], pod["metadata"].get("ownerReferences") or []
    if spec.get("nodeName") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        return f'node "{node}" can only create pods with an owner reference set to itself'
    if not owner.get("controller"):
        return f'node "{node}" can only create pods with a controller owner reference set to itself'
    if owner.get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if found is None:
        return ""
    uid = found["metadata"]["uid"]
    if owner.get("uid") != uid:
        return f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}"
    return _uses(spec, node)


def _uses(spec: Object, node: str) -> str:
    refers = f'node "{node}" can not create pods that reference'
    if spec.get("serviceAccountName"):
        return f"{refers} a service account"
    for what in ("secrets", "configmaps"):
        if refers_to(spec, what):
            return f"{refers} {what}"
    if any(volume.get("persistentVolumeClaim") for volume in spec.get("volumes") or ()):
        return f"{refers} persistentvolumeclaims"
    return f"{refers} resourceclaims" if spec.get("resourceClaims") else ""
