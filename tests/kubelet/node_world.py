"""A real API server over the memory store and a kubelet with the hollow runtime, in this process, with a clock that tests step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from minikube_agents.kubelet import Kubelet, KubeletOptions
from minikube_agents.runtime.contract import Runtime
from minikube_agents.runtime.hollow import HollowRuntime, address_pool
from minikube_api.client.client import Client
from minikube_api.client.informers import InformerFactory
from minikube_api.client.stepping import SteppedClock
from minikube_api.meta.times import SYSTEM
from minikube_api.schema.typed import core_v1 as v1
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Server

PATIENCE = 10.0


class World:
    """`await world.until("a", lambda pod: ...)` returns the pod as soon as the watch shows what is wanted."""

    def __init__(
        self, client: Client, factory: InformerFactory, root: Path, clock: SteppedClock, real: Runtime | None = None
    ) -> None:
        self.client = client
        self.root = root
        self.clock = clock
        self.runtime = HollowRuntime(clock, address=address_pool("10.244.0.0/24"))
        #: what the kubelet runs pods with: the hollow runtime, unless a test brings a real one (which needs real time)
        self._real = real
        self.kubelet: Kubelet
        self._informer = factory.informer(v1.Pod)
        self._changed = asyncio.Event()
        self._informer.on_change(lambda _pod: self._changed.set())

    async def create(self, name: str = "a", /, *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        spec.setdefault("containers", [{"name": "c", "image": "busybox:1"}])
        spec = {"nodeName": "n1", "automountServiceAccountToken": False, **spec}
        spec["tolerations"] = [{"operator": "Exists"}]
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations or {}}, "spec": spec}
        await self.client.raw.create("/api/v1/namespaces/default/pods", body)

    async def until(self, name: str, wanted: Callable[[v1.Pod], Any]) -> v1.Pod:
        async with asyncio.timeout(PATIENCE):
            while True:
                self._changed.clear()
                found = self._informer.get("default", name)
                if found is not None and wanted(found):
                    return found
                await self._changed.wait()

    async def gone(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while self._informer.get("default", name) is not None:
                self._changed.clear()
                await self._changed.wait()

    async def phase(self, name: str, phase: str) -> v1.Pod:
        return await self.until(name, lambda pod: pod.status.phase == phase)

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events told so far."""
        await self.kubelet._recorder.flushed()
        found = await self.client.raw.get("/api/v1/namespaces/default/events")
        return [(e["reason"], e["message"]) for e in found["items"] if e["involvedObject"]["name"] == name]

    @asynccontextmanager
    async def running_kubelet(self, **options: Any) -> AsyncIterator[Kubelet]:
        """A kubelet for the time of the block; leaving it is a crash as far as pods are concerned."""
        facts: dict[str, Any] = {"clock": self.clock if self._real is None else SYSTEM, "node_ip": "127.0.0.1", **options}
        told = KubeletOptions(node_name="n1", root=self.root, **facts)
        self.kubelet = kubelet = Kubelet(self.client, self._real or self.runtime, told)
        task = asyncio.create_task(kubelet.run(), name="kubelet")
        started = asyncio.create_task(kubelet.started.wait(), name="kubelet started")
        try:
            await asyncio.wait((task, started), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            yield kubelet
        finally:
            started.cancel()
            task.cancel()
            await asyncio.gather(task, started, return_exceptions=True)


@asynccontextmanager
async def world(root: Path, real: Runtime | None = None) -> AsyncIterator[World]:
    server = Server(Config(store="memory", listeners=()))
    await server.start()
    try:
        client = Client(server.transport(UserInfo(name="admin", groups=("system:masters",))))
        # What the controllers would make: pods are refused without it.
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await client.raw.create("/api/v1/namespaces/default/serviceaccounts", account)
        factory = InformerFactory(client)
        made = World(client, factory, root, SteppedClock(), real)
        async with factory.running():
            await factory.synced()
            yield made
            await made.runtime.close()
    finally:
        await server.stop()
