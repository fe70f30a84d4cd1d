"""Networking, coordination, scheduling, storage: refusals in Kubernetes' words, dropped fields, warnings of lenient addresses."""

from __future__ import annotations

from typing import Any

import pytest
from resource_factories import NOW, texts

from minikube_api.resources import addresses
from minikube_api.resources.resource import WriteContext

Body = dict[str, Any]
NETWORKING = "networking.k8s.io"


def named(name: str, **fields: Any) -> Body:
    return {"metadata": {"name": name}, **fields}


def policy(**rule: Any) -> Body:
    return named("n", spec={"podSelector": {}, "ingress": [rule]})


def ingress(**path: Any) -> Body:
    backend = {"service": {"name": "a", "port": {"number": 80}}}
    return named("i", spec={"rules": [{"http": {"paths": [{"pathType": "Prefix", "path": "/", "backend": backend, **path}]}}]})


CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
RULE = "spec.ingress[0]"


@pytest.mark.parametrize(
    ("plural", "group", "body", "expected"),
    [
        pytest.param(
            "networkpolicies", NETWORKING, policy(ports=[{"protocol": "ICMP", "port": 80}]),
            [f'{RULE}.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"'], id="policy-protocol",
        ),
        pytest.param(
            "networkpolicies", NETWORKING, policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/24", "x"]}}]}),
            [
                f'{RULE}.from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/24": must be a strict subset of `cidr`',
                f'{RULE}.from[0].ipBlock.except[1]: Invalid value: "x": {CIDR}',
            ],
            id="policy-except",
        ),
        pytest.param(
            "networkpolicies", NETWORKING, named("n", spec={"podSelector": {}, "policyTypes": ["Both"]}),
            ['spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"'], id="policy-type",
        ),
        pytest.param(
            "ingresses", NETWORKING, ingress(backend={"resource": {"name": "r"}}),
            ["spec.rules[0].http.paths[0].backend.resource.kind: Required value: kind is required"], id="ingress-resource",
        ),
        pytest.param(
            "ingressclasses", NETWORKING,
            named("c", spec={"controller": "a.b/c d", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}),
            [
                "spec.controller: Invalid value: \"c d\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
                "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
            ],
            id="ingress-class",
        ),
        pytest.param(
            "servicecidrs", NETWORKING, named("s", spec={"cidrs": ["10.0.0.5/24"]}),
            ['spec.cidrs[0]: Invalid value: "10.0.0.5/24": must not have bits set beyond the prefix length'], id="service-cidr-bits",
        ),
        pytest.param(
            "servicecidrs", NETWORKING, named("s", spec={"cidrs": ["10.0.0.0/24", "10.0.1.0/24"]}),
            [
                'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/24","10.0.1.0/24"]}: may specify no more than one IP for each IP family, '
                "i.e 192.168.0.0/24 and 2001:db8::/64"
            ],
            id="service-cidr-families",
        ),
        pytest.param(
            "ipaddresses", NETWORKING, named("010.0.0.1", spec={"parentRef": {"resource": "services", "name": "a"}}),
            ['metadata.name: Invalid value: "010.0.0.1": must not have leading 0s'], id="ip-address-zeros",
        ),
        pytest.param(
            "leases", "coordination.k8s.io", named("l", spec={"leaseDurationSeconds": 0, "strategy": "Odd", "preferredHolder": "x"}),
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"], id="lease-without-the-fields-of-a-feature-that-is-off",
        ),
        pytest.param(
            "runtimeclasses", "node.k8s.io",
            named("r", handler="h", scheduling={"tolerations": [{"key": "a", "operator": "Exists"}] * 2}),
            [
                'scheduling.tolerations[1]: Duplicate value: {"Key":"a","Operator":"Exists","Value":"","Effect":"",'
                '"TolerationSeconds":null}'
            ],
            id="runtime-class-tolerations",
        ),
    ],
)  # fmt: skip
def test_a_bad_object_of_a_small_kind_is_refused(kind, plural, group, body, expected):
    assert texts(kind(plural, group).create(body)[1]) == sorted(expected)


@pytest.mark.parametrize(
    ("plural", "group", "body", "status", "expected"),
    [
        pytest.param(
            "ingresses", NETWORKING, ingress(), {"loadBalancer": {"ingress": [{"ip": "nope"}, {"hostname": "1.2.3.4"}]}},
            [
                'status.loadBalancer.ingress[0].ip: Invalid value: "nope": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
                'status.loadBalancer.ingress[1].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
            ],
            id="ingress",
        ),
        pytest.param(
            "poddisruptionbudgets", "policy", named("b", spec={}), {"conditions": [{"type": "T", "status": "Maybe", "reason": "9"}, {}]},
            [
                "status.conditions[0].lastTransitionTime: Required value: must be set",
                'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
                'status.conditions[1].status: Unsupported value: "": supported values: "False", "True", "Unknown"',
            ],
            id="budget",
        ),
    ],
)  # fmt: skip
def test_a_bad_status_of_a_small_kind_is_refused(kind, plural, group, body, status, expected):
    found = kind(plural, group)
    made, _ = found.create(body)
    errors = texts(found.update({**made, "status": status}, made, "status")[1])
    assert set(expected) <= set(errors)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(["10.0.0.0/24"], ["10.0.0.0/24", "fd00::/112"], [], id="second-family"),
        pytest.param(
            ["10.0.0.0/24"], ["10.9.0.5/24"], ['spec.cidrs[0]: Invalid value: "10.9.0.5/24": field is immutable'], id="other"
        ),
        pytest.param(["10.0.0.0/24"], [], ["spec.cidrs: Invalid value: null: field is immutable"], id="none"),
        pytest.param(["10.0.0.5/24"], ["10.0.0.5/24"], [], id="old-form-may-stay"),
    ],
)
def test_a_service_cidr_may_only_gain_the_other_family(kind, old, new, expected):
    ranges = kind("servicecidrs", NETWORKING)
    was = ranges.create(named("s", spec={"cidrs": old}))[0]
    assert texts(ranges.update({**was, "spec": {"cidrs": new}}, was)[1]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("10.0.0.0/8", [], id="fine"),
        pytest.param("2001:db8::/64", [], id="fine-6"),
        pytest.param(
            "10.0.0.5/24",
            ['p: CIDR value "10.0.0.5/24" is ambiguous in this context (should be "10.0.0.0/24" or "10.0.0.5/32"?)'],
            id="bits",
        ),
        pytest.param(
            "010.0.0.0/8",
            [
                'p: non-standard CIDR value "010.0.0.0/8" will be considered invalid in a future Kubernetes release: use "10.0.0.0/8"'
            ],
            id="zeros",
        ),
        pytest.param(
            "2001:DB8::/64",
            ['p: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format ("2001:db8::/64")'],
            id="case",
        ),
        pytest.param("nope", [], id="refused-elsewhere"),
    ],
)
def test_a_lenient_range_is_warned_of(value, expected):
    assert addresses.cidr_warnings(value, "p") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("10.0.0.1", [], id="fine"),
        pytest.param(
            "::ffff:10.0.0.1",
            [
                'p: non-standard IP address "::ffff:10.0.0.1" will be considered invalid in a future Kubernetes release: use "10.0.0.1"'
            ],
            id="mapped",
        ),
        pytest.param("FD00::1", ['p: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")'], id="case"),
    ],
)
def test_a_lenient_address_is_warned_of(value, expected):
    assert addresses.ip_warnings(value, "p") == expected


def test_network_policies_warn_of_each_ambiguous_block(kind):
    found = kind("networkpolicies", NETWORKING)
    body, errors = found.create(policy(**{"from": [{"ipBlock": {"cidr": "10.0.0.5/24", "except": ["10.0.0.130/25"]}}]}))
    assert errors == []
    warned = found.strategy.warnings(WriteContext(user="u", now=NOW), body, None)
    assert [text.split(":")[0] for text in warned] == [f"{RULE}.from[0].ipBlock.cidr", f"{RULE}.from[0].ipBlock.except[0]"]


def webhook(**hook: Any) -> Body:
    config = {"url": "https://a.b"}
    whole = {"name": "a.b.c", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"], **hook}
    return named("w", webhooks=[whole])


FORM = "; desired format: https://host[/path]"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://a.b:8443/x", [], id="fine"),
        pytest.param("https://[::1]:8443/x", [], id="fine-6"),
        pytest.param("https://u:p@a.b/x", ['Invalid value: "u:p": user information is not permitted in the URL'], id="user"),
        pytest.param("https://u@/x", [
            f'Invalid value: "": host must be specified{FORM}', 'Invalid value: "u": user information is not permitted in the URL',
        ], id="no-host"),
        pytest.param("https://a:x/", [
            f'Required value: url must be a valid URL: parse "https://a:x/": invalid port ":x" after host{FORM}'], id="port"),
    ],
)  # fmt: skip
def test_a_webhooks_url_is_checked(kind, url, expected):
    _, errors = kind("validatingwebhookconfigurations", "admissionregistration.k8s.io").create(webhook(clientConfig={"url": url}))
    assert texts(errors) == [f"webhooks[0].clientConfig.url: {text}" for text in expected]


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        pytest.param("replicas", False, id="fine"),
        pytest.param("in", True, id="operator"),
        pytest.param("namespace", True, id="reserved"),
        pytest.param("größe", True, id="not-ascii"),
    ],
)
def test_variables_of_a_policy_are_cel_identifiers(kind, name, refused):
    rules = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": "true"}],
        "variables": [{"name": name, "expression": "1"}],
    }
    _, errors = kind("validatingadmissionpolicies", "admissionregistration.k8s.io").create(named("p", spec=spec))
    assert texts(errors) == [f'spec.variables[0].name: Invalid value: "{name}": name is not a valid CEL identifier'] * refused


@pytest.mark.parametrize(
    ("plural", "body", "expected"),
    [
        pytest.param(
            "resourceclaims",
            named("c", spec={"devices": {"requests": [{"name": "a", "firstAvailable": [{"name": "x", "deviceClassName": "c"}] * 2}]}}),
            ['spec.devices.requests[0].firstAvailable[1]: Duplicate value: "x"'], id="subrequests",
        ),
        pytest.param(
            "deviceclasses", named("c", spec={"extendedResourceName": "kubernetes.io/x"}),
            ['spec.extendedResourceName: Invalid value: "kubernetes.io/x": must be a valid extended resource name'], id="extended-resource",
        ),
        pytest.param("deviceclasses", named("c", spec={"extendedResourceName": "example.com/gpu"}), [], id="good-extended-resource"),
    ],
)  # fmt: skip
def test_device_requests_are_checked(kind, plural, body, expected):
    assert texts(kind(plural, "resource.k8s.io").create(body)[1]) == expected


def endpoint_slice(**endpoint: Any) -> Body:
    return named("e", addressType="IPv4", ports=[], endpoints=[{"addresses": ["10.0.0.1"], **endpoint}])


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        pytest.param({"forZones": [{"name": "a"}], "forNodes": [{"name": "n"}]}, [], id="fine"),
        pytest.param({"forZones": [{"name": "a"}] * 2}, ['forZones[1].name: Duplicate value: "a"'], id="twice"),
        pytest.param(
            {"forZones": [{"name": str(i)} for i in range(9)]}, ["forZones: Too many: 9: must have at most 8 items"], id="many"
        ),
    ],
)
def test_hints_of_endpoints_are_checked(kind, hints, expected):
    _, errors = kind("endpointslices", "discovery.k8s.io").create(endpoint_slice(hints=hints))
    assert texts(errors) == [f"endpoints[0].hints.{text}" for text in expected]


def test_a_capacitys_topology_may_not_turn_from_nowhere_to_everywhere(kind):
    capacities = kind("csistoragecapacities", "storage.k8s.io")
    old, errors = capacities.create(named("c", storageClassName="s"))
    assert errors == []
    assert texts(capacities.update({**old, "nodeTopology": {}}, old)[1]) == [
        "nodeTopology: Invalid value: {}: field is immutable"
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("b.c.", [], id="final-dot"),
        pytest.param("", ["Required value"], id="empty"),
        pytest.param(
            "a", ['Invalid value: "a": should be a domain with at least two segments separated by dots'], id="one-label"
        ),
        pytest.param("a" * 64 + ".b", [f'Invalid value: "{"a" * 64}": must be no more than 63 characters'], id="long-label"),
    ],
)
def test_names_of_endpoints_are_whole_domains(kind, address, expected):
    body = named("e", addressType="FQDN", ports=[], endpoints=[{"addresses": [address]}])
    _, errors = kind("endpointslices", "discovery.k8s.io").create(body)
    assert texts(errors) == [f"endpoints[0].addresses[0]: {text}" for text in expected]


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param({"key": "a.b/c", "value": "v", "effect": "NoExecute"}, [], id="equal-by-default"),
        pytest.param(
            {"operator": "Exists", "value": "v"}, ['value: Invalid value: "v": must be empty for operator `Exists`'], id="exists"
        ),
        pytest.param(
            {"operator": "Odd", "effect": "Some"},
            [
                'effect: Unsupported value: "Some": supported values: "NoSchedule", "NoExecute"',
                'operator: Unsupported value: "Odd": supported values: "Exists", "Equal"',
            ],
            id="unknown",
        ),
    ],
)
def test_tolerations_of_device_requests_are_checked(kind, toleration, expected):
    request = {"name": "a", "exactly": {"deviceClassName": "c", "tolerations": [toleration]}}
    _, errors = kind("resourceclaims", "resource.k8s.io").create(named("c", spec={"devices": {"requests": [request]}}))
    assert texts(errors) == [f"spec.devices.requests[0].exactly.tolerations[0].{text}" for text in expected]


def test_parameters_are_printed_in_the_order_of_their_names(kind):
    classes = kind("storageclasses", "storage.k8s.io")
    old, errors = classes.create(named("c", provisioner="a/b", parameters={"a": "1"}))
    assert errors == []
    changed = texts(classes.update({**old, "parameters": {"b": "2", "a": "1"}}, old)[1])
    assert changed == ['parameters: Invalid value: {"a":"1","b":"2"}: field is immutable']
