"""Short factories: pods as typed objects, runtime facts as the runtime gives them."""

from __future__ import annotations

from typing import Any

import msgspec

from minikube_agents.kubelet.observations import Observed
from minikube_agents.kubelet.statuses import NodeFacts
from minikube_agents.runtime.contract import ContainerStatus, SandboxStatus
from minikube_api.schema.typed import core_v1 as v1

NOW = 1_700_000_000.0
FACTS = NodeFacts("n1", ("192.168.49.2",), "process")


def pod(name: str = "a", *containers: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> v1.Pod:
    """`pod("a", {"name": "c"}, restartPolicy="Never")`; metadata through `metadata=`."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1, **spec.pop("metadata", {})}
    spec.setdefault("restartPolicy", "Always")
    spec["containers"] = [{"image": "busybox", **one} for one in (containers or ({"name": "c"},))]
    if "initContainers" in spec:
        spec["initContainers"] = [{"image": "busybox", **one} for one in spec["initContainers"]]
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status or {}}, v1.Pod)


def sandbox(*, attempt: int = 0, state: Any = "ready") -> SandboxStatus:
    return SandboxStatus(
        id=f"s{attempt}",
        namespace="default",
        name="a",
        uid="uid-a",
        attempt=attempt,
        state=state,
        created_at=NOW,
        ips=("10.244.0.5",),
    )


def running(name: str = "c", *, attempt: int = 0, **facts: Any) -> ContainerStatus:
    return ContainerStatus(
        id=f"{name}{attempt}",
        sandbox_id="s0",
        name=name,
        attempt=attempt,
        state="running",
        created_at=NOW,
        started_at=NOW,
        **facts,
    )


def exited(name: str = "c", code: int = 0, *, attempt: int = 0, ago: float = 0.0, **facts: Any) -> ContainerStatus:
    return ContainerStatus(
        id=f"{name}{attempt}", sandbox_id="s0", name=name, attempt=attempt, state="exited", created_at=NOW, started_at=NOW,
        finished_at=NOW - ago, exit_code=code, **facts,
    )  # fmt: skip


def observed(*containers: ContainerStatus, sandboxes: tuple[SandboxStatus, ...] | None = None) -> Observed:
    return Observed.of((sandbox(),) if sandboxes is None else sandboxes, containers)
