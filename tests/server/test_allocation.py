from __future__ import annotations

import random
from typing import Any

import pytest

from minikube_api.meta.errors import InternalError, Invalid
from minikube_api.resources import builtin
from minikube_api.server.allocation import ServiceAllocator
from minikube_api.server.server import Config, Server
from tests.server.conftest import Api

SERVICES = builtin.registry().get("", "v1", "services")


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 80, "protocol": "TCP"}]
    return {"metadata": {"name": name, "namespace": "d"}, "spec": {"type": "ClusterIP", "ports": ports, **spec}}


def allocator(cidr: str = "10.96.0.0/24", ports: tuple[int, int] = (30000, 30009)) -> ServiceAllocator:
    return ServiceAllocator(cidr, ports, random.Random(1))


def take(made: ServiceAllocator, obj: dict[str, Any], old: dict[str, Any] | None = None) -> Any:
    assert SERVICES is not None
    return made.reserve(SERVICES, obj, old)


def test_every_service_gets_an_address_of_its_own() -> None:
    made = allocator()
    services = [service(f"s{i}") for i in range(100)]
    for obj in services:
        take(made, obj).keep()
    assert len({obj["spec"]["clusterIP"] for obj in services}) == 100
    assert all(obj["spec"]["clusterIPs"] == [obj["spec"]["clusterIP"]] for obj in services)


def test_a_released_address_can_be_had_again() -> None:
    made = allocator()
    take(made, service("a", clusterIP="10.96.0.9")).release()
    take(made, service("b", clusterIP="10.96.0.9")).keep()
    with pytest.raises(Invalid, match="provided IP is already allocated"):
        take(made, service("c", clusterIP="10.96.0.9"))


def test_a_full_range_is_an_error_and_takes_nothing() -> None:
    made = allocator("10.96.0.0/30")
    take(made, service("a")).keep()
    take(made, service("b")).keep()
    with pytest.raises(InternalError, match="range is full"):
        take(made, service("c"))


def test_addresses_outside_the_range_are_refused() -> None:
    with pytest.raises(Invalid, match="does not match the current range"):
        take(allocator(), service("a", clusterIP="172.16.0.1"))


def test_a_failed_service_gives_its_ports_back() -> None:
    made = allocator()
    ports = [{"port": 80, "nodePort": 30001}, {"port": 81, "nodePort": 99}]
    with pytest.raises(Invalid, match="not in the valid range"):
        take(made, service("a", type="NodePort", ports=ports))
    take(made, service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30001}])).keep()


def test_tcp_and_udp_of_one_port_share_a_node_port() -> None:
    obj = service("a", type="NodePort", ports=[{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}])
    take(allocator(), obj).keep()
    assert len({port["nodePort"] for port in obj["spec"]["ports"]}) == 1


def test_an_update_keeps_what_it_leaves_out() -> None:
    made = allocator()
    old = service("a", type="NodePort")
    take(made, old).keep()
    new = service("a", type="NodePort")
    take(made, new, old).keep()
    assert new["spec"]["clusterIP"] == old["spec"]["clusterIP"]
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]


async def test_what_services_hold_survives_a_restart(tmp_path: Any) -> None:
    config = Config(listeners=(), bootstrap=False, admission=(), store="sqlite", data_dir=tmp_path)
    path = "/api/v1/namespaces/default/services"
    body = {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.0.77", "ports": [{"port": 80}]}}
    for want in (201, 422):
        server = Server(config)
        await server.start()
        assert (await Api(server)("POST", path, {**body, "metadata": {"name": f"n{want}"}}))[0] == want
        await server.stop()


async def test_a_deleted_service_frees_its_address(api: Api) -> None:
    path = "/api/v1/namespaces/default/services"
    body = {"metadata": {"name": "a"}, "spec": {"clusterIP": "10.96.0.77", "ports": [{"port": 80}]}}
    await api.ok("POST", path, body)
    await api.ok("DELETE", f"{path}/a")
    await api.ok("POST", path, {**body, "metadata": {"name": "b"}})


async def test_repair_forgets_what_a_cancelled_write_took(server: Server) -> None:
    api = Api(server)
    held = await api.ok("POST", "/api/v1/namespaces/d/services", {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}})
    made = server.allocator
    lost = take(made, service("lost", clusterIP="10.96.9.9"))
    await made.forget_leaks(server.storage, server.registry)
    with pytest.raises(Invalid):
        take(made, service("b", clusterIP="10.96.9.9"))
    del lost
    await made.forget_leaks(server.storage, server.registry)
    take(made, service("b", clusterIP="10.96.9.9"))
    with pytest.raises(Invalid):
        take(made, service("c", clusterIP=held["spec"]["clusterIP"]))


@pytest.mark.parametrize(
    ("spec", "families", "policy"),
    [
        pytest.param({}, ["IPv4"], "SingleStack", id="default"),
        pytest.param({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4"], "PreferDualStack", id="prefers-two"),
        pytest.param({"clusterIP": "None"}, ["IPv4", "IPv6"], "RequireDualStack", id="headless-without-selector"),
        pytest.param({"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}, ["IPv4"], "SingleStack", id="headless-of-one"),
        pytest.param({"clusterIP": "None", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack", id="headless-six"),
        pytest.param({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv4"], "SingleStack", id="headless-with-selector"),
    ],
)
def test_families_follow_from_what_was_asked(spec: dict[str, Any], families: list[str], policy: str) -> None:
    obj = service("s", **spec)
    take(allocator(), obj)
    assert (obj["spec"]["ipFamilies"], obj["spec"]["ipFamilyPolicy"]) == (families, policy)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"clusterIP": "None", "selector": {"a": "b"}, "ipFamilies": ["IPv6"]}, "not configured on this cluster", id="family"),
        pytest.param({"clusterIP": "fd00::1"}, "may not use IPv6 on a cluster which is not configured for it", id="address"),
        pytest.param({"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services", id="policy"),
        pytest.param({"clusterIPs": ["10.96.0.9"]}, "must be empty when `clusterIP` is not specified", id="form"),
    ],
)  # fmt: skip
def test_families_that_are_not_there_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        take(allocator(), service("s", **spec))
