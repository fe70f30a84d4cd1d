"""NodeRestriction: what a kubelet may change is its own node, the pods bound to it, its lease, its tokens (documentation).

Tokens, certificates and mirror pods have many rules of their own: `node_tokens`, `node_mirror_pods`.
"""

from __future__ import annotations

import base64
import binascii

from minikube_api.meta.errors import NotFound
from minikube_api.server.access.nodes import node_name
from minikube_api.server.admission import node_mirror_pods, node_tokens
from minikube_api.server.admission.reading import Lister, Plugin, forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Authorizer, Operation

_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os",
        "beta.kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    }
)  # fmt: skip
_KUBELET_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBELET_SIGNERS = frozenset({"kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"})
_DOING = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete"}


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    operations: frozenset[Operation] = frozenset({"CREATE", "UPDATE", "DELETE"})

    def __init__(self, lister: Lister, authorizer: Authorizer) -> None:
        self._lister = lister
        self._authorizer = authorizer

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """As in Kubernetes in the first phase: before defaults of the storage, such as a token's audiences."""
        node = node_name(attributes.user)
        if not node:
            return
        match attributes.resource.group, attributes.resource.plural:
            case "", "pods":
                await self._pod(attributes, node)
            case "", "nodes":
                self._node(attributes, node)
            case "", "persistentvolumeclaims":
                self._claim(attributes, node)
            case "", "serviceaccounts" if attributes.subresource == "token":
                why = await node_tokens.problem(attributes, node, self._lister, self._authorizer)
                if why:
                    raise forbidden(attributes, why)
            case "coordination.k8s.io", "leases":
                if attributes.namespace != "kube-node-lease":
                    raise forbidden(attributes, 'can only access leases in the "kube-node-lease" system namespace')
                self._own(attributes, node, "node lease")
            case "storage.k8s.io", "csinodes":
                self._own(attributes, node, "CSINode")
            case "resource.k8s.io", "resourceslices":
                self._slice(attributes, node)
            case "certificates.k8s.io", "certificatesigningrequests":
                self._certificate(attributes, node)

    async def _pod(self, attributes: AdmissionAttributes, node: str) -> None:
        operation, subresource = attributes.operation, attributes.subresource
        if subresource == "status":
            if operation != "UPDATE":
                raise forbidden(attributes, f'unexpected operation "{operation}"')
            self._pod_status(attributes, node)
        elif subresource == "eviction":
            if operation != "CREATE":
                raise forbidden(attributes, f"unexpected operation {operation}")
            pod = await self._lister.get("", "pods", attributes.namespace, attributes.name)
            if pod is None:
                raise NotFound.object("pods", attributes.name)
            if _node_of(pod) != node:
                raise forbidden(attributes, f"node {node} can only evict pods with spec.nodeName set to itself")
        elif subresource:
            raise forbidden(attributes, f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed")
        elif operation == "CREATE":
            found = await self._lister.get("", "nodes", "", node)
            why = node_mirror_pods.problem(attributes.obj or {}, node, found)
            if why:
                raise forbidden(attributes, why)
            if found is None:
                raise NotFound.object("nodes", node)
        elif operation == "DELETE":
            if attributes.old is not None and _node_of(attributes.old) != node:
                raise forbidden(attributes, f'node "{node}" can only delete pods with spec.nodeName set to itself')
        else:
            raise forbidden(
                attributes, f'unexpected operation "{operation}", node "{node}" can only create and delete mirror pods'
            )

    def _pod_status(self, attributes: AdmissionAttributes, node: str) -> None:
        new, old = attributes.obj or {}, attributes.old or {}
        if _node_of(old) != node:
            raise forbidden(attributes, f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
        if _labels(new) != _labels(old):
            raise forbidden(attributes, f'node "{node}" cannot update labels through pod status')
        claims = [(tree.get("status") or {}).get("resourceClaimStatuses") or [] for tree in (new, old)]
        if claims[0] != claims[1]:
            raise forbidden(attributes, f'node "{node}" cannot update resource claim statuses')

    def _node(self, attributes: AdmissionAttributes, node: str) -> None:
        obj, old = attributes.obj or {}, attributes.old or {}
        name = attributes.name or (obj.get("metadata") or {}).get("name", "")
        changed = {key for key in _labels(obj) | _labels(old) if _labels(obj).get(key) != _labels(old).get(key)}
        refused = ", ".join(sorted(key for key in changed if not _kubelet_may(key)))
        if refused and attributes.operation == "CREATE":
            raise forbidden(attributes, f'node "{node}" is not allowed to set the following labels: {refused}')
        if name != node:
            raise forbidden(attributes, f'node "{node}" is not allowed to modify node "{name}"')
        if attributes.operation != "UPDATE":
            return
        if ((obj.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
            raise forbidden(attributes, f'node "{node}" is not allowed to modify taints')
        if refused:
            raise forbidden(attributes, f"is not allowed to modify labels: {refused}")
        if (obj["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
            raise forbidden(attributes, f'node "{node}" is not allowed to modify ownerReferences')

    def _claim(self, attributes: AdmissionAttributes, node: str) -> None:
        """A kubelet that has grown a file system says so in the claim's status, and nothing else."""
        if attributes.subresource != "status":
            raise forbidden(attributes, "may only update PVC status")
        if attributes.operation != "UPDATE":
            raise forbidden(attributes, f'unexpected operation "{attributes.operation}"')
        if _claim_rest(attributes.obj or {}) != _claim_rest(attributes.old or {}):
            raise forbidden(
                attributes, f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions'
            )

    def _own(self, attributes: AdmissionAttributes, node: str, what: str) -> None:
        name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name", "")
        if name != node:
            raise forbidden(attributes, f"can only access {what} with the same name as the requesting node")

    def _slice(self, attributes: AdmissionAttributes, node: str) -> None:
        tree = attributes.obj if attributes.operation == "CREATE" else attributes.old
        if ((tree or {}).get("spec") or {}).get("nodeName") != node:
            doing = _DOING.get(attributes.operation, "")
            raise forbidden(attributes, f"can only {doing} ResourceSlice with the same NodeName as the requesting node")

    def _certificate(self, attributes: AdmissionAttributes, node: str) -> None:
        if attributes.operation != "CREATE" or attributes.subresource:
            return
        spec = (attributes.obj or {}).get("spec") or {}
        if spec.get("signerName") in _KUBELET_SIGNERS and _common_name(spec.get("request", "")) != f"system:node:{node}":
            raise forbidden(attributes, f"can only create a node CSR with CN=system:node:{node}")


def _node_of(pod: Object) -> str:
    name: str = (pod.get("spec") or {}).get("nodeName", "")
    return name


def _labels(tree: Object) -> dict[str, str]:
    labels: dict[str, str] = (tree.get("metadata") or {}).get("labels") or {}
    return labels


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


def _claim_rest(claim: Object) -> Object:
    """A claim without what its kubelet may change."""
    metadata = {k: v for k, v in (claim.get("metadata") or {}).items() if k not in ("resourceVersion", "managedFields")}
    own = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
    status = {k: v for k, v in (claim.get("status") or {}).items() if k not in own}
    return {**claim, "metadata": metadata, "status": status}


def _common_name(request: str) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        found = x509.load_pem_x509_csr(base64.b64decode(request))
    except (ValueError, binascii.Error):
        return ""
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
