from __future__ import annotations

from webhook_world import MAPS, Api, Webhooks, add_key, allow, config_map, deny, patch


async def test_webhooks_run_in_order_each_on_what_the_one_before_made(api: Api, hooks: Webhooks) -> None:
    first, second = hooks.add("/one", add_key("one")), hooks.add("/two", add_key("two", when="one"))
    await api.configure("mutating", "b", second)
    await api.configure("mutating", "a", first)
    made = await api.ok("POST", MAPS, config_map("m"))
    assert made["data"] == {"k": "v", "one": "yes", "two": "yes"}
    assert hooks.paths() == ["/one", "/two"]


async def test_reinvoked_webhooks_see_what_later_ones_changed(api: Api, hooks: Webhooks) -> None:
    early = hooks.add("/early", add_key("early", when="late")) | {"reinvocationPolicy": "IfNeeded"}
    never_again = hooks.add("/once", allow)
    late = hooks.add("/late", add_key("late"))
    await api.configure("mutating", "hooks", early, never_again, late)
    made = await api.ok("POST", MAPS, config_map("m"))
    assert made["data"] == {"k": "v", "early": "yes", "late": "yes"}
    assert hooks.paths() == ["/early", "/once", "/late", "/early"]


async def test_nothing_is_reinvoked_when_nothing_changed(api: Api, hooks: Webhooks) -> None:
    await api.configure("mutating", "hooks", hooks.add("/a", allow) | {"reinvocationPolicy": "IfNeeded"})
    await api.ok("POST", MAPS, config_map("m"))
    assert hooks.paths() == ["/a"]


async def test_defaults_are_filled_in_after_mutation(api: Api, hooks: Webhooks) -> None:
    await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    container = {"name": "added", "image": "busybox"}
    hook = hooks.add("/pods", lambda r: patch({"op": "add", "path": "/spec/initContainers", "value": [container]}))
    hook["rules"] = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    await api.configure("mutating", "pods", hook)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await api.ok("POST", "/api/v1/namespaces/default/pods", pod)
    assert made["spec"]["initContainers"][0]["terminationMessagePolicy"] == "File"
    # in-tree plug-ins run again after a webhook changed the object: ServiceAccount mounts into the new container too
    assert made["spec"]["initContainers"][0]["volumeMounts"][0]["name"].startswith("kube-api-access-")


async def test_unknown_fields_of_a_patch_are_dropped(api: Api, hooks: Webhooks) -> None:
    await api.configure("mutating", "h", hooks.add("/x", lambda r: patch({"op": "add", "path": "/bogus", "value": 1})))
    made = await api.ok("POST", MAPS, config_map("m"))
    assert "bogus" not in made


async def test_a_changed_field_is_not_owned_by_the_writer(api: Api, hooks: Webhooks) -> None:
    await api.configure("mutating", "h", hooks.add("/x", add_key("added")))
    made = await api.ok("POST", MAPS, config_map("m"))
    owned = made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]
    assert set(owned) == {".", "f:k"}


async def test_denial_of_a_mutating_webhook_ends_the_write(api: Api, hooks: Webhooks) -> None:
    await api.configure("mutating", "h", hooks.add("/no", deny), hooks.add("/later", allow))
    assert await api.refused("POST", MAPS, config_map("m")) == (
        400,
        'admission webhook "no.example.com" denied the request: no',
    )
    assert hooks.paths() == ["/no"]


async def test_patch_of_a_deletion_is_an_error(api: Api, hooks: Webhooks) -> None:
    await api.ok("POST", MAPS, config_map("m"))
    hook = hooks.add("/x", lambda r: patch({"op": "add", "path": "/data/a", "value": "b"}))
    hook["rules"][0]["operations"] = ["DELETE"]
    await api.configure("mutating", "h", hook)
    status, message = await api.refused("DELETE", f"{MAPS}/m")
    assert status == 500
    assert message == (
        'Internal error occurred: admission webhook "x.example.com" attempted to modify the object, '
        "which is not supported for this operation"
    )


async def test_webhook_configurations_are_never_intercepted(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/all", deny)
    hook["rules"] = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]
    await api.configure("mutating", "all", hook)
    await api.configure("validating", "all", hook)
    await api.refused("POST", MAPS, config_map("m"))
    await api.ok("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/all")
    await api.ok("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/all")
    await api.ok("POST", MAPS, config_map("m"))


async def test_equivalent_versions_are_converted_for_the_webhook_and_back(api: Api, hooks: Webhooks) -> None:
    base = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    hook = hooks.add("/hpa", lambda r: patch({"op": "replace", "path": "/spec/maxReplicas", "value": 9}))
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"]}
    hook["rules"] = [{**rule, "resources": ["horizontalpodautoscalers"]}]
    await api.configure("mutating", "h", hook)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [metric]}
    made = await api.ok("POST", base, {"metadata": {"name": "a"}, "spec": spec})
    assert (made["apiVersion"], made["spec"]["maxReplicas"]) == ("autoscaling/v2", 9)
    assert made["spec"]["metrics"] == [metric]
    request = hooks.seen[0][1]
    assert request["kind"]["version"] == request["resource"]["version"] == "v1"
    assert request["requestKind"]["version"] == request["requestResource"]["version"] == "v2"
    assert request["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    hook["matchPolicy"] = "Exact"
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/h"
    await api.ok("PATCH", path, {"webhooks": [hook]}, kind="application/merge-patch+json")
    made = await api.ok("POST", base, {"metadata": {"name": "b"}, "spec": spec})
    assert made["spec"]["maxReplicas"] == 3
