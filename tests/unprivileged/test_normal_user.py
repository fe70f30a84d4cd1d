"""`make demo` and the first things one does, as an account without any rights."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from api_processes import wait_for
from clusters import mounts, processes_in

pytestmark = pytest.mark.timeout(240)
DEMO = ("--cluster", "demo")

STEP = """
kind: Pod
apiVersion: v1
metadata: {name: step, labels: {a: step}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: host
    command: [sh, -c, 'echo started as $(id -u); while :; do sleep 0.2; done']
"""


def test_the_demo_serves_answers_of_different_pods_through_a_node_port(account: Any, demo: str) -> None:
    assert "2 nodes Ready" in demo
    answers = re.findall(r"hello from (\S+) on (\S+)", demo)
    assert len(answers) == 8
    assert len({pod for pod, _ in answers}) == 3
    assert {node for _, node in answers} == {"demo-node-1", "demo-node-2"}
    assert re.search(r"export KUBECONFIG=\S+", demo)


def test_the_demo_again_is_harmless(account: Any, demo: str) -> None:
    again = account.run("make", "demo", seconds=60).stdout
    assert "running already" in again
    assert len(re.findall(r"hello from", again)) == 8


def test_apply_get_logs_and_exec_work(account: Any, demo: str) -> None:
    manifest = Path(account.home) / "step.yaml"
    manifest.write_text(STEP)
    manifest.chmod(0o644)
    assert "pod/step created" in account.minictl("apply", "-f", str(manifest), *DEMO).stdout
    wait_for(lambda: re.search(r"step +1/1 +Running", account.minictl("get", "pods", *DEMO).stdout), "step Running")
    assert wait_for(lambda: account.minictl("logs", "step", *DEMO).stdout, "a log").strip() == "started as 0"
    inside = account.minictl("exec", *DEMO, "step", "--", "sh", "-c", "hostname; readlink /proc/self/ns/net").stdout.split()
    assert inside[0] == "step"
    assert inside[1] != os.readlink("/proc/self/ns/net")
    account.minictl("delete", "pod", "step", *DEMO)


def test_a_node_port_is_reached_on_the_host(account: Any, demo: str) -> None:
    service = json.loads(account.minictl("get", "service", "hello", "-o", "json", *DEMO).stdout)
    port = service["spec"]["ports"][0]["nodePort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        assert answer.read().startswith(b"hello from hello-")


@pytest.mark.parametrize("name", ["hello", "hello.default", "hello.default.svc.cluster.local"])
def test_a_pod_finds_the_service_by_name_and_reaches_it(account: Any, demo: str, name: str) -> None:
    program = f"import urllib.request as u; print(u.urlopen('http://{name}/', timeout=5).read().decode())"
    answer = account.minictl("exec", *DEMO, "deployment/hello", "--", "python3", "-S", "-c", program).stdout
    assert answer.startswith("hello from hello-")


def test_kubectls_way_of_telling_nodes_ready_works(account: Any, demo: str) -> None:
    table = account.minictl("get", "nodes", *DEMO).stdout
    assert len(re.findall(r"demo-node-\d +Ready", table)) == 2


def test_down_leaves_no_process_and_no_mount(account: Any, demo: str) -> None:
    account.minictl("up", "--name", "brief", "--listen", "127.0.0.1:0", "--nodes", "1")
    data = account.data / "brief"
    assert processes_in(data)
    account.minictl("down", "--name", "brief", "--purge")
    assert processes_in(data) == set()
    assert mounts(data) == set()
    assert not data.exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="forbids user namespaces in a place of its own: needs root")
def test_up_says_which_line_allows_user_namespaces_where_they_are_forbidden(account: Any, demo: str) -> None:
    options = ("--name", "forbidden", "--listen", "127.0.0.1:0", "--runtime", "process")
    done = account.minictl("up", *options, check=False, namespaces=False)
    assert done.returncode == 1
    assert "sudo sysctl -w user.max_user_namespaces=" in done.stderr
    assert "Traceback" not in done.stderr
    assert processes_in(account.data / "forbidden") == set()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="forbids user namespaces in a place of its own: needs root")
def test_without_user_namespaces_nodes_are_hollow_and_up_says_so(account: Any, demo: str) -> None:
    try:
        done = account.minictl("up", "--name", "hollow", "--listen", "127.0.0.1:0", namespaces=False)
        assert "2 nodes Ready" in done.stdout
        assert "warning: nodes are hollow" in done.stderr
        assert "sudo sysctl -w user.max_user_namespaces=" in done.stderr
    finally:
        account.minictl("down", "--name", "hollow", "--purge", check=False)
