"""The node authorizer: a kubelet reads what the pods on its node use, and writes what is its own.

Source: documentation, "Using Node Authorization" (KEP-279, KEP-4601 for field selectors). Who is no node gets no opinion. What a
pod refers to is worked out when first asked, and kept with the pod's revision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from minikube_api.cache.entries import Entry
from minikube_api.cache.watching import Change
from minikube_api.meta.errors import BadRequest
from minikube_api.meta.selectors import parse_fields
from minikube_api.resources.resource import Registry
from minikube_api.server.access.rbac import rules_of
from minikube_api.server.access.rules import Rule
from minikube_api.server.context import UserInfo
from minikube_api.server.contract import NO_OPINION, Attributes, Decision
from minikube_api.server.storage import Storage

NODES_GROUP = "system:nodes"
_PREFIX = "system:node:"
_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"get", "create", "update", "patch", "delete"})
_ALLOWED = Decision("allowed")
#: a refusal without a reason
NO = " "
#: (kind, name) in the pod's namespace
Reference = tuple[str, str]


def node_name(user: UserInfo) -> str:
    """The node that a user is; empty when it is none."""
    return user.name[len(_PREFIX) :] if user.name.startswith(_PREFIX) and NODES_GROUP in user.groups else ""


class NodeAuthorizer:
    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry
        #: node -> store key of a pod -> the pod
        self._pods: dict[str, dict[str, Entry]] = {}
        self._references: dict[tuple[str, int], frozenset[Reference]] = {}
        self._started = False

    async def start(self) -> None:
        if self._started:
            return
        self._started = True
        resource = self._registry.get("", "v1", "pods")
        if resource is None:
            return
        cacher = self._storage.cacher(resource)
        await cacher.load()
        for entry in cacher.index.span("", None):
            self._put(entry)
        cacher.listeners.append(self._follow)

    def _follow(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.previous is not None:
                before = change.previous.fields.get("spec.nodeName", "")
                pods = self._pods.get(before)
                if pods is not None:
                    pods.pop(change.previous.key, None)
                    if not pods:
                        del self._pods[before]
                self._references.pop((change.previous.key, change.previous.revision), None)
            if change.current is not None:
                self._put(change.current)

    def _put(self, entry: Entry) -> None:
        node = entry.fields.get("spec.nodeName", "")
        if node:
            self._pods.setdefault(node, {})[entry.key] = entry

    async def authorize(self, attributes: Attributes) -> Decision:
        node = node_name(attributes.user)
        if not node:
            return NO_OPINION
        if attributes.resource_request:
            await self.start()
            special = _SPECIAL.get((attributes.group, attributes.resource))
            if special is not None:
                reason = await special(self, node, attributes)
                return Decision("no opinion", reason.strip()) if reason else _ALLOWED
        return _ALLOWED if any(rule.allows(attributes) for rule in node_rules()) else NO_OPINION

    # what is special about a resource: each gives why not, or ""; NO says no more than that

    async def _read_used(self, node: str, asked: Attributes) -> str:
        """Secrets and ConfigMaps: read by name, when a pod of the node uses them, or a volume of such a pod."""
        if asked.verb not in _READ:
            return "can only read resources of this type"
        if asked.subresource:
            return "cannot read subresource"
        if not asked.namespace:
            return "can only read namespaced object of this type"
        why = self._related(node, asked, asked.resource[:-1])
        if why and asked.resource == "secrets" and asked.name and await self._used_by_volumes(node, asked):
            return ""
        return why

    async def _used_by_volumes(self, node: str, asked: Attributes) -> bool:
        wanted = (asked.namespace, asked.name)
        return any([wanted in secrets_of_volume(volume) async for volume in self._volumes(node)])

    async def _get_used(self, node: str, asked: Attributes) -> str:
        if asked.resource == "persistentvolumeclaims" and asked.subresource == "status":
            if asked.verb not in ("update", "patch"):
                return "can only get/update/patch this type"
        elif why := _only_get(asked):
            return why
        return self._related(node, asked, asked.resource[:-1])

    async def _get_volume(self, node: str, asked: Attributes) -> str:
        if why := _only_get(asked):
            return why
        found = any([volume["metadata"]["name"] == asked.name async for volume in self._volumes(node)])
        return "" if found else _unrelated(node)

    async def _volumes(self, node: str) -> AsyncIterator[dict[str, Any]]:
        """The PersistentVolumes of the node's pods."""
        claims, volumes = (self._registry.get("", "v1", plural) for plural in ("persistentvolumeclaims", "persistentvolumes"))
        if claims is None or volumes is None:
            return
        for pod in self._pods.get(node, {}).values():
            for kind, name in self._used(pod):
                if kind == "persistentvolumeclaim":
                    claim = await self._storage.current(claims, pod.namespace, name)
                    bound = "" if claim is None else (claim.tree().get("spec") or {}).get("volumeName", "")
                    volume = await self._storage.current(volumes, "", bound) if bound else None
                    if volume is not None:
                        yield volume.tree()

    async def _get_attachment(self, node: str, asked: Attributes) -> str:
        return _only_get(asked) or await self._of_node(node, asked)

    async def _of_node(self, node: str, asked: Attributes) -> str:
        """Objects that say in their spec which node they are for."""
        if not asked.name:
            return "No Object name found"
        resource = self._registry.get(asked.group, "v1", asked.resource)
        entry = None if resource is None else await self._storage.current(resource, "", asked.name)
        named = entry is not None and (entry.tree().get("spec") or {}).get("nodeName") == node
        return "" if named else _unrelated(node)

    async def _slice(self, node: str, asked: Attributes) -> str:
        if asked.subresource:
            return "cannot authorize ResourceSlice subresources"
        if asked.verb == "create":
            return ""  # whose, is NodeRestriction's business
        if asked.verb in ("get", "update", "patch", "delete"):
            return await self._of_node(node, asked)
        if asked.verb in ("watch", "list", "deletecollection"):
            own = _selected(asked, "spec.nodeName") == node
            return "" if own else "can only list/watch/deletecollection resourceslices with nodeName field selector"
        return (
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, "
            "deletecollection"
        )

    async def _service_account(self, node: str, asked: Attributes) -> str:
        if asked.verb != "get" or asked.subresource:
            if asked.verb != "create" or not asked.name:
                return "can only create tokens for individual service accounts"
            if asked.subresource != "token":
                return "can only create token subresource of serviceaccount"
        return self._related(node, asked, "serviceaccount")

    async def _lease(self, node: str, asked: Attributes) -> str:
        if asked.verb not in _WRITE:
            return "can only get, create, update, patch, or delete a node lease"
        if asked.namespace != "kube-node-lease":
            return 'can only access leases in the "kube-node-lease" system namespace'
        # the name of a lease to be created is not known before its body; NodeRestriction looks at that
        own = asked.verb == "create" or asked.name == node
        return "" if own else "can only access node lease with the same name as the requesting node"

    async def _csi_node(self, node: str, asked: Attributes) -> str:
        if asked.verb not in _WRITE:
            return "can only get, create, update, patch, or delete a CSINode"
        own = asked.verb == "create" or asked.name == node
        return "" if own else "can only access CSINode with the same name as the requesting node"

    async def _node(self, node: str, asked: Attributes) -> str:
        changing = asked.verb in ("update", "patch")
        if asked.subresource:
            return "" if asked.subresource == "status" and changing else NO
        if changing or asked.verb == "create":
            return ""  # which, is NodeRestriction's business
        if asked.verb not in _READ:
            return NO
        if asked.name == node:
            return ""
        what = f"'{asked.name}'" if asked.name else "all nodes"
        return f"node '{node}' cannot read {what}, only its own Node object"

    async def _pod(self, node: str, asked: Attributes) -> str:
        if asked.subresource:
            allowed = {"status": ("update", "patch"), "eviction": ("create",)}.get(asked.subresource, ())
            return "" if asked.verb in allowed else NO
        if asked.verb in ("create", "delete"):
            return ""
        if asked.verb in ("list", "watch"):
            own = _selected(asked, "spec.nodeName") == node
            return "" if own else "can only list/watch pods with spec.nodeName field selector"
        if asked.verb != "get":
            return NO
        if not asked.name:
            return "No Object name found"
        found = any(pod.namespace == asked.namespace and pod.name == asked.name for pod in self._pods.get(node, {}).values())
        return "" if found else _unrelated(node)

    def _related(self, node: str, asked: Attributes, kind: str) -> str:
        name = asked.name or _selected(asked, "metadata.name")
        if not name:
            return "No Object name found"
        wanted = (kind, name)
        for pod in self._pods.get(node, {}).values():
            if pod.namespace == asked.namespace and wanted in self._used(pod):
                return ""
        return _unrelated(node)

    def _used(self, pod: Entry) -> frozenset[Reference]:
        key = (pod.key, pod.revision)
        found = self._references.get(key)
        if found is None:
            found = self._references[key] = frozenset(references(pod.tree()))
        return found


_SPECIAL = {
    ("", "secrets"): NodeAuthorizer._read_used,
    ("", "configmaps"): NodeAuthorizer._read_used,
    ("", "persistentvolumeclaims"): NodeAuthorizer._get_used,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._get_used,
    ("", "persistentvolumes"): NodeAuthorizer._get_volume,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._get_attachment,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._slice,
    ("", "serviceaccounts"): NodeAuthorizer._service_account,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
}


def _only_get(asked: Attributes) -> str:
    if asked.verb != "get":
        return "can only get individual resources of this type"
    return "cannot get subresource" if asked.subresource else ""


def secrets_of_volume(volume: dict[str, Any]) -> set[tuple[str, str]]:
    """(namespace, name) of the secrets that a PersistentVolume's plug-in needs; those without a namespace are the claim's."""
    spec = volume.get("spec") or {}
    own = (spec.get("claimRef") or {}).get("namespace", "")
    found = set()
    for source in spec.values():
        if isinstance(source, dict):
            for field, ref in source.items():
                if field.endswith("ecretRef") and isinstance(ref, dict):
                    found.add((ref.get("namespace") or own, ref.get("name", "")))
            if source.get("secretName"):  # azureFile
                found.add((source.get("secretNamespace") or own, source["secretName"]))
    return found


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


def _selected(asked: Attributes, field: str) -> str:
    if not asked.field_selector:
        return ""
    try:
        return parse_fields(asked.field_selector).exact(field) or ""
    except BadRequest:
        return ""  # the request itself is refused later, in its own words


@lru_cache(maxsize=1)
def node_rules() -> tuple[Rule, ...]:
    """The rules that all nodes have: those of the default cluster role `system:node`."""
    for line in Path(__file__).with_name("rbac.jsonl").read_bytes().splitlines():
        tree = orjson.loads(line)
        if tree["kind"] == "ClusterRole" and tree["metadata"]["name"] == "system:node":
            return rules_of(tree)
    raise LookupError("system:node")


def references(pod: dict[str, Any]) -> Iterator[Reference]:
    """What a pod uses in its namespace: (kind, name). Static pods' mirrors use nothing through the API."""
    spec = pod.get("spec") or {}
    if "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
        return
    if account := spec.get("serviceAccountName"):
        yield "serviceaccount", account
    for secret in spec.get("imagePullSecrets") or ():
        yield "secret", secret.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _environment(container)
    for volume in spec.get("volumes") or ():
        yield from _volume(pod["metadata"].get("name", ""), volume)
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield "resourceclaim", status.get("resourceClaimName", "")
    for claim in spec.get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            yield "resourceclaim", claim["resourceClaimName"]


def _environment(container: dict[str, Any]) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        yield from _refs(source, (("secretRef", "secret"), ("configMapRef", "configmap")))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _refs(source, (("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")))


def _refs(tree: dict[str, Any], kinds: Iterable[tuple[str, str]]) -> Iterator[Reference]:
    for field, kind in kinds:
        if tree.get(field):
            yield kind, tree[field].get("name", "")


def _volume(pod: str, volume: dict[str, Any]) -> Iterator[Reference]:
    if volume.get("secret"):
        yield "secret", volume["secret"].get("secretName", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaim", volume["persistentVolumeClaim"].get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaim", f"{pod}-{volume.get('name', '')}"
    yield from _refs(volume, (("configMap", "configmap"),))
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _refs(source, (("secret", "secret"), ("configMap", "configmap")))
    for driver in volume.values():
        if isinstance(driver, dict):
            yield from _refs(driver, (("secretRef", "secret"), ("nodePublishSecretRef", "secret")))
