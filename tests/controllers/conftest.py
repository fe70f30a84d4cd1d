"""A world for controllers: the real API server over the memory store, the controllers under test, a clock that tests step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from minikube_api.client import Client
from minikube_api.client.stepping import SteppedClock, settle
from minikube_api.meta import times
from minikube_api.meta.errors import AlreadyExists, Forbidden
from minikube_api.schema.typed.core_v1 import Namespace, Node, Pod
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Server
from minikube_py.controllers import ControllerManager, Options


class World:
    """`client` is an administrator's; pods are set running by the test, as a kubelet would."""

    def __init__(self, client: Client, clock: SteppedClock, manager: ControllerManager) -> None:
        self.client, self.clock, self.manager = client, clock, manager

    async def until(self, check: Callable[[], Awaitable[Any]], *, seconds: float = 5.0) -> Any:
        """Step time in small steps until `check()` gives something true; fails after `seconds` of the world's time."""
        for _ in range(int(seconds / 0.05)):
            if found := await check():
                return found
            await self.clock.advance(0.05)
        state = await check()
        assert state, f"not reached within {seconds} s"
        return state

    async def quiet(self, seconds: float = 0.5) -> None:
        """Let everything that is under way come to rest."""
        for _ in range(int(seconds / 0.05)):
            await self.clock.advance(0.05)

    async def namespace(self, name: str) -> None:
        await self.client.create(Namespace(metadata=ObjectMeta(name=name)))

    async def pods(self, namespace: str = "default") -> list[Pod]:
        return (await self.client.list(Pod, namespace=namespace)).items

    async def events(self, namespace: str = "default") -> list[str]:
        tree = await self.client.raw.get(f"/api/v1/namespaces/{namespace}/events")
        return [f"{e['type']} {e['reason']}: {e['message']}" for e in tree["items"]]

    async def patch_status(self, pod: Pod, status: dict[str, Any]) -> Pod:
        return await self.client.patch(
            Pod, pod.metadata.name, {"status": status}, namespace=pod.metadata.namespace, subresource="status"
        )

    async def set_ready(self, pod: Pod, *, ready: bool = True, ip: str = "10.0.0.1") -> Pod:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": times.now(self.clock)}
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]}
        return await self.patch_status(pod, status)

    async def run_pods(self, namespace: str = "default") -> int:
        """What a kubelet does: pods run and are ready, deleted ones end. Gives the number of pods changed."""
        changed = 0
        for pod in await self.pods(namespace):
            if pod.metadata.deletionTimestamp:
                await self.client.delete(Pod, pod.metadata.name, namespace=namespace, grace_period_seconds=0)
                changed += 1
            elif not pod.status.conditions and pod.status.phase != "Failed":
                await self.set_ready(pod)
                changed += 1
        return changed

    async def node(self, name: str, *, ready: str = "True", labels: dict[str, str] | None = None) -> Node:
        now = times.now(self.clock)
        try:
            await self.client.create(Node(metadata=ObjectMeta(name=name, labels=labels or {})))
        except AlreadyExists:
            pass
        condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": now, "lastTransitionTime": now}
        return await self.client.patch(Node, name, {"status": {"conditions": [condition]}}, subresource="status")


def identity(name: str) -> UserInfo:
    """As in a cluster: controllers have nothing but what the default roles give them."""
    if name == "admin":
        return UserInfo(name, groups=("system:masters",))
    if name == "kube-controller-manager":
        return UserInfo(f"system:{name}", groups=("system:authenticated",))
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return UserInfo(f"system:serviceaccount:kube-system:{name}", groups=groups)


class Refusal:
    """An admission plug-in that lets no object of one resource be created."""

    name = "Refusal"

    def __init__(self, resource: str) -> None:
        self.resource = resource
        self.refused = 0

    def handles(self, operation: str) -> bool:
        return operation == "CREATE"

    async def admit(self, attributes: Any) -> None:
        pass

    async def validate(self, attributes: Any) -> None:
        if attributes.resource.plural == self.resource:
            self.refused += 1
            raise Forbidden(f"{self.resource} are refused: exceeded quota")


Make = Callable[..., Any]


@pytest.fixture
def world() -> Make:
    """`async with world("deployment-controller", node_monitor_grace=40) as w:` runs these controllers."""

    @asynccontextmanager
    async def make(*controllers: str, refuse: str = "", plugins: bool = False, **options: Any):
        """`refuse`: creations of this resource are forbidden, as by an exhausted quota. `plugins`: Kubernetes' own admission, too."""
        clock = SteppedClock()
        admission = None if plugins else [Refusal(refuse)] if refuse else []
        server = Server(Config(listeners=(), clock=clock, admission=admission))
        await server.start()

        def client_for(name: str) -> Client:
            return Client(server.transport(identity(name)), user_agent=name, sleep=clock.sleep)

        client = client_for("admin")
        try:
            await client.create(Namespace(metadata=ObjectMeta(name="default")))
        except AlreadyExists:
            pass
        manager = ControllerManager(client_for, Options(controllers=controllers, **options), clock)
        running = asyncio.create_task(manager.run(), name="controllers")
        try:
            synced = asyncio.create_task(manager.synced())
            for _ in range(100):
                if synced.done() or running.done():
                    break
                await settle()
            if running.done():
                await running
            assert synced.done(), "the controllers' caches are not synced"
            yield World(client, clock, manager)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await server.stop()

    return make
