"""npm's @kubernetes/client-node as its users write it: `node_client.mjs` runs in Node and tells what it saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e import tools
from tests.e2e.clusters import Cluster, Program
from tests.e2e.manifests import pod, shell

#: the last line that runs on Node 20; 2.x needs what Node 22 brought
VERSION = "1.4.0"

PROGRAM = Path(__file__).with_name("node_client.mjs")


@pytest.fixture(scope="session")
def modules() -> Path:
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}: the client under test is an npm package")
    return tools.npm_package("@kubernetes/client-node", VERSION)


@pytest.mark.timeout(180)  # seconds; the first run of a machine fetches 80 MB
def test_node_client_reads_writes_watches_and_runs(
    modules: Path, cluster: Cluster, kubectl: Program, namespace: str, gadgets: str
) -> None:
    kubectl.apply(pod("box", shell("echo logged; sleep 1000")))
    kubectl("wait", "--for=condition=Ready", "pod/box", "--timeout=30s")
    node = Program(Path(shutil.which("node") or "node"), cluster.environment)
    seen = node(str(PROGRAM), str(modules), namespace, gadgets).json
    assert seen == {
        "created": ["one", True],
        "listed": ["one"],
        "again": [409, "AlreadyExists"],
        "deleted": "Success",
        "events": [
            ["MODIFIED", {"a": "1", "b": "2"}],
            ["MODIFIED", {"b": "2"}],
            ["DELETED", {"b": "2"}],
        ],
        "applied": [{"colour": "red", "size": 1}, "node"],
        "gadgets": ["lamp"],
        "exec": ["out\n", "err\n", "Success", None],
        "failed": ["", "", "Failure", "3"],
        "log": "logged\n",
        "deployments": 0,
    }
