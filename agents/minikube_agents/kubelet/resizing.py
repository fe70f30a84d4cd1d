"""In-place resize of a pod's containers (KEP-1287): what the node grants, what a container has, and the conditions that say so."""

from __future__ import annotations

from collections.abc import Iterable

from minikube_agents.kubelet import admission, launching, pods
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.observations import Memory, Observed
from minikube_agents.runtime.contract import RuntimeError_
from minikube_api.meta import quantities
from minikube_api.schema.typed import core_v1 as v1


def resizable(pod: v1.Pod) -> list[pods.Member]:
    return [one for one in (*pods.init_members(pod), *pods.app_members(pod)) if one.type in ("sidecar", "app")]


def grant(pod: v1.Pod, memory: Memory, allocatable: dict[str, str], others: Iterable[v1.Pod] = ()) -> tuple[str, str] | None:
    """Grants what fits (in `memory.allocated`); else gives reason and message: Infeasible (never can) or Deferred (not now)."""
    wanted = {one.name: one.container.resources for one in resizable(pod)}
    if memory.allocated == wanted:
        return None
    for resource in ("cpu", "memory"):
        asked = [amounts.requests[resource] for amounts in wanted.values() if resource in amounts.requests]
        total = sum((quantities.parse(text) for text in asked), quantities.parse("0"))
        if resource in allocatable and quantities.parse(allocatable[resource]) < total:
            unit = quantities.Quantity.milli_value if resource == "cpu" else quantities.Quantity.value
            has = unit(quantities.parse(allocatable[resource]))
            text = f"Node didn't have enough capacity: {resource}, requested: {unit(total)}, capacity: {has}"
            return ("Infeasible", text)
    refusal = admission.fits(pod, others, allocatable)
    if refusal is not None:
        return ("Deferred", refusal.message)
    memory.allocated = wanted
    return None


def restarts(one: pods.Member, before: v1.ResourceRequirements, after: v1.ResourceRequirements) -> bool:
    """Whether the resize policy of a changed resource asks for a restart."""
    for policy in one.container.resizePolicy:
        name = policy.resourceName
        changed = before.limits.get(name) != after.limits.get(name) or before.requests.get(name) != after.requests.get(name)
        if changed and policy.restartPolicy == "RestartContainer":
            return True
    return False


async def reconcile(host: Host, memory: Memory, pod: v1.Pod, observed: Observed) -> bool:
    """True when a container was changed (its status must be read again)."""
    if not memory.allocated:
        _remember(pod, memory)
    if pods.is_deleted(pod) or pods.is_terminal(pod) or memory.terminating:
        return False
    refusal = grant(pod, memory, host.allocatable(), host.pods())
    memory.resize.clear()
    if refusal is not None:
        memory.resize["PodResizePending"] = refusal
        return False
    changed = False
    for one in resizable(pod):
        newest = observed.newest(one.name)
        wanted = memory.allocated[one.name]
        if newest is None or newest.state != "running" or newest.id in memory.killing:
            continue
        real = memory.actual.setdefault(one.name, wanted)
        if real == wanted:
            continue
        await _lift(host, memory, observed)
        if restarts(one, real, wanted):
            memory.resize["PodResizeInProgress"] = ("", "")
            memory.condemned.setdefault(newest.id, f"Container {one.name} resize requires restart")
            continue
        try:
            await host.runtime.update_container(
                newest.id,
                cpu_limit=launching.cpus(wanted.limits),
                cpu_request=launching.cpus(wanted.requests),
                memory_limit=launching.memory(wanted.limits),
            )
        except RuntimeError_ as error:
            memory.resize["PodResizeInProgress"] = ("Error", str(error))
            host.recorder.event(pod, "Warning", "ResizeError", str(error))
            continue
        memory.actual[one.name] = wanted
        changed = True
    if memory.lifted and all(memory.actual.get(name, wanted) == wanted for name, wanted in memory.allocated.items()):
        await _lower(host, memory, pod, observed)
    return changed


async def _lift(host: Host, memory: Memory, observed: Observed) -> None:
    """A container's limits may never stand above its pod's (cgroup v1 refuses it), nor a pod's sink below its containers': the pod is
    without limits of its own until all containers have theirs, which hold meanwhile."""
    if observed.sandbox is not None and not memory.lifted:
        memory.lifted = True
        await host.runtime.update_sandbox(observed.sandbox.id, cpu_limit=0, cpu_request=0, memory_limit=0)


async def _lower(host: Host, memory: Memory, pod: v1.Pod, observed: Observed) -> None:
    if observed.sandbox is None:
        return
    limits, requests = launching.pod_resources(pod)
    amounts = {"cpu_limit": launching.cpus(limits), "cpu_request": launching.cpus(requests)}
    try:
        await host.runtime.update_sandbox(observed.sandbox.id, memory_limit=launching.memory(limits), **amounts)
    except RuntimeError_ as error:
        host.recorder.event(pod, "Warning", "ResizeError", str(error))
    memory.lifted = False


def _remember(pod: v1.Pod, memory: Memory) -> None:
    """After a restart of the kubelet: what was granted stands in the API."""
    told = {status.name: status for status in (*pod.status.containerStatuses, *pod.status.initContainerStatuses)}
    for one in resizable(pod):
        status = told.get(one.name)
        before = status.resources if status is not None and status.resources is not None else None
        memory.allocated[one.name] = before or one.container.resources
        if before is not None:
            memory.actual[one.name] = before
