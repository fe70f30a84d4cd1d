"""What kubectl 1.37 shows of a cluster: tables, formats, descriptions, discovery."""

from __future__ import annotations

import re

import pytest

from tests.e2e.clusters import Cluster, Program
from tests.e2e.manifests import config_map, deployment, pod, service, shell, web
from tests.e2e.ways import both_ways

POD_COLUMNS = ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]


def columns(line: str) -> list[str]:
    """The titles of a table: they are parted by two blanks at least, since one may hold a blank."""
    return re.split(r"\s{2,}", line.strip())


@both_ways
def test_versions_agree(cluster: Cluster) -> None:
    version = cluster.kubectl("version", "-o", "json").json
    assert version["clientVersion"]["minor"] == "37"
    assert version["serverVersion"]["gitVersion"].startswith("v1.36.")
    assert "WARNING" not in cluster.kubectl("version").err


def test_get_shows_the_columns_of_kubernetes(kubectl: Program) -> None:
    kubectl.apply(deployment("show", shell("sleep 1000"), replicas=1), service("show"), config_map("show", a="1", b="2"))
    kubectl("rollout", "status", "deployment/show", "--timeout=30s")
    pods = kubectl("get", "pods")
    assert columns(pods.lines[0]) == POD_COLUMNS
    assert re.fullmatch(r"show-[a-z0-9]+-[a-z0-9]{5}", pods.rows[1][0])
    assert pods.rows[1][1:4] == ["1/1", "Running", "0"]
    assert columns(kubectl("get", "deployment").lines[0]) == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert kubectl("get", "deployment").rows[1][:4] == ["show", "1/1", "1", "1"]
    assert columns(kubectl("get", "replicaset").lines[0]) == ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]
    assert columns(kubectl("get", "service").lines[0]) == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert kubectl("get", "service").rows[1][4] == "80/TCP"
    assert kubectl("get", "configmap", "show").rows[1][:2] == ["show", "2"]


def test_wide_output_adds_columns(cluster: Cluster, kubectl: Program) -> None:
    kubectl.apply(pod("wide"))
    kubectl("wait", "--for=condition=Ready", "pod/wide", "--timeout=30s")
    listing = kubectl("get", "pods", "-o", "wide")
    assert columns(listing.lines[0]) == [*POD_COLUMNS, "IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    row = listing.rows[1]
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", row[-4])
    assert row[-3] in cluster.nodes
    nodes = kubectl("get", "nodes", "-o", "wide")
    assert columns(nodes.lines[0])[:6] == ["NAME", "STATUS", "ROLES", "AGE", "VERSION", "INTERNAL-IP"]
    assert [row[:2] for row in nodes.rows[1:]] == [[name, "Ready"] for name in cluster.nodes]


def test_output_formats_tell_the_same(kubectl: Program) -> None:
    kubectl.apply(config_map("formats", colour="green"))
    tree = kubectl("get", "configmap", "formats", "-o", "json").json
    assert (tree["apiVersion"], tree["kind"], tree["data"]) == ("v1", "ConfigMap", {"colour": "green"})
    assert "managedFields" not in tree["metadata"]
    assert kubectl("get", "configmap", "formats", "-o", "jsonpath={.data.colour}").out == "green"
    assert kubectl("get", "configmap", "formats", "-o", "name").out == "configmap/formats\n"
    assert kubectl("get", "configmap", "formats", "-o", "go-template={{.metadata.uid}}").out == tree["metadata"]["uid"]
    assert "\n  colour: green\n" in kubectl("get", "configmap", "formats", "-o", "yaml").out
    custom = kubectl("get", "configmap", "formats", "-o", "custom-columns=N:.metadata.name,C:.data.colour")
    assert custom.rows == [["N", "C"], ["formats", "green"]]
    managed = kubectl("get", "configmap", "formats", "-o", "json", "--show-managed-fields").json["metadata"]["managedFields"]
    assert [(m["manager"], m["operation"]) for m in managed] == [("kubectl-client-side-apply", "Update")]


def test_get_selects_by_label_and_field(kubectl: Program) -> None:
    kubectl.apply(pod("one", labels={"tier": "front"}), pod("two", labels={"tier": "back"}))
    assert kubectl("get", "pods", "-l", "tier in (front, middle)", "-o", "name").out == "pod/one\n"
    assert kubectl("get", "pods", "--field-selector", "metadata.name=two", "-o", "name").out == "pod/two\n"
    assert kubectl("get", "pods", "--show-labels").rows[1][-1] == "tier=front"
    assert kubectl("get", "pods", "-L", "tier").rows[2][-1] == "back"
    assert kubectl("get", "pods", "--sort-by", "{.metadata.labels.tier}", "-o", "name").lines == ["pod/two", "pod/one"]


def test_get_all_shows_workloads_of_every_kind(kubectl: Program) -> None:
    kubectl.apply(deployment("everything"), service("everything"))
    kubectl("rollout", "status", "deployment/everything", "--timeout=30s")
    names = kubectl("get", "all", "-o", "name").out
    assert [line.split("/")[0] for line in names.splitlines()] == ["pod", "service", "deployment.apps", "replicaset.apps"]


def test_get_pages_through_a_long_list(kubectl: Program) -> None:
    kubectl.apply(*(config_map(f"many-{i:02}", n=str(i)) for i in range(25)))
    pages = kubectl("get", "configmaps", "--chunk-size=10", "-o", "name").lines
    assert pages == ["configmap/kube-root-ca.crt", *(f"configmap/many-{i:02}" for i in range(25))]


def test_watch_shows_changes(kubectl: Program) -> None:
    kubectl.apply(config_map("seen", a="1"))
    with kubectl.running(
        "get", "configmap", "seen", "--watch", "-o", "jsonpath={.data.a} ", "--output-watch-events=false"
    ) as watch:
        assert watch.stdout is not None
        assert watch.stdout.read(2) == "1 "
        kubectl.apply(config_map("seen", a="2"))
        assert watch.stdout.read(2) == "2 "


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        pytest.param(("get", "pod", "nobody"), 'Error from server (NotFound): pods "nobody" not found', 1, id="object"),
        pytest.param(("get", "thing"), 'error: the server doesn\'t have a resource type "thing"', 1, id="resource"),
        pytest.param(("get", "pods", "-l", "a in"), "unable to parse requirement", 1, id="selector"),
        pytest.param(
            ("get", "pods", "--field-selector", "spec.x=1"),
            'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label selector "", field selector '
            '"spec.x=1": field label not supported: spec.x',
            1,
            id="field",
        ),
    ],
)
def test_refusals_are_worded_by_the_server(kubectl: Program, arguments: tuple[str, ...], message: str, code: int) -> None:
    result = kubectl(*arguments, check=False)
    assert result.code == code
    assert message in result.err


def test_empty_namespace_says_so(kubectl: Program, namespace: str) -> None:
    assert kubectl("get", "pods").err == f"No resources found in {namespace} namespace.\n"


@both_ways
def test_describe_tells_a_pod_with_its_events(cluster: Cluster, kubectl: Program) -> None:
    env = [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    kubectl.apply(pod("told", shell("sleep 1000", env=env)))
    kubectl("wait", "--for=condition=Ready", "pod/told", "--timeout=30s")
    text = kubectl("describe", "pod", "told").out
    for pattern in (
        r"^Name: +told$",
        rf"^Node: +({'|'.join(cluster.nodes)})/\d",
        r"^Status: +Running$",
        r"^    Image: +host$",
        r"^      WHO: +told \(v1:metadata.name\)$",
        r"^  Ready +True",
        r"^QoS Class: +BestEffort$",
        r"^  Normal +Scheduled .*default-scheduler +Successfully assigned \S+/told to ",
        r"^  Normal +Started .*kubelet",
    ):
        assert re.search(pattern, text, re.MULTILINE), (pattern, text)


def test_describe_tells_a_deployment_and_its_service(kubectl: Program) -> None:
    kubectl.apply(deployment("told", web(), replicas=2), service("told", target="http"))
    kubectl("rollout", "status", "deployment/told", "--timeout=30s")
    text = kubectl("describe", "deployment", "told").out
    assert re.search(r"^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable$", text, re.MULTILINE)
    assert re.search(r"^  Available +True +MinimumReplicasAvailable$", text, re.MULTILINE)
    assert re.search(r"^NewReplicaSet: +told-\S+ \(2/2 replicas created\)$", text, re.MULTILINE)
    assert "Scaled up replica set told-" in text
    text = kubectl("describe", "service", "told").out
    assert re.search(r"^Endpoints: +[\d.]+:8080,[\d.]+:8080$", text, re.MULTILINE)
    assert re.search(r"^TargetPort: +http/TCP$", text, re.MULTILINE)


def test_describe_tells_a_node_with_its_pods(cluster: Cluster, kubectl: Program) -> None:
    resources = {"requests": {"cpu": "50m", "memory": "10Mi"}}
    kubectl.apply(pod("resident", shell("sleep 1000", resources=resources), nodeName=cluster.nodes[0]))
    kubectl("wait", "--for=condition=Ready", "pod/resident", "--timeout=30s")
    text = kubectl("describe", "node", cluster.nodes[0]).out
    assert re.search(r"^  Ready +True .*KubeletReady +kubelet is posting ready status", text, re.MULTILINE)
    assert re.search(r"resident +50m \(\d+%\) +0 \(0%\) +10Mi \(\d+%\) +0 \(0%\)", text)
    assert re.search(r"^  HolderIdentity: +" + cluster.nodes[0], text, re.MULTILINE)


def test_events_are_told_of_one_object(kubectl: Program) -> None:
    kubectl.apply(pod("eventful"), pod("other"))
    kubectl("wait", "--for=condition=Ready", "pod/eventful", "--timeout=30s")
    events = kubectl("events", "--for", "pod/eventful")
    assert columns(events.lines[0]) == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    reasons = {row[2] for row in events.rows[1:]}
    assert {"Scheduled", "Pulled", "Created", "Started"} <= reasons
    assert all(row[3] == "Pod/eventful" for row in events.rows[1:])
    assert columns(kubectl("get", "events").lines[0]) == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]


@pytest.mark.parametrize(
    ("path", "field_type", "words"),
    [
        pytest.param(
            "pod.spec.containers.livenessProbe.httpGet", "port\t<IntOrString> -required-", "Name or number of", id="union"
        ),
        pytest.param("deployment.spec.strategy", "<DeploymentStrategy>", "rollingUpdate", id="struct"),
        pytest.param("networkpolicy.spec.podSelector", "<LabelSelector>", "matchLabels", id="group"),
    ],
)
def test_explain_reads_the_published_schema(cluster: Cluster, path: str, field_type: str, words: str) -> None:
    text = cluster.kubectl("explain", path).out
    assert field_type in text
    assert words in " ".join(text.split())


def test_explain_shows_a_whole_tree(cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "lease", "--recursive").out
    assert re.search(r"^    leaseDurationSeconds\t<integer>$", text, re.MULTILINE)


@both_ways
def test_api_resources_lists_every_group(cluster: Cluster) -> None:
    listing = cluster.kubectl("api-resources")
    assert columns(listing.lines[0]) == ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
    rows = {(row[-1], row[-3]): row for row in listing.rows[1:]}
    assert rows["Pod", "v1"] == ["pods", "po", "v1", "true", "Pod"]
    assert rows["Deployment", "apps/v1"][:2] == ["deployments", "deploy"]
    assert rows["Node", "v1"][-2] == "false"
    verbs = cluster.kubectl("api-resources", "--api-group=apps", "-o", "wide").rows
    assert verbs[1][-2 if verbs[1][-1] == "all" else -1].startswith("create,delete,deletecollection,get,list,patch,update,watch")
    versions = cluster.kubectl("api-versions").lines
    assert {"v1", "apps/v1", "autoscaling/v2", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"} <= set(versions)


def test_cluster_info_names_the_control_plane(cluster: Cluster) -> None:
    assert "Kubernetes control plane" in cluster.kubectl("cluster-info").out


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_read_raw(cluster: Cluster, path: str) -> None:
    assert cluster.kubectl("get", "--raw", path).out == "ok"
