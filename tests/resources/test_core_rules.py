"""Core kinds beside pods: how often a finding is a cause, events old and new, secrets by type, nodes."""

from __future__ import annotations

import base64
import copy

import pytest
from resource_factories import texts


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}


@pytest.mark.parametrize(
    ("plural", "body", "times"),
    [
        pytest.param("configmaps", {}, 3, id="configmap"),
        pytest.param("persistentvolumeclaims", CLAIM, 4, id="claim"),
        pytest.param("limitranges", {}, 2, id="limitrange"),
        pytest.param("resourcequotas", {}, 2, id="quota"),
        pytest.param("events", {"involvedObject": {"namespace": "ns"}}, 1, id="event"),
    ],
)
def test_a_bad_label_is_a_cause_as_often_as_kubernetes_looks(kind, plural, body, times):
    it = kind(plural)
    old, errors = it.create({"metadata": {"name": "x"}, **body})
    assert errors == []
    new = copy.deepcopy(old)
    new["metadata"]["labels"] = {"a": "-"}
    assert [e.path for e in it.update(new, old)[1]] == ["metadata.labels"] * times


def test_a_finalizer_without_domain_is_refused_by_the_kind_alone(kind):
    quotas = kind("resourcequotas")
    old, _ = quotas.create({"metadata": {"name": "x"}})
    new = copy.deepcopy(old)
    new["metadata"]["finalizers"] = ["mine"]
    assert [str(e) for e in quotas.update(new, old)[1]] == [
        'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param({"involvedObject": {"namespace": "ns"}}, [], id="old-form"),
        pytest.param(
            {"involvedObject": {"kind": "Node"}},
            ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
            id="of-no-namespace",
        ),
        pytest.param(
            {"involvedObject": {"namespace": "ns"}, "eventTime": "2026-01-02T03:04:05.000000Z", "reason": "r" * 129},
            [
                "action: Required value",
                'reason: Invalid value: "": can have at most 128 characters',
                'reportingComponent: Invalid value: "": name part must be non-empty',
                "reportingComponent: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and "
                "must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
                "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                "reportingComponent: Required value",
                "reportingInstance: Required value",
            ],
            id="new-form",
        ),
    ],
)
def test_core_events_are_checked_by_their_form(kind, event, expected):
    assert texts(kind("events").create({"metadata": {"name": "Any_Name"}, **event})[1]) == expected


def test_an_event_of_the_new_api_is_checked_in_full_and_keeps_what_it_says(kind):
    events = kind("events", "events.k8s.io")
    body = {
        "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "namespace": "ns"}, "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "c", "reportingInstance": "i", "action": "a", "reason": "r", "type": "Normal",
    }  # fmt: skip
    old, errors = events.create(body)
    assert errors == []
    assert texts(events.create({**body, "deprecatedCount": 3})[1]) == ['count: Invalid value: "": needs to be unset']
    changed = events.update({**old, "action": "b", "series": {"count": 1}}, old)[1]
    assert texts(changed) == [
        'action: Invalid value: "b": field is immutable',
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "unexpected end of JSON input", id="empty"),
        pytest.param("none", "invalid character 'o' in literal null (expecting 'u')", id="word"),
        pytest.param("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}", id="list"),
        pytest.param('{"a"}', "invalid character '}' after object key", id="object"),
    ],
)
def test_a_docker_configuration_must_be_a_json_object_and_is_never_repeated(kind, text, why):
    body = {"metadata": {"name": "s"}, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": _b64(text)}}
    assert texts(kind("secrets").create(body)[1]) == [
        f'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": {why}'
    ]


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("certificate", "key", "why"),
    [
        pytest.param("x", "y", "tls: failed to find any PEM data in certificate input", id="no-certificate"),
        pytest.param(CERTIFICATE, "y", "tls: failed to find any PEM data in key input", id="no-key"),
        pytest.param(
            KEY,
            CERTIFICATE,
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have "
            "been switched",
            id="switched",
        ),
        pytest.param(
            CERTIFICATE,
            CERTIFICATE,
            "tls: found a certificate rather than a key in the PEM for the private key",
            id="two-certificates",
        ),
        pytest.param(CERTIFICATE, KEY, "x509: malformed certificate", id="broken"),
    ],
)
def test_tls_secrets_that_can_not_work_are_warned_of(kind, certificate, key, why):
    secrets = kind("secrets")
    body = {"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {"tls.crt": _b64(certificate), "tls.key": _b64(key)}}
    made, errors = secrets.create(body)
    assert errors == []
    assert secrets.strategy.warnings(secrets.context(), made, None) == [why]


def test_a_node_checks_its_taints_and_addresses_again_on_update(kind):
    nodes = kind("nodes")
    old, _ = nodes.create({"metadata": {"name": "n"}})
    new = copy.deepcopy(old)
    taint = {"key": "k", "effect": "NoSchedule"}
    new["spec"]["taints"] = [taint, taint]
    errors = nodes.update(new, old)[1]
    assert [str(e) for e in errors] == [
        'spec.taints[1]: Duplicate value: {"Key":"k","Value":"","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by '
        "key and effect pair"
    ] * 2
    state = {"addresses": [{"type": "InternalIP", "address": "1.2.3.4"}] * 2, "capacity": {"pods": "1500m"}, "allocatable": {}}
    assert texts(nodes.update({**old, "status": state}, old, "status")[1]) == [
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.2.3.4"}',
        'status.capacity[pods]: Invalid value: "1500m": must be an integer',
    ]


def test_a_claims_frozen_spec_shows_what_would_change(kind):
    claims = kind("persistentvolumeclaims")
    old, _ = claims.create({"metadata": {"name": "c"}, **CLAIM})
    new = copy.deepcopy(old)
    new["spec"]["accessModes"] = ["ReadOnlyMany"]
    message = claims.update(new, old)[1][0].message
    assert message.endswith('@@ -1,6 +1,6 @@\n {\n   "AccessModes": [\n-    "ReadOnlyMany"\n+    "ReadWriteOnce"\n   ],\n'
                            '   "Selector": null,\n   "Resources": {\n')  # fmt: skip


def test_states_of_a_claims_resize_are_a_closed_set(kind):
    claims = kind("persistentvolumeclaims")
    old, _ = claims.create({"metadata": {"name": "c"}, **CLAIM})
    status = {
        "allocatedResourceStatuses": {"storage": "Odd", "cpu": "NodeResizePending"},
        "allocatedResources": {"storage": "-1"},
    }
    assert texts(claims.update({**old, "status": status}, old, "status")[1]) == [
        'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "storage"',
        'status.allocatedResourceStatus: Unsupported value: "storage": supported values: "ControllerResizeInProgress", '
        '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
        "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
    ]


def test_a_finding_about_the_whole_object_has_the_path_of_no_name(kind):
    errors = kind("configmaps").create({"metadata": {"name": "big"}, "data": {"a": "x" * (1024 * 1024 + 1)}})[1]
    assert [str(e) for e in errors] == ["[]: Too long: may not be more than 1048576 bytes"]
