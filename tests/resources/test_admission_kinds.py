"""Webhook configurations, admission policies and their bindings: what is refused and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from resource_factories import texts

Body = dict[str, Any]
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


def hook(**fields: Any) -> Body:
    base = {
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [RULE],
        "clientConfig": {"service": {"name": "s", "namespace": "n"}},
    }  # fmt: skip
    return {"metadata": {"name": "w"}, "webhooks": [{k: v for k, v in {**base, **fields}.items() if v is not None}]}


def service(path: str) -> Body:
    return {"service": {"name": "s", "namespace": "n", "path": path}}


def rule(**fields: Any) -> list[Body]:
    return [{**RULE, **fields}]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(hook(), [], id="good"),
        pytest.param(hook(clientConfig=service("")), [], id="empty-path"),
        pytest.param(hook(sideEffects=None), ["sideEffects: Required value: must specify one of None, NoneOnDryRun"], id="side-effects"),
        pytest.param(
            hook(name="a.b"), ['name: Invalid value: "a.b": should be a domain with at least three segments separated by dots'], id="name"
        ),
        pytest.param(
            hook(admissionReviewVersions=["v2"]),
            ['admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1'], id="unknown-version",
        ),
        pytest.param(
            hook(clientConfig=service("a//b")),
            [
                "clientConfig.service.path: Invalid value: \"a//b\": must start with a '/'",
                'clientConfig.service.path: Invalid value: "a//b": segment[0] may not be empty',
                'clientConfig.service.path: Invalid value: "a//b": segment[1] may not be empty',
            ],
            id="path",
        ),
        pytest.param(
            hook(clientConfig={"url": "http://x/?q=1"}),
            [
                'clientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: https://host[/path]',
                'clientConfig.url: Invalid value: "q=1": query parameters are not permitted in the URL',
            ],
            id="url",
        ),
        pytest.param(
            hook(rules=rule(resources=["*/*", "pods"])),
            ["rules[0].resources: Invalid value: [\"*/*\",\"pods\"]: if '*/*' is present, must not specify other resources"], id="all",
        ),
        pytest.param(
            hook(rules=rule(resources=["pods/*", "pods/status"])),
            ["rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status"], id="subresources",
        ),
        pytest.param(
            hook(rules=rule(resources=["*/scale", "x/scale"])),
            ["rules[0].resources[1]: Invalid value: \"x/scale\": if '*/scale' is present, must not specify x/scale"], id="everywhere",
        ),
        pytest.param(hook(timeoutSeconds=31), ["timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"], id="slow"),
    ],
)  # fmt: skip
def test_webhooks_are_checked(kind, body: Body, expected: list[str]):
    for plural in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
        found = texts(kind(plural, "admissionregistration.k8s.io").create(body)[1])
        assert [text.removeprefix("webhooks[0].") for text in found] == expected


def policy(**spec: Any) -> Body:
    base = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}
    return {"metadata": {"name": "p"}, "spec": {**base, **spec}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(policy(), [], id="good"),
        pytest.param(
            policy(validations=[]),
            [
                "auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
                "validations: Required value: validations or auditAnnotations must contain at least one item",
            ],
            id="nothing-validated",
        ),
        pytest.param(policy(paramKind={"apiVersion": "v1"}), ["paramKind.kind: Required value"], id="param-kind"),
        pytest.param(
            policy(variables=[{"name": "a", "expression": "1"}, {"name": "a", "expression": "2"}]),
            ['variables[1].name: Duplicate value: "a"'], id="variable-twice",
        ),
        pytest.param(
            policy(matchConstraints={"resourceRules": rule(resourceNames=["a", "a"])}),
            ['matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"'], id="name-twice",
        ),
        pytest.param(
            policy(auditAnnotations=[{"key": "a/b", "valueExpression": "'x'"}]),
            [
                'auditAnnotations[0].key: Invalid value: "p/a/b": a qualified name must consist of alphanumeric characters, \'-\', \'_\' '
                "or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
                "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
                "'example.com/MyName')"
            ],
            id="annotation-key",
        ),
    ],
)  # fmt: skip
def test_validating_policies_are_checked(kind, body: Body, expected: list[str]):
    found = texts(kind("validatingadmissionpolicies", "admissionregistration.k8s.io").create(body)[1])
    assert [text.removeprefix("spec.") for text in found] == expected


def binding(**spec: Any) -> Body:
    return {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"], **spec}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(binding(), [], id="good"),
        pytest.param(binding(validationActions=[]), ["validationActions: Required value: at least one validation action is required"], id="none"),
        pytest.param(
            binding(paramRef={"name": "n", "selector": {}, "parameterNotFoundAction": "Allow"}),
            [
                "paramRef.name: Forbidden: name and selector are mutually exclusive",
                "paramRef.selector: Forbidden: name and selector are mutually exclusive",
            ],
            id="both-params",
        ),
        pytest.param(
            binding(paramRef={"name": "n", "parameterNotFoundAction": "Ask"}),
            ['paramRef.parameterNotFoundAction: Unsupported value: "Ask": supported values: "Deny", "Allow"'], id="action",
        ),
        pytest.param(
            binding(matchResources={"resourceRules": rule(operations=[])}),
            ["matchResouces.resourceRules[0].operations: Required value"], id="rules",
        ),
    ],
)  # fmt: skip
def test_bindings_are_checked(kind, body: Body, expected: list[str]):
    found = texts(kind("validatingadmissionpolicybindings", "admissionregistration.k8s.io").create(body)[1])
    assert [text.removeprefix("spec.") for text in found] == expected
