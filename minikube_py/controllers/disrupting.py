"""Marking pods that the control plane ends: the DisruptionTarget condition (KEP-3329)."""

from __future__ import annotations

from typing import Any

from minikube_api.client.client import Client
from minikube_api.meta import conditions
from minikube_api.schema.typed.core_v1 import Pod


async def mark_disrupted(client: Client, pod: Pod, reason: str, message: str, now: str, *, phase: str | None = None) -> None:
    """Say on the pod why it is about to be deleted. Does nothing when it says so already. Raises NotFound."""
    is_marked = conditions.is_true(pod.status.conditions, "DisruptionTarget")
    if is_marked and (phase is None or pod.status.phase == phase):
        return
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now,
    }
    status: dict[str, Any] = {"conditions": [condition]}
    if phase is not None:
        status["phase"] = phase
    await client.patch(
        Pod,
        pod.metadata.name,
        {"metadata": {"uid": pod.metadata.uid}, "status": status},
        namespace=pod.metadata.namespace,
        type="strategic",
        subresource="status",
    )
