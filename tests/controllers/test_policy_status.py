"""What type checking finds in the expressions of ValidatingAdmissionPolicies, as their status tells it."""

from __future__ import annotations

from typing import Any

import pytest

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
NAME = "validatingadmissionpolicy-status-controller"


def policy(*validations: dict[str, Any], rules: Any = (("apps", "v1", "deployments"),), **spec: Any) -> dict[str, Any]:
    matched = [
        {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE"], "resources": [resource]}
        for group, version, resource in rules
    ]
    body = {"validations": list(validations), "matchConstraints": {"resourceRules": matched}, **spec}
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    return {**head, "metadata": {"name": "p"}, "spec": body}


async def checked(w: Any, body: dict[str, Any]) -> Any:
    await w.client.raw.create(POLICIES, body)

    async def observed() -> Any:
        status = (await w.client.raw.get(f"{POLICIES}/p")).get("status") or {}
        return status if status.get("observedGeneration") else None

    return await w.until(observed)


UNDEFINED = "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^\n"
SIZE = {"name": "size", "expression": "object.spec.replicas"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(policy({"expression": "object.spec.replicas > 1"}), {}, id="nothing to tell"),
        pytest.param(policy({"expression": "object.replicas > 1"}), {"spec.validations[0].expression": UNDEFINED}, id="an unknown field"),
        pytest.param(
            policy({"expression": "true", "messageExpression": "'n: ' + object.spec.replicas"}),
            {
                "spec.validations[0].messageExpression": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: found no matching overload for "
                "'_+_' applied to '(string, int)'\n | 'n: ' + object.spec.replicas\n | ......^\n"
            },
            id="a message of wrong types",
        ),
        pytest.param(policy({"expression": "object.replicas > 1"}, rules=(("*", "v1", "deployments"),)), {}, id="wildcards are not checked"),
        pytest.param(policy({"expression": "object.replicas > 1"}, rules=(("x.example.com", "v1", "no"),)), {}, id="nor what is not served"),
        pytest.param(
            policy({"expression": "object.metadata.labels.exists(k, k == 'a') && object.spec.template.spec.containers.all(c, c.image != '')"}),
            {}, id="maps, lists and objects inside of objects",
        ),
        pytest.param(
            policy({"expression": "has(object.spec.size)"}, rules=(("apps", "v1", "deployments"), ("", "v1", "pods"))),
            {
                "spec.validations[0].expression": "/v1, Kind=Pod: ERROR: <input>:1:16: undefined field 'size'\n | has(object.spec.size)\n"
                " | ...............^\n\napps/v1, Kind=Deployment: ERROR: <input>:1:16: undefined field 'size'\n | has(object.spec.size)\n"
                " | ...............^\n"
            },
            id="each kind that is matched",
        ),
        pytest.param(
            policy({"expression": "variables.size > 'a'"}, variables=[SIZE]),
            {
                "spec.validations[0].expression": "apps/v1, Kind=Deployment: ERROR: <input>:1:16: found no matching overload for '_>_' "
                "applied to '(int, string)'\n | variables.size > 'a'\n | ...............^\n"
            },
            id="variables have the types of their expressions",
        ),
        pytest.param(
            policy({"expression": "object.spec.replicas <= params.limit"}, paramKind={"apiVersion": "v1", "kind": "ConfigMap"}),
            {
                "spec.validations[0].expression": "apps/v1, Kind=Deployment: ERROR: <input>:1:31: undefined field 'limit'\n"
                " | object.spec.replicas <= params.limit\n | ..............................^\n"
            },
            id="parameters have the type of their kind",
        ),
    ],
)  # fmt: skip
async def test_expressions_are_checked_against_the_kinds_that_a_policy_matches(
    world, body: Any, expected: dict[str, str]
) -> None:
    async with world(NAME) as w:
        status = await checked(w, body)
        found = (status.get("typeChecking") or {}).get("expressionWarnings") or []
        assert {one["fieldRef"]: one["warning"] for one in found} == expected
        assert status["observedGeneration"] == 1


async def test_a_policy_that_changes_is_checked_again(world) -> None:
    async with world(NAME) as w:
        assert (await checked(w, policy({"expression": "object.spec.replicas > 1"})))["typeChecking"] == {}
        changed = {"spec": {"validations": [{"expression": "object.replicas > 1"}]}}
        await w.client.raw.patch(f"{POLICIES}/p", changed)

        async def told() -> Any:
            status = (await w.client.raw.get(f"{POLICIES}/p"))["status"]
            return status if status["observedGeneration"] == 2 else None

        assert (await w.until(told))["typeChecking"]["expressionWarnings"][0]["warning"] == UNDEFINED
