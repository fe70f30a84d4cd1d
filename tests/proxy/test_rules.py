"""Which endpoints a node uses for which traffic."""

from __future__ import annotations

import pytest

from minikube_agents.proxy.rules import NodeInfo, Target, plan
from minikube_api.schema.typed.core_v1 import Service, ServicePort, ServiceSpec
from minikube_api.schema.typed.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
    ForZone,
)
from minikube_api.schema.typed.meta_v1 import ObjectMeta

NODE = NodeInfo("n1", "z1")


def service(**spec):
    spec = {"clusterIP": "10.96.0.9", "clusterIPs": ("10.96.0.9",), "type": "ClusterIP"} | spec
    ports = spec.pop("ports", (ServicePort(name="http", port=80, protocol="TCP", nodePort=spec.pop("node_port", None)),))
    return Service(metadata=ObjectMeta(namespace="shop", name="web"), spec=ServiceSpec(ports=ports, **spec))


def endpoint(ip, node="n1", *, ready=True, serving=None, terminating=None, nodes=(), zones=()):
    hints = EndpointHints(forNodes=tuple(ForNode(name=n) for n in nodes), forZones=tuple(ForZone(name=z) for z in zones))
    conditions = EndpointConditions(ready=ready, serving=serving, terminating=terminating)
    return Endpoint(addresses=(ip,), nodeName=node, conditions=conditions, hints=hints if nodes or zones else None)


def sliced(*endpoints):
    port = EndpointPort(name="http", port=8080, protocol="TCP")
    return EndpointSlice(
        metadata=ObjectMeta(namespace="shop", name="web-1"), addressType="IPv4", endpoints=endpoints, ports=(port,)
    )


def ips(targets):
    return None if targets is None else [t.ip for t in targets]


@pytest.mark.parametrize(
    ("endpoints", "spec", "internal", "external"),
    [
        pytest.param([endpoint("a"), endpoint("b", "n2")], {}, ["a", "b"], ["a", "b"], id="all ready ones"),
        pytest.param([endpoint("a", ready=False), endpoint("b")], {}, ["b"], ["b"], id="not ready is left out"),
        pytest.param([], {}, [], [], id="none: reject"),
        pytest.param(
            [endpoint("a", ready=False, serving=True, terminating=True)], {}, ["a"], ["a"], id="serving while terminating when none is ready"
        ),
        pytest.param(
            [endpoint("a", ready=False, serving=True, terminating=True), endpoint("b")], {}, ["b"], ["b"], id="terminating only as a last resort"
        ),
        pytest.param([endpoint("a"), endpoint("b", "n2")], {"internalTrafficPolicy": "Local"}, ["a"], ["a", "b"], id="internal Local"),
        pytest.param([endpoint("b", "n2")], {"internalTrafficPolicy": "Local"}, None, ["b"], id="internal Local elsewhere: drop"),
        pytest.param([endpoint("a"), endpoint("b", "n2")], {"externalTrafficPolicy": "Local"}, ["a", "b"], ["a"], id="external Local"),
        pytest.param(
            [endpoint("a", nodes=["n1"]), endpoint("b", nodes=["n2"])], {}, ["a"], ["a"], id="hints for this node"
        ),
        pytest.param(
            [endpoint("a", zones=["z2"]), endpoint("b", zones=["z1"])], {}, ["b"], ["b"], id="hints for this zone"
        ),
        pytest.param([endpoint("a", zones=["z2"]), endpoint("b")], {}, ["a", "b"], ["a", "b"], id="a missing hint voids all"),
        pytest.param([endpoint("a", zones=["z2"])], {}, ["a"], ["a"], id="no hint for this zone voids all"),
    ],
)  # fmt: skip
def test_targets_follow_the_traffic_policies(endpoints, spec, internal, external):
    (rules,) = plan(service(**spec), [sliced(*endpoints)], NODE)
    assert ips(rules.internal) == internal
    assert ips(rules.external) == external


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"clusterIP": "None", "clusterIPs": ("None",)}, id="headless"),
        pytest.param({"type": "ExternalName", "clusterIP": None}, id="ExternalName"),
        pytest.param({"clusterIP": "fd00::1", "clusterIPs": ("fd00::1",)}, id="IPv6 only"),
    ],
)
def test_what_is_not_proxied_has_no_rules(spec):
    assert plan(service(**spec), [sliced(endpoint("a"))], NODE) == ()


def test_a_service_of_another_proxy_is_left_alone():
    other = service()
    meta = ObjectMeta(namespace="shop", name="web", labels={"service.kubernetes.io/service-proxy-name": "mine"})
    assert plan(Service(metadata=meta, spec=other.spec), [sliced(endpoint("a"))], NODE) == ()


def test_the_target_port_is_that_of_the_slice_with_the_same_name():
    ports = (ServicePort(name="http", port=80, protocol="TCP"), ServicePort(name="admin", port=81, protocol="TCP"))
    http, admin = plan(service(ports=ports), [sliced(endpoint("1.2.3.4"))], NODE)
    assert http.internal == (Target("1.2.3.4", 8080),)
    assert admin.internal == ()


def test_affinity_defaults_to_three_hours():
    (rules,) = plan(service(sessionAffinity="ClientIP"), [sliced(endpoint("a"))], NODE)
    assert rules.affinity_seconds == 10800
