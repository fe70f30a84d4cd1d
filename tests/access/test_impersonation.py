"""Who may act for whom: constrained impersonation (KEP-5284), then the verb `impersonate` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from minikube_api.meta.errors import BadRequest, Forbidden
from minikube_api.server.access.rules import Rule
from minikube_api.server.context import Request, UserInfo, parse_info
from minikube_api.server.contract import ALLOWED, NO_OPINION, Attributes, Decision
from minikube_api.server.impersonation import impersonate

ALICE = UserInfo("alice", groups=("system:authenticated",))
AGENT = UserInfo(
    "system:serviceaccount:kube-system:agent", extra={"authentication.kubernetes.io/node-name": ("n1",)}, groups=("x",)
)
ACCOUNT = "system:serviceaccount:ns1:builder"
AUTHN = "authentication.k8s.io"


class Holds:
    """An authorizer of rules; `asked` are the verbs it was asked for, with what."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules
        self.asked: list[str] = []

    async def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(f"{attributes.verb} {attributes.resource or attributes.path}/{attributes.name}")
        return ALLOWED if any(rule.allows(attributes) for rule in self._rules) else NO_OPINION


def asking(headers: Mapping[str, str], user: UserInfo = ALICE, path: str = "/api/v1/namespaces/ns1/pods") -> Request:
    return Request("GET", path, "", headers, {}, parse_info("GET", path, {}), user=user)


def may(verb: str, resource: str, group: str = AUTHN, *names: str) -> Rule:
    return Rule((verb,), (group,), (resource,), names)


ON_PODS = may("impersonate-on:user-info:list", "pods", "")


async def test_both_rights_make_a_constrained_impersonation() -> None:
    request = asking({"Impersonate-User": "carol"})
    await impersonate(request, Holds(ON_PODS, may("impersonate:user-info", "users", AUTHN, "carol")))
    assert (request.user.name, request.user.groups) == ("carol", ("system:authenticated",))
    assert request.original_user == ALICE
    assert request.impersonation_constraint == "impersonate:user-info"


async def test_the_old_verb_still_does_and_constrains_nothing() -> None:
    request = asking({"Impersonate-User": "carol", "Impersonate-Group": "x", "Impersonate-Extra-Scope": "all"})
    rules = [may("impersonate", "users", ""), may("impersonate", "groups", ""), may("impersonate", "userextras/scope")]
    await impersonate(request, Holds(*rules))
    assert request.user == UserInfo("carol", "", ("x", "system:authenticated"), {"scope": ("all",)})
    assert request.impersonation_constraint == ""


@pytest.mark.parametrize(
    ("target", "rules", "says"),
    [
        pytest.param("carol", [], 'cannot impersonate-on:user-info:list resource "pods" in API group ""', id="nothing-held"),
        pytest.param(
            "carol",
            [ON_PODS],
            'users.authentication.k8s.io "carol" is forbidden: User "alice" cannot impersonate:user-info resource "users" in API '
            'group "authentication.k8s.io" at the cluster scope',
            id="not-that-user",
        ),
        pytest.param(ACCOUNT, [], "cannot impersonate-on:serviceaccount:list", id="service-account"),
        pytest.param("system:node:n1", [], "cannot impersonate-on:arbitrary-node:list", id="node"),
    ],
)
async def test_the_first_mode_that_applies_words_the_refusal(target: str, rules: list[Rule], says: str) -> None:
    with pytest.raises(Forbidden) as refused:
        await impersonate(asking({"Impersonate-User": target}), Holds(*rules))
    assert says in refused.value.message


async def test_rights_on_users_say_nothing_of_service_accounts_and_nodes() -> None:
    everything = (may("impersonate:user-info", "*"), may("impersonate-on:user-info:list", "*", ""))
    for target in (ACCOUNT, "system:node:n1"):
        with pytest.raises(Forbidden):
            await impersonate(asking({"Impersonate-User": target}), Holds(*everything))


async def test_a_service_account_with_groups_of_choice_is_for_the_old_verb_only() -> None:
    holds = Holds()
    with pytest.raises(Forbidden):
        await impersonate(asking({"Impersonate-User": ACCOUNT, "Impersonate-Group": "x"}), holds)
    assert holds.asked == ["impersonate serviceaccounts/builder"]


@pytest.mark.parametrize(
    ("target", "groups"),
    [
        pytest.param(ACCOUNT, ("system:serviceaccounts", "system:serviceaccounts:ns1", "system:authenticated"), id="account"),
        pytest.param("system:node:n1", ("system:nodes", "system:authenticated"), id="node"),
        pytest.param("system:anonymous", ("system:unauthenticated",), id="anonymous"),
    ],
)
async def test_the_user_gets_the_groups_of_its_kind(target: str, groups: tuple[str, ...]) -> None:
    request = asking({"Impersonate-User": target}, UserInfo("root"))
    await impersonate(request, Holds(Rule(("*",), ("*",), ("*",))))
    assert request.user.groups == groups


async def test_an_agent_may_act_for_the_node_it_runs_on_without_naming_it() -> None:
    rules = [may("impersonate:associated-node", "nodes"), may("impersonate-on:associated-node:list", "pods", "")]
    request = asking({"Impersonate-User": "system:node:n1"}, AGENT)
    await impersonate(request, Holds(*rules))
    assert request.impersonation_constraint == "impersonate:associated-node"
    with pytest.raises(Forbidden):
        await impersonate(asking({"Impersonate-User": "system:node:n2"}, AGENT), Holds(*rules))


async def test_paths_have_their_own_right() -> None:
    with pytest.raises(Forbidden) as refused:
        await impersonate(asking({"Impersonate-User": "carol"}, path="/metrics"), Holds())
    assert refused.value.message == 'forbidden: User "alice" cannot impersonate-on:user-info:get path "/metrics"'


@pytest.mark.parametrize("header", ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scope"])
async def test_more_of_a_user_than_the_name_needs_the_name(header: str) -> None:
    headers: dict[str, Any] = {header: "x"}
    with pytest.raises(BadRequest, match="without impersonating a user name"):
        await impersonate(asking(headers), Holds())
