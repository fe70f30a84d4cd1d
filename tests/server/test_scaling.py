"""The scale subresource: replicas change through it, and whose they are is kept with the parent."""

from __future__ import annotations

import pytest

from tests.server.conftest import MERGE

SETS = "/apis/apps/v1/namespaces/default/statefulsets"
LABELS = {"app": "db"}
DB = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "db"},
    "spec": {
        "serviceName": "db",
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


@pytest.fixture
async def db(api):
    assert (await api("POST", SETS, DB))[0] == 201
    return f"{SETS}/db"


async def test_a_scale_changes_the_parents_replicas_and_generation(api, db):
    status, scale = await api("PATCH", f"{db}/scale", {"spec": {"replicas": 5}}, kind=MERGE)
    assert (status, scale["kind"], scale["spec"]["replicas"]) == (200, "Scale", 5)
    _, parent = await api("GET", db)
    assert (parent["spec"]["replicas"], parent["metadata"]["generation"]) == (5, 2)


async def test_who_scales_owns_the_replicas_without_a_time(api, db):
    await api("PATCH", f"{db}/scale", {"spec": {"replicas": 5}}, kind=MERGE)
    _, parent = await api("GET", db)
    (entry,) = [e for e in parent["metadata"]["managedFields"] if e.get("subresource") == "scale"]
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "time" not in entry
    (creator,) = [e for e in parent["metadata"]["managedFields"] if "subresource" not in e]
    assert "f:replicas" not in creator["fieldsV1"]["f:spec"]
    assert creator["time"]


async def test_a_negative_scale_is_refused(api, db):
    status, answer = await api("PATCH", f"{db}/scale", {"spec": {"replicas": -1}}, kind=MERGE)
    assert (status, answer["reason"]) == (422, "Invalid")


APPLY = "application/apply-patch+yaml"


def scale(replicas: int, **meta: str) -> dict:
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "db", **meta}, "spec": {"replicas": replicas}}


async def test_applying_a_scale_meets_the_owners_of_the_replicas_and_owns_them_when_forced(api, db):
    await api("PATCH", f"{db}/scale?fieldManager=hpa", {"spec": {"replicas": 5}}, kind=MERGE)
    status, answer = await api("PATCH", f"{db}/scale?fieldManager=me", scale(3), kind=APPLY)
    assert (status, answer["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using autoscaling/v1: .spec.replicas',
    )
    await api("PATCH", f"{db}/scale?fieldManager=me&force=true", scale(3), kind=APPLY)
    _, parent = await api("GET", db)
    assert parent["spec"]["replicas"] == 3
    entries = [e for e in parent["metadata"]["managedFields"] if e.get("subresource") == "scale"]
    assert [(e["manager"], e["operation"], e["apiVersion"], e["fieldsV1"]) for e in entries] == [
        ("me", "Apply", "apps/v1", {"f:spec": {"f:replicas": {}}})
    ]


async def test_an_apply_of_the_parent_conflicts_with_who_scaled(api, db):
    await api("PATCH", f"{db}/scale?fieldManager=hpa", {"spec": {"replicas": 5}}, kind=MERGE)
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"replicas": 2}}
    status, answer = await api("PATCH", f"{db}?fieldManager=me", body, kind=APPLY)
    assert status == 409
    assert 'conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas' in answer["message"]


@pytest.mark.parametrize(
    ("meta", "status", "message"),
    [
        pytest.param({"uid": "x"}, 409, "Precondition failed: UID in precondition: x, UID in object meta: ", id="uid"),
        pytest.param({"resourceVersion": "1"}, 409, "the object has been modified", id="revision"),
        pytest.param({"name": "other"}, 400, "the name of the object (other) does not match the name on the URL (db)", id="name"),
    ],
)
async def test_a_scale_of_another_object_or_state_is_refused(api, db, meta, status, message):
    for method, kind in (("PUT", "application/json"), ("PATCH", MERGE)):
        got, answer = await api(method, f"{db}/scale", scale(4, **meta), kind=kind)
        assert (got, message in answer["message"]) == (status, True), answer
