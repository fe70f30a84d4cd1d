"""Options of a cluster: what is refused and in which words, what survives being kept."""

from __future__ import annotations

import json

import pytest

from minikube_py.cluster.components import units
from minikube_py.cluster.spec import ClusterSpec, SpecError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"name": "Big_Name"}, "--name 'Big_Name': must be a DNS label", id="name"),
        pytest.param(
            {"listen": "localhost:6443"}, "--listen 'localhost:6443': must be ADDRESS:PORT", id="listen without address"
        ),
        pytest.param({"listen": "127.0.0.1:70000"}, "port must be between 0 and 65535", id="port"),
        pytest.param({"components": ("scheduler",)}, "apiserver must be among them", id="no apiserver"),
        pytest.param({"components": ("apiserver", "etcd")}, "--components etcd: known are", id="unknown component"),
        pytest.param({"nodes": -1}, "--nodes -1", id="nodes"),
        pytest.param({"nodes": 500}, "at most 200 with --runtime process", id="too many real nodes"),
        pytest.param({"pod_cidr": "10.0.0.0/8", "service_cidr": "10.96.0.0/16"}, "overlap", id="overlap"),
        pytest.param({"pod_cidr": "10.0.0.1/8"}, "--pod-cidr '10.0.0.1/8'", id="host bits"),
        pytest.param({"service_cidr": "10.96.0.0/30"}, "too small", id="small service range"),
        pytest.param({"runtime": "docker"}, "--runtime 'docker': must be one of process, hollow", id="runtime"),
    ],
)
def test_what_can_not_be_is_refused_in_the_options_own_words(options, words):
    with pytest.raises(SpecError) as refused:
        ClusterSpec(**options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_kept_spec_comes_back_as_it_was(tmp_path):
    spec = ClusterSpec(name="a", data_dir=str(tmp_path), nodes=3, components=("apiserver", "dns"))
    spec.save(tmp_path / "cluster.json")
    assert ClusterSpec.load(tmp_path / "cluster.json") == spec


def test_options_of_a_newer_version_are_never_dropped(tmp_path):
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps({"name": "a", "colour": "red"}))
    with pytest.raises(SpecError, match="colour"):
        ClusterSpec.load(path)


def test_dns_and_kubernetes_have_the_addresses_that_kubeadm_gives_them():
    spec = ClusterSpec(service_cidr="10.200.0.0/16")
    assert (spec.kubernetes_ip, spec.dns_ip) == ("10.200.0.1", "10.200.0.10")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"components": ("apiserver",)}, [], id="API alone"),
        pytest.param({"runtime": "hollow"}, [("controllers", ""), ("scheduler", ""), ("hollow", "")], id="hollow"),
        pytest.param({"runtime": "hollow", "nodes": 0}, [("controllers", ""), ("scheduler", "")], id="no nodes"),
    ],
)
def test_only_what_was_asked_for_is_started(options, expected):
    assert units(ClusterSpec(**options), None) == expected


def test_every_node_has_a_kubelet_and_a_proxy_and_the_host_a_proxy_too():
    found = units(ClusterSpec(name="c", nodes=1), object())
    assert found == [
        ("controllers", ""),
        ("scheduler", ""),
        ("kubelet", "c-node-1"),
        ("proxy", ""),
        ("proxy", "c-node-1"),
        ("dns", ""),
    ]
