"""The data directory: one cluster at a time, credentials made once, addresses kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from minikube_api.client import kubeconfig
from minikube_py.cluster.credentials import ADMIN, Credentials, node_identity
from minikube_py.cluster.layout import AlreadyRunning, Layout, lock_holder, take_lock
from minikube_py.cluster.network import keep_ranges, with_kept_ranges
from minikube_py.cluster.spec import ClusterSpec, SpecError


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = Layout(tmp_path / "cluster")
    made.make()
    yield made
    if made.run.exists():
        made.run.rmdir()


def test_a_second_process_is_told_who_holds_the_directory(layout):
    held = take_lock(layout)
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        take_lock(layout)
    assert lock_holder(layout) == os.getpid()
    os.close(held)
    assert lock_holder(layout) is None


def test_garbage_in_the_lock_file_is_no_obstacle(layout):
    layout.lock.write_bytes(b"\xff\x00garbage")
    assert lock_holder(layout) is None
    os.close(take_lock(layout))


def test_credentials_are_made_once_and_private(layout):
    first, second = Credentials(layout.pki), Credentials(layout.pki)
    assert first.ca == second.ca
    assert first.client("admin", ADMIN) == second.client("admin", ADMIN)
    assert first.service_account_key() == second.service_account_key()
    for path in layout.pki.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_serving_certificate_follows_its_hosts(layout):
    credentials = Credentials(layout.pki)
    first = credentials.serving("kubelet", "system:node:a", ["a", "10.0.0.1"])
    assert credentials.serving("kubelet", "system:node:a", ["10.0.0.1", "a"]) == first
    assert credentials.serving("kubelet", "system:node:a", ["a", "10.0.0.2"]) != first


def test_a_kubeconfig_carries_all_that_a_client_needs(layout):
    credentials = Credentials(layout.pki)
    identity = node_identity("n1")
    credentials.kubeconfig(layout.kubeconfig, cluster="c", server="https://127.0.0.1:6443", name="n1", identity=identity)
    loaded = kubeconfig.load(layout.kubeconfig)
    assert (loaded.server, loaded.context, loaded.ca) == ("https://127.0.0.1:6443", "n1@c", credentials.ca)
    assert loaded.client_certificate == credentials.client("n1", identity).certificate
    assert stat.S_IMODE(layout.kubeconfig.stat().st_mode) == 0o600


def test_kept_data_keeps_its_addresses_unless_others_are_asked_for(layout):
    keep_ranges(ClusterSpec(pod_cidr="10.9.0.0/16", service_cidr="10.8.0.0/16"), layout)
    kept = with_kept_ranges(ClusterSpec(), layout)
    assert (kept.pod_cidr, kept.service_cidr) == ("10.9.0.0/16", "10.8.0.0/16")
    asked = with_kept_ranges(ClusterSpec(pod_cidr="10.7.0.0/16"), layout)
    assert (asked.pod_cidr, asked.service_cidr) == ("10.7.0.0/16", "10.8.0.0/16")


def test_the_holder_is_known_whatever_the_lock_file_says(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    held = take_lock(layout)
    layout.lock.write_bytes(b"\xff 1 \n")
    assert lock_holder(layout) == os.getpid()
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        take_lock(layout)
    os.close(held)


@pytest.mark.parametrize("content", [b"\xff{", b"[]", b'{"name": 7}', b'{"components": "apiserver"}', b'{"nodes": true}'])
def test_options_that_can_not_be_read_are_a_spec_error_with_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cluster.json").write_bytes(content)
    with pytest.raises(SpecError, match=r"cluster\.json"):
        ClusterSpec.load(tmp_path / "cluster.json")
