"""A kopf operator on a CustomResourceDefinition of its own: defaults, the status subresource, the scale, the finalizer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.definitions import gadget

OPERATOR = Path(__file__).with_name("operator_of_gadgets.py")


@pytest.fixture
def operator(cluster: Cluster, namespace: str, gadgets: str, tmp_path: Path) -> Iterator[Path]:
    """The running operator's log."""
    log = tmp_path / "operator.log"
    argv = [str(Path(sys.executable).with_name("kopf")), "run", "--standalone", "--namespace", namespace, str(OPERATOR)]
    with log.open("w") as stream:
        process = subprocess.Popen(
            argv,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=cluster.environment | {"GADGETS": gadgets},
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


def phase(kubectl: Program, name: str, value: str) -> None:
    kubectl("wait", f"--for=jsonpath={{.status.phase}}={value}", f"gadget/{name}", "--timeout=30s")


def test_operator_follows_its_own_kind_to_the_end(kubectl: Program, gadgets: str, operator: Path) -> None:
    kubectl.apply(gadget(gadgets, "lamp", colour="red"))
    phase(kubectl, "lamp", "Built")
    built = kubectl("get", "gadget", "lamp", "-o", "json").json
    assert built["status"]["build"] == {"size": 1}, "the schema's default is what the handler sees"
    assert built["metadata"]["finalizers"] == ["example.test/gadgets"]
    assert built["metadata"]["generation"] == 1, "neither the finalizer nor the status counts as a new generation"

    kubectl("scale", "gadget/lamp", "--replicas=3")
    phase(kubectl, "lamp", "Resized-1-to-3")
    assert kubectl("get", "gadget", "lamp").rows == [["NAME", "PHASE"], ["lamp", "Resized-1-to-3"]]
    assert kubectl("get", "gadget", "lamp", "--subresource=scale", "-o", "jsonpath={.status.replicas}").out == "3"

    kubectl("delete", "gadget", "lamp", "--wait=false")
    eventually(lambda: "lamp is red" in operator.read_text())
    held = kubectl("get", "gadget", "lamp", "-o", "json").json["metadata"]
    assert held["deletionTimestamp"], "a handler that isn't done keeps the object by its finalizer"
    kubectl("patch", "gadget", "lamp", "--type=merge", "-p", '{"spec":{"colour":"green"}}')
    kubectl("wait", "--for=delete", "gadget/lamp", "--timeout=20s")
    eventually(lambda: "Scrapped" in kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").out)
