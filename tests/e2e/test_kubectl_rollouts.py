"""`kubectl rollout`, `scale` and `set`: how a Deployment of real processes changes."""

from __future__ import annotations

import json

from tests.e2e.clusters import Program
from tests.e2e.manifests import deployment, shell
from tests.e2e.ways import both_ways


def rolled_out(kubectl: Program, name: str) -> None:
    assert (
        f'deployment "{name}" successfully rolled out' in kubectl("rollout", "status", f"deployment/{name}", "--timeout=30s").out
    )


def words(kubectl: Program, name: str) -> set[str]:
    """What the ready pods of a Deployment say: their environment variable WORD."""
    items = kubectl("get", "pods", "-l", f"app={name}", "-o", "json").json["items"]
    alive = [p for p in items if "deletionTimestamp" not in p["metadata"]]
    return {
        e.get("value", "")
        for p in alive
        for e in p["spec"]["containers"][0].get("env", [{"name": "WORD"}])
        if e["name"] == "WORD"
    }


def history(kubectl: Program, name: str) -> list[str]:
    return [row[0] for row in kubectl("rollout", "history", f"deployment/{name}").rows[2:] if row]


@both_ways
def test_scaling_up_and_down(kubectl: Program) -> None:
    kubectl.apply(deployment("scaled", replicas=1))
    rolled_out(kubectl, "scaled")
    assert kubectl("scale", "deployment", "scaled", "--replicas=4").out == "deployment.apps/scaled scaled\n"
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=4", "deployment/scaled", "--timeout=30s")
    kubectl("scale", "deployment", "scaled", "--replicas=1", "--current-replicas=4")
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/scaled", "--timeout=30s")
    refused = kubectl("scale", "deployment", "scaled", "--replicas=9", "--current-replicas=4", check=False)
    assert (refused.code, "Expected replicas to be 4, was 1" in refused.err) == (1, True)


@both_ways
def test_update_history_and_undo(kubectl: Program) -> None:
    kubectl.apply(deployment("changed", shell("sleep 1000", env=[{"name": "WORD", "value": "one"}]), replicas=2))
    rolled_out(kubectl, "changed")
    kubectl("set", "env", "deployment/changed", "WORD=two")
    kubectl("annotate", "deployment/changed", "kubernetes.io/change-cause=second thoughts")
    rolled_out(kubectl, "changed")
    assert words(kubectl, "changed") == {"two"}
    assert history(kubectl, "changed") == ["1", "2"]
    assert kubectl("rollout", "history", "deployment/changed").rows[3] == ["2", "second", "thoughts"]
    assert "WORD:\tone" in kubectl("rollout", "history", "deployment/changed", "--revision=1").out
    assert kubectl("rollout", "undo", "deployment/changed").out == "deployment.apps/changed rolled back\n"
    rolled_out(kubectl, "changed")
    assert words(kubectl, "changed") == {"one"}
    assert history(kubectl, "changed") == ["2", "3"], "the old revision is renumbered"
    kubectl("rollout", "undo", "deployment/changed", "--to-revision=2")
    rolled_out(kubectl, "changed")
    assert words(kubectl, "changed") == {"two"}


def test_restart_replaces_every_pod(kubectl: Program) -> None:
    kubectl.apply(deployment("fresh", replicas=2))
    rolled_out(kubectl, "fresh")
    before = set(kubectl("get", "pods", "-o", "name").lines)
    kubectl("rollout", "restart", "deployment/fresh")
    rolled_out(kubectl, "fresh")
    alive = {
        "pod/" + p["metadata"]["name"]
        for p in kubectl("get", "pods", "-o", "json").json["items"]
        if "deletionTimestamp" not in p["metadata"]
    }
    assert len(alive) == 2
    assert not alive & before
    for name in before:
        kubectl("wait", "--for=delete", name, "--timeout=30s")


def test_paused_deployment_waits_for_resume(kubectl: Program) -> None:
    kubectl.apply(deployment("halted", shell("sleep 1000", env=[{"name": "WORD", "value": "one"}])))
    rolled_out(kubectl, "halted")
    kubectl("rollout", "pause", "deployment/halted")
    kubectl("set", "env", "deployment/halted", "WORD=two")
    kubectl("wait", "--for=condition=Progressing=Unknown", "deployment/halted", "--timeout=20s")
    generation = kubectl("get", "deployment/halted", "-o", "jsonpath={.metadata.generation}").out
    kubectl("wait", f"--for=jsonpath={{.status.observedGeneration}}={generation}", "deployment/halted", "--timeout=20s")
    assert len(kubectl("get", "replicasets", "-o", "name").lines) == 1
    refused = kubectl("rollout", "restart", "deployment/halted", check=False)
    assert "can't restart paused deployment (run rollout resume first)" in refused.err
    kubectl("rollout", "resume", "deployment/halted")
    rolled_out(kubectl, "halted")
    assert words(kubectl, "halted") == {"two"}


def test_image_that_is_nowhere_keeps_the_old_pods(kubectl: Program) -> None:
    kubectl.apply(deployment("kept", replicas=2, progressDeadlineSeconds=2))
    rolled_out(kubectl, "kept")
    assert (
        kubectl("set", "image", "deployment/kept", "main=registry.invalid/nothing:1").out
        == "deployment.apps/kept image updated\n"
    )
    stuck = kubectl("rollout", "status", "deployment/kept", "--timeout=30s", check=False)
    assert stuck.code == 1
    assert 'error: deployment "kept" exceeded its progress deadline' in stuck.err
    pods = kubectl("get", "pods").rows[1:]
    assert [row[2] for row in pods].count("Running") == 2
    assert {row[2] for row in pods} <= {"Running", "ErrImagePull", "ImagePullBackOff"}
    kubectl("rollout", "undo", "deployment/kept")
    rolled_out(kubectl, "kept")
    assert [row[2] for row in kubectl("get", "pods", "--field-selector=status.phase=Running").rows[1:]] == ["Running", "Running"]


def test_recreate_never_runs_two_versions_at_once(kubectl: Program) -> None:
    kubectl.apply(
        deployment("anew", shell("sleep 1000", env=[{"name": "WORD", "value": "1"}]), replicas=2, strategy={"type": "Recreate"})
    )
    rolled_out(kubectl, "anew")
    arguments = ("get", "pods", "-l", "app=anew", "--watch", "--output-watch-events", "-o", "json")
    with kubectl.running(*arguments) as watch:
        kubectl("set", "env", "deployment/anew", "WORD=2")
        rolled_out(kubectl, "anew")
        kubectl("delete", "deployment", "anew", "--cascade=foreground")
        watch.terminate()
        assert watch.stdout is not None
        text = watch.stdout.read()
    decoder, position, alive, hashes = json.JSONDecoder(), 0, {}, set()
    while text[position:].strip():
        event, position = decoder.raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        if "type" not in event:
            continue
        metadata = event["object"]["metadata"]
        alive.pop(metadata["name"], None)
        if event["type"] != "DELETED":
            alive[metadata["name"]] = metadata["labels"]["pod-template-hash"]
        hashes |= set(alive.values())
        assert len(set(alive.values())) <= 1, alive
    assert len(hashes) == 2


def test_set_resources_and_service_account_make_new_revisions(kubectl: Program) -> None:
    kubectl.apply(deployment("tuned", replicas=0))
    kubectl("create", "serviceaccount", "robot")
    kubectl("set", "resources", "deployment/tuned", "--requests=cpu=10m,memory=16Mi")
    kubectl("set", "serviceaccount", "deployment/tuned", "robot")
    spec = kubectl("get", "deployment/tuned", "-o", "json").json["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "10m", "memory": "16Mi"}}
    assert spec["serviceAccountName"] == "robot"
