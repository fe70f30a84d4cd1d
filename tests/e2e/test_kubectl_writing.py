"""What kubectl 1.37 changes: apply, patches, edits, creations from literals, deletions."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from tests.e2e.clusters import Cluster, Program
from tests.e2e.manifests import config_map, deployment, pod, service, shell
from tests.e2e.ways import both_ways


@both_ways
def test_apply_creates_then_configures_then_changes_nothing(kubectl: Program) -> None:
    assert kubectl.apply(config_map("grown", a="1", b="2")).out == "configmap/grown created\n"
    assert kubectl.apply(config_map("grown", a="1", c="3")).out == "configmap/grown configured\n"
    assert kubectl("get", "configmap", "grown", "-o", "json").json["data"] == {"a": "1", "c": "3"}
    before = kubectl("get", "configmap", "grown", "-o", "jsonpath={.metadata.resourceVersion}").out
    assert kubectl.apply(config_map("grown", a="1", c="3")).out == "configmap/grown unchanged\n"
    assert kubectl("get", "configmap", "grown", "-o", "jsonpath={.metadata.resourceVersion}").out == before


def test_apply_removes_list_entries_by_merge_key(kubectl: Program) -> None:
    both = deployment("merged", shell("sleep 1000", name="a"), shell("sleep 1000", name="b"), replicas=0)
    kubectl.apply(both)
    kubectl("set", "image", "deployment/merged", "a=host:other")
    kubectl.apply(deployment("merged", shell("sleep 1000", name="b"), replicas=0))
    names = kubectl("get", "deployment", "merged", "-o", "jsonpath={.spec.template.spec.containers[*].name}").out
    assert names == "b"


def test_apply_reads_yaml_of_several_documents(kubectl: Program) -> None:
    text = "\n---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: doc-{i}\ndata:\n  number: '{i}' # a comment" for i in range(3)
    )
    assert kubectl("apply", "-f", "-", stdin=text).lines == [f"configmap/doc-{i} created" for i in range(3)]


def test_apply_refuses_an_invalid_object_with_its_field(kubectl: Program) -> None:
    wrong = deployment("wrong")
    wrong["spec"]["selector"]["matchLabels"] = {"app": "other"}
    result = kubectl.apply(wrong, check=False)
    assert result.code == 1
    assert (
        'The Deployment "wrong" is invalid: spec.template.metadata.labels: Invalid value: {"app":"wrong"}: '
        "`selector` does not match template `labels`" in result.err
    )


def test_apply_refuses_an_unknown_field(kubectl: Program) -> None:
    wrong = config_map("unknown", a="1") | {"dato": {}}
    result = kubectl.apply(wrong, check=False)
    assert result.code == 1
    assert 'unknown field "dato"' in result.err


def test_dry_run_of_the_server_leaves_nothing(kubectl: Program) -> None:
    assert kubectl.apply(config_map("dry", a="1"), check=True).code == 0
    text = json.dumps(config_map("drier", a="1"))
    assert kubectl("apply", "--dry-run=server", "-f", "-", stdin=text).out == "configmap/drier created (server dry run)\n"
    assert kubectl("get", "configmap", "drier", check=False).code == 1


def test_diff_shows_what_apply_would_change(kubectl: Program) -> None:
    kubectl.apply(config_map("compared", a="1"))
    same = kubectl("diff", "-f", "-", stdin=json.dumps(config_map("compared", a="1")))
    assert (same.code, same.out) == (0, "")
    other = kubectl("diff", "-f", "-", stdin=json.dumps(config_map("compared", a="2")), check=False)
    assert other.code == 1
    assert '-  a: "1"' in other.lines
    assert '+  a: "2"' in other.lines


@both_ways
def test_server_side_apply_owns_fields_and_names_the_other_owner(kubectl: Program) -> None:
    def applied(manager: str, *flags: str, **data: str) -> tuple[int, str]:
        text = json.dumps(config_map("owned", **data))
        result = kubectl("apply", "--server-side", f"--field-manager={manager}", *flags, "-f", "-", stdin=text, check=False)
        return result.code, result.out + result.err

    assert applied("first", a="1", b="1") == (0, "configmap/owned serverside-applied\n")
    code, words = applied("second", a="2")
    assert code == 1
    assert 'Apply failed with 1 conflict: conflict with "first": .data.a' in words
    assert applied("second", "--force-conflicts", a="2")[0] == 0
    assert applied("first", b="1")[0] == 0, "the first owner gave `a` up: no conflict any more"
    assert applied("first")[0] == 0, "what it owned alone goes"
    assert kubectl("get", "configmap", "owned", "-o", "json").json["data"] == {"a": "2"}


def test_server_side_apply_takes_over_from_client_side(kubectl: Program) -> None:
    kubectl.apply(config_map("moved", a="1", b="1"))
    text = json.dumps(config_map("moved", a="1"))
    kubectl("apply", "--server-side", "-f", "-", stdin=text)
    tree = kubectl("get", "configmap", "moved", "-o", "json", "--show-managed-fields").json
    assert tree["data"] == {"a": "1"}, "kubectl moves its own fields over, so that `b` goes"
    owners = {(m["manager"], m["operation"]) for m in tree["metadata"]["managedFields"]}
    assert owners == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}, "the latter keeps the annotation"


def test_prune_deletes_what_is_no_longer_applied(kubectl: Program) -> None:
    def labelled(name: str) -> dict:
        tree = config_map(name, a="1")
        tree["metadata"]["labels"] = {"set": "pruned"}
        return tree

    kubectl.apply(labelled("stays"), labelled("goes"))
    done = kubectl(
        "apply",
        "-l",
        "set=pruned",
        "--prune",
        "--prune-allowlist=core/v1/ConfigMap",
        "-f",
        "-",
        stdin=json.dumps(labelled("stays")),
    )
    assert "configmap/goes pruned" in done.lines
    assert kubectl("get", "configmap", "-l", "set=pruned", "-o", "name").out == "configmap/stays\n"


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        pytest.param("merge", {"data": {"a": None, "b": "2"}}, {"b": "2"}, id="merge"),
        pytest.param(
            "json",
            [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "move", "from": "/data/a", "path": "/data/z"}],
            {"z": "1"},
            id="json",
        ),
        pytest.param("strategic", {"data": {"$patch": "replace", "c": "3"}}, {"c": "3"}, id="strategic"),
    ],
)
def test_patch_of_each_kind(kubectl: Program, kind: str, body: object, expected: dict[str, str]) -> None:
    kubectl.apply(config_map("patched", a="1"))
    assert kubectl("patch", "configmap", "patched", f"--type={kind}", "-p", json.dumps(body)).out == "configmap/patched patched\n"
    assert kubectl("get", "configmap", "patched", "-o", "json").json["data"] == expected


def test_strategic_patch_merges_containers_by_name(kubectl: Program) -> None:
    kubectl.apply(deployment("named", shell("sleep 1000", name="a"), shell("sleep 1000", name="b"), replicas=0))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "host:new"}]}}}}
    kubectl("patch", "deployment", "named", "-p", json.dumps(patch))
    images = kubectl(
        "get", "deployment", "named", "-o", "jsonpath={range .spec.template.spec.containers[*]}{.name}={.image} {end}"
    ).out
    assert sorted(images.split()) == ["a=host", "b=host:new"]


def test_patch_of_a_subresource(kubectl: Program) -> None:
    kubectl.apply(deployment("sub", replicas=0))
    kubectl("patch", "deployment", "sub", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":0}}')
    shown = kubectl("get", "deployment", "sub", "--subresource=scale", "-o", "json").json
    assert (shown["kind"], shown["status"]["selector"]) == ("Scale", "app=sub")


def test_label_and_annotate_set_overwrite_and_remove(kubectl: Program) -> None:
    kubectl.apply(config_map("marked", a="1"))
    assert kubectl("label", "configmap", "marked", "tier=one").out == "configmap/marked labeled\n"
    refused = kubectl("label", "configmap", "marked", "tier=two", check=False)
    assert (refused.code, "already has a value (one), and --overwrite is false" in refused.err) == (1, True)
    kubectl("label", "configmap", "marked", "tier=two", "--overwrite")
    kubectl("annotate", "configmap", "marked", "note=some words", "gone=soon")
    kubectl("annotate", "configmap", "marked", "gone-")
    metadata = kubectl("get", "configmap", "marked", "-o", "json").json["metadata"]
    assert metadata["labels"] == {"tier": "two"}
    assert {k: v for k, v in metadata["annotations"].items() if "/" not in k} == {"note": "some words"}
    kubectl("label", "configmap", "marked", "tier-")
    assert "labels" not in kubectl("get", "configmap", "marked", "-o", "json").json["metadata"]


def test_edit_sends_what_the_editor_changed(kubectl: Program, tmp_path: Path) -> None:
    kubectl.apply(config_map("edited", colour="green"))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/colour: green/colour: blue/" "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    assert kubectl("edit", "configmap", "edited", env={"KUBE_EDITOR": str(editor)}).out == "configmap/edited edited\n"
    assert kubectl("get", "configmap", "edited", "-o", "jsonpath={.data.colour}").out == "blue"
    idle = kubectl("edit", "configmap", "edited", env={"KUBE_EDITOR": "true"})
    assert "Edit cancelled, no changes made." in idle.out + idle.err


def test_replace_needs_the_version_it_read(kubectl: Program) -> None:
    kubectl.apply(config_map("replaced", a="1"))
    read = kubectl("get", "configmap", "replaced", "-o", "json").json
    kubectl("label", "configmap", "replaced", "changed=yes")
    stale = kubectl("replace", "-f", "-", stdin=json.dumps(read), check=False)
    assert stale.code == 1
    assert "the object has been modified; please apply your changes to the latest version and try again" in stale.err
    assert kubectl("replace", "-f", "-", stdin=json.dumps(config_map("replaced", b="2"))).out == "configmap/replaced replaced\n"
    assert kubectl("get", "configmap", "replaced", "-o", "json").json["data"] == {"b": "2"}


def test_create_from_literals(kubectl: Program, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "page.txt"
    file.write_text("a page\n")
    made = [
        kubectl("create", "configmap", "settings", "--from-literal=a=1", f"--from-file={file}"),
        kubectl("create", "secret", "generic", "password", "--from-literal=word=secret"),
        kubectl("create", "serviceaccount", "robot"),
        kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps"),
        kubectl("create", "rolebinding", "robot-reads", "--role=reader", f"--serviceaccount={namespace}:robot"),
        kubectl("create", "quota", "few", "--hard=count/leases.coordination.k8s.io=5"),
        kubectl("create", "poddisruptionbudget", "kept", "--selector=app=x", "--min-available=1"),
        kubectl("create", "ingress", "door", "--rule=example.test/*=web:80"),
        kubectl("create", "cronjob", "nightly", "--image=host", "--schedule=0 3 * * *", "--", "true"),
        kubectl("create", "service", "clusterip", "plain", "--tcp=80:8080"),
    ]
    assert [line.rsplit(" ", 1)[0] for result in made for line in result.lines] == [
        "configmap/settings",
        "secret/password",
        "serviceaccount/robot",
        "role.rbac.authorization.k8s.io/reader",
        "rolebinding.rbac.authorization.k8s.io/robot-reads",
        "resourcequota/few",
        "poddisruptionbudget.policy/kept",
        "ingress.networking.k8s.io/door",
        "cronjob.batch/nightly",
        "service/plain",
    ]
    assert kubectl("get", "configmap", "settings", "-o", "json").json["data"] == {"a": "1", "page.txt": "a page\n"}
    assert kubectl("get", "secret", "password").rows[1][:3] == ["password", "Opaque", "1"]
    assert kubectl("get", "secret", "password", "-o", "jsonpath={.data.word}").out == "c2VjcmV0"
    assert "word:  6 bytes" in kubectl("describe", "secret", "password").out
    assert kubectl("get", "rolebinding", "robot-reads").rows[1][:2] == ["robot-reads", "Role/reader"]
    again = kubectl("create", "configmap", "settings", check=False)
    assert again.err == 'error: failed to create configmap: configmaps "settings" already exists\n'


def test_create_deployment_and_job_run(kubectl: Program) -> None:
    kubectl("create", "deployment", "made", "--image=host", "--replicas=2", "--", "sleep", "1000")
    kubectl("create", "job", "once", "--image=host", "--", "sh", "-c", "echo done")
    kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=30s")
    assert kubectl("logs", "job/once").out == "done\n"
    assert kubectl("get", "job", "once").rows[1][:3] == ["once", "Complete", "1/1"]
    kubectl("wait", "--for=condition=Available", "deployment/made", "--timeout=30s")
    kubectl("delete", "deployment/made", "job/once", "--grace-period=0")


def test_wait_for_creation_value_and_deletion(kubectl: Program) -> None:
    with kubectl.running("wait", "--for=create", "configmap/late", "--timeout=20s") as waiting:
        kubectl.apply(config_map("late", a="1"))
        assert waiting.wait(20) == 0
    with kubectl.running("wait", "--for=jsonpath={.data.a}=2", "configmap/late", "--timeout=20s") as waiting:
        kubectl.apply(config_map("late", a="2"))
        assert waiting.wait(20) == 0
    with kubectl.running("wait", "--for=delete", "configmap/late", "--timeout=20s") as waiting:
        kubectl("delete", "configmap", "late")
        assert waiting.wait(20) == 0
    late = kubectl("wait", "--for=condition=Ready", "pod/nobody", "--timeout=0s", check=False)
    assert late.err == 'Error from server (NotFound): pods "nobody" not found\n'


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_delete_cascades_to_pods_as_asked(kubectl: Program, cascade: str) -> None:
    kubectl.apply(deployment("owner", shell("sleep 1000")))
    kubectl("rollout", "status", "deployment/owner", "--timeout=30s")
    (pod_name,) = kubectl("get", "pods", "-o", "name").lines
    (set_name,) = kubectl("get", "replicasets", "-o", "name").lines
    kubectl("delete", "deployment", "owner", f"--cascade={cascade}")
    if cascade == "foreground":
        assert kubectl("get", "replicasets", "-o", "name").out == "", "dependents go first"
    if cascade == "orphan":
        assert kubectl("get", set_name, "-o", "jsonpath={.metadata.ownerReferences}").out == ""
        assert kubectl("get", pod_name, "-o", "jsonpath={.status.phase}").out == "Running"
        kubectl("delete", set_name)
    kubectl("wait", "--for=delete", pod_name, "--timeout=30s")


def test_delete_by_selector_and_all(kubectl: Program) -> None:
    kubectl.apply(*(config_map(f"c{i}", a="1") for i in range(3)))
    kubectl("label", "configmap", "c0", "c1", "set=one")
    assert sorted(kubectl("delete", "configmap", "-l", "set=one").lines) == [
        line for i in range(2) for line in kubectl_deleted(f"c{i}", kubectl)
    ]
    kubectl("delete", "configmap", "--all")
    assert kubectl("get", "configmap", "c2", check=False).code == 1
    assert kubectl("delete", "configmap", "c2", "--ignore-not-found").out == ""


def kubectl_deleted(name: str, kubectl: Program) -> list[str]:
    return [f'configmap "{name}" deleted from {kubectl.environment["HELM_NAMESPACE"]} namespace']


def test_delete_waits_for_finalizers(kubectl: Program) -> None:
    held = config_map("held", a="1")
    held["metadata"]["finalizers"] = ["example.test/hold"]
    kubectl.apply(held)
    slow = kubectl("delete", "configmap", "held", "--timeout=300ms", check=False)
    assert slow.code == 1
    assert "timed out waiting for the condition" in slow.err
    assert kubectl("get", "configmap", "held", "-o", "jsonpath={.metadata.deletionTimestamp}").out
    kubectl("patch", "configmap", "held", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert kubectl("get", "configmap", "held", check=False).code == 1


def test_namespace_deletion_takes_its_contents_along(cluster: Cluster) -> None:
    name = "short-lived-" + cluster.name
    cluster.kubectl("create", "namespace", name)
    kubectl = cluster.kubectl.within(name)
    kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    kubectl.apply(pod("inside"), config_map("inside", a="1"), service("inside"))
    kubectl("wait", "--for=condition=Ready", "pod/inside", "--timeout=30s")
    cluster.kubectl("delete", "namespace", name, "--timeout=30s")
    assert (
        cluster.kubectl(
            "get", "pods,configmaps,services", "-A", "-o", "name", "--field-selector", f"metadata.namespace={name}"
        ).out
        == ""
    )
    refused = kubectl("create", "configmap", "late", check=False)
    assert f'namespaces "{name}" not found' in refused.err


def test_expose_makes_a_service_of_a_deployment(kubectl: Program) -> None:
    kubectl.apply(deployment("shown", shell("sleep 1000", ports=[{"containerPort": 8080}]), replicas=0))
    assert kubectl("expose", "deployment", "shown", "--port=80", "--target-port=8080").out == "service/shown exposed\n"
    spec = kubectl("get", "service", "shown", "-o", "json").json["spec"]
    assert (spec["selector"], spec["ports"]) == ({"app": "shown"}, [{"port": 80, "protocol": "TCP", "targetPort": 8080}])


def test_kustomization_is_applied(kubectl: Program, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("namePrefix: k-\nconfigMapGenerator:\n- name: made\n  literals: [a=1]\n")
    made = kubectl("apply", "-k", str(tmp_path)).out
    assert re.fullmatch(r"configmap/k-made-[a-z0-9]{10} created\n", made)
