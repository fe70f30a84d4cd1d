"""Rules: matching requests, covering other rules, printing."""

from __future__ import annotations

import pytest

from minikube_api.server.access.rules import Rule, compacted, missing
from minikube_api.server.context import UserInfo
from minikube_api.server.contract import Attributes

U = UserInfo("u")
SCALE = Attributes(U, "get", group="apps", resource="d", subresource="scale")
PODS = Rule(("get", "list"), ("",), ("pods",))


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        pytest.param(PODS, Attributes(U, "get", resource="pods"), True, id="plain"),
        pytest.param(PODS, Attributes(U, "delete", resource="pods"), False, id="other-verb"),
        pytest.param(PODS, Attributes(U, "get", resource="pods", group="x"), False, id="other-group"),
        pytest.param(PODS, Attributes(U, "get", resource="pods", subresource="log"), False, id="subresource-not-included"),
        pytest.param(Rule(("*",), ("*",), ("*",)), Attributes(U, "x", resource="a", subresource="b", group="g"), True, id="all"),
        pytest.param(Rule(("get",), ("apps",), ("*/scale",)), SCALE, True, id="any-scale"),
        pytest.param(Rule(("get",), ("apps",), ("*/scale",)), Attributes(U, "get", group="apps", resource="d"), False, id="scale-only"),
        pytest.param(Rule(("get",), ("",), ("pods",), ("a",)), Attributes(U, "get", resource="pods", name="a"), True, id="name"),
        pytest.param(Rule(("get",), ("",), ("pods",), ("a",)), Attributes(U, "get", resource="pods"), False, id="name-missing"),
        pytest.param(Rule(("get",), urls=("/healthz/*",)), Attributes(U, "get", False, path="/healthz/etcd"), True, id="path-below"),
        pytest.param(Rule(("get",), urls=("/healthz",)), Attributes(U, "get", False, path="/healthz/etcd"), False, id="path-exact"),
        pytest.param(Rule(("*",), ("*",), ("*",)), Attributes(U, "get", False, path="/metrics"), False, id="resources-are-no-paths"),
    ],
)  # fmt: skip
def test_a_rule_allows(rule: Rule, asked: Attributes, allowed: bool) -> None:
    assert rule.allows(asked) is allowed


def test_several_rules_cover_one_between_them() -> None:
    held = [Rule(("get",), ("",), ("pods", "secrets")), Rule(("list",), ("",), ("*",))]
    assert missing(held, [Rule(("get", "list"), ("",), ("pods", "secrets"))]) == []


def test_a_rule_for_names_does_not_cover_all_names() -> None:
    held = [Rule(("get",), ("",), ("pods",), ("a", "b"))]
    assert missing(held, [Rule(("get",), ("",), ("pods",), ("a",))]) == []
    assert missing(held, [Rule(("get",), ("",), ("pods",))])


def test_what_lacks_is_printed_by_resource_with_its_verbs() -> None:
    lacking = missing([PODS], [Rule(("get", "watch", "delete"), ("",), ("pods",)), Rule(("get",), urls=("/x",))])
    assert [str(rule) for rule in compacted(lacking)] == [
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}',
    ]
