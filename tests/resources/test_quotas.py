"""ResourceQuota, LimitRange, ServiceCIDR and IPAddress: what is refused and what may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from resource_factories import texts

Body = dict[str, Any]
NETWORKING = "networking.k8s.io"


def named(**spec: Any) -> Body:
    return {"metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"hard": {"count/pods": "1", "requests.example.com/gpu": "2", "requests.hugepages-2Mi": "4Mi"}}, [], id="good"),
        pytest.param(
            {"hard": {"foo": "1"}},
            [
                'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota',
                'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
            ],
            id="unknown-resource",
        ),
        pytest.param(
            {"hard": {"storage": "1"}}, ['spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota'], id="storage"
        ),
        pytest.param({"hard": {"pods": "1.5"}}, ['spec.hard[pods]: Invalid value: "1500m": must be an integer'], id="half-a-pod"),
        pytest.param(
            {"hard": {"secrets": "1"}, "scopes": ["PriorityClass"]},
            ['spec.scopes: Invalid value: ["PriorityClass"]: unsupported scope applied to resource'], id="misplaced-scope",
        ),
        pytest.param({"hard": {"requests.storage": "1"}, "scopes": ["VolumeAttributesClass"]}, [], id="volume-scope"),
        pytest.param(
            {"scopes": ["Terminating", "NotTerminating"]},
            ['spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'], id="conflict",
        ),
        pytest.param(
            {"hard": {"cpu": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "Exists"}]}},
            [
                'spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists",'
                '"Values":null}]}: unsupported scope applied to resource'
            ],
            id="misplaced-selector",
        ),
        pytest.param(
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
            ["spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' "
             "for scope selector"],
            id="selector-without-values",
        ),
    ],
)  # fmt: skip
def test_quotas_are_checked(kind, spec: Body, expected: list[str]):
    assert texts(kind("resourcequotas").create(named(**spec))[1]) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param({"type": "Container", "max": {"cpu": "1"}}, [], id="good"),
        pytest.param({"type": "Pod", "default": {"cpu": "1"}}, ["default: Forbidden: may not be specified when `type` is 'Pod'"], id="pod-default"),
        pytest.param(
            {"type": "PersistentVolumeClaim"},
            ["limits: Required value: either minimum or maximum storage value is required, but neither was provided"], id="claim",
        ),
        pytest.param({"type": "Node"}, ['type: Invalid value: "Node": must be a standard limit type or fully qualified'], id="type"),
        pytest.param(
            {"type": "Container", "min": {"pods": "1"}},
            [
                'defaultRequest[pods]: Invalid value: "pods": must be a standard resource for containers',
                'min[pods]: Invalid value: "pods": must be a standard resource for containers',
            ],
            id="resource",
        ),
        pytest.param(
            {"type": "Container", "default": {"cpu": "3"}, "max": {"cpu": "2"}},
            [
                'defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 2',
                'default[cpu]: Invalid value: "2": default value 3 is greater than max value 2',
            ],
            id="default-over-max",
        ),
        pytest.param(
            {"type": "Pod", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}},
            ['maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000'], id="ratio",
        ),
        pytest.param(
            {"type": "Container", "default": {"example.com/gpu": "2"}, "defaultRequest": {"example.com/gpu": "1"}},
            [
                'defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu'
            ],
            id="no-overcommit",
        ),
    ],
)  # fmt: skip
def test_limits_are_checked(kind, item: Body, expected: list[str]):
    found = texts(kind("limitranges").create(named(limits=[item]))[1])
    assert [text.removeprefix("spec.limits[0].") for text in found] == expected


def test_a_service_range_may_get_its_other_family_and_no_more(kind):
    ranges = kind("servicecidrs", NETWORKING)
    made, errors = ranges.create(named(cidrs=["10.0.0.0/24"]))
    assert errors == []

    def findings(*cidrs: str) -> list[str]:
        return texts(ranges.update({**copy.deepcopy(made), "spec": {"cidrs": list(cidrs)}}, made)[1])

    assert findings("10.0.0.0/24", "fd00::/64") == []
    assert findings("10.1.0.0/24") == ['spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable']
    assert "spec.cidrs: Invalid value: null: field is immutable" in findings()


def test_an_address_keeps_its_owner(kind):
    addresses = kind("ipaddresses", NETWORKING)
    ref = {"resource": "services", "name": "s", "namespace": "n"}
    made, errors = addresses.create({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": ref}})
    assert errors == []
    other = {**made, "spec": {"parentRef": {**ref, "name": "t"}}}
    assert texts(addresses.update(other, made)[1]) == [
        'spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"n","Name":"t"}: field is immutable'
    ]
