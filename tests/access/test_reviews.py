"""Reviews are created like anything else: admission sees them, dry runs answer alike; selectors and audiences count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from access_world import ADMIN, RBAC, World, world

from minikube_api.meta.errors import Forbidden
from minikube_api.server.access.review_bodies import selector_texts
from minikube_api.server.contract import AdmissionAttributes

AUTHZ = "/apis/authorization.k8s.io/v1"
AUTHN = "/apis/authentication.k8s.io/v1"
PODS = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
REVIEWS = [
    pytest.param(f"{AUTHZ}/subjectaccessreviews", {"spec": {"user": "bob", **PODS}}, id="subjectaccess"),
    pytest.param(f"{AUTHZ}/namespaces/default/localsubjectaccessreviews", {"spec": {"user": "bob", **PODS}}, id="local"),
    pytest.param(f"{AUTHZ}/selfsubjectaccessreviews", {"spec": PODS}, id="selfsubjectaccess"),
    pytest.param(f"{AUTHZ}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, id="selfsubjectrules"),
    pytest.param(f"{AUTHN}/tokenreviews", {"spec": {"token": "x"}}, id="token"),
    pytest.param(f"{AUTHN}/selfsubjectreviews", {}, id="selfsubject"),
]


class Watchful:
    """Notes what both phases see, and refuses what is called `no`."""

    name = "Watchful"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def handles(self, operation: str) -> bool:
        return True

    async def admit(self, attributes: AdmissionAttributes) -> None:
        self.seen.append(("admit", attributes.resource.kind))

    async def validate(self, attributes: AdmissionAttributes) -> None:
        self.seen.append(("validate", attributes.resource.kind))
        if attributes.name == "no":
            raise Forbidden("not that one")


@pytest.mark.parametrize(("path", "body"), REVIEWS)
async def test_admission_sees_reviews(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    plugin = Watchful()
    async with world(tmp_path, admission=[plugin]) as w:
        plugin.seen.clear()
        kind = (await w.ok("POST", f"{path}?dryRun=All", body))["kind"]
        assert plugin.seen == [("admit", kind), ("validate", kind)]


async def test_a_review_may_be_refused(tmp_path: Path) -> None:
    async with world(tmp_path, admission=[Watchful()]) as w:
        body = {"metadata": {"name": "no"}, "spec": {"token": "x"}}
        assert await w.refused("POST", f"{AUTHN}/tokenreviews", body) == "not that one"


async def test_problems_are_told_in_kube_apiservers_order(w: World) -> None:
    both = {"nonResourceAttributes": {"path": "/x", "verb": "get"}, **PODS}
    status, tree = await w(ADMIN, "POST", f"{AUTHZ}/namespaces/default/localsubjectaccessreviews", {"spec": both})
    assert status == 422
    assert [(c["field"], c["message"].split(": ")[-1]) for c in tree["details"]["causes"]] == [
        ("spec.nonResourceAttributes", "cannot be specified in combination with resourceAttributes"),
        ("spec.user", "at least one of user or group must be specified"),
        ("spec.nonResourceAttributes", "disallowed on this kind of request"),
    ]


async def test_a_namespace_on_a_review_of_the_cluster_is_dropped(w: World) -> None:
    made = await w.ok("POST", f"{AUTHZ}/subjectaccessreviews", {"metadata": {"namespace": "x"}, "spec": {"user": "u", **PODS}})
    assert "namespace" not in made["metadata"]


async def test_masters_rights_are_those_of_their_binding_once(w: World) -> None:
    status = (await w.ok("POST", f"{AUTHZ}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}))["status"]
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    assert status["resourceRules"].count(everything) == 1


async def test_a_lost_role_is_an_evaluation_error(w: World) -> None:
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "gone", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "admin", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await w.ok("POST", f"{RBAC}/namespaces/default/rolebindings", binding)
    status = (await w.ok("POST", f"{AUTHZ}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}))["status"]
    assert status["evaluationError"] == 'role.rbac.authorization.k8s.io "gone" not found'
    assert status["incomplete"] is False


@pytest.mark.parametrize(
    ("attributes", "texts"),
    [
        pytest.param({}, ("", "", []), id="none"),
        pytest.param(
            {"fieldSelector": {"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n,1"]}]}},
            ("spec.nodeName=n\\,1", "", []),
            id="written-out",
        ),
        pytest.param(
            {
                "labelSelector": {
                    "requirements": [{"key": "a", "operator": "NotIn", "values": ["b", "c"]}, {"key": "d", "operator": "Later"}]
                }
            },
            ("", "a notin (b,c)", ["spec.resourceAttributes.labelSelector partially ignored due to parse error"]),
            id="a-newer-operator",
        ),
        pytest.param(
            {"fieldSelector": {"rawSelector": "status.phase"}, "labelSelector": {"rawSelector": "a in b"}},
            (
                "",
                "",
                [
                    "spec.resourceAttributes.fieldSelector ignored due to parse error",
                    "spec.resourceAttributes.labelSelector ignored due to parse error",
                ],
            ),
            id="not-to-be-parsed",
        ),
    ],
)
def test_selectors_are_handed_to_the_authorizers(attributes: dict[str, Any], texts: tuple[str, str, list[str]]) -> None:
    assert selector_texts(attributes) == texts


async def test_tokens_of_the_file_are_for_the_api_server_only(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("tok,carol,u1\n")
    async with world(tmp_path, token_file=tmp_path / "tokens") as w:
        known = (await w.ok("POST", f"{AUTHN}/tokenreviews", {"spec": {"token": "tok"}}))["status"]
        assert known["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
        other = (await w.ok("POST", f"{AUTHN}/tokenreviews", {"spec": {"token": "tok", "audiences": ["vault"]}}))["status"]
        assert other == {"error": "invalid bearer token", "user": {}}
