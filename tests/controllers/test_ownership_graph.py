from __future__ import annotations

import pytest

from minikube_api.schema.typed.meta_v1 import OwnerReference
from minikube_py.controllers.ownership import FOREGROUND, ORPHAN, Graph, GraphMetadata


def ref(uid: str, *, kind: str = "Deployment", block: bool = True) -> OwnerReference:
    return OwnerReference(apiVersion="apps/v1", kind=kind, name=uid, uid=uid, blockOwnerDeletion=block)


def meta(uid: str, *owners: OwnerReference, deleting: bool = False, finalizers: tuple[str, ...] = ()) -> GraphMetadata:
    return GraphMetadata(
        name=uid,
        namespace="default",
        uid=uid,
        ownerReferences=owners,
        finalizers=finalizers,
        deletionTimestamp="2024-01-01T00:00:00Z" if deleting else None,
    )


@pytest.fixture
def graph() -> Graph:
    return Graph()


def observe(graph: Graph, metadata: GraphMetadata, kind: str = "Deployment"):
    return graph.observe("apps/v1", kind, metadata)


def test_a_gone_owner_leads_to_its_dependents(graph):
    observe(graph, meta("owner"))
    observe(graph, meta("child", ref("owner")), "ReplicaSet")
    assert graph.forget("owner").delete == ["child"]


def test_an_owner_never_seen_is_looked_up(graph):
    work = observe(graph, meta("child", ref("owner")), "ReplicaSet")
    assert work.delete == ["owner"] and graph.nodes["owner"].is_virtual
    assert graph.drop_virtual("owner") == ["child"]
    observe(graph, meta("owner"))
    assert not graph.nodes["owner"].is_virtual and graph.drop_virtual("owner") == []


def test_a_child_that_comes_after_its_owner_went_is_looked_at(graph):
    observe(graph, meta("owner"))
    observe(graph, meta("first", ref("owner")), "ReplicaSet")
    graph.forget("owner")
    assert "owner" in observe(graph, meta("second", ref("owner")), "ReplicaSet").delete


def test_virtual_owners_go_with_their_last_dependent(graph):
    observe(graph, meta("child", ref("owner")), "ReplicaSet")
    graph.forget("child")
    assert graph.nodes == {}


def test_foreground_deletion_leads_to_the_dependents_and_waits_for_the_blocking_ones(graph):
    observe(graph, meta("owner"))
    observe(graph, meta("blocking", ref("owner")), "ReplicaSet")
    observe(graph, meta("free", ref("owner", block=False)), "ReplicaSet")
    work = observe(graph, meta("owner", deleting=True, finalizers=(FOREGROUND,)))
    assert set(work.delete) == {"blocking", "free", "owner"}
    assert [n.uid for n in graph.nodes["owner"].blocking_dependents] == ["blocking"]
    assert "owner" in graph.forget("blocking").delete
    assert graph.nodes["owner"].blocking_dependents == []


def test_a_dependent_that_no_longer_blocks_lets_its_owner_be_looked_at(graph):
    observe(graph, meta("owner"))
    observe(graph, meta("child", ref("owner")), "ReplicaSet")
    observe(graph, meta("owner", deleting=True, finalizers=(FOREGROUND,)))
    assert "owner" in observe(graph, meta("child", ref("owner", block=False)), "ReplicaSet").delete


def test_orphaning_is_asked_for_once(graph):
    observe(graph, meta("owner"))
    deleting = meta("owner", deleting=True, finalizers=(ORPHAN,))
    assert observe(graph, deleting).orphan == ["owner"]
    assert observe(graph, deleting).orphan == []


def test_a_dropped_reference_unlinks(graph):
    observe(graph, meta("owner"))
    observe(graph, meta("child", ref("owner")), "ReplicaSet")
    observe(graph, meta("child"), "ReplicaSet")
    assert graph.nodes["owner"].dependents == {}
    assert graph.forget("owner").delete == []


def test_a_reference_that_does_not_fit_the_object_of_its_uid_is_looked_at(graph):
    observe(graph, meta("owner"))
    work = observe(graph, meta("child", ref("owner", kind="StatefulSet")), "ReplicaSet")
    assert work.delete == ["child"]
