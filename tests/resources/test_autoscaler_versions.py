"""HorizontalPodAutoscalers in v1 and v2: what v1 can't say stands in annotations, in Go's field order, and comes back from there."""

from __future__ import annotations

import pytest

from minikube_api.resources import conversions

METRICS, BEHAVIOR, CONDITIONS = (f"autoscaling.alpha.kubernetes.io/{name}" for name in ("metrics", "behavior", "conditions"))
SERVICE = {"kind": "Service", "name": "s", "apiVersion": "v1"}


def autoscaler(metrics=(), **spec):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, "metrics": [*metrics], **spec},
        "status": {},
    }


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        pytest.param(
            {
                "type": "Object",
                "object": {"metric": {"name": "m"}, "describedObject": SERVICE, "target": {"type": "Value", "value": "10"}},
            },
            '[{"type":"Object","object":{"target":{"kind":"Service","name":"s","apiVersion":"v1"},"metricName":"m","targetValue":"10"}}]',
            id="object",
        ),
        pytest.param(
            {
                "type": "Object",
                "object": {
                    "metric": {"name": "m"},
                    "describedObject": SERVICE,
                    "target": {"type": "AverageValue", "averageValue": "1"},
                },
            },
            '[{"type":"Object","object":{"target":{"kind":"Service","name":"s","apiVersion":"v1"},"metricName":"m","targetValue":"0",'
            '"averageValue":"1"}}]',
            id="object-average",
        ),
        pytest.param(
            {
                "type": "ContainerResource",
                "containerResource": {
                    "container": "c",
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50},
                },
            },
            '[{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":50,"container":"c"}}]',
            id="container",
        ),
        pytest.param(
            {
                "type": "External",
                "external": {
                    "metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "AverageValue", "averageValue": "1500m"},
                },
            },
            '[{"type":"External","external":{"metricName":"m","metricSelector":{"matchLabels":{"a":"b"}},"targetAverageValue":"1500m"}}]',
            id="external",
        ),
    ],
)
def test_a_metric_goes_through_v1s_annotation_and_back(metric, text):
    old = conversions.autoscaler_to_v1(autoscaler([metric]))
    assert old["metadata"]["annotations"] == {METRICS: text}
    assert conversions.autoscaler_to_v2(old)["spec"]["metrics"] == [metric]


def test_behaviour_stands_in_v1_as_gos_internal_type_with_all_its_fields():
    policies = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    behavior = {"scaleDown": {"tolerance": "100m", "selectPolicy": "Max", "policies": policies}}
    old = conversions.autoscaler_to_v1(autoscaler(behavior=behavior))
    assert old["metadata"]["annotations"][BEHAVIOR] == (
        '{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":null,"SelectPolicy":"Max",'
        '"Policies":[{"Type":"Percent","Value":100,"PeriodSeconds":15}],"Tolerance":"100m"}}'
    )
    assert conversions.autoscaler_to_v2(old)["spec"]["behavior"] == behavior


def test_conditions_stand_in_v1_in_the_order_of_their_fields():
    conditions = [{"reason": "R", "status": "True", "type": "AbleToScale"}]
    old = conversions.autoscaler_to_v1({**autoscaler(), "status": {"conditions": conditions}})
    assert (
        old["metadata"]["annotations"][CONDITIONS]
        == '[{"type":"AbleToScale","status":"True","lastTransitionTime":null,"reason":"R"}]'
    )


def test_v2_drops_annotations_that_carry_its_fields_through_v1(kind):
    body = {**autoscaler(), "metadata": {"name": "h", "annotations": {CONDITIONS: "[]", "mine": "kept"}}}
    made, errors = kind("horizontalpodautoscalers", "autoscaling", "v2").create(body)
    assert errors == [] and made["metadata"]["annotations"] == {"mine": "kept"}


def test_an_empty_behaviour_gets_both_directions(kind):
    made, errors = kind("horizontalpodautoscalers", "autoscaling", "v2").create(autoscaler(behavior={}))
    assert errors == []
    assert made["spec"]["behavior"]["scaleDown"] == {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert made["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_a_write_through_v1_keeps_the_conditions_that_v1_cannot_say(kind):
    old_form = kind("horizontalpodautoscalers", "autoscaling", "v1")
    conditions = [{"type": "AbleToScale", "status": "True", "lastTransitionTime": None}]
    was = conversions.autoscaler_to_v1({**autoscaler(), "status": {"conditions": conditions, "desiredReplicas": 1}})
    body = {"metadata": {"name": "h"}, "spec": {**was["spec"], "maxReplicas": 9}}
    new, errors = old_form.update(body, was)
    assert errors == [] and conversions.autoscaler_to_v2(new)["status"]["conditions"] == conditions


def test_status_through_v1_keeps_the_metrics_that_v1_cannot_say(kind):
    old_form = kind("horizontalpodautoscalers", "autoscaling", "v1")
    metric = {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
    was = conversions.autoscaler_to_v1(autoscaler([metric]))
    body = {"metadata": {"name": "h"}, "spec": was["spec"], "status": {"currentReplicas": 4, "desiredReplicas": 4}}
    new, _ = old_form.update(body, was, "status")
    assert conversions.autoscaler_to_v2(new)["spec"]["metrics"] == [metric]
    assert new["status"]["currentReplicas"] == 4
