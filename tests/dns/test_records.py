"""What the zone answers, name by name (DNS-Based Service Discovery 1.1.0)."""

from __future__ import annotations

import pytest

from minikube_agents.dns.records import EndpointInfo, PortInfo, Record, ServiceInfo, answer, reverse_address

HTTP = PortInfo("http", "TCP", 80)
WEB = ServiceInfo("web", "shop", cluster_ips=("10.96.0.7",), ports=(HTTP,))
DB = ServiceInfo(
    "db",
    "shop",
    headless=True,
    ports=(PortInfo("pg", "TCP", 5432),),
    endpoints=(
        EndpointInfo("10.244.0.5", "db-0", (PortInfo("pg", "TCP", 5432),)),
        EndpointInfo("10.244.1.6", "", (PortInfo("pg", "TCP", 5432),)),
    ),
)
EMPTY = ServiceInfo("empty", "shop", headless=True)
OUTSIDE = ServiceInfo("outside", "shop", external_name="Example.COM")


class FakeZone:
    services = {("shop", s.name): s for s in (WEB, DB, EMPTY, OUTSIDE)}

    def service(self, namespace, name):
        return self.services.get((namespace, name))

    def namespace_exists(self, namespace):
        return namespace == "shop"

    def services_by_cluster_ip(self, ip):
        return [s for s in self.services.values() if ip in s.cluster_ips]

    def services_by_endpoint_ip(self, ip):
        return [s for s in self.services.values() if any(e.ip == ip for e in s.endpoints)]


@pytest.mark.parametrize(
    ("name", "qtype", "data"),
    [
        pytest.param("web.shop.svc.cluster.local", "A", ["10.96.0.7"], id="service"),
        pytest.param("WEB.shop.SVC.cluster.local", "A", ["10.96.0.7"], id="any case"),
        pytest.param("web.shop.svc.cluster.local", "AAAA", [], id="no IPv6 is NODATA"),
        pytest.param("db.shop.svc.cluster.local", "A", ["10.244.0.5", "10.244.1.6"], id="headless gives endpoints"),
        pytest.param("db-0.db.shop.svc.cluster.local", "A", ["10.244.0.5"], id="endpoint by hostname"),
        pytest.param("10-244-1-6.db.shop.svc.cluster.local", "A", ["10.244.1.6"], id="endpoint without hostname by address"),
        pytest.param("10-244-1-6.shop.pod.cluster.local", "A", ["10.244.1.6"], id="pod by address"),
        pytest.param("outside.shop.svc.cluster.local", "A", ["example.com."], id="ExternalName is a CNAME"),
        pytest.param("dns-version.cluster.local", "TXT", ["1.1.0"], id="schema version"),
        pytest.param("7.0.96.10.in-addr.arpa", "PTR", ["web.shop.svc.cluster.local."], id="reverse of a service"),
        pytest.param("5.0.244.10.in-addr.arpa", "PTR", ["db-0.db.shop.svc.cluster.local."], id="reverse of an endpoint"),
        pytest.param("shop.svc.cluster.local", "A", [], id="a namespace exists"),
    ],
)
def test_names_of_the_cluster_are_answered(name, qtype, data):
    found = answer(name, qtype, FakeZone())
    assert found is not None
    assert found.exists
    assert [r.data for r in found.records] == data


@pytest.mark.parametrize(
    "name",
    [
        "nothing.shop.svc.cluster.local",
        "web.other.svc.cluster.local",
        "empty.shop.svc.cluster.local",
        "x.web.shop.svc.cluster.local",
        "other.svc.cluster.local",
        "10-0-0-1.other.pod.cluster.local",
        "not-an-address.shop.pod.cluster.local",
        "_https._tcp.web.shop.svc.cluster.local",
        "foo.cluster.local",
    ],
)
def test_what_does_not_exist_is_nxdomain(name):
    found = answer(name, "A", FakeZone())
    assert found is not None
    assert not found.exists


@pytest.mark.parametrize("name", ["example.com", "web.shop", "local", "1.0.0.127.in-addr.arpa", "xcluster.local"])
def test_other_names_are_not_ours(name):
    assert answer(name, "A", FakeZone()) is None


def test_srv_of_a_service_names_it_with_its_address():
    found = answer("_http._tcp.web.shop.svc.cluster.local", "SRV", FakeZone())
    assert found is not None
    assert found.records[0].data == (0, 100, 80, "web.shop.svc.cluster.local.")
    assert found.extra == (Record("web.shop.svc.cluster.local", "A", "10.96.0.7"),)


def test_srv_of_a_headless_service_names_each_endpoint():
    found = answer("_pg._tcp.db.shop.svc.cluster.local", "SRV", FakeZone())
    assert found is not None
    assert [r.data[3] for r in found.records] == ["db-0.db.shop.svc.cluster.local.", "10-244-1-6.db.shop.svc.cluster.local."]
    assert [r.data for r in found.extra] == ["10.244.0.5", "10.244.1.6"]


@pytest.mark.parametrize(
    ("name", "ip"),
    [
        ("4.3.2.1.in-addr.arpa", "1.2.3.4"),
        ("3.2.1.in-addr.arpa", None),
        ("x.3.2.1.in-addr.arpa", None),
        (".".join("0" * 31) + ".1.ip6.arpa", "1000::"),
    ],
)
def test_reverse_names_are_read(name, ip):
    assert reverse_address(name) == ip
