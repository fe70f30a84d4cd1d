# ruff: noqa: E501 - a row of a table is a line
"""Table cells say what kubectl get shows."""

from __future__ import annotations

import pytest
from resource_factories import NOW

from minikube_api.meta import times

AFTER = times.parse(NOW) + 300


def status(**fields):
    return {"name": "c", "restartCount": 0, "ready": False, **fields}


@pytest.mark.parametrize(
    ("pod_status", "shown"),
    [
        pytest.param({"phase": "Pending"}, ["0/1", "Pending", "0"], id="pending"),
        pytest.param({"phase": "Running", "containerStatuses": [status(ready=True, state={"running": {}})]}, ["1/1", "Running", "0"], id="running"),
        pytest.param(
            {"phase": "Running", "containerStatuses": [status(restartCount=3, state={"waiting": {"reason": "CrashLoopBackOff"}},
             lastState={"terminated": {"finishedAt": NOW}})]},
            ["0/1", "CrashLoopBackOff", "3 (5m ago)"], id="crash-loop",
        ),
        pytest.param({"phase": "Failed", "containerStatuses": [status(state={"terminated": {"exitCode": 2}})]}, ["0/1", "ExitCode:2", "0"], id="exit"),
        pytest.param({"phase": "Failed", "containerStatuses": [status(state={"terminated": {"signal": 9}})]}, ["0/1", "Signal:9", "0"], id="signal"),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"], id="evicted"),
        pytest.param({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
                     ["0/1", "SchedulingGated", "0"], id="gated"),
    ],
)  # fmt: skip
def test_the_status_column_of_a_pod(registry, pod_status, shown):
    obj = {"metadata": {"name": "p", "creationTimestamp": NOW}, "spec": {"containers": [{"name": "c"}]}, "status": pod_status}
    assert registry.get("", "v1", "pods").cells(obj, AFTER)[1:5] == [*shown, "5m"]


def test_init_containers_and_sidecars_are_counted(registry):
    spec = {"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "c"}]}
    waiting = {"phase": "Pending", "initContainerStatuses": [status(name="i", state={"waiting": {"reason": "PodInitializing"}})]}
    obj = {"metadata": {"name": "p", "creationTimestamp": NOW}, "spec": spec, "status": waiting}
    assert registry.get("", "v1", "pods").cells(obj, AFTER)[1:3] == ["0/2", "Init:0/2"]
    done = status(name="i", state={"terminated": {"exitCode": 0}})
    sidecar = status(name="s", ready=True, started=True, state={"running": {}})
    obj["status"] = {
        "phase": "Running",
        "initContainerStatuses": [done, sidecar],
        "containerStatuses": [status(ready=True, state={"running": {}})],
    }
    assert registry.get("", "v1", "pods").cells(obj, AFTER)[1:3] == ["2/2", "Running"]


def test_a_finished_pod_has_a_row_condition(registry):
    rows = registry.get("", "v1", "pods").row_conditions({"metadata": {}, "status": {"phase": "Succeeded"}})
    assert [(c["type"], c["reason"]) for c in rows] == [("Completed", "Succeeded")]


@pytest.mark.parametrize(
    ("plural", "group", "version", "obj", "cells"),
    [
        pytest.param("services", "", "v1", {"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "externalIPs": ["1.2.3.4"],
                     "ports": [{"port": 443, "nodePort": 30443}], "selector": {"x": "y"}}},
                     ["x", "LoadBalancer", "10.0.0.1", "1.2.3.4", "443:30443/TCP", "5m", "x=y"], id="service"),
        pytest.param("deployments", "apps", "v1", {"spec": {"replicas": 2, "selector": {"matchExpressions": [
                     {"key": "b", "operator": "In", "values": ["z", "y"]}, {"key": "a", "operator": "DoesNotExist"}]}}, "status": {"readyReplicas": 1}},
                     ["x", "1/2", 0, 0, "5m", "", "", "!a,b in (y,z)"], id="deployment"),
        pytest.param("nodes", "", "v1", {"spec": {"unschedulable": True}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
                     "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}}},
                     ["x", "Ready,SchedulingDisabled", "<none>", "5m", "v1.36.0", "192.0.2.1", "<none>", "<unknown>", "<unknown>", "<unknown>"], id="node"),
        pytest.param("horizontalpodautoscalers", "autoscaling", "v1", {"spec": {"minReplicas": 1, "maxReplicas": 5, "targetCPUUtilizationPercentage": 80,
                     "scaleTargetRef": {"kind": "Deployment", "name": "d"}}, "status": {"currentReplicas": 2, "currentCPUUtilizationPercentage": 7}},
                     ["x", "Deployment/d", "cpu: 7%/80%", "1", 5, 2, "5m"], id="autoscaler-v1"),
        pytest.param("jobs", "batch", "v1", {"spec": {"completions": 3}, "status": {"succeeded": 1, "startTime": NOW}},
                     ["x", "Running", "1/3", "5m", "5m", "", "", "<none>"], id="job"),
        pytest.param("limitranges", "", "v1", {}, ["x", NOW], id="no-printer"),
    ],
)  # fmt: skip
def test_cells(registry, plural, group, version, obj, cells):
    obj = {"metadata": {"name": "x", "creationTimestamp": NOW}, **obj}
    assert registry.get(group, version, plural).cells(obj, AFTER) == cells
