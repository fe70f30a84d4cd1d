"""Node-pressure eviction, the basics: emptyDir size limits, and the order in which pods go when memory runs short.

Source: "Node-pressure Eviction". Ranks: usage over request first, then priority, then how far over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from minikube_agents.kubelet import launching, node_status, pods
from minikube_agents.kubelet.hosting import NodeView
from minikube_agents.kubelet.observations import Outcome
from minikube_api.meta import quantities
from minikube_api.schema.typed import core_v1 as v1

MIRROR_PRIORITY = 2_000_000_000


def rank(candidates: Sequence[v1.Pod], usage: Mapping[str, int]) -> list[v1.Pod]:
    """First to go first. `usage`: working set in bytes by pod uid."""

    def order(pod: v1.Pod) -> tuple[bool, int, int]:
        _, requests = launching.pod_resources(pod)
        over = usage.get(pod.metadata.uid, 0) - launching.memory(requests)
        return (over <= 0, pod.spec.priority or 0, -over)

    return sorted(candidates, key=order)


def over_limit(pod: v1.Pod, used: Mapping[str, int]) -> tuple[str, str] | None:
    """(volume, limit) of the first emptyDir that holds more than its sizeLimit. `used`: bytes by volume name."""
    for volume in pod.spec.volumes:
        if volume.emptyDir is not None and volume.emptyDir.sizeLimit:
            limit = quantities.parse(volume.emptyDir.sizeLimit)
            if limit.value() and used.get(volume.name, 0) > limit.value():
                return volume.name, volume.emptyDir.sizeLimit
    return None


def disk_usage(root: Path) -> int:
    """Bytes of the files below `root`."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                total += os.stat(path).st_blocks * 512 if os.path.exists(path) else 0
    return total


async def keep_house(kubelet: NodeView) -> None:
    """One round: pods over an emptyDir limit, then one pod if memory is short."""
    live = [pod for pod in kubelet.pods() if not pods.is_deleted(pod) and not pods.is_terminal(pod)]
    for pod in live:
        worker = kubelet.worker(pod.metadata.uid)
        if worker is None or not any(v.emptyDir is not None and v.emptyDir.sizeLimit for v in pod.spec.volumes):
            continue
        used = {name: await asyncio.to_thread(disk_usage, place) for name, place in worker.places.items()}
        found = over_limit(pod, used)
        if found is not None:
            evict(kubelet, pod, f'Usage of EmptyDir volume "{found[0]}" exceeds the limit "{found[1]}". ')
    machine = node_status.read_machine(kubelet.options.root)
    if machine.memory_available >= node_status.MEMORY_AVAILABLE or not live:
        return
    usage: dict[str, int] = {}
    for pod in live:
        worker = kubelet.worker(pod.metadata.uid)
        for sandbox_id in worker.sandbox_ids if worker is not None else ():
            for one in await kubelet.runtime.stats(sandbox_id):
                usage[pod.metadata.uid] = usage.get(pod.metadata.uid, 0) + one.memory_working_set
    for pod in rank([pod for pod in live if (pod.spec.priority or 0) < MIRROR_PRIORITY], usage)[:1]:
        text = (
            f"The node was low on resource: memory. Threshold quantity: {node_status.MEMORY_AVAILABLE // 2**20}Mi, "
            f"available: {machine.memory_available // 1024}Ki. "
        )
        evict(kubelet, pod, text)


def evict(kubelet: NodeView, pod: v1.Pod, message: str) -> None:
    worker = kubelet.worker(pod.metadata.uid)
    if worker is None or worker.memory.outcome is not None:
        return
    worker.memory.outcome = Outcome("Failed", "Evicted", message)
    worker.host.recorder.event(pod, "Warning", "Evicted", message)
    worker.host.wake(pod.metadata.uid)
