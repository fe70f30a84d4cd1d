"""The garbage collector's graph: every object of the cluster by uid, its owners and dependents. Pure and synchronous.

Source: pkg/controller/garbagecollector/graph_builder.go. An owner that was named but not seen is a *virtual* node, to be looked up.
Changes come from metadata watches; the graph answers with the work they cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from minikube_api.schema.typed.meta_v1 import OwnerReference

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"


class GraphMetadata(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The metadata that ownership needs, and no more: there is one of these for every object of the cluster."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    deletionTimestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[OwnerReference, ...] = ()


class GraphObject(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, weakref=True):
    metadata: GraphMetadata = GraphMetadata()


@dataclass(slots=True, eq=False)
class Node:
    """One object. `namespace` of a virtual node is that of the dependent that named it: a guess when the owner is cluster-scoped."""

    uid: str
    api_version: str
    kind: str
    namespace: str
    name: str
    owners: tuple[OwnerReference, ...] = ()
    dependents: dict[str, Node] = field(default_factory=dict)
    is_virtual: bool = False
    is_deleting: bool = False
    is_deleting_dependents: bool = False

    def blocks(self, owner_uid: str) -> bool:
        """Whether this dependent holds up the foreground deletion of that owner."""
        return any(ref.uid == owner_uid and ref.blockOwnerDeletion for ref in self.owners)

    @property
    def blocking_dependents(self) -> list[Node]:
        return [dependent for dependent in self.dependents.values() if dependent.blocks(self.uid)]


@dataclass(slots=True)
class Work:
    """Uids to look at: objects that may have to be deleted, owners whose dependents are to be orphaned."""

    delete: list[str] = field(default_factory=list)
    orphan: list[str] = field(default_factory=list)


class Graph:
    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def observe(self, api_version: str, kind: str, metadata: GraphMetadata) -> Work:
        """An object was added or changed."""
        work = Work()
        node = self.nodes.get(metadata.uid)
        if node is None:
            node = Node(metadata.uid, api_version, kind, metadata.namespace, metadata.name)
            self.nodes[metadata.uid] = node
        elif node.is_virtual:
            # What dependents said of its identity may have been wrong; now it is known.
            node.is_virtual = False
            if (node.api_version, node.kind, node.namespace) != (api_version, kind, metadata.namespace):
                work.delete += [uid for uid in node.dependents if uid != node.uid]
            node.api_version, node.kind = api_version, kind
            node.namespace, node.name = metadata.namespace, metadata.name
        self._set_owners(node, metadata.ownerReferences, work)
        was_deleting, node.is_deleting = node.is_deleting, metadata.deletionTimestamp is not None
        if node.is_deleting:
            if ORPHAN in metadata.finalizers and not was_deleting:
                work.orphan.append(node.uid)
            if FOREGROUND in metadata.finalizers and not node.is_deleting_dependents:
                node.is_deleting_dependents = True
                work.delete += [*node.dependents, node.uid]
        return work

    def forget(self, uid: str) -> Work:
        """An object is gone: its dependents may have to follow, an owner may have waited for it."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return Work()
        work = Work(delete=list(node.dependents))
        for ref in node.owners:
            owner = self.nodes.get(ref.uid)
            if owner is None:
                continue
            owner.dependents.pop(uid, None)
            if owner.is_deleting_dependents:
                work.delete.append(owner.uid)
            elif owner.is_virtual and not owner.dependents:
                del self.nodes[owner.uid]
        if node.dependents:
            # They still name it. It stays as a virtual node, so that a dependent that is added later is looked at too.
            node.is_virtual, node.owners = True, ()
            node.is_deleting = node.is_deleting_dependents = False
            self.nodes[uid] = node
        return work

    def drop_virtual(self, uid: str) -> list[str]:
        """The owner does not exist: its dependents, to be looked at."""
        node = self.nodes.get(uid)
        return list(node.dependents) if node is not None and node.is_virtual else []

    def _set_owners(self, node: Node, owners: tuple[OwnerReference, ...], work: Work) -> None:
        if owners == node.owners:
            return
        before = {ref.uid: ref for ref in node.owners}
        after = {ref.uid: ref for ref in owners}
        node.owners = owners
        for uid, ref in after.items():
            if uid in before:
                if before[uid].blockOwnerDeletion and not ref.blockOwnerDeletion:
                    self._unblock(uid, work)
                continue
            owner = self.nodes.get(uid)
            if owner is None:
                owner = Node(uid, ref.apiVersion, ref.kind, node.namespace, ref.name, is_virtual=True)
                self.nodes[uid] = owner
            owner.dependents[node.uid] = node
            if owner.is_virtual:
                work.delete.append(uid)
            elif (ref.apiVersion.partition("/")[0], ref.kind, ref.name) != (
                owner.api_version.partition("/")[0], owner.kind, owner.name
            ) or (owner.namespace and owner.namespace != node.namespace):  # fmt: skip
                work.delete.append(node.uid)  # the reference does not fit the object of that uid
            elif owner.is_deleting_dependents:
                work.delete.append(node.uid)
        for uid in before.keys() - after.keys():
            owner = self.nodes.get(uid)
            if owner is None:
                continue
            owner.dependents.pop(node.uid, None)
            if owner.is_virtual and not owner.dependents:
                del self.nodes[uid]
            else:
                self._unblock(uid, work)
        if before.keys() - after.keys() and node.owners:
            work.delete.append(node.uid)

    def _unblock(self, owner_uid: str, work: Work) -> None:
        owner = self.nodes.get(owner_uid)
        if owner is not None and owner.is_deleting_dependents:
            work.delete.append(owner_uid)

    def uids_of(self, api_version: str, kind: str) -> Iterable[str]:
        return [n.uid for n in self.nodes.values() if n.kind == kind and n.api_version == api_version and not n.is_virtual]
