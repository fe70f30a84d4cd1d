"""The tokens that a kubelet may ask for: bound to a pod of its node, for an audience that the pod wants (KEP-4412)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from minikube_api.meta.errors import NotFound
from minikube_api.server.admission.reading import Lister
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Attributes, Authorizer

#: lets nodes ask for further audiences
VERB = "request-serviceaccounts-token-audience"


async def problem(attributes: AdmissionAttributes, node: str, lister: Lister, authorizer: Authorizer) -> str:
    """Why the kubelet of `node` may not have the token; empty when it may. Raises NotFound for a pod that is not there."""
    spec = (attributes.obj or {}).get("spec") or {}
    ref = spec.get("boundObjectRef") or {}
    if ref.get("kind") != "Pod" or ref.get("apiVersion") != "v1" or not ref.get("name"):
        return "node requested token not bound to a pod"
    if not ref.get("uid"):
        return "node requested token with a pod binding without a uid"
    pod = await lister.get("", "pods", attributes.namespace, ref["name"])
    if pod is None:
        raise NotFound.object("pods", ref["name"])
    if ref["uid"] != pod["metadata"]["uid"]:
        return (
            f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
    if pod["spec"].get("nodeName") != node:
        return "node requested token bound to a pod scheduled on a different node"
    audiences = spec.get("audiences") or [""]
    if len(audiences) > 1:
        return "node may only request 0 or 1 audiences"
    audience = audiences[0]
    async for wanted in _audiences(pod, lister):
        if wanted == audience:
            return ""
    asked = Attributes(
        attributes.user, VERB, namespace=attributes.namespace, version="v1", resource=audience, name=attributes.name
    )
    if (await authorizer.authorize(asked)).allowed:
        return ""
    return (
        f'audience "{audience}" not found in pod spec volume, {attributes.user.name} is not authorized to request this audience'
    )


async def _audiences(pod: Object, lister: Lister) -> AsyncIterator[str]:
    """Audiences of the pod's projected tokens, and of the CSI drivers of its volumes; "" is the API server's own."""
    drivers: set[str] = set()
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                yield source["serviceAccountToken"].get("audience", "")
        if volume.get("csi"):
            drivers.add(volume["csi"].get("driver", ""))
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if volume.get("ephemeral"):
            claim = f"{pod['metadata']['name']}-{volume['name']}"
        if claim:
            drivers.add(await _driver(pod["metadata"]["namespace"], claim, lister))
    for driver in sorted(drivers - {""}):
        found = await lister.get("storage.k8s.io", "csidrivers", "", driver) or {}
        for request in (found.get("spec") or {}).get("tokenRequests") or ():
            yield request.get("audience", "")


async def _driver(namespace: str, claim: str, lister: Lister) -> str:
    found = await lister.get("", "persistentvolumeclaims", namespace, claim) or {}
    volume = (found.get("spec") or {}).get("volumeName", "")
    held = await lister.get("", "persistentvolumes", "", volume) if volume else None
    driver: str = (((held or {}).get("spec") or {}).get("csi") or {}).get("driver", "")
    return driver
