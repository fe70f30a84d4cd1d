"""What counts as a change: Go's semantic equality, which does not tell an empty list from none."""

from __future__ import annotations

import pytest

from minikube_api.resources.strategies import same


@pytest.mark.parametrize(
    ("new", "old", "equal"),
    [
        pytest.param({"a": []}, {}, True, id="empty-and-absent"),
        pytest.param({"a": []}, {"a": None}, True, id="empty-and-null"),
        pytest.param({"a": [{"b": []}]}, {"a": [{"b": None}]}, True, id="deep"),
        pytest.param({"a": {}}, {"a": None}, False, id="pointer-to-nothing"),
        pytest.param({"a": [1]}, {"a": []}, False, id="one-and-none"),
        pytest.param({"a": 0}, {"a": None}, False, id="zero"),
        pytest.param({"a": ""}, {"a": []}, False, id="text-and-list"),
        pytest.param([1, 2], [2, 1], False, id="order"),
    ],
)
def test_only_an_empty_list_equals_none(new, old, equal):
    assert same(new, old) is equal
    assert same(old, new) is equal


def test_an_empty_list_of_endpoints_is_no_change_of_none(kind):
    slices = kind("endpointslices", "discovery.k8s.io")
    old, errors = slices.create({"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": None, "ports": None})
    assert errors == []
    new, _ = slices.update({**old, "endpoints": [], "ports": []}, old)
    assert new["metadata"]["generation"] == 1


def test_an_empty_list_of_requests_is_no_change_of_a_claim(kind):
    claims = kind("resourceclaims", "resource.k8s.io")
    old, errors = claims.create({"metadata": {"name": "c"}, "spec": {"devices": {"requests": None}}})
    assert errors == []
    assert claims.update({**old, "spec": {"devices": {"requests": []}}}, old)[1] == []
