"""Who may what, in the server: bindings, escalation, reviews, default roles."""

from __future__ import annotations

from pathlib import Path

import pytest
from access_world import BOB, NS, RBAC, World, world

from minikube_api.server.access.reconciling import completed

R = f"{RBAC}/namespaces/default"
GROUP = "rbac.authorization.k8s.io"


def role(name: str, *rules: dict) -> dict:
    return {"metadata": {"name": name}, "rules": list(rules)}


def rule(verbs: str, resources: str, groups: str = "") -> dict:
    return {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": groups.split() or [""]}


def binding(name: str, kind: str, ref: str, *subjects: dict) -> dict:
    return {"metadata": {"name": name}, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": ref}, "subjects": list(subjects)}


USER = {"kind": "User", "name": "bob", "apiGroup": GROUP}


async def test_without_a_binding_nothing_is_allowed_but_discovery(w: World) -> None:
    assert await w.refused("GET", f"{NS}/pods", user=BOB) == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    await w.ok("GET", "/api", user=BOB)


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(USER, id="user"),
        pytest.param({"kind": "Group", "name": "devs", "apiGroup": GROUP}, id="group"),
    ],
)
async def test_a_binding_allows_in_its_namespace_until_it_is_deleted(w: World, subject: dict) -> None:
    await w.ok("POST", f"{R}/roles", role("r", rule("list", "pods")))
    await w.ok("POST", f"{R}/rolebindings", binding("b", "Role", "r", subject))
    await w.ok("GET", f"{NS}/pods", user=BOB)
    await w.refused("GET", "/api/v1/namespaces/kube-system/pods", user=BOB)
    await w.refused("GET", "/api/v1/pods", user=BOB)
    await w.ok("DELETE", f"{R}/rolebindings/b")
    await w.refused("GET", f"{NS}/pods", user=BOB)


async def test_a_rule_for_names_allows_these_only_beside_others(w: World) -> None:
    named = {**rule("get", "configmaps"), "resourceNames": ["a"]}
    await w.ok("POST", f"{R}/roles", role("r", named, {**named, "resourceNames": ["b"]}))
    await w.ok("POST", f"{R}/rolebindings", binding("b", "Role", "r", USER))
    statuses = [(await w(BOB, "GET", f"{NS}/configmaps/{name}"))[0] for name in ("a", "b", "c", "a")]
    assert statuses == [404, 404, 403, 404]


async def test_changing_a_role_changes_rights_at_once(w: World) -> None:
    await w.ok("POST", f"{RBAC}/clusterroles", role("r", rule("list", "pods")))
    await w.ok("POST", f"{RBAC}/clusterrolebindings", binding("b", "ClusterRole", "r", USER))
    await w.ok("GET", "/api/v1/pods", user=BOB)
    await w.ok("PUT", f"{RBAC}/clusterroles/r", role("r", rule("list", "secrets")))
    await w.refused("GET", "/api/v1/pods", user=BOB)
    await w.ok("GET", "/api/v1/secrets", user=BOB)


async def test_a_lost_role_is_named_in_the_refusal(w: World) -> None:
    await w.ok("POST", f"{RBAC}/clusterrolebindings", binding("b", "ClusterRole", "nope", USER))
    message = await w.refused("GET", "/api/v1/pods", user=BOB)
    assert message.endswith('at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "nope" not found')


async def may_write_roles(w: World) -> None:
    await w.ok("POST", f"{R}/roles", role("r", rule("get list create update", "roles rolebindings", GROUP)))
    await w.ok("POST", f"{R}/rolebindings", binding("b", "Role", "r", USER))


async def test_nobody_grants_more_than_he_holds(w: World) -> None:
    await may_write_roles(w)
    message = await w.refused("POST", f"{R}/roles", role("more", rule("get list", "secrets")), user=BOB)
    assert message == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "bob" (groups=["devs" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )
    await w.ok("POST", f"{R}/roles", role("same", rule("get", "roles", GROUP)), user=BOB)


async def test_nobody_binds_a_role_of_more_than_he_holds(w: World) -> None:
    await may_write_roles(w)
    bound = binding("more", "ClusterRole", "cluster-admin", USER)
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in await w.refused("POST", f"{R}/rolebindings", bound, user=BOB)
    status, tree = await w(BOB, "POST", f"{R}/rolebindings", binding("x", "ClusterRole", "nope", USER))
    assert (status, tree["message"]) == (404, 'clusterroles.rbac.authorization.k8s.io "nope" not found')


async def test_bind_and_escalate_lift_the_check(w: World) -> None:
    await may_write_roles(w)
    await w.ok("POST", f"{R}/roles", role("lift", rule("escalate", "roles", GROUP), rule("bind", "clusterroles", GROUP)))
    await w.ok("POST", f"{R}/rolebindings", binding("lift", "Role", "lift", USER))
    await w.ok("POST", f"{R}/roles", role("more", rule("get", "secrets")), user=BOB)
    await w.ok("POST", f"{R}/rolebindings", binding("more", "ClusterRole", "cluster-admin", USER), user=BOB)


async def test_a_review_gives_the_reason(w: World) -> None:
    await w.ok("POST", f"{R}/roles", role("r", rule("list", "pods")))
    await w.ok("POST", f"{R}/rolebindings", binding("rb", "Role", "r", {"kind": "Group", "name": "devs", "apiGroup": GROUP}))
    spec = {"user": "x", "groups": ["devs"], "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}}
    review = await w.ok("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    assert review["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "rb/default" of Role "r" to Group "devs"',
    }


async def test_default_roles_are_there_and_put_right_at_the_next_start(tmp_path: Path) -> None:
    config = {"store": "sqlite", "data_dir": tmp_path / "store"}
    async with world(tmp_path, **config) as w:
        roles = (await w.ok("GET", f"{RBAC}/clusterroles"))["items"]
        assert len(roles) == 70
        assert roles[0]["metadata"]["managedFields"][0]["manager"] == "kube-apiserver"
        view = next(r for r in roles if r["metadata"]["name"] == "system:discovery")
        await w.ok("PUT", f"{RBAC}/clusterroles/system:discovery", {**view, "rules": []})
        await w.ok("DELETE", f"{RBAC}/clusterroles/system:basic-user")
        revision = (await w.ok("GET", f"{RBAC}/clusterroles/system:node"))["metadata"]["resourceVersion"]
    async with world(tmp_path, **config) as w:
        assert (await w.ok("GET", f"{RBAC}/clusterroles/system:discovery"))["rules"] == view["rules"]
        await w.ok("GET", f"{RBAC}/clusterroles/system:basic-user")
        node = await w.ok("GET", f"{RBAC}/clusterroles/system:node")
        assert node["metadata"]["resourceVersion"] == revision


def test_what_says_no_to_updates_is_left_alone() -> None:
    wanted = {"metadata": {"name": "r"}, "rules": [rule("get", "pods")]}
    off = {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "rules": []}
    assert completed(off, wanted) is None
    on = {"metadata": {}, "rules": [rule("get", "nodes")]}
    made = completed(on, wanted)
    assert made is not None
    assert made["rules"] == [rule("get", "nodes"), rule("get", "pods")]


async def test_only_who_holds_everything_may_aggregate(w: World) -> None:
    await w.ok("POST", f"{RBAC}/clusterroles", role("makers", rule("create", "clusterroles", GROUP)))
    await w.ok("POST", f"{RBAC}/clusterrolebindings", binding("makers", "ClusterRole", "makers", USER))
    gathering = {"metadata": {"name": "gathering"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    assert await w.refused("POST", f"{RBAC}/clusterroles", gathering, user=BOB) == (
        'clusterroles.rbac.authorization.k8s.io "gathering" is forbidden: '
        "must have cluster-admin privileges to use the aggregationRule"
    )


async def test_a_role_reference_of_no_known_kind_cannot_be_looked_up(w: World) -> None:
    await w.ok("POST", f"{R}/roles", role("makers", rule("create", "rolebindings", GROUP)))
    await w.ok("POST", f"{R}/rolebindings", binding("makers", "Role", "makers", USER))
    status, tree = await w(BOB, "POST", f"{R}/rolebindings", binding("x", "Robot", "r", USER))
    assert (status, tree["message"]) == (500, 'unsupported role reference kind: "Robot"')


@pytest.mark.parametrize(
    ("method", "kind", "path"),
    [
        pytest.param("PATCH", "application/apply-patch+yaml", "services/a?fieldManager=m", id="apply"),
        pytest.param("PUT", "application/json", "services/a", id="put"),
    ],
)
async def test_making_an_object_by_another_verb_needs_create(w: World, method: str, kind: str, path: str) -> None:
    await w.ok("POST", f"{R}/roles", role("r", rule("patch update", "services")))
    await w.ok("POST", f"{R}/rolebindings", binding("b", "Role", "r", USER))
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"clusterIP": "None"}}
    status, tree = await w(BOB, method, f"{NS}/{path}", body, Content_Type=kind)
    assert (status, tree["reason"]) == (403, "Forbidden")
    assert tree["message"] == 'services "a" is forbidden: '
    await w.ok(method, f"{NS}/{path}", body, Content_Type=kind)
    assert (await w(BOB, method, f"{NS}/{path}", body, Content_Type=kind))[0] == 200
