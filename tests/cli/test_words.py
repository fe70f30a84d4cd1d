"""What commands print and how they read their arguments, without a cluster."""

from __future__ import annotations

import click
import pytest

from minikube_py.cli.applying import read_manifests
from minikube_py.cli.describing import describe, title
from minikube_py.cli.printing import TablePrinter, document
from minikube_py.cli.streams import exit_code, seconds
from minikube_py.cli.workloads import verdict

TABLE = {
    "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "Node", "priority": 1}],
    "rows": [
        {"cells": ["a", "1/1", "n1"], "object": {"metadata": {"namespace": "x", "labels": {"b": "2", "a": "1"}}}},
        {"cells": ["longer", None, "n2"], "object": {"metadata": {"namespace": "y"}}},
    ],
}


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        pytest.param({}, ["NAME     READY", "a        1/1", "longer   <none>"], id="plain"),
        pytest.param({"wide": True}, ["NAME     READY    NODE", "a        1/1      n1", "longer   <none>   n2"], id="wide"),
        pytest.param(
            {"namespaces": True}, ["NAMESPACE   NAME     READY", "x           a        1/1", "y           longer   <none>"], id="namespaces"
        ),
        pytest.param({"prefix": "pod"}, ["NAME         READY", "pod/a        1/1", "pod/longer   <none>"], id="prefixed"),
        pytest.param({"labels": True}, ["NAME     READY    LABELS", "a        1/1      a=1,b=2", "longer   <none>   <none>"], id="labels"),
    ],
)  # fmt: skip
def test_tables_are_laid_out_like_kubectls(options, lines):
    assert TablePrinter(**options).lines(TABLE) == lines


def test_rows_of_a_watch_come_without_a_second_header():
    printer = TablePrinter()
    printer.lines(TABLE)
    assert printer.lines({"rows": TABLE["rows"][:1]}, header=False) == ["a        1/1"]


def test_managed_fields_are_not_shown():
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "managedFields": [{}]}}
    assert "managedFields" not in document([obj], "yaml", single=True)
    assert "managedFields" not in document([obj], "json", single=False)
    assert obj["metadata"]["managedFields"]


@pytest.mark.parametrize(
    ("key", "shown"), [("clusterIP", "Cluster IP"), ("name", "Name"), ("podIPs", "Pod IPs"), ("readyReplicas", "Ready Replicas")]
)
def test_fields_are_titled_like_kubectls(key, shown):
    assert title(key) == shown


def test_a_description_keeps_the_users_own_keys_and_lists_events():
    obj = {
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"appName": "x"}},
        "spec": {"nodeSelector": {"diskType": "ssd"}, "containers": []},
    }
    events = [{"type": "Warning", "reason": "Failed", "message": "no\n", "count": 3, "source": {"component": "kubelet"}}]
    text = describe(obj, events)
    assert "appName=x" in text
    assert "diskType=ssd" in text
    assert "Warning  Failed  3" in text
    assert describe(obj, []).endswith("Events:  <none>")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: [1", "error parsing", id="not YAML"),
        pytest.param("a: 1", "apiVersion and kind must be set", id="no object"),
        pytest.param("{apiVersion: v1, kind: Pod}", "has no metadata.name", id="no name"),
    ],
)
def test_bad_manifests_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(click.ClickException) as refused:
        list(read_manifests((str(path),)))
    assert message in refused.value.message
    assert "\n" not in refused.value.message


def test_folders_documents_and_lists_are_unfolded_in_order(tmp_path):
    (tmp_path / "b.yaml").write_text(
        "{apiVersion: v1, kind: A, metadata: {name: x}}\n---\n---\n{apiVersion: v1, kind: B, metadata: {name: y}}"
    )
    (tmp_path / "c.json").write_text(
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "C", "metadata": {"name": "z"}}]}'
    )
    (tmp_path / "ignored.txt").write_text("no")
    assert [m["kind"] for m in read_manifests((str(tmp_path),))] == ["A", "B", "C"]


def deployment(generation=1, observed=1, wanted=3, **status):
    return {
        "metadata": {"name": "web", "generation": generation},
        "spec": {"replicas": wanted},
        "status": {"observedGeneration": observed, **status},
    }


@pytest.mark.parametrize(
    ("obj", "text", "done"),
    [
        pytest.param(deployment(2), "spec update to be observed", False, id="not observed"),
        pytest.param(deployment(updatedReplicas=1), "1 out of 3 new replicas have been updated", False, id="updating"),
        pytest.param(deployment(updatedReplicas=3, replicas=4), "1 old replicas are pending termination", False, id="old ones"),
        pytest.param(
            deployment(updatedReplicas=3, replicas=3, availableReplicas=2),
            "2 of 3 updated replicas are available",
            False,
            id="waiting",
        ),
        pytest.param(deployment(updatedReplicas=3, replicas=3, availableReplicas=3), "successfully rolled out", True, id="done"),
    ],
)
def test_a_rollout_is_judged_as_kubectl_does(obj, text, done):
    said, finished = verdict("Deployment", obj)
    assert text in said
    assert finished is done


def test_a_rollout_past_its_deadline_is_an_error():
    failed = deployment(conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}])
    with pytest.raises(click.ClickException, match="exceeded its progress deadline"):
        verdict("Deployment", failed)


@pytest.mark.parametrize(("text", "expected"), [("5s", 5), ("2m", 120), ("1h", 3600), ("90", 90), ("0.1s", 1)])
def test_durations_are_read(text, expected):
    assert seconds(text) == expected


def test_the_exit_code_of_a_command_is_in_its_status():
    assert exit_code({"status": "Success"}) == 0
    assert exit_code({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}) == 7
    with pytest.raises(click.ClickException, match="no such container"):
        exit_code({"status": "Failure", "message": "no such container"})
