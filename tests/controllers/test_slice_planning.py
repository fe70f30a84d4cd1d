from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from minikube_api.client.objects import from_tree
from minikube_api.schema.typed.core_v1 import ObjectReference, Pod, Service
from minikube_api.schema.typed.discovery_v1 import Endpoint, EndpointPort, EndpointSlice
from minikube_api.schema.typed.meta_v1 import OwnerReference
from minikube_py.controllers import endpoints, slices

OWNER = OwnerReference(apiVersion="v1", kind="Service", name="web", uid="u", controller=True, blockOwnerDeletion=True)
PORTS = (EndpointPort(name="http", port=80, protocol="TCP"),)
LABELS = {slices.SERVICE_NAME: "web"}


def endpoint(n: int, **fields: Any) -> Endpoint:
    return Endpoint(addresses=(f"10.0.{n // 250}.{n % 250}",), targetRef=ObjectReference(uid=f"pod{n}"), **fields)


def wanted(*endpoints: Endpoint, ports: slices.Ports = PORTS) -> slices.Wanted:
    return {slices.ports_key(ports): (ports, {slices.identity(e): e for e in endpoints})} if endpoints else {}


def plan(want: slices.Wanted, existing: list[EndpointSlice]) -> slices.Plan:
    return slices.plan(want, existing, address_type="IPv4", name="web", namespace="default", labels=LABELS, owner=OWNER)


def named(new: EndpointSlice, name: str) -> EndpointSlice:
    from msgspec.structs import replace

    return replace(new, metadata=replace(new.metadata, name=name, generateName=None))


def apply(existing: list[EndpointSlice], done: slices.Plan, serial: list[int]) -> list[EndpointSlice]:
    changed = {s.metadata.name: s for s in done.update}
    gone = {s.metadata.name for s in done.delete}
    kept = [changed.get(s.metadata.name, s) for s in existing if s.metadata.name not in gone]
    for new in done.create:
        serial[0] += 1
        kept.append(named(new, f"web-{serial[0]}"))
    return kept


def test_no_endpoints_leave_one_empty_slice():
    (only,) = plan({}, []).create
    assert only.endpoints == () and only.ports == ()
    assert plan({}, [named(only, "a")]) == slices.Plan()


def test_a_slice_holds_a_hundred_endpoints():
    created = plan(wanted(*map(endpoint, range(250))), []).create
    assert [len(s.endpoints) for s in created] == [100, 100, 50]


def test_a_changed_endpoint_costs_one_write_of_its_slice():
    existing = apply([], plan(wanted(*map(endpoint, range(150))), []), [0])
    changed = [endpoint(n) for n in range(149)] + [endpoint(149, zone="z")]
    done = plan(wanted(*changed), existing)
    assert (len(done.create), len(done.update), len(done.delete)) == (0, 1, 0)


def test_an_equal_state_writes_nothing():
    existing = apply([], plan(wanted(*map(endpoint, range(150))), []), [0])
    assert plan(wanted(*map(endpoint, range(150))), existing) == slices.Plan()


def test_slices_of_an_earlier_service_of_that_name_go():
    foreign = EndpointSlice(addressType="IPv4", metadata=from_tree(type(OWNERLESS), {"name": "x"}))
    done = plan(wanted(endpoint(1)), [foreign])
    assert [s.metadata.name for s in done.delete] == ["x"] and len(done.create) == 1


OWNERLESS = EndpointSlice(addressType="IPv4").metadata


@given(st.lists(st.sets(st.integers(0, 400), max_size=300), min_size=1, max_size=5))
def test_whatever_changes_every_endpoint_is_in_exactly_one_slice(rounds):
    existing: list[EndpointSlice] = []
    serial = [0]
    for numbers in rounds:
        existing = apply(existing, plan(wanted(*map(endpoint, sorted(numbers))), existing), serial)
        held = [e.addresses for s in existing for e in s.endpoints or ()]
        assert sorted(held) == sorted(endpoint(n).addresses for n in numbers)
        assert all(len(s.endpoints or ()) <= slices.MAX_ENDPOINTS for s in existing)
        assert existing, "one slice always says what there is"
        assert plan(wanted(*map(endpoint, sorted(numbers))), existing) == slices.Plan(), "the plan is stable"


def service(**spec: Any) -> Service:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    base = {"selector": {"app": "web"}, "clusterIP": "10.96.0.5", "ipFamilies": ["IPv4"], "ports": ports}
    return from_tree(Service, {"metadata": {"name": "web", "namespace": "default"}, "spec": base | spec})


def pod(name: str, ip: str, *, ready: bool = True, port: int = 8080, deleting: bool = False, **spec: Any) -> Pod:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}}
    if deleting:
        metadata["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    container = {"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": port, "protocol": "TCP"}]}
    return from_tree(
        Pod,
        {
            "metadata": metadata,
            "spec": {"containers": [container], "nodeName": "n1", **spec},
            "status": {
                "phase": "Running",
                "podIPs": [{"ip": ip}] if ip else [],
                "conditions": [{"type": "Ready", "status": str(ready)}],
            },
        },
    )


def conditions_of(svc: Service, *pods: Pod) -> dict[str, tuple[bool | None, ...]]:
    groups = slices.wanted_of(svc, pods, {}, "IPv4")
    return {
        e.targetRef.name: (e.conditions.ready, e.conditions.serving, e.conditions.terminating)
        for _, endpoints in groups.values()
        for e in endpoints.values()
    }


def test_endpoint_conditions_tell_ready_serving_and_terminating():
    pods = [
        pod("ready", "10.0.0.1"),
        pod("unready", "10.0.0.2", ready=False),
        pod("ending", "10.0.0.3", deleting=True),
        pod("no-ip", ""),
    ]
    assert conditions_of(service(), *pods) == {
        "ready": (True, True, False),
        "unready": (False, False, False),
        "ending": (False, True, True),
    }
    assert conditions_of(service(publishNotReadyAddresses=True), pods[1]) == {"unready": (True, False, False)}


def test_pods_with_different_numbers_for_a_named_port_are_in_different_slices():
    groups = slices.wanted_of(service(), [pod("a", "10.0.0.1"), pod("b", "10.0.0.2", port=9090)], {}, "IPv4")
    assert sorted(ports[0].port for ports, _ in groups.values()) == [8080, 9090]


def test_hostname_of_pods_in_the_services_subdomain():
    groups = slices.wanted_of(service(), [pod("a", "10.0.0.1", hostname="h", subdomain="web")], {}, "IPv4")
    ((_, found),) = groups.values()
    assert [e.hostname for e in found.values()] == ["h"]


def test_endpoints_group_ready_and_unready_addresses_by_ports():
    pods = [pod("b", "10.0.0.2"), pod("a", "10.0.0.1"), pod("c", "10.0.0.3", ready=False)]
    (subset,) = endpoints.subsets_of(service(), pods)
    assert [a.ip for a in subset.addresses] == ["10.0.0.1", "10.0.0.2"]
    assert [a.ip for a in subset.notReadyAddresses] == ["10.0.0.3"]
    assert [(p.name, p.port) for p in subset.ports] == [("http", 8080)]


def test_endpoints_are_cut_at_a_thousand_addresses_ready_ones_first():
    pods = [pod(f"p{n}", f"10.0.{n // 250}.{n % 250}", ready=n % 2 == 0) for n in range(1600)]
    made = endpoints.endpoints_object(service(), pods)
    assert made.metadata.annotations == {endpoints.OVER_CAPACITY: "truncated"}
    assert (len(made.subsets[0].addresses), len(made.subsets[0].notReadyAddresses)) == (800, 200)
