"""NodeRestriction: what a kubelet may change is its own node, the pods bound to it, its lease, its tokens (documentation)."""

from __future__ import annotations

from minikube_api.server.access.nodes import node_name
from minikube_api.server.admission.reading import Lister, Plugin, forbidden
from minikube_api.server.admission.service_account import MIRROR
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation

_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os",
        "beta.kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    }
)  # fmt: skip
_KUBELET_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    operations: frozenset[Operation] = frozenset({"CREATE", "UPDATE", "DELETE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def validate(self, attributes: AdmissionAttributes) -> None:
        node = node_name(attributes.user)
        if not node:
            return
        match attributes.resource.group, attributes.resource.plural:
            case "", "pods":
                await self._pod(attributes, node)
            case "", "nodes":
                self._node(attributes, node)
            case "", "serviceaccounts" if attributes.subresource == "token":
                await self._token(attributes, node)
            case "coordination.k8s.io", "leases":
                self._own(attributes, node, attributes.namespace == "kube-node-lease", "lease")
            case "storage.k8s.io", "csinodes":
                self._own(attributes, node, True, "CSINode")

    async def _pod(self, attributes: AdmissionAttributes, node: str) -> None:
        operation, subresource = attributes.operation, attributes.subresource
        if subresource == "status":
            if operation != "UPDATE":
                raise forbidden(attributes, f'unexpected operation "{operation}"')
            self._bound(attributes, node, attributes.old, "update status for")
            return
        if subresource == "eviction":
            pod = await self._lister.get("", "pods", attributes.namespace, attributes.name)
            if pod is not None:
                self._bound(attributes, node, pod, "evict")
            return
        if subresource:
            raise forbidden(attributes, f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed")
        if operation == "CREATE":
            self._mirror(attributes, node)
        elif operation == "DELETE":
            self._bound(attributes, node, attributes.old, "delete")
        else:
            raise forbidden(
                attributes, f"unexpected operation \"{operation}\", node '{node}' can only create and delete mirror pods"
            )

    def _bound(self, attributes: AdmissionAttributes, node: str, pod: Object | None, doing: str) -> None:
        if pod is not None and (pod.get("spec") or {}).get("nodeName") != node:
            raise forbidden(attributes, f"node '{node}' can only {doing} pods with spec.nodeName set to itself")

    def _mirror(self, attributes: AdmissionAttributes, node: str) -> None:
        pod = attributes.obj or {}
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            raise forbidden(attributes, f"pod does not have \"{MIRROR}\" annotation, node '{node}' can only create mirror pods")
        if pod["spec"].get("nodeName") != node:
            raise forbidden(attributes, f"node '{node}' can only create pods with spec.nodeName set to itself")
        owners = pod["metadata"].get("ownerReferences") or []
        if len(owners) != 1 or owners[0].get("kind") != "Node" or owners[0].get("name") != node:
            raise forbidden(attributes, f"node '{node}' can only create pods with an owner reference set to itself")

    def _node(self, attributes: AdmissionAttributes, node: str) -> None:
        obj, old = attributes.obj or {}, attributes.old or {}
        name = attributes.name or (obj.get("metadata") or {}).get("name", "")
        if name != node:
            verb = {"CREATE": "create", "UPDATE": "modify", "DELETE": "delete"}[attributes.operation]
            raise forbidden(attributes, f"node '{node}' is not allowed to {verb} node '{name}'")
        if attributes.operation == "DELETE":
            return
        changed = _changed_labels(obj, old)
        refused = sorted(key for key in changed if not _kubelet_may(key))
        if refused and attributes.operation == "CREATE":
            raise forbidden(attributes, f"node '{node}' is not allowed to set the following labels: {', '.join(refused)}")
        if refused:
            raise forbidden(attributes, f"is not allowed to modify labels: {', '.join(refused)}")
        if attributes.operation == "UPDATE":
            if (obj.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
                raise forbidden(attributes, f"node '{node}' is not allowed to modify taints")
            if (obj["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
                raise forbidden(attributes, f"node '{node}' is not allowed to modify ownerReferences")

    async def _token(self, attributes: AdmissionAttributes, node: str) -> None:
        ref = ((attributes.obj or {}).get("spec") or {}).get("boundObjectRef") or {}
        if not ref:
            raise forbidden(attributes, "node requested token not bound to a pod")
        if ref.get("kind") != "Pod" or ref.get("apiVersion") != "v1":
            raise forbidden(attributes, f"node requested token bound to a {ref.get('kind')} object, expected a pod")
        if not ref.get("uid"):
            raise forbidden(attributes, "node requested token with a pod binding without a uid")
        pod = await self._lister.get("", "pods", attributes.namespace, ref.get("name", ""))
        if pod is None:
            raise forbidden(attributes, f'pod "{ref.get("name", "")}" not found')
        if ref["uid"] != pod["metadata"]["uid"]:
            raise forbidden(
                attributes,
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record "
                f"({pod['metadata']['uid']}). The object might have been deleted and then recreated",
            )
        if pod["spec"].get("nodeName") != node:
            raise forbidden(attributes, "node requested token bound to a pod scheduled on a different node")

    def _own(self, attributes: AdmissionAttributes, node: str, place: bool, what: str) -> None:
        name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name", "")
        if not place:
            raise forbidden(attributes, 'can only access leases in the "kube-node-lease" system namespace')
        if name != node:
            raise forbidden(attributes, f"can only access node {what} with the same name as the requesting node")


def _changed_labels(obj: Object, old: Object) -> set[str]:
    new_labels = (obj.get("metadata") or {}).get("labels") or {}
    old_labels = (old.get("metadata") or {}).get("labels") or {}
    return {key for key in {**new_labels, **old_labels} if new_labels.get(key) != old_labels.get(key)}


def _kubelet_may(key: str) -> bool:
    """Labels of Kubernetes' own domains are closed to kubelets but for a few; node-restriction.kubernetes.io altogether."""
    domain = key.partition("/")[0] if "/" in key else ""
    if key in _KUBELET_LABELS or not domain:
        return True
    if domain == "node-restriction.kubernetes.io" or domain.endswith(".node-restriction.kubernetes.io"):
        return False
    if any(domain == prefix or domain.endswith("." + prefix) for prefix in _KUBELET_PREFIXES):
        return True
    return not any(domain == own or domain.endswith("." + own) for own in ("kubernetes.io", "k8s.io"))
