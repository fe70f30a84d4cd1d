"""/stats/summary and /metrics of a kubelet: what its pods use, from the runtime's figures."""

from __future__ import annotations

from typing import Any

from minikube_agents.kubelet.hosting import NodeView
from minikube_api.meta import times

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Tree = dict[str, Any]


async def summary(kubelet: NodeView) -> Tree:
    """stats/v1alpha1 Summary: node and pods; CPU in core nanoseconds, memory in bytes."""
    import psutil

    now = times.format_time(kubelet.clock.time())
    memory = psutil.virtual_memory()
    cpu = psutil.cpu_times()
    found: list[Tree] = []
    for pod in kubelet.pods():
        worker = kubelet.worker(pod.metadata.uid)
        if worker is None:
            continue
        containers = [one for sandbox in list(worker.sandbox_ids) for one in await kubelet.runtime.stats(sandbox)]
        found.append(
            {
                "podRef": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
                "startTime": pod.status.startTime,
                "containers": [
                    {
                        "name": one.name,
                        "startTime": pod.status.startTime,
                        "cpu": {"time": times.format_time(one.timestamp), "usageCoreNanoSeconds": int(one.cpu_seconds * 1e9)},
                        "memory": {
                            "time": times.format_time(one.timestamp),
                            "usageBytes": one.memory_usage,
                            "workingSetBytes": one.memory_working_set,
                        },
                    }
                    for one in containers
                ],
                "cpu": {"time": now, "usageCoreNanoSeconds": int(sum(one.cpu_seconds for one in containers) * 1e9)},
                "memory": {"time": now, "workingSetBytes": sum(one.memory_working_set for one in containers)},
            }
        )
    node = {
        "nodeName": kubelet.options.node_name,
        "cpu": {"time": now, "usageCoreNanoSeconds": int((sum(cpu) - cpu.idle) * 1e9)},
        "memory": {"time": now, "availableBytes": memory.available, "workingSetBytes": memory.total - memory.available},
    }
    return {"node": node, "pods": found}


async def metrics(kubelet: NodeView) -> bytes:
    """Prometheus text: pods, containers by state, restarts."""
    states: dict[str, int] = {}
    restarts = 0
    for pod in kubelet.pods():
        for status in pod.status.containerStatuses:
            restarts += status.restartCount
            state = "running" if status.state.running else "exited" if status.state.terminated else "waiting"
            states[state] = states.get(state, 0) + 1
    lines = [
        "# HELP kubelet_running_pods Number of pods that this kubelet looks after.",
        "# TYPE kubelet_running_pods gauge",
        f"kubelet_running_pods {len(kubelet.pods())}",
        "# HELP kubelet_running_containers Number of containers by state.",
        "# TYPE kubelet_running_containers gauge",
        *(f'kubelet_running_containers{{container_state="{name}"}} {count}' for name, count in sorted(states.items())),
        "# HELP kubelet_container_restarts Sum of the restart counts of this node's containers.",
        "# TYPE kubelet_container_restarts gauge",
        f"kubelet_container_restarts {restarts}",
    ]
    return ("\n".join(lines) + "\n").encode()
