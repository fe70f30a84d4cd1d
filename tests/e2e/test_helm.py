"""Helm 4.3 (server-side apply by default) with a chart of the test's own: values, hooks, a test pod; upgrade, rollback, uninstall."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.e2e.clusters import Program
from tests.e2e.ways import both_ways

CHART = {
    "Chart.yaml": """
        apiVersion: v2
        name: greeter
        version: 1.2.3
        appVersion: "7"
        """,
    "values.yaml": """
        greeting: hello
        replicas: 1
        """,
    "templates/configmap.yaml": """
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: {{ .Release.Name }}-settings
          labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}
        data:
          greeting: {{ .Values.greeting | quote }}
        """,
    "templates/service.yaml": """
        apiVersion: v1
        kind: Service
        metadata: {name: "{{ .Release.Name }}"}
        spec:
          selector: {app: "{{ .Release.Name }}"}
          ports: [{port: 80, targetPort: 8080}]
        """,
    "templates/deployment.yaml": """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: "{{ .Release.Name }}"}
        spec:
          replicas: {{ .Values.replicas }}
          selector: {matchLabels: {app: "{{ .Release.Name }}"}}
          template:
            metadata:
              labels: {app: "{{ .Release.Name }}"}
              annotations: {checksum: {{ .Values.greeting | sha256sum }}}
            spec:
              terminationGracePeriodSeconds: 0
              containers:
              - name: main
                image: host
                command: [sh, -c, "echo $GREETING; sleep 1000"]
                env:
                - name: GREETING
                  valueFrom: {configMapKeyRef: {name: "{{ .Release.Name }}-settings", key: greeting}}
        """,
    "templates/hook.yaml": """
        apiVersion: batch/v1
        kind: Job
        metadata:
          name: {{ .Release.Name }}-before
          annotations:
            helm.sh/hook: pre-install,pre-upgrade
            helm.sh/hook-delete-policy: before-hook-creation
        spec:
          template:
            spec:
              restartPolicy: Never
              containers:
              - {name: main, image: host, command: [sh, -c, "echo preparing revision {{ .Release.Revision }}"]}
        """,
    "templates/tests/greets.yaml": """
        apiVersion: v1
        kind: Pod
        metadata:
          name: {{ .Release.Name }}-greets
          annotations: {helm.sh/hook: test}
        spec:
          restartPolicy: Never
          containers:
          - {name: main, image: host, command: [sh, -c, "test {{ .Values.greeting }} != bad"]}
        """,
    "templates/NOTES.txt": "It says {{ .Values.greeting }}.\n",
}


@pytest.fixture
def chart(tmp_path: Path) -> str:
    for name, text in CHART.items():
        file = tmp_path / "greeter" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip())
    return str(tmp_path / "greeter")


def greeting(kubectl: Program) -> str:
    return kubectl("get", "configmap", "app-settings", "-o", "jsonpath={.data.greeting}").out


def history(helm: Program) -> list[tuple[int, str]]:
    return [(r["revision"], r["status"]) for r in helm("history", "app", "-o", "json").json]


@both_ways
def test_release_from_install_to_uninstall(helm: Program, kubectl: Program, chart: str) -> None:
    helm("lint", chart)
    shown = helm("install", "app", chart, "--wait", "--timeout=40s").out
    assert "STATUS: deployed" in shown
    assert "It says hello." in shown
    assert kubectl("get", "deployment", "app").rows[1][1] == "1/1", "--wait waits"
    assert kubectl("logs", "job/app-before").out == "preparing revision 1\n"
    assert [(r["name"], r["status"], r["chart"]) for r in helm("list", "-o", "json").json] == [
        ("app", "deployed", "greeter-1.2.3")
    ]
    managed = kubectl("get", "deployment", "app", "-o", "json", "--show-managed-fields").json["metadata"]["managedFields"]
    assert ("helm", "Apply") in {(m["manager"], m["operation"]) for m in managed}

    helm("upgrade", "app", chart, "--set", "greeting=moin,replicas=2", "--wait", "--timeout=40s")
    assert (greeting(kubectl), kubectl("get", "deployment", "app").rows[1][1]) == ("moin", "2/2")
    assert kubectl("logs", "job/app-before").out == "preparing revision 2\n"
    assert "Phase:          Succeeded" in helm("test", "app", "--timeout=30s").out

    helm("rollback", "app", "1", "--wait", "--timeout=40s")
    assert (greeting(kubectl), kubectl("get", "deployment", "app").rows[1][1]) == ("hello", "1/1")
    assert history(helm) == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert helm("get", "values", "app", "--revision=2", "-o", "json").json == {"greeting": "moin", "replicas": 2}

    assert helm("uninstall", "app", "--wait", "--timeout=40s").out == 'release "app" uninstalled\n'
    assert kubectl("get", "deployments,services,replicasets", "-o", "name").out == ""
    assert helm("list", "-o", "json").json == []
    assert kubectl("get", "secrets", "-l", "owner=helm", "-o", "name").out == ""


def test_failing_test_pod_fails_the_test(helm: Program, chart: str) -> None:
    helm("install", "app", chart, "--set", "greeting=bad,replicas=0", "--wait", "--timeout=40s")
    failed = helm("test", "app", "--timeout=30s", check=False)
    assert failed.code == 1
    assert "Phase:          Failed" in failed.out + failed.err


def test_refused_upgrade_is_recorded_and_mended(helm: Program, kubectl: Program, chart: str) -> None:
    helm("install", "app", chart, "--set", "replicas=0", "--wait", "--timeout=40s")
    refused = helm("upgrade", "app", chart, "--set", "replicas=-1", "--timeout=40s", check=False)
    assert refused.code == 1
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in refused.err
    assert history(helm) == [(1, "deployed"), (2, "failed")]
    helm("upgrade", "app", chart, "--set", "greeting=servus,replicas=0", "--wait", "--timeout=40s")
    assert greeting(kubectl) == "servus"
    assert history(helm)[-1] == (3, "deployed")


def test_upgrade_takes_a_drifted_object_back(helm: Program, kubectl: Program, chart: str) -> None:
    """Helm owns what it applied: a value changed by hand is a conflict, and --force-conflicts takes it back."""
    helm("install", "app", chart, "--set", "replicas=0", "--wait", "--timeout=40s")
    kubectl("patch", "configmap", "app-settings", "-p", '{"data":{"greeting":"drifted"}}')
    refused = helm("upgrade", "app", chart, "--set", "greeting=back,replicas=0", "--timeout=40s", check=False)
    assert refused.code == 1
    assert 'conflict with "kubectl-patch"' in refused.err
    helm("upgrade", "app", chart, "--set", "greeting=back,replicas=0", "--force-conflicts", "--wait", "--timeout=40s")
    assert greeting(kubectl) == "back"
