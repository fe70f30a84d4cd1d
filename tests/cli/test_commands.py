"""`minictl` as a user runs it: processes, exit codes and what stands on which stream; a hollow cluster needs no rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from api_processes import Http, wait_for

MINICTL = str(Path(sys.executable).with_name("minictl"))
HELLO = str(Path(__file__).parents[2] / "examples" / "hello.yaml")


@pytest.fixture(scope="module")
def minictl(tmp_path_factory):
    home = tmp_path_factory.mktemp("clusters")
    environment = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"} | {"MINIKUBE_PY_HOME": str(home), "HOME": str(home)}

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([MINICTL, *arguments], env=environment, capture_output=True, text=True, input=stdin, timeout=60)

    yield run
    run("down", "--all", "--purge")


@pytest.fixture(scope="module")
def cluster(minictl):
    done = minictl("up", "--name", "cli", "--runtime", "hollow", "--listen", "127.0.0.1:0")
    assert done.returncode == 0, done.stderr
    return done


def test_up_says_how_long_it_took_and_how_to_go_on(cluster):
    first, second = cluster.stdout.splitlines()
    assert first.startswith("cluster cli is up after ")
    assert first.endswith(", 2 nodes Ready")
    assert Path(second.removeprefix("export KUBECONFIG=")).exists()


def test_a_second_up_on_the_same_data_says_so_and_stops(cluster, minictl):
    done = minictl("up", "--name", "cli", "--runtime", "hollow", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: a cluster is already running on ")
    assert done.stderr.count("\n") == 1


def test_a_life_of_a_deployment(cluster, minictl):
    assert minictl("apply", "-f", HELLO).stdout.splitlines() == ["deployment.apps/hello created", "service/hello created"]
    assert "successfully rolled out" in minictl("rollout", "status", "deploy/hello", "--timeout", "30").stdout
    assert minictl("apply", "-f", HELLO).stdout.splitlines() == ["deployment.apps/hello unchanged", "service/hello unchanged"]
    assert minictl("scale", "deploy/hello", "--replicas", "2").stdout == "deployment.apps/hello scaled\n"
    assert minictl("rollout", "restart", "deploy/hello").returncode == 0
    assert minictl("rollout", "status", "deploy/hello", "--timeout", "30").returncode == 0
    assert minictl("rollout", "undo", "deploy/hello").stdout == "deployment.apps/hello rolled back\n"
    names = minictl("get", "rs,deploy", "-o", "name").stdout.split()
    assert "deployment.apps/hello" in names
    assert sum(name.startswith("replicaset.apps/hello-") for name in names) == 2
    assert "ScalingReplicaSet" in minictl("describe", "deploy", "hello").stdout
    assert minictl("delete", "-f", HELLO).stdout.splitlines() == ['deployment.apps "hello" deleted', 'service "hello" deleted']
    assert "No resources found" in minictl("get", "deploy").stderr


def test_output_forms_of_get(cluster, minictl):
    assert json.loads(minictl("get", "ns", "default", "-o", "json").stdout)["metadata"]["name"] == "default"
    assert "kind: Namespace" in minictl("get", "ns/default", "-o", "yaml").stdout
    header = minictl("get", "nodes", "-o", "wide").stdout.splitlines()[0]
    assert header.split()[:4] == ["NAME", "STATUS", "ROLES", "AGE"]
    assert "CONTAINER-RUNTIME" in header
    assert minictl("get", "svc", "-A").stdout.split()[0] == "NAMESPACE"
    assert minictl("get", "ns", "-l", "kubernetes.io/metadata.name=default", "-o", "name").stdout == "namespace/default\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["get", "nonsense"], 'the server doesn\'t have a resource type "nonsense"', id="no such resource"),
        pytest.param(["get", "pod", "nobody"], 'Error from server (NotFound): pods "nobody" not found', id="no such object"),
        pytest.param(["delete", "pod", "nobody"], "Error from server (NotFound)", id="delete"),
        pytest.param(["apply", "-f", "/nonexistent.yaml"], 'the path "/nonexistent.yaml" does not exist', id="no such file"),
        pytest.param(["scale", "deploy/nobody", "--replicas", "1"], "Error from server (NotFound)", id="scale"),
        pytest.param(["logs", "nobody"], "Error from server (NotFound)", id="logs"),
        pytest.param(["up", "--name", "BAD"], "--name 'BAD'", id="bad option"),
        pytest.param(["get", "pods", "--kubeconfig", "/nonexistent"], "/nonexistent: no such file or directory", id="kubeconfig"),
    ],
)
def test_failures_are_one_line_on_stderr_and_a_non_zero_exit(cluster, minictl, arguments, words):
    done = minictl(*arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_status_tells_running_from_stopped(cluster, minictl):
    state = json.loads(minictl("status", "--name", "cli", "-o", "json").stdout)[0]
    assert state["running"]
    assert state["url"].startswith("https://127.0.0.1:")
    assert minictl("status", "--name", "nobody").returncode == 1


def test_kept_data_is_there_after_down_and_up(minictl):
    options = ("--name", "kept", "--components", "apiserver", "--listen", "127.0.0.1:0")
    assert minictl("up", *options).returncode == 0
    manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: b}}"
    assert minictl("apply", "-f", "-", "--cluster", "kept", stdin=manifest).returncode == 0
    assert minictl("down", "--name", "kept").returncode == 0
    assert minictl("up", *options).returncode == 0
    assert json.loads(minictl("get", "cm", "kept", "-o", "json", "--cluster", "kept").stdout)["data"] == {"a": "b"}
    gone = minictl("down", "--name", "kept", "--purge")
    assert gone.stdout.rstrip().endswith("ended, data deleted")
    assert minictl("down", "--name", "kept").returncode == 1


def test_logs_of_a_simulated_pod_are_refused_as_by_a_node_without_kubelet(cluster, minictl):
    """Whatever host of this machine's networks has the address that a hollow node says it has, it is never dialled."""
    pod = {"metadata": {"name": "mute"}, "spec": {"containers": [{"name": "c", "image": "x"}]}, "apiVersion": "v1", "kind": "Pod"}
    assert minictl("apply", "-f", "-", stdin=json.dumps(pod)).returncode == 0
    wait_for(lambda: '"Running"' in minictl("get", "pod", "mute", "-o", "json").stdout, "the pod")
    done = minictl("logs", "mute")
    assert done.returncode == 1
    assert ":10250: connect: connection refused" in done.stderr
    assert done.stderr.count("\n") == 1


def test_metrics_tell_of_controllers_and_scheduler(cluster, minictl):
    config = minictl("status", "--name", "cli", "-o", "json")
    http = Http.from_kubeconfig(json.loads(config.stdout)[0]["kubeconfig"])
    status, text = http.raw("GET", "/metrics")
    http.close()
    assert status == 200
    lines = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    scheduled = 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"}'
    before = float(lines[scheduled])
    assert before >= 1
    assert float(lines['workqueue_adds_total{name="deployment-controller"}']) >= 1
    assert lines['workqueue_depth{name="garbage-collector-controller"}'] == "0.0"
    assert float(lines['controller_runtime_reconcile_total{controller="replicaset-controller",result="success"}']) >= 1
    assert lines['scheduler_pending_pods{queue="active"}'] == "0.0"
