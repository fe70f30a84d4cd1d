"""Policies, webhooks, an aggregated API server and a flow schema at work, through kubectl 1.37."""

from __future__ import annotations

import base64
import concurrent.futures
import http.client
import json
import re
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import neighbour as next_door
from tests.e2e.clusters import Cluster, Program, eventually
from tests.e2e.neighbour import GROUP, VERSION, Neighbour, Tree

ADMISSION = "admissionregistration.k8s.io/v1"
FLUNDER = "test.example.wardle.v1alpha1.Flunder"
CREATED_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}


def own(namespace: str) -> Tree:
    """A selector of one namespace: what a test makes concerns no other test."""
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


@pytest.fixture
def away(cluster: Cluster) -> Iterator[list[str]]:
    """Cluster-wide objects, as `kind/name`, that go with the test."""
    made: list[str] = []
    yield made
    if made:
        cluster.kubectl("delete", "--wait=false", "--ignore-not-found", *made)


@pytest.fixture
def neighbour(tmp_path: Path, namespace: str) -> Iterator[Neighbour]:
    with next_door.serving(tmp_path, f"neighbour.{namespace}.svc") as running:
        yield running


def service_of(cluster: Cluster, kubectl: Program, namespace: str, port: int) -> Tree:
    """A Service without selector whose endpoint is this host; the reference to it."""
    host = cluster.kubectl("get", "endpointslice", "kubernetes", "-o", "jsonpath={.endpoints[0].addresses[0]}").out
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "neighbour"}, "spec": {"ports": [{"port": 443}]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "neighbour-1", "labels": {"kubernetes.io/service-name": "neighbour"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": port}],
            "endpoints": [{"addresses": [host]}],
        },
    )
    return {"namespace": namespace, "name": "neighbour"}


def binding(kind: str, name: str, namespace: str, **spec: Any) -> Tree:
    return {
        "apiVersion": ADMISSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"policyName": name, "matchResources": {"namespaceSelector": own(namespace)}} | spec,
    }


def test_validating_policy_denies_and_warns_by_its_parameters(kubectl: Program, namespace: str, away: list[str]) -> None:
    away += [f"validatingadmissionpolicy/{namespace}", f"validatingadmissionpolicybinding/{namespace}"]
    kubectl("create", "configmap", "limits", "--from-literal=longest=3")
    policy = {
        "apiVersion": ADMISSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [CREATED_MAPS]},
            "validations": [
                {
                    "expression": "size(object.metadata.name) <= int(params.data.longest)",
                    "messageExpression": "'names have at most ' + params.data.longest + ' letters'",
                    "reason": "Invalid",
                }
            ],
        },
    }
    bound = binding(
        "ValidatingAdmissionPolicyBinding",
        namespace,
        namespace,
        paramRef={"name": "limits", "namespace": namespace, "parameterNotFoundAction": "Deny"},
        validationActions=["Warn"],
    )
    kubectl.apply(policy, bound)
    text = f"ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}'"
    told = f"Validation failed for {text}: names have at most 3 letters"
    warned = eventually(lambda: kubectl("create", "configmap", "long-one", "--dry-run=server").err)
    assert warned == f"Warning: {told}\n"
    bound["spec"]["validationActions"] = ["Deny"]
    kubectl.apply(bound)
    refused = eventually(lambda: (r := kubectl("create", "configmap", "long-one", "--dry-run=server", check=False)).code and r)
    assert refused.err == (
        f'error: failed to create configmap: configmaps "long-one" is forbidden: {text} denied request: names have at most 3 letters\n'
    )
    kubectl("create", "configmap", "ok")
    assert kubectl("get", "configmap", "ok", "long-one", "--ignore-not-found", "-o", "name").lines == ["configmap/ok"]


def test_mutating_policy_changes_what_is_created(kubectl: Program, namespace: str, away: list[str]) -> None:
    away += [f"mutatingadmissionpolicy/{namespace}", f"mutatingadmissionpolicybinding/{namespace}"]
    policy = {
        "apiVersion": ADMISSION,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {"resourceRules": [CREATED_MAPS]},
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {
                        "expression": "Object{metadata: Object.metadata{labels: {'by': request.userInfo.username}}}"
                    },
                },
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data', value: {'name': object.metadata.name}}]"},
                },
            ],
        },
    }
    kubectl.apply(policy, binding("MutatingAdmissionPolicyBinding", namespace, namespace))
    show = ("create", "configmap", "one", "--dry-run=server", "-o", "jsonpath={.metadata.labels.by} {.data.name}")
    assert eventually(lambda: kubectl(*show).out.strip()) == "kubernetes-admin one"


def hook(name: str, namespace: str, **config: Any) -> Tree:
    return {
        "name": f"{name}.example.test",
        "clientConfig": config,
        "rules": [CREATED_MAPS],
        "namespaceSelector": own(namespace),
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }


def configuration(kind: str, name: str, *hooks: Tree) -> Tree:
    return {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": name}, "webhooks": list(hooks)}


def test_webhooks_by_service_and_by_url_change_and_refuse_and_are_counted(
    cluster: Cluster, kubectl: Program, namespace: str, neighbour: Neighbour, away: list[str]
) -> None:
    away += [f"mutatingwebhookconfiguration/{namespace}", f"validatingwebhookconfiguration/{namespace}"]
    change = [{"op": "add", "path": "/data", "value": {"seen": "yes"}}]
    patch = base64.b64encode(json.dumps(change).encode()).decode()
    neighbour.hooks["/change"] = lambda request: {"patchType": "JSONPatch", "patch": patch, "warnings": ["changed next door"]}

    def judge(request: Tree) -> Tree:
        assert request["object"]["data"] == {"seen": "yes"}
        allowed = not request["name"].startswith("bad")
        return {"allowed": allowed, "status": {"code": 403, "message": "bad names are not wanted"}}

    neighbour.hooks["/judge"] = judge
    service = service_of(cluster, kubectl, namespace, neighbour.port) | {"path": "/change"}
    names = f"change-{namespace}", f"judge-{namespace}"
    kubectl.apply(
        configuration(
            "MutatingWebhookConfiguration", namespace, hook(names[0], namespace, service=service, caBundle=neighbour.bundle)
        ),
        configuration(
            "ValidatingWebhookConfiguration",
            namespace,
            hook(names[1], namespace, url=neighbour.url("/judge"), caBundle=neighbour.bundle),
        ),
    )
    made = kubectl("create", "configmap", "good", "-o", "jsonpath={.data.seen}")
    assert (made.out.strip(), made.err) == ("yes", "Warning: changed next door\n")
    refused = kubectl("create", "configmap", "bad-one", check=False)
    assert refused.err.splitlines()[-1] == (
        f'error: failed to create configmap: admission webhook "{names[1]}.example.test" denied the request: bad names are not wanted'
    )
    metrics = cluster.kubectl("get", "--raw", "/metrics").lines

    def counted(family: str, *parts: str) -> int:
        found = [line for line in metrics if line.startswith(family + "{") and all(part in line for part in parts)]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in found)

    total = "apiserver_admission_webhook_request_total"
    assert counted(total, f'name="{names[0]}.example.test"', 'type="admit"', 'code="200"') == 2
    assert counted(total, f'name="{names[1]}.example.test"', 'rejected="true"') == 1
    assert counted("apiserver_admission_webhook_rejection_count", f'name="{names[1]}.example.test"', 'rejection_code="403"') == 1


def test_aggregated_server_is_discovered_read_and_explained(
    cluster: Cluster, kubectl: Program, namespace: str, neighbour: Neighbour, away: list[str]
) -> None:
    name = f"{VERSION}.{GROUP}"
    away.append(f"apiservice/{name}")
    service = service_of(cluster, kubectl, namespace, neighbour.port)
    spec = {
        "group": GROUP,
        "version": VERSION,
        "groupPriorityMinimum": 1000,
        "versionPriority": 10,
        "service": service,
        "caBundle": neighbour.bundle,
    }
    kubectl.apply({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec})
    kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=20s")
    listed = kubectl("api-resources", f"--api-group={GROUP}", "--no-headers").rows
    assert listed == [["flunders", "fl", f"{GROUP}/{VERSION}", "true", "Flunder"]]
    there = cluster.kubectl.within("default")
    assert there("get", "fl", "sole", "-o", "jsonpath={.spec.fins}").out == "3"
    assert there("get", "flunders", "--no-headers").rows[0][0] == "sole"
    assert "How many fins it has." in kubectl("explain", "flunders.spec.fins").out
    documented = eventually(lambda: cluster.kubectl("get", "--raw", "/openapi/v2").json["definitions"].get(FLUNDER))
    assert documented["x-kubernetes-group-version-kind"] == [{"group": GROUP, "version": VERSION, "kind": "Flunder"}]


class Caller:
    """Requests of an impersonated user, without kubectl's own patience with 429."""

    def __init__(self, kubectl: Program, user: str) -> None:
        config = kubectl("config", "view", "--raw", "--minify", "-o", "json").json
        self._address = config["clusters"][0]["cluster"]["server"].removeprefix("https://")
        self._user = user
        self._context = ssl.create_default_context(
            cadata=base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        )
        pair = config["users"][0]["user"]
        pem = Path(kubectl.environment["HOME"]) / "caller.pem"
        pem.write_bytes(b"".join(base64.b64decode(pair[f"client-{part}-data"]) for part in ("certificate", "key")))
        self._context.load_cert_chain(pem)

    def create(self, path: str, body: Tree) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(self._address, context=self._context, timeout=20)
        try:
            headers = {"Content-Type": "application/json", "Impersonate-User": self._user}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


def test_abusive_user_is_turned_away_while_another_goes_on(
    cluster: Cluster, kubectl: Program, namespace: str, neighbour: Neighbour, away: list[str]
) -> None:
    away += [
        f"prioritylevelconfiguration/{namespace}",
        f"flowschema/{namespace}",
        f"validatingwebhookconfiguration/{namespace}",
    ]
    abuser, other = f"abuser-{namespace}", f"other-{namespace}"
    kubectl("create", "rolebinding", "writers", "--clusterrole=edit", f"--user={abuser}", f"--user={other}")
    flow = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": namespace}}
    limited = {
        "nominalConcurrencyShares": 1,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    subject = {"kind": "User", "user": {"name": abuser}}
    holding, go_on = threading.Semaphore(0), threading.Event()

    def hold(request: Tree) -> Tree:
        if request["userInfo"]["username"] == abuser:
            holding.release()
            assert go_on.wait(20)
        return {}

    neighbour.hooks["/hold"] = hold
    kubectl.apply(
        flow | {"kind": "PriorityLevelConfiguration", "spec": {"type": "Limited", "limited": limited}},
        flow
        | {
            "kind": "FlowSchema",
            "spec": {
                "matchingPrecedence": 500,
                "priorityLevelConfiguration": {"name": namespace},
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [{"subjects": [subject], "resourceRules": [rule]}],
            },
        },
        configuration(
            "ValidatingWebhookConfiguration",
            namespace,
            hook("hold", namespace, url=neighbour.url("/hold"), caBundle=neighbour.bundle) | {"timeoutSeconds": 20},
        ),
    )
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    callers = {user: Caller(kubectl, user) for user in (abuser, other)}

    def create(user: str, name: str) -> tuple[int, dict[str, str], bytes]:
        return callers[user].create(path, {"metadata": {"name": name}})

    # seats by shares of the server's whole: as the level itself tells
    seats = int(eventually(lambda: limit_of(cluster, namespace)))
    with concurrent.futures.ThreadPoolExecutor(seats) as pool:
        held = [pool.submit(create, abuser, f"held-{number}") for number in range(seats)]
        try:
            assert all(holding.acquire(timeout=20) for _ in held)
            status, headers, body = create(abuser, "too-much")
            assert (status, headers["Retry-After"], body) == (429, "1", b"Too many requests, please try again later.\n")
            assert create(other, "welcome")[0] == 201
        finally:
            go_on.set()
        assert [future.result()[0] for future in held] == [201] * seats
    assert create(abuser, "later")[0] == 201
    metrics = cluster.kubectl("get", "--raw", "/metrics").out
    assert re.search(
        rf'apiserver_flowcontrol_rejected_requests_total\{{[^}}]*flow_schema="{namespace}"[^}}]*reason="concurrency-limit"[^}}]*\}} 1(\.0)?\n',
        metrics,
    )


def limit_of(cluster: Cluster, level: str) -> str:
    """The seats of a priority level as /metrics tells them, "" while it isn't known."""
    for line in cluster.kubectl("get", "--raw", "/metrics").lines:
        if line.startswith("apiserver_flowcontrol_nominal_limit_seats{") and f'priority_level="{level}"' in line:
            return line.rsplit(" ", 1)[1].removesuffix(".0")
    return ""
