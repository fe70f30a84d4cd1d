"""What pods do on their own: probes, restarts, init containers, volumes, identity, isolation."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.manifests import Tree, config_map, pod, shell, web
from tests.e2e.ways import both_ways

NAMESPACES = ("net", "ipc", "uts", "mnt", "pid")


def ready(kubectl: Program, *names: str) -> None:
    kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in names), "--timeout=30s")


def field(kubectl: Program, name: str, path: str) -> str:
    return kubectl("get", "pod", name, "-o", f"jsonpath={{{path}}}").out


def until(kubectl: Program, name: str, path: str, value: str) -> None:
    kubectl("wait", f"--for=jsonpath={{{path}}}={value}", f"pod/{name}", "--timeout=30s")


def reasons(kubectl: Program, name: str) -> set[str]:
    events = kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json").json["items"]
    return {event["reason"] for event in events}


# --- life ---------------------------------------------------------------------------------------------------------------


@both_ways
def test_failing_container_restarts_with_back_off(kubectl: Program) -> None:
    kubectl.apply(pod("falls", shell("echo falling > /dev/termination-log; exit 7")))
    until(kubectl, "falls", ".status.containerStatuses[0].restartCount", "1")
    until(kubectl, "falls", ".status.containerStatuses[0].state.waiting.reason", "CrashLoopBackOff")
    ended = json.loads(field(kubectl, "falls", ".status.containerStatuses[0].lastState.terminated"))
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (7, "Error", "falling\n")
    assert kubectl("get", "pod", "falls").rows[1][2] == "CrashLoopBackOff"
    message = field(kubectl, "falls", ".status.containerStatuses[0].state.waiting.message")
    assert message.startswith("back-off 10s restarting failed container=main pod=falls_")
    eventually(lambda: "BackOff" in reasons(kubectl, "falls"))


def test_killed_process_is_started_again(kubectl: Program) -> None:
    kubectl.apply(pod("killed", shell("trap 'exit 9' USR1; while :; do sleep 0.05; done")))
    ready(kubectl, "killed")
    first = field(kubectl, "killed", ".status.containerStatuses[0].containerID")
    kubectl("exec", "killed", "--", "sh", "-c", "kill -USR1 1")
    until(kubectl, "killed", ".status.containerStatuses[0].restartCount", "1")
    ready(kubectl, "killed")
    assert field(kubectl, "killed", ".status.containerStatuses[0].containerID") != first
    assert field(kubectl, "killed", ".status.containerStatuses[0].lastState.terminated.exitCode") == "9"


def test_pod_that_never_restarts_ends_in_its_phase(kubectl: Program) -> None:
    kubectl.apply(pod("good", shell("exit 0"), restartPolicy="Never"), pod("bad", shell("exit 3"), restartPolicy="Never"))
    until(kubectl, "good", ".status.phase", "Succeeded")
    until(kubectl, "bad", ".status.phase", "Failed")
    assert [row[2] for row in kubectl("get", "pods").rows[1:]] == ["Error", "Completed"]


def test_init_containers_run_in_order_before_the_others(kubectl: Program) -> None:
    mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    first = shell("until [ -e /tmp/go ]; do sleep 0.02; done; echo one >> /shared/order", name="first", **mount)
    second = shell("echo two >> /shared/order", name="second", **mount)
    main = shell("cat /shared/order; sleep 1000", **mount)
    kubectl.apply(pod("prepared", main, initContainers=[first, second], volumes=[{"name": "shared", "emptyDir": {}}]))
    until(kubectl, "prepared", ".status.initContainerStatuses[0].started", "true")
    assert kubectl("get", "pod", "prepared").rows[1][1:3] == ["0/1", "Init:0/2"]
    kubectl("exec", "prepared", "-c", "first", "--", "touch", "/tmp/go")
    ready(kubectl, "prepared")
    eventually(lambda: kubectl("logs", "prepared", "-c", "main").out == "one\ntwo\n")


def test_sidecar_starts_first_and_ends_last(kubectl: Program) -> None:
    side = shell("trap 'exit 0' TERM; while :; do sleep 0.05; done", name="side", restartPolicy="Always")
    kubectl.apply(
        pod("accompanied", shell("exit 0"), initContainers=[side], restartPolicy="Never", terminationGracePeriodSeconds=5)
    )
    until(kubectl, "accompanied", ".status.phase", "Succeeded")
    assert field(kubectl, "accompanied", ".status.initContainerStatuses[0].state.terminated.exitCode") == "0"


def test_graceful_end_runs_the_hook_and_waits(kubectl: Program) -> None:
    main = shell(
        "trap 'echo ended; exit 0' TERM; echo up; while :; do sleep 0.05; done",
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}},
    )
    kubectl.apply(pod("gentle", main, terminationGracePeriodSeconds=20))
    ready(kubectl, "gentle")
    with kubectl.running("logs", "--follow", "gentle") as logs:
        kubectl("delete", "pod", "gentle", "--timeout=15s")
        assert logs.stdout is not None
        assert logs.stdout.read() == "up\nhook\nended\n"


# --- probes -------------------------------------------------------------------------------------------------------------


def test_readiness_follows_the_probe(kubectl: Program) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    kubectl.apply(pod("opens", shell("sleep 1000", readinessProbe=probe)))
    until(kubectl, "opens", ".status.phase", "Running")
    assert kubectl("get", "pod", "opens").rows[1][1] == "0/1"
    kubectl("exec", "opens", "--", "touch", "/tmp/ready")
    ready(kubectl, "opens")
    kubectl("exec", "opens", "--", "rm", "/tmp/ready")
    kubectl("wait", "--for=condition=Ready=False", "pod/opens", "--timeout=20s")
    assert "Unhealthy" in reasons(kubectl, "opens")


def test_failed_liveness_restarts_the_container(kubectl: Program) -> None:
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 1}
    closed = shell("sleep 1000", ports=[{"name": "http", "containerPort": 8080}], livenessProbe=probe)
    kubectl.apply(pod("dies", closed))
    until(kubectl, "dies", ".status.containerStatuses[0].restartCount", "1")
    events = kubectl("events", "--for", "pod/dies").out
    assert "Liveness probe failed: Get" in events
    assert "Container main failed liveness probe, will be restarted" in events


def test_startup_probe_holds_the_others_back(kubectl: Program) -> None:
    startup = {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1, "failureThreshold": 30}
    liveness = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    readiness = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    kubectl.apply(pod("slow", web(startupProbe=startup, readinessProbe=readiness), shell("sleep 1000", name="still")))
    until(kubectl, "slow", ".status.phase", "Running")
    assert field(kubectl, "slow", ".status.containerStatuses[?(@.name=='web')].started") == "false"
    kubectl("exec", "slow", "-c", "web", "--", "touch", "/tmp/started")
    ready(kubectl, "slow")
    kubectl.apply(pod("held", shell("sleep 1000", startupProbe=startup, livenessProbe=liveness)))
    until(kubectl, "held", ".status.phase", "Running")
    kubectl("exec", "held", "--", "touch", "/tmp/started")
    until(kubectl, "held", ".status.containerStatuses[0].restartCount", "1")


# --- what they are given ------------------------------------------------------------------------------------------------


@both_ways
def test_config_volumes_change_under_a_running_pod(kubectl: Program) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"word": "one"}}
    kubectl.apply(config_map("settings", colour="green"), secret)
    mounts = [{"name": "settings", "mountPath": "/etc/settings"}, {"name": "key", "mountPath": "/etc/key", "readOnly": True}]
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
    ]
    kubectl.apply(pod("reader", shell("sleep 1000", volumeMounts=mounts), volumes=volumes))
    ready(kubectl, "reader")

    def read(*files: str) -> str:
        return kubectl("exec", "reader", "--", "cat", *files).out

    assert read("/etc/settings/colour", "/etc/key/word") == "greenone"
    assert kubectl("exec", "reader", "--", "stat", "-Lc", "%a", "/etc/key/word").out == "400\n"
    kubectl.apply(config_map("settings", colour="blue", shade="dark"), secret | {"stringData": {"word": "two"}})
    eventually(lambda: read("/etc/settings/colour") == "blue", limit=45)
    assert read("/etc/settings/shade") == "dark"
    eventually(lambda: read("/etc/key/word") == "two", limit=45)


def test_environment_comes_from_everywhere(kubectl: Program, namespace: str) -> None:
    kubectl.apply(config_map("more", COLOUR="green", SHADE="dark"))
    env: list[Tree] = [
        {"name": "PLAIN", "value": "a"},
        {"name": "BUILT", "value": "$(PLAIN)-$(NAMESPACE)-$$(PLAIN)-$(NONE)"},
        {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "TINT", "valueFrom": {"configMapKeyRef": {"name": "more", "key": "COLOUR"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    env.insert(1, env.pop(2))
    main = shell("env; sleep 1000", env=env, envFrom=[{"prefix": "M_", "configMapRef": {"name": "more"}}])
    main["resources"] = {"limits": {"memory": "64Mi", "cpu": "500m"}}
    kubectl.apply(pod("told", main))
    ready(kubectl, "told")
    text = kubectl("exec", "told", "--", "env").out
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert found["BUILT"] == f"a-{namespace}-$(PLAIN)-$(NONE)"
    assert (found["TINT"], found["M_SHADE"], found["LIMIT"], found["HOSTNAME"]) == ("green", "dark", "64", "told")
    assert "MAYBE" not in found
    assert found["KUBERNETES_SERVICE_PORT"] == "443"


def test_missing_config_map_is_waited_for(kubectl: Program) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}]
    kubectl.apply(pod("waits", shell("sleep 1000", env=env)))
    until(kubectl, "waits", ".status.containerStatuses[0].state.waiting.reason", "CreateContainerConfigError")
    assert field(kubectl, "waits", ".status.containerStatuses[0].state.waiting.message") == 'configmap "late" not found'
    kubectl.apply(config_map("late", x="here"))
    ready(kubectl, "waits")


def test_downward_api_and_projected_volumes(kubectl: Program, namespace: str) -> None:
    sources = [
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"configMap": {"name": "part", "items": [{"key": "a", "path": "deep/a"}]}},
        {"serviceAccountToken": {"path": "token", "audience": "somebody", "expirationSeconds": 600}},
    ]
    kubectl.apply(config_map("part", a="1", b="2"))
    main = shell("sleep 1000", volumeMounts=[{"name": "all", "mountPath": "/all"}])
    kubectl.apply(pod("mixed", main, labels={"tier": "x"}, volumes=[{"name": "all", "projected": {"sources": sources}}]))
    ready(kubectl, "mixed")
    assert kubectl("exec", "mixed", "--", "cat", "/all/labels", "/all/deep/a").out == 'tier="x"1'
    assert kubectl("exec", "mixed", "--", "test", "-e", "/all/b", check=False).code == 1
    kubectl("label", "pod", "mixed", "tier=y", "--overwrite")
    eventually(lambda: kubectl("exec", "mixed", "--", "cat", "/all/labels").out == 'tier="y"', limit=45)


IN_CLUSTER = """
import json, ssl, urllib.request, urllib.error
base = "/var/run/secrets/kubernetes.io/serviceaccount/"
token, namespace = open(base + "token").read(), open(base + "namespace").read()
context = ssl.create_default_context(cafile=base + "ca.crt")
for resource in ("configmaps", "secrets"):
    url = f"https://kubernetes.default/api/v1/namespaces/{namespace}/{resource}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": "Bearer " + token}), context=context) as answer:
            print(answer.status, json.load(answer)["kind"])
    except urllib.error.HTTPError as error:
        print(error.code, json.load(error)["message"])
"""


@both_ways
def test_service_account_reaches_the_api_from_inside(kubectl: Program, namespace: str) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps")
    kubectl("create", "rolebinding", "reads", "--role=reader", f"--serviceaccount={namespace}:robot")
    main = {"name": "main", "image": "host", "command": ["python3", "-c", IN_CLUSTER]}
    kubectl.apply(pod("inside", main, serviceAccountName="robot", restartPolicy="Never"))
    until(kubectl, "inside", ".status.phase", "Succeeded")
    allowed, refused = kubectl("logs", "inside").lines
    assert allowed == "200 ConfigMapList"
    assert refused.startswith(f'403 secrets is forbidden: User "system:serviceaccount:{namespace}:robot" cannot list resource')


def test_resize_in_place_changes_the_limits(kubectl: Program) -> None:
    kubectl.apply(pod("grows", shell("sleep 1000", resources={"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}})))
    ready(kubectl, "grows")
    patch = {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "200m"}}}]}}
    kubectl("patch", "pod", "grows", "--subresource=resize", "-p", json.dumps(patch))
    until(kubectl, "grows", ".status.containerStatuses[0].resources.limits.cpu", "200m")
    assert field(kubectl, "grows", ".status.containerStatuses[0].restartCount") == "0"


def test_too_much_memory_ends_in_oom_killed(kubectl: Program) -> None:
    hog = {
        "name": "main",
        "image": "host",
        "command": ["python3", "-S", "-c", "x = bytearray(200_000_000); import time; time.sleep(1000)"],
    }
    kubectl.apply(pod("hog", hog | {"resources": {"limits": {"memory": "32Mi"}}}, restartPolicy="Never"))
    until(kubectl, "hog", ".status.phase", "Failed")
    ended = json.loads(field(kubectl, "hog", ".status.containerStatuses[0].state.terminated"))
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


# --- isolation ----------------------------------------------------------------------------------------------------------


def seen(kubectl: Program, name: str, container: str) -> dict[str, Any]:
    listing = " ".join(f"/proc/self/ns/{n}" for n in NAMESPACES)
    text = kubectl("exec", name, "-c", container, "--", "sh", "-c", f"readlink {listing}; hostname; cat /proc/self/cgroup").out
    lines = text.splitlines()
    return {
        **dict(zip(NAMESPACES, lines, strict=False)),
        "hostname": lines[len(NAMESPACES)],
        "cgroup": lines[len(NAMESPACES) + 1 :],
    }


def test_containers_are_apart_from_the_node_and_share_within_a_pod(kubectl: Program) -> None:
    import os
    import socket

    kubectl.apply(pod("apart", shell("sleep 1000", name="a"), shell("sleep 1000", name="b")))
    ready(kubectl, "apart")
    a, b = seen(kubectl, "apart", "a"), seen(kubectl, "apart", "b")
    own = {n: os.readlink(f"/proc/self/ns/{n}") for n in NAMESPACES}
    assert all(a[n] != own[n] for n in NAMESPACES)
    assert {n: a[n] == b[n] for n in NAMESPACES} == {"net": True, "ipc": True, "uts": True, "mnt": False, "pid": False}
    assert (a["hostname"], b["hostname"]) == ("apart", "apart")
    assert socket.gethostname() != "apart"
    kubectl("exec", "apart", "-c", "a", "--", "touch", "/tmp/only-here")
    assert kubectl("exec", "apart", "-c", "b", "--", "test", "-e", "/tmp/only-here", check=False).code == 1
    assert not os.path.exists("/tmp/only-here")


def test_host_network_shows_the_nodes_address(cluster: Cluster, kubectl: Program) -> None:
    kubectl.apply(pod("bare", hostNetwork=True))
    ready(kubectl, "bare")
    assert field(kubectl, "bare", ".status.podIP") == field(kubectl, "bare", ".status.hostIP")
