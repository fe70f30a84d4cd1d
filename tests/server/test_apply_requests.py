"""Server-side apply through the API: versions of a kind, subresources, lists that clients send, creation."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.server.conftest import MAPS, MERGE, Api, config_map

APPLY = "application/apply-patch+yaml"
SCALERS = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}


def owners(obj: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    entries = obj["metadata"].get("managedFields") or ()
    return {(e["manager"], e["operation"], e["apiVersion"], e.get("subresource", "")): e["fieldsV1"] for e in entries}


def scaler(version: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec}


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def scaled(api: Api) -> str:
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    body = scaler("v2", maxReplicas=5, scaleTargetRef=TARGET, metrics=[cpu])
    await api.ok("PATCH", f"{SCALERS.format('v2')}/h?fieldManager=one", body, kind=APPLY)
    return f"{SCALERS.format('v1')}/h"


async def test_a_conflict_names_the_field_as_the_owners_version_has_it(api: Api, scaled: str) -> None:
    status, tree = await api("PATCH", f"{scaled}?fieldManager=two", scaler("v1", targetCPUUtilizationPercentage=60), kind=APPLY)
    assert (status, tree["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .spec.metrics')


async def test_applying_in_another_version_takes_out_what_is_not_named_there_any_more(api: Api, scaled: str) -> None:
    made = await api.ok("PATCH", f"{scaled}?fieldManager=one", scaler("v1", maxReplicas=7, scaleTargetRef=TARGET), kind=APPLY)
    assert made["spec"]["scaleTargetRef"] == TARGET
    # the metric is gone, the default is back
    assert made["spec"]["targetCPUUtilizationPercentage"] == 80
    # an atomic struct in v1
    assert owners(made) == {("one", "Apply", "autoscaling/v1", ""): {"f:spec": {"f:maxReplicas": {}, "f:scaleTargetRef": {}}}}


async def test_an_update_takes_fields_of_another_version_from_their_owner(api: Api, scaled: str) -> None:
    body = {"spec": {"targetCPUUtilizationPercentage": 60}}
    made = await api.ok("PATCH", f"{scaled}?fieldManager=three", body, kind=MERGE)
    assert "f:metrics" not in owners(made)["one", "Apply", "autoscaling/v2", ""]["f:spec"]
    assert owners(made)["three", "Update", "autoscaling/v1", ""] == {"f:spec": {"f:targetCPUUtilizationPercentage": {}}}


async def test_entries_that_hold_nothing_or_are_of_no_version_go_with_the_next_write(api: Api) -> None:
    def entry(manager: str, version: str, fields: Any) -> dict[str, Any]:
        return {"manager": manager, "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": fields}

    body = config_map("a", {"k": "v"})
    body["metadata"]["managedFields"] = [
        entry("empty", "v1", {}),
        entry("gone", "v9", {"f:data": {"f:z": {}}}),
        entry("kept", "v1", {"f:data": {"f:z": {}}}),
    ]
    made = await api.ok("POST", f"{MAPS}?fieldManager=me", body)
    assert {key[0] for key in owners(made)} == {"kept", "me"}


async def test_what_was_there_before_the_first_apply_of_a_subresource_is_owned_through_it(api: Api) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment("d"))
    await api.ok("PATCH", f"{DEPLOYMENTS}/d", {"metadata": {"managedFields": [{}]}}, kind=MERGE)
    await api.ok("PATCH", f"{DEPLOYMENTS}/d/status", {"status": {"replicas": 2}}, kind=MERGE)
    body = {**deployment("d"), "status": {"readyReplicas": 1}}
    made = await api.ok("PATCH", f"{DEPLOYMENTS}/d/status?fieldManager=m", body, kind=APPLY)
    assert owners(made) == {
        ("m", "Apply", "apps/v1", "status"): {"f:status": {"f:readyReplicas": {}}},
        ("before-first-apply", "Update", "apps/v1", "status"): {"f:status": {"f:replicas": {}}},
    }


async def test_who_makes_a_signing_request_owns_nothing_of_it(api: Api) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    key = ec.generate_private_key(ec.SECP256R1())
    pem = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    request = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    body = {
        "metadata": {"name": "r", "labels": {"a": "b"}},
        "spec": {"request": request, "signerName": "a.b/c", "usages": ["client auth"]},
    }
    made = await api.ok("POST", f"{path}?fieldManager=me", body)
    assert owners(made) == {("me", "Update", "certificates.k8s.io/v1", ""): {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}}
    condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
    made["status"] = {"conditions": [condition], "certificate": "eA=="}
    approved = await api.ok("PUT", f"{path}/r/approval?fieldManager=approver", made)
    owned = owners(approved)["approver", "Update", "certificates.k8s.io/v1", "approval"]
    assert set(owned["f:status"]) == {"f:conditions"}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        pytest.param({"replicas": 1.5}, "cannot convert float64 to int32", id="fraction"),
        pytest.param(
            {"template": {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "one"}}}]}}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="quantity",
        ),
    ],
)
async def test_what_has_the_schemas_types_but_no_go_value_fails_without_a_reason(api: Api, spec: Any, why: str) -> None:
    await api.ok("POST", DEPLOYMENTS, deployment("d"))
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    status, tree = await api("PATCH", f"{DEPLOYMENTS}/d?fieldManager=m&force=true", body, kind=APPLY)
    assert status == 500
    assert tree["message"] == f"failed to convert new object (/d; apps/v1, Kind=Deployment) to proper version: {why}"
