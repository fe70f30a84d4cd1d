"""Pods per second that get a node: `python -m bench.scheduler [--nodes 5000] [--pods 3000] [--kubeconfig FILE]`.

As in kube-scheduler's own benchmark the nodes are Node objects only: no kubelet takes part, and what is counted is from the moment
the pods exist until the last one has its node.

Without a kubeconfig: API server (memory store) and scheduler in this process on one loop, joined by the in-process transport; pods are made
first, then the scheduler starts, so that their creation is not in the figure. `--direct` decides without an API server at all: the pure cost of
decisions. With a kubeconfig: any cluster with a scheduler; nodes and pods find each other by a label, pods are made at full speed, and the figure is
from the first pod made to the last one placed, creation included.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import time
from typing import Any

from bench import measuring
from bench.measuring import Bench, Result

NAMESPACE = "bench-scheduler"
POOL = {"minikube-py.bench/pool": "scheduler"}


def node(i: int, zones: int) -> dict[str, Any]:
    name = f"bench-{i}"
    labels = {**POOL, "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{i % zones}"}
    amounts = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    status = {"capacity": amounts, "allocatable": amounts, "conditions": conditions}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def pod(i: int, service: bool) -> dict[str, Any]:
    """`service`: a Service selects it, so that the system's default spreading applies."""
    container = {"name": "c", "image": "registry.example/app:1", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}
    spec = {"containers": [container], "nodeSelector": POOL, "automountServiceAccountToken": False}
    labels = {"app": "spread" if service else "plain"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p-{i}", "namespace": NAMESPACE, "labels": labels},
        "spec": spec,
    }


#: the API server adds node.kubernetes.io/not-ready to new nodes, and here no node lifecycle controller takes it away
UNTAINTED = {"spec": {"taints": None}}
SERVICE = {"metadata": {"name": "spread"}, "spec": {"selector": {"app": "spread"}, "ports": [{"port": 80}]}}


class Lateness:
    """How late this loop wakes up, looked at every five milliseconds."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    async def watch(self) -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            self.seen.append(max(time.perf_counter() - due, 0.0))

    def figures(self) -> tuple[float, float]:
        ordered = sorted(self.seen) or [0.0]
        return ordered[int(len(ordered) * 0.99) if len(ordered) > 1 else 0] * 1e3, ordered[-1] * 1e3


#: seconds until a run is given up
LIMIT = 300.0


async def in_one_process(options: argparse.Namespace) -> list[Result]:
    from minikube_api.client.client import Client
    from minikube_api.server.context import UserInfo
    from minikube_api.server.server import Config, Server
    from minikube_py.cluster import collecting
    from minikube_py.scheduler.scheduler import Scheduler

    server = Server(Config(listeners=()))
    await server.start()
    client = Client(server.transport(UserInfo(name="bench", groups=("system:masters",))))

    async def post(path: str, body: dict[str, Any]) -> None:
        await client.raw.send("POST", path, body=json.dumps(body).encode(), headers={"content-type": "application/json"})

    base = f"/api/v1/namespaces/{NAMESPACE}"
    await post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await post(f"{base}/serviceaccounts", {"metadata": {"name": "default"}})
    await post(f"{base}/services", SERVICE)

    async def add(i: int) -> None:
        await post("/api/v1/nodes", node(i, options.zones))
        await client.raw.patch(f"/api/v1/nodes/bench-{i}", UNTAINTED, type="merge")

    await measuring.spread(options.nodes, 8, add)
    await measuring.spread(options.pods, 8, lambda i: post(f"{base}/pods", pod(i, options.service)))
    scheduler = Scheduler(Client(server.transport(UserInfo(name="system:kube-scheduler"))))
    lateness = Lateness()
    gc.collect()
    collecting.settle()
    running = asyncio.create_task(scheduler.run(), name="scheduler")
    await scheduler.ready.wait()
    watching = asyncio.create_task(lateness.watch(), name="lateness")
    before, began = time.process_time(), time.perf_counter()
    while scheduler.scheduled < options.pods and not running.done():
        await asyncio.sleep(0.002)
        if time.perf_counter() - began > LIMIT:
            raise TimeoutError(
                f"{scheduler.scheduled} of {options.pods} pods scheduled after {LIMIT:.0f} s: {scheduler.queue.counts}"
            )
    seconds, cpu = time.perf_counter() - began, time.process_time() - before
    for task in (watching, running):
        task.cancel()
    await asyncio.gather(watching, running, return_exceptions=True)
    await server.stop()
    result = Result(f"scheduled on {options.nodes} nodes, one process", options.pods, seconds, options.pods / seconds)
    result.cpu_us = cpu / options.pods * 1e6
    result.lag_p99_ms, result.lag_max_ms = lateness.figures()
    return [result]


async def direct(options: argparse.Namespace) -> list[Result]:
    """Decisions only: filters, scores, choice and the counting of the pod."""
    import msgspec

    from minikube_api.meta import selectors
    from minikube_api.schema.typed import core_v1
    from minikube_py.scheduler.deciding import Decider
    from minikube_py.scheduler.spreading import constraints_of
    from minikube_py.scheduler.state import ClusterState, pod_info

    state = ClusterState()
    for i in range(options.nodes):
        state.set_node(msgspec.convert(node(i, options.zones), core_v1.Node))
    decider = Decider(state, random.Random(1))
    pods = [pod_info(msgspec.convert(pod(i, options.service), core_v1.Pod)) for i in range(options.pods)]
    default = constraints_of(selectors.from_labels({"app": "spread"})) if options.service else ()
    took: list[float] = []
    began = time.perf_counter()
    for i, info in enumerate(pods):
        info.uid = f"u{i}"
        start = time.perf_counter()
        info.node = decider.decide(info, default_spread=default).node
        state.place(info, assumed=True)
        took.append(time.perf_counter() - start)
    seconds = time.perf_counter() - began
    return [measuring.result_of(f"decided on {options.nodes} nodes", options.pods, seconds, took)]


async def on_cluster(options: argparse.Namespace) -> list[Result]:
    async with measuring.bench(options) as bench:
        base = f"/api/v1/namespaces/{NAMESPACE}"
        await bench.namespace(NAMESPACE)
        await bench.call("POST", f"{base}/services", SERVICE, (201, 409))

        async def add(i: int) -> None:
            await bench.call("POST", "/api/v1/nodes", node(i, options.zones))
            await bench.call("PATCH", f"/api/v1/nodes/bench-{i}", UNTAINTED, kind="application/merge-patch+json")

        await bench.measure(f"create {options.nodes} Nodes (2 writes each)", options.nodes, add)
        try:
            await bench.phase(f"created and scheduled, {options.nodes} nodes", lambda: _until_placed(bench, base, options))
        finally:
            await bench.call("DELETE", f"{base}/pods?gracePeriodSeconds=0")
            await bench.call("DELETE", f"/api/v1/nodes?labelSelector={next(iter(POOL))}%3D{next(iter(POOL.values()))}")
        return bench.results


async def _until_placed(bench: Bench, base: str, options: argparse.Namespace) -> tuple[int, list[float]]:
    """Make the pods and follow them until all have a node; the seconds from a pod's creation to its node being seen."""
    made: dict[str, float] = {}
    took: dict[str, float] = {}

    async def create(i: int) -> None:
        made[f"p-{i}"] = time.perf_counter()
        await bench.call("POST", f"{base}/pods", pod(i, options.service))

    async def follow() -> None:
        url = f"{bench.target.url}{base}/pods?watch=1&fieldSelector=spec.nodeName!%3D"
        async with bench.session.get(url) as response:
            async for text in response.content:
                name = json.loads(text)["object"]["metadata"]["name"]
                took.setdefault(name, time.perf_counter() - made.get(name, 0.0))
                if len(took) == options.pods:
                    return

    async with asyncio.TaskGroup() as group:
        group.create_task(follow(), name="follow")
        await measuring.spread(options.pods, bench.in_flight, create)
    return options.pods, list(took.values())


async def run(options: argparse.Namespace) -> list[Result]:
    if options.kubeconfig:
        return await on_cluster(options)
    results = await (direct(options) if options.direct else in_one_process(options))
    print(measuring.HEAD)
    for result in results:
        print(measuring.line(result))
    return results


def main() -> None:
    parser = measuring.arguments("scheduler", __doc__, kubeconfig=False)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--zones", type=int, default=3)
    parser.add_argument("--service", action="store_true", help="pods of a Service: default topology spreading applies")
    parser.add_argument("--direct", action="store_true", help="decisions only, without an API server")
    parser.add_argument("--in-flight", type=int, default=32, help="pod creations at once")
    options = parser.parse_args()
    measuring.finish(options, measuring.run(run(options)))


if __name__ == "__main__":
    main()
