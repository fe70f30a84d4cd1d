"""What a review may say: no metadata, one kind of attributes, sound selectors."""

from __future__ import annotations

from typing import Any

import pytest

from minikube_api.server.access import review_bodies as reviews

PODS = {"verb": "list", "resource": "pods"}
AT = "spec.resourceAttributes"


def texts(problems: list[Any]) -> list[str]:
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        pytest.param({"fieldSelector": {"rawSelector": "a=b"}}, [], id="raw"),
        pytest.param(
            {"labelSelector": {"requirements": [{"key": "a", "operator": "Later", "values": ["b"]}]}}, [], id="newer-operator"
        ),
        pytest.param(
            {"fieldSelector": {}},
            [
                f"{AT}.fieldSelector.requirements: Required value: when {AT}.fieldSelector is specified, requirements or rawSelector is required"
            ],
            id="neither",
        ),
        pytest.param(
            {"fieldSelector": {"rawSelector": "a=b", "requirements": [{"operator": "In", "values": ["b"]}]}},
            [
                f'{AT}.fieldSelector.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements',
                f"{AT}.fieldSelector.requirements[0].key: Required value: must be specified",
            ],
            id="both",
        ),
        pytest.param(
            {
                "labelSelector": {
                    "requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}, {"key": "a", "operator": "In"}]
                }
            },
            [
                f"{AT}.labelSelector.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                f"{AT}.labelSelector.requirements[1].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ],
            id="values",
        ),
    ],
)
def test_selectors_of_reviews_are_checked(selectors: dict[str, Any], expected: list[str]):
    assert texts(reviews.spec_problems({"resourceAttributes": {**PODS, **selectors}})) == expected


def test_reviews_have_no_metadata_of_their_own():
    managed = {"managedFields": [{"manager": "m"}]}
    assert reviews.meta_problems(managed) == []
    assert reviews.meta_problems({"namespace": "n", **managed}, but="namespace") == []
    assert texts(reviews.meta_problems({"labels": {"a": "b"}, "name": "x"})) == [
        'metadata: Invalid value: {"name":"x","labels":{"a":"b"}}: must be empty'
    ]
    assert texts(reviews.meta_problems({"name": "x"}, but="namespace")) == [
        'metadata: Invalid value: {"name":"x"}: must be empty except for namespace'
    ]
