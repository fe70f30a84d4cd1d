from __future__ import annotations

from typing import Any

import pytest

from minikube_api.server.webhooks.matching import Rule, Subject

POD = Subject("CREATE", "", "v1", "pods", "", "default")
STATUS = Subject("UPDATE", "", "v1", "pods", "status", "default")
NODE = Subject("CREATE", "", "v1", "nodes", "", "")
NAMESPACE = Subject("DELETE", "", "v1", "namespaces", "", "default")


def rule(**fields: Any) -> Rule:
    tree = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    return Rule.of({**tree, **fields})


@pytest.mark.parametrize(
    ("made", "subject", "expected"),
    [
        pytest.param(rule(), POD, True, id="everything"),
        pytest.param(rule(operations=["UPDATE", "DELETE"]), POD, False, id="other operation"),
        pytest.param(rule(apiGroups=["apps"]), POD, False, id="other group"),
        pytest.param(rule(apiVersions=["v2"]), POD, False, id="other version"),
        pytest.param(rule(resources=["*"]), POD, True, id="any resource"),
        pytest.param(rule(resources=["*"]), STATUS, False, id="any resource has no subresources"),
        pytest.param(rule(resources=["pods/*"]), STATUS, True, id="any subresource"),
        pytest.param(rule(resources=["pods/*"]), POD, True, id="any subresource is also none"),
        pytest.param(rule(resources=["*/status"]), STATUS, True, id="a subresource of anything"),
        pytest.param(rule(resources=["pods/log"]), STATUS, False, id="other subresource"),
        pytest.param(rule(scope="Namespaced"), POD, True, id="namespaced"),
        pytest.param(rule(scope="Namespaced"), NODE, False, id="cluster-scoped is not namespaced"),
        pytest.param(rule(scope="Cluster"), NODE, True, id="cluster-scoped"),
        pytest.param(rule(scope="Cluster"), NAMESPACE, True, id="namespaces are cluster-scoped"),
        pytest.param(rule(scope="Namespaced"), NAMESPACE, False, id="namespaces are not namespaced"),
    ],
)
def test_rules_match(made: Rule, subject: Subject, expected: bool) -> None:
    assert made.matches(subject) is expected
