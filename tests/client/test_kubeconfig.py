from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import pytest
import yaml

from minikube_api.client import kubeconfig
from minikube_api.client.kubeconfig import KubeconfigError


def write(path: Path, user: dict | None = None, cluster: dict | None = None, **top) -> Path:
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        **top,
    }
    path.write_text(yaml.safe_dump(tree))
    return path


def test_the_current_context_is_resolved(tmp_path):
    config = kubeconfig.load(write(tmp_path / "config", {"token": "t"}))
    assert (config.server, config.namespace, config.token, config.user) == ("https://127.0.0.1:6443", "team", "t", "u")


def test_data_wins_over_files_and_files_are_relative_to_the_config(tmp_path):
    (tmp_path / "ca.crt").write_bytes(b"file")
    path = write(tmp_path / "config", cluster={"certificate-authority": "ca.crt"})
    assert kubeconfig.load(path).ca == b"file"
    data = base64.b64encode(b"data").decode()
    path = write(tmp_path / "config", cluster={"certificate-authority": "ca.crt", "certificate-authority-data": data})
    assert kubeconfig.load(path).ca == b"data"


def test_the_first_file_of_the_list_wins(tmp_path, monkeypatch):
    first = write(tmp_path / "a", {"token": "first"})
    second = write(tmp_path / "b", {"token": "second"})
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(tmp_path / "missing"), str(first), str(second)]))
    assert kubeconfig.load().token == "first"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"current-context": ""}, "current-context is not set", id="no context"),
        pytest.param({"current-context": "x"}, 'context "x" does not exist', id="unknown context"),
        pytest.param({"clusters": []}, 'cluster "k" does not exist', id="unknown cluster"),
        pytest.param({"users": []}, 'user "u" does not exist', id="unknown user"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, change, message):
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.load(write(tmp_path / "config", **change))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(KubeconfigError, match="no such file or directory"):
        kubeconfig.load(tmp_path / "none")


def test_an_exec_plugin_gives_the_token_and_is_asked_once_until_it_expires(tmp_path):
    counter = tmp_path / "count"
    script = tmp_path / "plugin.py"
    script.write_text(
        f"import json, pathlib; p = pathlib.Path({str(counter)!r}); n = int(p.read_text()) + 1 if p.exists() else 1\n"
        "p.write_text(str(n))\n"
        "print(json.dumps({'kind': 'ExecCredential', 'status': {'token': f't{n}'}}))\n"
    )
    spec = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-S", str(script)]}
    credential = kubeconfig.ExecCredential(spec)
    assert (credential(), credential()) == ("t1", "t1")


def test_in_cluster_configuration(tmp_path):
    for name, text in (("token", "t\n"), ("ca.crt", "CA"), ("namespace", "ns")):
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    config = kubeconfig.in_cluster(environment, tmp_path)
    assert (config.server, config.namespace, config.ca) == ("https://10.96.0.1:443", "ns", b"CA")
    with pytest.raises(KubeconfigError, match="must be defined"):
        kubeconfig.in_cluster({}, tmp_path)
