"""Helm 4.3 with a chart that brings its own kind: `crds/` first, then hooks and an object of that kind in one release."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import definitions
from tests.e2e.clusters import Cluster, Program

CHART = """
    apiVersion: v2
    name: gadgets
    version: 0.1.0
    """
GADGET = """
    apiVersion: GROUP/v1
    kind: Gadget
    metadata: {name: "{{ .Release.Name }}"}
    spec: {size: {{ .Values.size }}, colour: {{ .Values.colour }}}
    """
HOOK = """
    apiVersion: GROUP/v1
    kind: Gadget
    metadata:
      name: {{ .Release.Name }}-after-{{ .Release.Revision }}
      annotations: {helm.sh/hook: "post-install,post-upgrade"}
    spec: {size: {{ .Release.Revision }}}
    """
FAREWELL = """
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: farewell
      annotations: {helm.sh/hook: pre-delete, helm.sh/hook-delete-policy: before-hook-creation}
    data: {from: "{{ .Release.Name }}"}
    """


@pytest.fixture
def group(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The group of a kind which the cluster doesn't know yet."""
    name = f"{namespace}.example.test"
    yield name
    cluster.kubectl("delete", "crd", f"gadgets.{name}", "--wait=false", "--ignore-not-found")


@pytest.fixture
def chart(tmp_path: Path, group: str) -> str:
    files = {
        "Chart.yaml": CHART,
        "values.yaml": "{size: 2, colour: red}",
        "crds/gadgets.yaml": json.dumps(definitions.gadgets(group)),
        "templates/gadget.yaml": GADGET,
        "templates/hook.yaml": HOOK,
        "templates/farewell.yaml": FAREWELL,
    }
    for name, text in files.items():
        file = tmp_path / "gadgets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip().replace("GROUP", group))
    return str(tmp_path / "gadgets")


def gadgets(kubectl: Program) -> dict[str, tuple[int, str | None]]:
    items = kubectl("get", "gadgets", "-o", "json").json["items"]
    return {g["metadata"]["name"]: (g["spec"]["size"], g["spec"].get("colour")) for g in items}


def test_chart_brings_its_kind_and_leaves_it(helm: Program, kubectl: Program, group: str, chart: str) -> None:
    assert kubectl("get", f"gadgets.{group}", check=False).code == 1, "not known before"
    helm("install", "app", chart, "--wait", "--timeout=30s")
    assert gadgets(kubectl) == {"app": (2, "red"), "app-after-1": (1, None)}

    helm("upgrade", "app", chart, "--set", "size=5,colour=green", "--wait", "--timeout=30s")
    assert gadgets(kubectl) == {"app": (5, "green"), "app-after-1": (1, None), "app-after-2": (2, None)}
    refused = helm("upgrade", "app", chart, "--set", "colour=blue", "--timeout=30s", check=False)
    assert refused.code == 1
    assert 'spec.colour: Unsupported value: "blue": supported values: "red", "green"' in refused.err

    helm("rollback", "app", "1", "--wait", "--timeout=30s")
    assert gadgets(kubectl)["app"] == (2, "red")
    assert [(r["revision"], r["status"]) for r in helm("history", "app", "-o", "json").json][2:] == [
        (3, "failed"),
        (4, "deployed"),
    ]

    helm("uninstall", "app", "--wait", "--timeout=30s")
    assert set(gadgets(kubectl)) == {"app-after-1", "app-after-2"}, "what hooks made isn't the release's"
    assert kubectl("get", "configmap", "farewell", "-o", "jsonpath={.data.from}").out == "app"
    assert kubectl("get", "crd", f"gadgets.{group}", "-o", "name").out, "Helm never takes a kind away"
