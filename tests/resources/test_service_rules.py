"""Services: addresses and families, balancers, what a change of type takes away, warnings."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from resource_factories import texts

PORTS = [{"port": 80}]
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
MODE, HINTS = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"


def service(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s", "annotations": annotations or {}}, "spec": {"ports": PORTS, **spec}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(service(), [], id="plain"),
        pytest.param(
            service(type="LoadBalancer", ports=[{"port": 10250}]),
            [
                "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet",
            ],
            id="kubelets-port",
        ),
        pytest.param(
            service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "10.0.0.2"]),
            [
                'spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family',
            ],
            id="two-of-one-family",
        ),
        pytest.param(
            service(clusterIP="None", clusterIPs=["None", "10.0.0.2"]),
            ['spec.clusterIPs: Invalid value: ["None","10.0.0.2"]: \'None\' must be the first and only value'],
            id="none-and-more",
        ),
        pytest.param(
            service(clusterIP="fd00::1", ipFamilies=["IPv4"]),
            ['spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`'],
            id="of-another-family",
        ),
        pytest.param(
            service(type="LoadBalancer", loadBalancerSourceRanges=[" 10.0.0.0/8 ", "x"]),
            [
                'spec.LoadBalancerSourceRanges[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
                "2001:db8::/64)"
            ],
            id="ranges",
        ),
        pytest.param(
            service({RANGES: "10.0.0.0/8"}),
            [f"metadata.annotations[{RANGES}]: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            id="ranges-in-an-annotation",
        ),
        pytest.param(
            service({MODE: "Auto", HINTS: "Disabled"}),
            [
                f'metadata.annotations[{MODE}]: Invalid value: "Auto": must match annotations[{HINTS}] when both are specified',
            ],
            id="two-topology-annotations",
        ),
    ],
)
def test_services_are_refused_in_kubernetes_words(kind, body, expected):
    assert texts(kind("services").create(body)[1]) == expected


def test_only_balancers_have_a_balancers_status(kind):
    services = kind("services")
    plain, _ = services.create(service())
    balancer, _ = services.create(service(type="LoadBalancer"))
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}
    assert texts(services.update({**plain, "status": status}, plain, "status")[1]) == [
        "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    ]
    reached, errors = services.update({**balancer, "status": status}, balancer, "status")
    assert errors == []
    changed = copy.deepcopy(reached)
    changed["spec"]["type"] = "ClusterIP"
    assert services.update(changed, reached)[0]["status"] == {"loadBalancer": {}}


def test_the_port_of_health_checks_stays(kind):
    services = kind("services")
    old, errors = services.create(service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=31000))
    assert errors == []
    new = copy.deepcopy(old)
    new["spec"]["healthCheckNodePort"] = 31001
    assert texts(services.update(new, old)[1]) == [
        "spec.healthCheckNodePort: Invalid value: 31001: cannot change healthCheckNodePort on loadBalancer service with "
        "externalTraffic=Local during update"
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            service(type="ExternalName", externalName="a.example", externalIPs=["10.0.0.1"]),
            [
                'spec.externalIPs is ignored when spec.type is "ExternalName"',
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            ],
            id="external-name",
        ),
        pytest.param(
            service(clusterIP="None", sessionAffinity="ClientIP"),
            ["spec.SessionAffinity is ignored for headless services"],
            id="headless",
        ),
        pytest.param(
            service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.1/8"]),
            [
                'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" '
                'or "10.0.0.1/32"?)'
            ],
            id="range-of-an-address",
        ),
    ],
)
def test_odd_services_are_warned_of(kind, body, expected):
    services = kind("services")
    made, _ = services.create(body)
    assert services.strategy.warnings(services.context(), made, None) == expected
