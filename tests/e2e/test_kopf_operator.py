"""A kopf operator in a process of its own, on ConfigMaps: it greets, follows updates, and holds deletion by its finalizer."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.manifests import Tree, config_map
from tests.e2e.ways import both_ways

OPERATOR = Path(__file__).with_name("operator_of_greetings.py")


@pytest.fixture
def operator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """The running operator's log."""
    log = tmp_path / "operator.log"
    argv = [str(Path(sys.executable).with_name("kopf")), "run", "--standalone", "--namespace", namespace, str(OPERATOR)]
    with log.open("w") as stream:
        process = subprocess.Popen(
            argv, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=cluster.environment
        )
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(15)
            finally:
                process.kill()
                process.wait(10)


def greeted(name: str, who: str) -> Tree:
    tree = config_map(name, who=who)
    tree["metadata"]["labels"] = {"greet": "yes"}
    return tree


def greeting(kubectl: Program, name: str, log: Path) -> str:
    shown = kubectl("get", "secret", f"{name}-greeting", "-o", "jsonpath={.data.text}", check=False)
    assert shown.code == 0, log.read_text()
    return base64.b64decode(shown.out).decode()


@both_ways
def test_operator_follows_an_object_from_creation_to_deletion(kubectl: Program, operator: Path) -> None:
    kubectl.apply(greeted("guest", "jane"), config_map("stranger", who="john"))
    eventually(lambda: greeting(kubectl, "guest", operator) == "hello jane", limit=30)
    kubectl("wait", "--for=jsonpath={.metadata.annotations.example\\.test/greeted}=jane", "configmap/guest", "--timeout=20s")
    shown = kubectl("get", "configmap", "guest", "-o", "json").json["metadata"]
    assert shown["finalizers"] == ["example.test/greetings"]
    assert "kopf.zalando.org/last-handled-configuration" in shown["annotations"]

    kubectl("patch", "configmap", "guest", "-p", '{"data":{"who":"joan"}}')
    eventually(lambda: greeting(kubectl, "guest", operator) == "hello joan")
    eventually(lambda: {"Greeted"} <= reasons(kubectl), limit=20)

    kubectl("delete", "configmap", "guest", "--timeout=20s")
    eventually(lambda: "Farewell" in reasons(kubectl))
    kubectl("wait", "--for=delete", "secret/guest-greeting", "--timeout=20s")
    assert kubectl("get", "secret", "stranger-greeting", check=False).code == 1


def reasons(kubectl: Program) -> set[str]:
    return {event["reason"] for event in kubectl("get", "events", "-o", "json").json["items"]}
