"""Ownership of replicas moves through the scale subresource."""

from typing import Any

from minikube_api.schema import builtin, managed, managed_scale

T1, T2 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
PARENT = [
    {
        "manager": "m",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}},
    },
    {
        "manager": "other",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "time": T1,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}},
    },
]


def scale(replicas: int, entries: list[dict[str, Any]]) -> dict[str, Any]:
    meta = {"name": "d", "uid": "u", "managedFields": entries}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": meta, "spec": {"replicas": replicas}}


def through_scale(manager: str, replicas: int) -> list[dict[str, Any]]:
    before = scale(1, managed_scale.to_scale(PARENT))
    after = scale(replicas, before["metadata"]["managedFields"])
    writer = managed.Writer(
        manager=manager,
        api_version="autoscaling/v1",
        schema=builtin.load("autoscaling", "v1", "Scale"),
        now=T2,
        subresource="scale",
    )
    managed.on_update(before, after, writer)
    return managed_scale.to_parent(PARENT, after["metadata"].get("managedFields"), "apps/v1")


def test_scale_shows_owners_of_replicas_only() -> None:
    assert managed_scale.to_scale(PARENT) == [
        {**PARENT[0], "apiVersion": "autoscaling/v1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]


def test_scaling_takes_the_replicas_into_an_entry_without_time() -> None:
    entries = {(e["manager"], e.get("subresource")): e for e in through_scale("hpa", 3)}
    assert entries["m", None]["fieldsV1"] == {"f:spec": {"f:paused": {}}}
    assert entries["other", None] == PARENT[1]
    assert entries["hpa", "scale"] == {
        "manager": "hpa",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        "subresource": "scale",
    }


def test_scaling_to_the_same_number_moves_nothing() -> None:
    assert sorted(through_scale("hpa", 1), key=lambda e: e["manager"]) == PARENT
