"""Flow control, certificate requests and API services: defaults, refusals, subresources."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from resource_factories import NOW, texts

from minikube_api.resources.resource import WriteContext

Body = dict[str, Any]
FLOW, CERTIFICATES, REGISTRATION = "flowcontrol.apiserver.k8s.io", "certificates.k8s.io", "apiregistration.k8s.io"


def rule(**fields: Any) -> Body:
    base = {
        "subjects": [{"kind": "User", "user": {"name": "u"}}],
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
    }
    return {**base, **fields}


def flow(name: str = "f", **spec: Any) -> Body:
    return {"metadata": {"name": name}, "spec": {"priorityLevelConfiguration": {"name": "p"}, "rules": [rule()], **spec}}


def level(name: str = "l", **spec: Any) -> Body:
    return {"metadata": {"name": name}, "spec": {"type": "Limited", **spec}}


def queue(**queuing: Any) -> Body:
    return {"limitResponse": {"type": "Queue", "queuing": queuing}}


@pytest.mark.parametrize(
    ("plural", "body", "expected"),
    [
        pytest.param("flowschemas", flow(), [], id="flow"),
        pytest.param(
            "flowschemas", flow(matchingPrecedence=1),
            ["spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"], id="first",
        ),
        pytest.param(
            "flowschemas", flow(rules=[rule(resourceRules=[])]),
            ["spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty"], id="no-rules",
        ),
        pytest.param(
            "flowschemas", flow(rules=[rule(nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": ["/a*", "/b/*", "c"]}])]),
            [
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "/a*": wildcard can only do suffix matching',
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: "c": must start with slash',
            ],
            id="urls",
        ),
        pytest.param(
            "flowschemas", flow(rules=[rule(subjects=[{"kind": "ServiceAccount", "serviceAccount": {"name": "*"}, "group": {}}])]),
            [
                "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account",
            ],
            id="subject",
        ),
        pytest.param("prioritylevelconfigurations", level(limited={"limitResponse": {"type": "Reject"}}), [], id="level"),
        pytest.param(
            "prioritylevelconfigurations", level("l", type="Exempt"),
            ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if `name` is 'exempt'"], id="exempt",
        ),
        pytest.param(
            "prioritylevelconfigurations", level(limited=queue(queues=4)),
            ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"], id="hand-size",
        ),
        pytest.param(
            "prioritylevelconfigurations", level(limited=queue(queues=512)),
            [
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 "
                "should not be greater than 60"
            ],
            id="entropy",
        ),
    ],
)  # fmt: skip
def test_flow_control_is_checked(kind, plural: str, body: Body, expected: list[str]):
    assert texts(kind(plural, FLOW).create(body)[1]) == expected


def test_the_mandatory_flow_control_objects_are_as_kubernetes_makes_them(kind):
    levels = kind("prioritylevelconfigurations", FLOW)
    fixed = {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}}
    assert levels.create(level("catch-all", limited=fixed))[1] == []
    [error] = levels.create(level("catch-all", limited={**fixed, "nominalConcurrencyShares": 6}))[1]
    assert error.message.endswith("spec of 'catch-all' must equal the fixed value")
    # printed as Go's internal type
    assert '{"Type":"Limited","Limited":{"NominalConcurrencyShares":' in error.message


def test_a_level_gets_its_shares_and_queues(kind):
    made, errors = kind("prioritylevelconfigurations", FLOW).create(level(limited=queue()))
    assert errors == []
    assert made["spec"]["limited"] == {
        "nominalConcurrencyShares": 30,
        "lendablePercent": 0,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
    }
    assert made["metadata"]["generation"] == 1


@pytest.fixture(scope="module")
def request_text() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def signing(text: str, **spec: Any) -> Body:
    base = {"request": text, "signerName": "example.com/s", "usages": ["client auth"]}
    return {"metadata": {"name": "c"}, "spec": {**base, **spec}}


def test_who_asks_for_a_certificate_is_the_servers_word(kind, request_text: str):
    strategy = kind("certificatesigningrequests", CERTIFICATES).strategy
    obj = signing(request_text, username="root", groups=["system:masters"], extra={"a": ["b"]})
    context = WriteContext(user="alice", now=NOW, uid="u-1", groups=("devs", "system:authenticated"))
    strategy.prepare_create(context, obj)
    assert obj["spec"] == signing(request_text)["spec"] | {
        "username": "alice",
        "uid": "u-1",
        "groups": ["devs", "system:authenticated"],
    }
    assert strategy.validate_create(context, obj) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"usages": []}, ["spec.usages: Required value"], id="no-usages"),
        pytest.param({"usages": ["any", "any"]}, ['spec.usages[1]: Duplicate value: "any"'], id="usage-twice"),
        pytest.param(
            {"signerName": "nosigner"},
            ["spec.signerName: Invalid value: \"nosigner\": must be a fully qualified domain and path of the form 'example.com/signer-name'"],
            id="no-path",
        ),
        pytest.param(
            {"signerName": "local/s"},
            ['spec.signerName: Invalid value: "local": should be a domain with at least two segments separated by dots'], id="one-label",
        ),
        pytest.param(
            {"signerName": "kubernetes.io/legacy-unknown"},
            ['spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version'],
            id="legacy",
        ),
        pytest.param(
            {"expirationSeconds": 599},
            ["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"], id="short",
        ),
        pytest.param({"request": "eA=="}, ['spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'], id="no-pem"),
    ],
)  # fmt: skip
def test_certificate_requests_are_checked(kind, request_text: str, spec: Body, expected: list[str]):
    assert texts(kind("certificatesigningrequests", CERTIFICATES).create(signing(request_text, **spec))[1]) == expected


def condition(kind_: str, status: str = "True") -> Body:
    return {"type": kind_, "status": status, "reason": "r"}


def test_an_approval_is_made_by_approval_alone_and_stays(kind, request_text: str):
    requests = kind("certificatesigningrequests", CERTIFICATES)
    made, _ = requests.create(signing(request_text))

    def changed(status: Body, old: Body, subresource: str):
        return requests.update({**copy.deepcopy(old), "status": copy.deepcopy(status)}, old, subresource)

    assert texts(changed({"conditions": [condition("Approved")]}, made, "status")[1]) == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]
    approved, errors = changed({"conditions": [condition("Approved")], "certificate": "eA=="}, made, "approval")
    assert errors == []
    assert approved["status"] == {"conditions": [condition("Approved") | _times()]}
    other = {**condition("Approved"), "reason": "other"}
    kept, errors = changed({"conditions": [condition("Odd", "Unknown"), other]}, approved, "status")
    assert errors == []
    assert [c["reason"] for c in kept["status"]["conditions"]] == ["r", "r"]
    assert texts(changed({}, approved, "approval")[1]) == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]
    both = [condition("Approved"), condition("Denied", "False")]
    assert texts(changed({"conditions": both}, approved, "approval")[1]) == [
        'status.conditions[1].status: Unsupported value: "False": supported values: "True"',
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
    ]
    bad = base64.b64encode(b"none").decode()
    assert texts(changed({**approved["status"], "certificate": bad}, approved, "status")[1]) == [
        'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block'
    ]


def _times() -> Body:
    return {"lastUpdateTime": NOW, "lastTransitionTime": NOW}


def api_service(name: str = "v1.example.com", **spec: Any) -> Body:
    base = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10}
    return {"metadata": {"name": name}, "spec": {**base, **spec}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(api_service(), [], id="local"),
        pytest.param(
            api_service("v2.example.com"),
            ['metadata.name: Invalid value: "v2.example.com": must be `spec.version+"."+spec.group`: "v1.example.com"'], id="name",
        ),
        pytest.param(
            api_service(caBundle="eHg=", groupPriorityMinimum=0),
            [
                'spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle',
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
            ],
            id="local-with-bundle",
        ),
        pytest.param(
            api_service(service={"name": "s", "port": 70000}, insecureSkipTLSVerify=True, caBundle="eHg="),
            [
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
                "spec.service.namespace: Required value",
                "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
            ],
            id="service",
        ),
    ],
)  # fmt: skip
def test_api_services_are_checked(kind, body: Body, expected: list[str]):
    assert texts(kind("apiservices", REGISTRATION).create(body)[1]) == expected


def test_a_local_api_service_is_available_at_once(kind):
    services = kind("apiservices", REGISTRATION)
    [condition_] = services.create(api_service())[0]["status"]["conditions"]
    assert (condition_["type"], condition_["status"], condition_["reason"]) == ("Available", "True", "Local")
    remote, _ = services.create(api_service(service={"name": "s", "namespace": "n"}))
    assert remote["status"] == {}
    assert remote["spec"]["service"]["port"] == 443
