"""/etc/hosts and resolver settings of pods."""

from __future__ import annotations

from typing import Any

import pytest
from pod_builders import pod

from minikube_agents.kubelet import pod_files
from minikube_agents.kubelet.pod_files import ClusterDNS
from minikube_agents.runtime.contract import DNSConfig

CLUSTER = ClusterDNS(("10.96.0.10",), "cluster.local")
NODE = DNSConfig(servers=("192.0.2.1",), searches=("example.com",))
OWN = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, DNSConfig(servers=("10.96.0.10",), searches=(*OWN, "example.com"), options=("ndots:5",)), id="ClusterFirst"),
        pytest.param({"dnsPolicy": "Default"}, NODE, id="Default"),
        pytest.param({"hostNetwork": True}, NODE, id="hostNetwork falls back to the node"),
        pytest.param(
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            DNSConfig(servers=("10.96.0.10",), searches=(*OWN, "example.com"), options=("ndots:5",)), id="ClusterFirstWithHostNet",
        ),
        pytest.param(
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"], "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            DNSConfig(servers=("1.1.1.1",), searches=("x.y",), options=("ndots:2", "edns0")), id="None",
        ),
        pytest.param(
            {"dnsConfig": {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "3"}]}},
            DNSConfig(servers=("10.96.0.10", "1.1.1.1"), searches=(*OWN, "example.com"), options=("ndots:3",)), id="dnsConfig adds",
        ),
    ],
)  # fmt: skip
def test_dns_policy(spec: dict[str, Any], expected: DNSConfig) -> None:
    assert pod_files.dns_config(pod(**spec), CLUSTER, NODE) == expected


def test_the_hosts_file_names_the_pod_and_its_aliases() -> None:
    one = pod(subdomain="db", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}])
    lines = pod_files.etc_hosts(one, ("10.244.0.5",), "a", "cluster.local").splitlines()
    assert lines[0] == "# Kubernetes-managed hosts file."
    assert "10.244.0.5\ta.db.default.svc.cluster.local\ta" in lines
    assert lines[-2:] == ["# Entries added by HostAliases.", "1.2.3.4\tx\ty"]


def test_resolv_conf_is_read() -> None:
    text = "# c\nnameserver 192.0.2.1\nsearch a.b. c\noptions ndots:2 edns0\n"
    assert pod_files.parse_resolv_conf(text) == DNSConfig(
        servers=("192.0.2.1",), searches=("a.b", "c"), options=("ndots:2", "edns0")
    )
