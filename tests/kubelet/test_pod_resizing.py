"""In-place resize: what a node grants, defers or refuses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pod_builders import pod

from minikube_agents.kubelet import pods, resizing
from minikube_agents.kubelet.observations import Memory
from minikube_api.schema.typed import core_v1 as v1

ALLOCATABLE = {"cpu": "4", "memory": "8Gi", "pods": "110"}


def asking(name: str, cpu: str, **container: Any) -> v1.Pod:
    return pod(name, {"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}, **container})


def granted(memory: Memory) -> str:
    return memory.allocated["c"].requests["cpu"]


@pytest.mark.parametrize(
    ("cpu", "reason", "now"),
    [
        pytest.param("2", None, "2", id="fits: granted"),
        pytest.param("3", "Deferred", "1", id="others are in the way: later"),
        pytest.param("5", "Infeasible", "1", id="more than the node has: never"),
    ],
)
def test_grants(cpu: str, reason: str | None, now: str) -> None:
    memory = Memory(allocated={"c": asking("a", "1").spec.containers[0].resources})
    refusal = resizing.grant(asking("a", cpu), memory, ALLOCATABLE, [asking("a", "1"), asking("b", "2")])
    assert (refusal[0] if refusal else None, granted(memory)) == (reason, now)


@pytest.mark.parametrize(("policy", "expected"), [("NotRequired", False), ("RestartContainer", True)])
def test_the_policy_of_the_changed_resource_decides_about_a_restart(policy: str, expected: bool) -> None:
    resize = [{"resourceName": "cpu", "restartPolicy": policy}, {"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    one = pods.member(asking("a", "1", resizePolicy=resize), "c")
    assert one is not None
    after = msgspec.convert({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}, v1.ResourceRequirements)
    assert resizing.restarts(one, one.container.resources, after) is expected
