"""How long a pod takes from its creation to Running: `python -m bench.pods --kubeconfig FILE [--count 50] [--image host]`.

Through the whole cluster: API server, scheduler, kubelet, runtime. First one at a time, then `--in-flight` at once. The clock starts when
the request is sent and stops when a watch shows phase Running with all containers started. Takes any kubeconfig; the image must
be on the nodes already (of a real cluster: registry.k8s.io/pause:3.10, with --command "").
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import time
from typing import Any

from bench import measuring
from bench.measuring import Bench, Result

NAMESPACE = "bench-pods"


def pod(name: str, image: str, command: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": image, "imagePullPolicy": "IfNotPresent"}
    if command:
        container["command"] = shlex.split(command)
    spec = {
        "containers": [container],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "restartPolicy": "Never",
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def is_running(tree: dict[str, Any]) -> bool:
    status = tree.get("status", {})
    states = status.get("containerStatuses", ())
    return status.get("phase") == "Running" and bool(states) and all(s.get("started") for s in states)


class Running:
    """Follows the namespace's pods; `wait(name)` returns when the pod runs. Raises RuntimeError for one that ended instead."""

    def __init__(self, bench: Bench, base: str) -> None:
        self._bench, self._base = bench, base
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def wait(self, name: str) -> asyncio.Future[None]:
        return self._waiting.setdefault(name, asyncio.get_running_loop().create_future())

    async def follow(self) -> None:
        async with self._bench.session.get(f"{self._bench.target.url}{self._base}/pods?watch=1") as response:
            async for text in response.content:
                tree = json.loads(text)["object"]
                name, waiting = tree["metadata"]["name"], self._waiting.get(tree["metadata"]["name"])
                if waiting is None or waiting.done():
                    continue
                if is_running(tree):
                    waiting.set_result(None)
                elif tree.get("status", {}).get("phase") in ("Failed", "Succeeded"):
                    waiting.set_exception(RuntimeError(f"pod {name} ended: {tree['status']}"))


async def run(options: argparse.Namespace) -> list[Result]:
    async with measuring.bench(options) as bench:
        base = f"/api/v1/namespaces/{NAMESPACE}"
        await bench.namespace(NAMESPACE)
        running = Running(bench, base)
        following = asyncio.create_task(running.follow(), name="follow")

        async def start(name: str) -> None:
            began = running.wait(name)
            await bench.call("POST", f"{base}/pods", pod(name, options.image, options.command))
            async with asyncio.timeout(60):
                await began

        async def clear() -> None:
            await bench.call("DELETE", f"{base}/pods?gracePeriodSeconds=0")
            while json.loads(await bench.call("GET", f"{base}/pods"))["items"]:
                await asyncio.sleep(0.05)

        try:
            # the first pod finds everything cold; it has a line of its own
            await bench.measure("pod Running, the first", 1, lambda i: start(f"first-{time.time_ns()}"), 1)
            await bench.measure("pod Running, one at a time", options.count, lambda i: start(f"one-{i}"), 1)
            await clear()
            await bench.measure(
                f"pod Running, {options.in_flight} in flight", options.count, lambda i: start(f"many-{i}"), options.in_flight
            )
        finally:
            await clear()
            following.cancel()
        return bench.results


def main() -> None:
    parser = measuring.arguments("pods", __doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--in-flight", type=int, default=10)
    parser.add_argument("--image", default="host", help="default: this machine's own files, as the process runtime has them")
    parser.add_argument("--command", default="sleep 3600")
    options = parser.parse_args()
    measuring.finish(options, measuring.run(run(options)))


if __name__ == "__main__":
    main()
