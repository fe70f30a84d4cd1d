"""What a node refuses, whatever the scheduler said; and the order of eviction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pod_builders import pod

from minikube_agents.kubelet import admission, eviction
from minikube_agents.kubelet.options import KubeletOptions

OPTIONS = KubeletOptions(node_name="n1", node_ip="127.0.0.1", root=Path("root"), allowed_unsafe_sysctls=frozenset({"net.core.*"}))
ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "pods": "3"}


def asking(name: str, cpu: str, memory: str = "1Mi", **facts: Any) -> Any:
    return pod(name, {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}, **facts)


@pytest.mark.parametrize(
    ("one", "reason", "message"),
    [
        pytest.param(pod(), None, "", id="plain"),
        pytest.param(asking("a", "1500m"), None, "", id="fits"),
        pytest.param(
            asking("a", "1600m"), "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000", id="cpu"
        ),
        pytest.param(
            asking("a", "1", "1Gi"), "OutOfmemory",
            f"Node didn't have enough resource: memory, requested: {2**30}, used: {2**20}, capacity: {2**30}", id="memory",
        ),
        pytest.param(
            pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), "SysctlForbidden",
            'forbidden sysctl: "kernel.msgmax" not allowlisted', id="unsafe sysctl",
        ),
        pytest.param(pod(securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}), None, "", id="safe sysctl"),
        pytest.param(pod(securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}), None, "", id="allowed sysctl"),
        pytest.param(
            pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}), "AppArmor",
            "Cannot enforce AppArmor: AppArmor is not enabled on the host", id="AppArmor",
        ),
        pytest.param(
            pod(os={"name": "windows"}), "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS", id="Windows"
        ),
    ],
)  # fmt: skip
def test_refusals(one: Any, reason: str | None, message: str) -> None:
    others = [asking("b", "500m"), asking("done", "2", status={"phase": "Succeeded"})]
    refusal = admission.check(one, OPTIONS, others=others, allocatable=ALLOCATABLE)
    assert refusal == (None if reason is None else admission.Refusal(reason, message))


def test_a_full_node_takes_no_more_pods() -> None:
    refusal = admission.check(pod(), OPTIONS, others=[pod("b"), pod("c"), pod("d")], allocatable=ALLOCATABLE)
    assert refusal is not None
    assert refusal.reason == "OutOfpods"


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        pytest.param({"hostUsers": False}, "hostUsers", id="user namespaces"),
        pytest.param({"resourceClaims": [{"name": "gpu"}]}, "resourceClaims", id="devices"),
        pytest.param({}, "", id="plain"),
    ],
)
def test_what_no_runtime_can_do_is_named(spec: dict[str, Any], word: str) -> None:
    assert admission.unsupported(pod(**spec)).startswith(word)


def test_eviction_takes_who_uses_more_than_asked_then_low_priority() -> None:
    low = asking("low", "0", "10Mi", priority=0)
    high = asking("high", "0", "10Mi", priority=100)
    modest = asking("modest", "0", "500Mi", priority=0)
    usage = {"uid-low": 20 << 20, "uid-high": 90 << 20, "uid-modest": 100 << 20}
    assert [one.metadata.name for one in eviction.rank([modest, high, low], usage)] == ["low", "high", "modest"]


def test_an_empty_dir_over_its_limit_is_found() -> None:
    one = pod(volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {"sizeLimit": "1Ki"}}])
    assert eviction.over_limit(one, {"a": 9999, "b": 1024}) is None
    assert eviction.over_limit(one, {"a": 9999, "b": 1025}) == ("b", "1Ki")
