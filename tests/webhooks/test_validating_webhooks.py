from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from webhook_world import MAPS, Api, Webhooks, allow, config_map, deny, never

STRATEGIC = "application/strategic-merge-patch+json"


async def test_review_tells_who_wants_what(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/look", allow)
    hook["rules"][0]["operations"] = ["*"]
    await api.configure("validating", "h", hook)
    await api.ok("POST", f"{MAPS}?fieldManager=me", config_map("m"))
    await api.ok("PATCH", f"{MAPS}/m?dryRun=All", {"data": {"k": "w"}}, kind=STRATEGIC)
    await api.ok("DELETE", f"{MAPS}/m", {"gracePeriodSeconds": 3, "propagationPolicy": "Foreground", "dryRun": ["All"]})
    created, patched, deleted = (request for _, request in hooks.seen)
    kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
    resource = {"group": "", "version": "v1", "resource": "configmaps"}
    user = {"username": "admin", "uid": "uid-admin", "groups": ["system:masters", "system:authenticated"]}
    assert created == {
        "uid": created["uid"],
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": "m",
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": user,
        "object": created["object"],
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"},
    }
    assert created["object"]["data"] == {"k": "v"} and created["object"]["metadata"]["uid"]
    assert (patched["operation"], patched["dryRun"]) == ("UPDATE", True)
    assert (patched["oldObject"]["data"], patched["object"]["data"]) == ({"k": "v"}, {"k": "w"})
    assert patched["options"] == {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]}
    assert (deleted["operation"], deleted["object"]) == ("DELETE", None)
    assert deleted["oldObject"]["data"] == {"k": "v"}
    assert deleted["options"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/v1",
        "gracePeriodSeconds": 3,
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    }


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        pytest.param({"message": "no", "code": 418, "reason": "Forbidden"}, 418, ": no", id="message"),
        pytest.param({"reason": "TooOld"}, 400, ": TooOld", id="reason only"),
        pytest.param({"code": 200, "message": "x"}, 400, ": x", id="codes of success are none"),
        pytest.param({}, 400, " without explanation", id="nothing said"),
    ],
)
async def test_denials_are_worded(api: Api, hooks: Webhooks, status: dict[str, Any], code: int, message: str) -> None:
    await api.configure("validating", "h", hooks.add("/no", lambda r: {"allowed": False, "status": dict(status)}))
    expected = f'admission webhook "no.example.com" denied the request{message}'
    assert await api.refused("POST", MAPS, config_map("m")) == (code, expected)


async def test_a_slow_webhook_times_out(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/slow", never) | {"timeoutSeconds": 1}
    await api.configure("validating", "h", hook)
    url = f"https://127.0.0.1:{hooks.port}/slow?timeout=1s"
    assert await api.refused("POST", MAPS, config_map("m")) == (
        500,
        'Internal error occurred: failed calling webhook "slow.example.com": failed to call webhook: '
        f'Post "{url}": context deadline exceeded',
    )


async def test_failures_are_ignored_when_the_policy_says_so(api: Api, hooks: Webhooks) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hook = hooks.add("/gone", allow) | {"failurePolicy": "Ignore"}
        hook["clientConfig"]["url"] = f"https://127.0.0.1:{unused.getsockname()[1]}/gone"
        await api.configure("validating", "v", hook)
        await api.configure("mutating", "m", hook)
        await api.ok("POST", MAPS, config_map("m"))


async def test_refused_connections_are_worded_as_go_does(api: Api, hooks: Webhooks) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        hook = hooks.add("/gone", allow)
        hook["clientConfig"]["url"] = f"https://127.0.0.1:{port}/gone"
        await api.configure("validating", "v", hook)
        _, message = await api.refused("POST", MAPS, config_map("m"))
    assert message.endswith(
        f'Post "https://127.0.0.1:{port}/gone?timeout=10s": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )


async def test_a_certificate_of_an_unknown_authority_is_refused(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/x", allow)
    del hook["clientConfig"]["caBundle"]
    await api.configure("validating", "v", hook)
    _, message = await api.refused("POST", MAPS, config_map("m"))
    assert message.endswith("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    assert hooks.seen == []


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param({"uid": "else"}, 'expected response.uid="UID", got "else"', id="uid"),
        pytest.param({"patchType": "JSONPatch"}, "validating webhook may not return response.patchType", id="patch type"),
        pytest.param({"patch": "W10="}, "validating webhook may not return response.patch", id="patch"),
        pytest.param(
            {"apiVersion": "admission.k8s.io/v2"},
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v2, Kind=AdmissionReview",
            id="version",
        ),
    ],
)
async def test_answers_that_are_none_are_refused(api: Api, hooks: Webhooks, response: dict[str, Any], message: str) -> None:
    await api.configure("validating", "v", hooks.add("/bad", lambda r: dict(response)))
    _, text = await api.refused("POST", MAPS, config_map("m"))
    uid = hooks.seen[0][1]["uid"]
    prefix = 'Internal error occurred: failed calling webhook "bad.example.com": received invalid webhook response: '
    assert text == prefix + message.replace("UID", uid)


async def test_error_answers_of_a_webhook_are_quoted(api: Api, hooks: Webhooks) -> None:
    await api.configure("validating", "v", hooks.add("/bad", lambda r: {"raw": b"boom", "code": 500}))
    _, text = await api.refused("POST", MAPS, config_map("m"))
    assert text.endswith('failed to call webhook: an error on the server ("boom") has prevented the request from succeeding')


async def test_validating_webhooks_run_at_the_same_time(api: Api, hooks: Webhooks) -> None:
    meeting = asyncio.Barrier(2)

    async def meet(request: dict[str, Any]) -> dict[str, Any]:
        await meeting.wait()
        return {}

    await api.configure("validating", "v", hooks.add("/a", meet), hooks.add("/b", meet))
    await api.ok("POST", MAPS, config_map("m"))


async def test_dry_runs_need_webhooks_without_side_effects(api: Api, hooks: Webhooks) -> None:
    body = {"metadata": {"name": "v"}, "webhooks": [hooks.add("/some", allow) | {"sideEffects": "NoneOnDryRun"}]}
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    await api.ok("POST", path, body)
    await api.ok("POST", f"{MAPS}?dryRun=All", config_map("m"))
    # Some and Unknown are refused for new configurations of v1: put such a one beside validation
    resource = api.server.registry.get("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")
    assert resource is not None
    entry = await api.server.storage.current(resource, "", "v")
    assert entry is not None
    tree = entry.tree()
    tree["webhooks"][0]["sideEffects"] = "Some"
    await api.server.storage.put(resource, "", "v", tree, expect=entry.revision)
    expected = (400, 'admission webhook "some.example.com" does not support dry run')
    assert await api.refused("POST", f"{MAPS}?dryRun=All", config_map("m")) == expected


async def test_warnings_and_audit_annotations_of_webhooks_go_out(api: Api, hooks: Webhooks) -> None:
    await api.configure("validating", "v", hooks.add("/w", lambda r: {"warnings": ["careful"], "auditAnnotations": {"a": "b"}}))
    await api.ok("POST", MAPS, config_map("m"))
    assert api.warning == '299 - "careful"'


async def test_selectors_choose_namespaces_and_objects(api: Api, hooks: Webhooks) -> None:
    by_object = hooks.add("/object", deny) | {"objectSelector": {"matchLabels": {"check": "yes"}}}
    by_namespace = hooks.add("/namespace", deny) | {"namespaceSelector": {"matchLabels": {"check": "yes"}}}
    await api.configure("validating", "v", by_object, by_namespace)
    await api.ok("POST", MAPS, config_map("m"))
    await api.refused("POST", MAPS, config_map("n", labels={"check": "yes"}))
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "checked", "labels": {"check": "yes"}}})
    await api.refused("POST", "/api/v1/namespaces/checked/configmaps", config_map("m"))
    assert hooks.paths() == ["/object", "/namespace"]


async def test_removed_labels_still_match_the_old_object(api: Api, hooks: Webhooks) -> None:
    await api.ok("POST", MAPS, config_map("m", labels={"check": "yes"}))
    hook = hooks.add("/object", deny) | {"objectSelector": {"matchLabels": {"check": "yes"}}}
    hook["rules"][0]["operations"] = ["UPDATE"]
    await api.configure("validating", "v", hook)
    await api.refused("PUT", f"{MAPS}/m", config_map("m"))


async def test_a_configuration_counts_from_its_answer_on(api: Api, hooks: Webhooks) -> None:
    for _ in range(5):
        await api.configure("validating", "v", hooks.add("/no", deny))
        await api.refused("POST", MAPS, config_map("m"))
        await api.ok("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/v")
        await api.ok("POST", f"{MAPS}?dryRun=All", config_map("m"))


async def test_a_service_is_reached_at_its_endpoints_under_its_name(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/svc", deny)
    service = {"namespace": "default", "name": "hook", "path": "/svc"}
    hook["clientConfig"] = {"service": service, "caBundle": hooks.bundle}
    await api.configure("validating", "v", hook)
    url = "https://hook.default.svc:443/svc?timeout=10s"
    _, message = await api.refused("POST", MAPS, config_map("m"))
    assert message.endswith(f'Post "{url}": service "hook" not found')
    ports = [{"port": 443, "targetPort": hooks.port}]
    await api.ok("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "hook"}, "spec": {"ports": ports}})
    _, message = await api.refused("POST", MAPS, config_map("m"))
    assert message.endswith(f'Post "{url}": no endpoints available for service "hook"')
    piece = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": hooks.port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    }
    # loopback endpoints are refused by validation; real ones are in pods
    resource = api.server.registry.get("discovery.k8s.io", "v1", "endpointslices")
    assert resource is not None
    piece = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **piece}
    piece["metadata"]["namespace"] = "default"
    await api.server.storage.put(resource, "default", "hook-1", piece, expect=0)
    assert await api.refused("POST", MAPS, config_map("m")) == (400, 'admission webhook "svc.example.com" denied the request: no')


async def test_connecting_to_a_pod_can_be_denied(api: Api, hooks: Webhooks) -> None:
    await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api.ok("POST", "/api/v1/namespaces/default/pods", pod)
    hook = hooks.add("/attach", deny)
    hook["rules"] = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CONNECT"], "resources": ["pods/attach"]}]
    await api.configure("validating", "v", hook)
    _, message = await api.refused("POST", "/api/v1/namespaces/default/pods/p/attach?stdout=true&container=c")
    assert message == 'admission webhook "attach.example.com" denied the request: no'
    request = hooks.seen[0][1]
    options = {"kind": "PodAttachOptions", "apiVersion": "v1", "stdout": True, "container": "c"}
    assert (request["operation"], request["subResource"], request["object"]) == ("CONNECT", "attach", options)
    assert request["kind"] == {"group": "", "version": "v1", "kind": "PodAttachOptions"}


async def test_scale_is_seen_as_a_scale(api: Api, hooks: Webhooks) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    base = "/apis/apps/v1/namespaces/default/deployments"
    await api.ok("POST", base, {"metadata": {"name": "d"}, "spec": spec})
    hook = hooks.add("/scale", allow)
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    await api.configure("validating", "v", hook | {"rules": [rule]})
    merge = "application/merge-patch+json"
    await api.ok("PATCH", f"{base}/d/scale", {"spec": {"replicas": 3}}, kind=merge)
    request = hooks.seen[0][1]
    assert request["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (request["object"]["kind"], request["object"]["spec"], request["oldObject"]["spec"]) == (
        "Scale",
        {"replicas": 3},
        {"replicas": 1},
    )


async def test_evictions_are_admitted_as_such(api: Api, hooks: Webhooks) -> None:
    await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pods = "/api/v1/namespaces/default/pods"
    await api.ok("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    hook = hooks.add("/evict", deny)
    hook["rules"] = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["pods/eviction"]}]
    await api.configure("validating", "v", hook)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}}
    await api.refused("POST", f"{pods}/p/eviction", eviction)
    assert (hooks.seen[0][1]["operation"], hooks.seen[0][1]["object"]["kind"]) == ("CREATE", "Eviction")
    await api.ok("GET", f"{pods}/p")


async def test_calls_and_refusals_are_counted(api: Api, hooks: Webhooks) -> None:
    await api.configure("validating", "h", hooks.add("/no", deny))
    status, _ = await api("POST", MAPS, config_map("m"))
    assert status >= 400
    samples = {
        sample.name: (sample.labels, sample.value)
        for family in api.server.admission_metrics.collect()
        for sample in family.samples
        if sample.name.endswith(("request_total", "rejection_count"))
    }
    labels, count = samples["apiserver_admission_webhook_request_total"]
    assert (labels["type"], labels["operation"], labels["rejected"], count) == ("validating", "CREATE", "true", 1)
    labels, count = samples["apiserver_admission_webhook_rejection_count"]
    assert (labels["error_type"], labels["rejection_code"], count) == ("no_error", str(status), 1)
