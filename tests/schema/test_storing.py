"""Empty lists, which the stored form has not."""

from typing import Any

import pytest

from minikube_api.schema import builtin, storing


@pytest.mark.parametrize(
    ("group", "kind", "given", "kept"),
    [
        pytest.param("", "LimitRange", {"spec": {"limits": []}}, {"spec": {"limits": None}}, id="list"),
        pytest.param(
            "", "LimitRange", {"spec": {"limits": [{"type": "Pod"}]}}, {"spec": {"limits": [{"type": "Pod"}]}}, id="full"
        ),
        pytest.param("rbac.authorization.k8s.io", "Role", {"rules": []}, {"rules": None}, id="top"),
        pytest.param("", "ConfigMap", {"data": {}}, {"data": {}}, id="map"),
        pytest.param(
            "apps",
            "Deployment",
            {"spec": {"template": {"spec": {"volumes": [{"name": "v", "projected": {"sources": []}}]}}}},
            {"spec": {"template": {"spec": {"volumes": [{"name": "v", "projected": {"sources": None}}]}}}},
            id="in-a-list",
        ),
    ],
)
def test_an_empty_list_is_kept_as_null(group: str, kind: str, given: dict[str, Any], kept: dict[str, Any]) -> None:
    storing.without_empty_lists(given, builtin.load(group, "v1", kind))
    assert given == kept


def test_types_that_hold_themselves_are_walked() -> None:
    schema = builtin.load("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    tree: dict[str, Any] = {"spec": {"versions": []}, "status": {"storedVersions": []}}
    storing.without_empty_lists(tree, schema)
    assert tree == {"spec": {"versions": None}, "status": {"storedVersions": None}}
