"""The registry serves every kind, with its columns, cells and selectable fields."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.resources import conversions
from minikube_api.resources.resource import WriteContext
from minikube_api.schema import builtin


def test_every_kind_of_the_facts_is_served(registry):
    served = {(r.group, r.version, r.plural) for r in registry}
    assert served == {(k.group, k.version, k.plural) for k in builtin.kinds()}


def test_columns_are_those_of_the_facts(registry):
    for facts in builtin.kinds():
        if not facts.columns:
            continue
        resource = registry.get(facts.group, facts.version, facts.plural)
        assert [(c.name, c.type, c.format, c.priority) for c in resource.columns] == list(facts.columns), facts.plural


def test_every_column_is_described(registry):
    undescribed = [(r.plural, c.name) for r in registry for c in r.columns if not c.description]
    assert undescribed == []


def test_cells_of_a_bare_object_are_as_many_as_columns(registry):
    for resource in registry:
        obj = {"metadata": {"name": "x", "creationTimestamp": "2026-01-02T03:04:05Z"}}
        assert len(resource.cells(obj, 0.0)) == len(resource.columns), resource.plural


def test_versions_of_one_kind_share_their_storage(registry):
    assert registry.get("events.k8s.io", "v1", "events").storage_prefix == registry.get("", "v1", "events").storage_prefix
    one, two = (registry.get("autoscaling", v, "horizontalpodautoscalers") for v in ("v1", "v2"))
    assert one.storage_prefix == two.storage_prefix
    assert one.storage_version == two.storage_version == ("autoscaling", "v2")


@pytest.mark.parametrize(
    ("plural", "group", "label", "message"),
    [
        pytest.param("pods", "", "spec.nodeName", None, id="pod-node"),
        pytest.param("pods", "", "spec.x", "field label not supported: spec.x", id="pod-unknown"),
        pytest.param("namespaces", "", "metadata.namespace", "field label not supported: metadata.namespace", id="cluster"),
        pytest.param("jobs", "batch", "status.failed", 'field label "status.failed" not supported for Job', id="job"),
        pytest.param(
            "configmaps",
            "",
            "data.a",
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
            id="plain",
        ),
    ],
)
def test_unknown_field_labels_are_worded_as_the_kind_words_them(registry, plural, group, label, message):
    assert registry.get(group, "v1", plural).field_label_problem(label) == message


def test_selectable_fields_are_those_named(registry):
    for resource in registry:
        obj = {"metadata": {"name": "x"}}
        assert set(resource.selectable_fields(obj)) == resource.selectable_names, resource.plural


_metric = st.fixed_dictionaries(
    {
        "type": st.just("Pods"),
        "pods": st.fixed_dictionaries(
            {"metric": st.just({"name": "m"}), "target": st.just({"type": "AverageValue", "averageValue": "3"})}
        ),
    }
)


@given(st.lists(_metric, max_size=3), st.none() | st.integers(1, 100))
def test_an_autoscaler_survives_the_way_through_v1(metrics, cpu):
    target = {"type": "Utilization", "averageUtilization": cpu}
    listed = ([{"type": "Resource", "resource": {"name": "cpu", "target": target}}] if cpu else []) + metrics
    spec = {"maxReplicas": 3, **({"metrics": listed} if listed else {})}
    obj = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec}
    old = conversions.autoscaler_to_v1(obj)
    assert old["spec"].get("targetCPUUtilizationPercentage") == cpu
    assert conversions.autoscaler_to_v2(old)["spec"] == spec


def test_an_event_survives_the_way_through_core():
    event = {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-02T03:04:05.000001Z",
        "note": "hello", "regarding": {"kind": "Pod", "name": "p"}, "reportingController": "a/b", "deprecatedSource": {},
        "deprecatedFirstTimestamp": None, "deprecatedLastTimestamp": None,
    }  # fmt: skip
    core = conversions.event_to_core(event)
    assert core["message"] == "hello"
    assert core["involvedObject"] == {"kind": "Pod", "name": "p"}
    assert conversions.event_from_core(core) == event


def test_every_strategy_takes_an_object_with_nothing_in_it(registry):
    """Whatever is missing is a finding, never an exception; defaulting is idempotent and updates leave the old object alone."""
    for resource in registry:
        if "update" not in resource.verbs:
            continue
        obj = copy.deepcopy(resource.schema.always)
        obj["metadata"] = {"name": "x", "uid": "u", **({"namespace": "ns"} if resource.namespaced else {})}
        strategy = resource.strategy
        strategy.default(obj)
        once = copy.deepcopy(obj)
        strategy.default(obj)
        assert obj == once, resource.plural
        context = WriteContext(user="u", now="2026-01-02T03:04:05Z", namespace="ns")
        strategy.prepare_create(context, obj)
        strategy.validate_create(context, obj)
        strategy.warnings(context, obj, None)
        for subresource in ("", *(name for name, sub in resource.subresources.items() if "update" in sub.verbs)):
            context.subresource = subresource
            new, before = copy.deepcopy(obj), copy.deepcopy(obj)
            strategy.prepare_update(context, new, obj)
            strategy.validate_update(context, new, obj)
            strategy.warnings(context, new, obj)
            assert obj == before, (resource.plural, subresource)
