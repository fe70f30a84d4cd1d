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
