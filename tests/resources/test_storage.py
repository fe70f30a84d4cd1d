"""Volumes, claims and the kinds of storage.k8s.io: defaults, refusals, what may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from resource_factories import NOW, texts

STORAGE = "storage.k8s.io"
Body = dict[str, Any]


def volume(**spec: Any) -> Body:
    base = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
    return {"metadata": {"name": "v"}, "spec": {k: v for k, v in {**base, **spec}.items() if v is not None}}


def claim(**spec: Any) -> Body:
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": "c"}, "spec": {k: v for k, v in {**base, **spec}.items() if v is not None}}


def attachment(**source: Any) -> Body:
    return {"metadata": {"name": "a"}, "spec": {"attacher": "csi.example.com", "nodeName": "n", "source": source}}


def named(name: str = "x", **fields: Any) -> Body:
    return {"metadata": {"name": name}, **fields}


def test_a_volume_gets_its_defaults_and_starts_pending(kind):
    made, errors = kind("persistentvolumes").create(volume())
    assert errors == []
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["spec"]["volumeMode"] == "Filesystem"
    assert made["spec"]["hostPath"] == {"path": "/data", "type": ""}
    assert made["status"] == {"phase": "Pending", "lastPhaseTransitionTime": NOW}


CSI = {"driver": "csi.example.com", "volumeHandle": "h"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            volume(capacity=None),
            ["spec.capacity: Required value", 'spec.capacity: Unsupported value: null: supported values: "storage"'],
            id="no-capacity",
        ),
        pytest.param(
            volume(capacity={"storage": "-5"}),
            [
                'spec.capacity[storage]: Invalid value: "-5": must be greater than zero',
                "spec.capacity[storage]: Invalid value: -5: must be a valid resource quantity",
            ],
            id="negative-capacity",
        ),
        pytest.param(volume(hostPath=None), ["spec: Required value: must specify a volume type"], id="no-source"),
        pytest.param(
            volume(nfs={"server": "s", "path": "/"}),
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
            id="two-sources",
        ),
        pytest.param(
            volume(hostPath=None, local={"path": "/a/../b"}),
            [
                "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ],
            id="local",
        ),
        pytest.param(
            volume(hostPath={"path": "/"}, persistentVolumeReclaimPolicy="Recycle"),
            ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
            id="recycled-root",
        ),
        pytest.param(
            volume(hostPath=None, csi={"driver": "", "nodeStageSecretRef": {"name": "s"}}),
            [
                "spec.csi.driver: Required value",
                "spec.csi.nodeStageSecretRef.namespace: Required value",
                "spec.csi.volumeHandle: Required value",
            ],
            id="csi",
        ),
        pytest.param(
            volume(accessModes=["ReadWriteOncePod", "Sometimes"]),
            [
                "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
                'spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", '
                '"ReadWriteOnce", "ReadWriteOncePod"',
            ],
            id="modes",
        ),
    ],
)
def test_volumes_are_checked(kind, body: Body, expected: list[str]):
    assert texts(kind("persistentvolumes").create(body)[1]) == sorted(expected)


def test_a_volumes_source_stays_but_for_the_expansion_secret(kind):
    volumes = kind("persistentvolumes")
    made, errors = volumes.create(volume(hostPath=None, csi=CSI))
    assert errors == []
    new = copy.deepcopy(made)
    new["spec"]["csi"]["controllerExpandSecretRef"] = {"name": "s", "namespace": "n"}
    assert volumes.update(new, made)[1] == []
    new["spec"]["csi"]["volumeHandle"] = "other"
    assert [e.path for e in volumes.update(new, made)[1]] == ["spec.persistentvolumesource"]


def test_a_claim_grows_when_bound_and_shrinks_no_further_than_its_capacity(kind):
    claims = kind("persistentvolumeclaims")
    made, errors = claims.create(claim())
    assert errors == []

    def findings(size: str, old: Body) -> list[str]:
        new = copy.deepcopy(old)
        new["spec"]["resources"]["requests"]["storage"] = size
        return [f"{e.reason} {e.path}" for e in claims.update(new, old)[1]]

    assert findings("2Gi", made) == ["FieldValueForbidden spec"]
    bound = {**made, "status": {"phase": "Bound", "capacity": {"storage": "512Mi"}}}
    assert findings("2Gi", bound) == []
    assert findings("768Mi", bound) == []
    assert findings("512Mi", bound) == ["FieldValueForbidden spec.resources.requests.storage"]


def test_a_claim_may_get_the_default_class_later_and_no_other(kind):
    claims = kind("persistentvolumeclaims")
    made, _ = claims.create(claim())
    new = copy.deepcopy(made)
    new["spec"]["storageClassName"] = "fast"
    assert claims.update(new, made)[1] == []
    other = copy.deepcopy(new)
    other["spec"]["storageClassName"] = "slow"
    assert [e.path for e in claims.update(other, new)[1]] == ["spec"]


def test_old_names_and_fractions_of_bytes_are_warned_of(kind):
    claims, volumes = kind("persistentvolumeclaims"), kind("persistentvolumes")
    body = claim(resources={"requests": {"storage": "1500m"}})
    assert claims.strategy.warnings(claims.context(), body, None) == [
        'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer'
    ]
    body = volume(hostPath=None, rbd={"monitors": ["m"], "image": "i"})
    assert volumes.strategy.warnings(volumes.context(), body, None) == ["spec.rbd: deprecated in v1.28, non-functional in v1.31+"]


@pytest.mark.parametrize(
    ("plural", "body", "expected"),
    [
        pytest.param(
            "storageclasses",
            named(provisioner="p", allowedTopologies=[{"matchLabelExpressions": [{"key": "z", "values": ["a"]}]}] * 2),
            ['allowedTopologies[1].matchLabelExpressions: Duplicate value: ""'],
            id="same-topology-twice",
        ),
        pytest.param(
            "volumeattributesclasses", named(driverName="d.example.com"),
            ["parameters: Required value: must contain at least one key/value pair"], id="attributes-without-parameters",
        ),
        pytest.param(
            "volumeattachments", attachment(),
            ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"], id="no-source",
        ),
        pytest.param(
            "volumeattachments", attachment(persistentVolumeName="Bad"),
            [
                'spec.source.persistentVolumeName: Invalid value: "Bad": a lowercase RFC 1123 subdomain must consist of lower case '
                "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
                "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ],
            id="bad-volume-name",
        ),
        pytest.param(
            "volumeattachments", attachment(inlineVolumeSpec={"accessModes": ["ReadWriteOnce"], "csi": CSI, "volumeMode": "Block"}),
            ["spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not be specified in the context of inline volumes"], id="inline",
        ),
        pytest.param(
            "csinodes", named(spec={"drivers": [{"name": "d.example.com", "nodeID": "n" * 193}]}),
            [f'spec.drivers[0].nodeID: Invalid value: "{"n" * 193}": must be 192 characters or less'], id="long-node-id",
        ),
        pytest.param(
            "csistoragecapacities", named(storageClassName="c", capacity="-1"),
            ['capacity: Invalid value: "-1": must be greater than or equal to 0'], id="negative-capacity",
        ),
        pytest.param(
            "csidrivers", named("d.example.com", spec={"tokenRequests": [{"audience": "a", "expirationSeconds": 60}]}),
            ["spec.tokenRequests[0].expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes"],
            id="short-token",
        ),
    ],
)  # fmt: skip
def test_storage_kinds_are_checked(kind, plural: str, body: Body, expected: list[str]):
    assert texts(kind(plural, STORAGE).create(body)[1]) == expected


@pytest.mark.parametrize(
    ("plural", "body", "change", "expected"),
    [
        pytest.param("storageclasses", named(provisioner="p"), {"reclaimPolicy": "Retain"},
                     ['reclaimPolicy: Invalid value: "Retain": field is immutable'], id="class"),
        pytest.param("storageclasses", named(provisioner="p"), {"allowVolumeExpansion": True}, [], id="class-expansion"),
        pytest.param("volumeattributesclasses", named(driverName="d", parameters={"a": "b"}), {"parameters": {"a": "c"}},
                     ["parameters: Forbidden: updates to parameters are forbidden."], id="attributes"),
        pytest.param("csistoragecapacities", named(storageClassName="a"), {"storageClassName": "b"},
                     ['storageClassName: Invalid value: "b": field is immutable'], id="capacity-class"),
        pytest.param("csinodes", named(spec={"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 1}}]}),
                     {"spec": {"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 2}}]}}, [], id="node-driver-count"),
    ],
)  # fmt: skip
def test_what_an_update_of_a_storage_kind_may_change(kind, plural: str, body: Body, change: Body, expected: list[str]):
    kinds = kind(plural, STORAGE)
    made, errors = kinds.create(body)
    assert errors == []
    assert texts(kinds.update({**made, **change}, made)[1]) == expected


def test_an_attachment_keeps_its_spec_and_reports_status_apart(kind):
    attachments = kind("volumeattachments", STORAGE)
    made, errors = attachments.create(attachment(persistentVolumeName="v") | {"status": {"attached": True}})
    assert errors == []
    assert made["status"] == {"attached": False}
    other = copy.deepcopy(made)
    other["spec"]["nodeName"] = "m"
    assert [e.path for e in attachments.update(other, made)[1]] == ["spec"]
    attached, errors = attachments.update({**other, "status": {"attached": True}}, made, "status")
    assert (attached["spec"], attached["status"], errors) == (made["spec"], {"attached": True}, [])


def test_a_drivers_generation_counts_what_nodes_must_know(kind):
    drivers = kind("csidrivers", STORAGE)
    made, errors = drivers.create(named("d.example.com", spec={}))
    assert errors == []
    assert "generation" not in made["metadata"]
    new = copy.deepcopy(made)
    new["spec"]["requiresRepublish"] = True
    assert drivers.update(new, made)[0]["metadata"]["generation"] == 1
    new = copy.deepcopy(made)
    new["spec"]["podInfoOnMount"] = True
    assert "generation" not in drivers.update(new, made)[0]["metadata"]
