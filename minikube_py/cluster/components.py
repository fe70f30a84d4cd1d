"""Every component by its name: how it is made, whose identity it has, what it waits for. The same in one process and in many."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from minikube_api.client.client import Client
from minikube_py.cluster import component_metrics
from minikube_py.cluster.credentials import ADMIN, CONTROLLERS, SCHEDULER, Credentials, Identity, controller_identity
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.network import Network
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.spec import HOLLOW_NODE_NETWORK, ClusterSpec

if TYPE_CHECKING:
    from minikube_py.cluster.agents import Agents

Ready = Callable[[], Awaitable[Any]]


def units(spec: ClusterSpec, network: Network | None) -> list[tuple[str, str]]:
    """(component, node) of everything beside the API server; node "" = not of a node."""
    found = [(c, "") for c in ("controllers", "scheduler") if spec.has(c)]
    if network is None:
        return [*found, ("hollow", "")] if spec.has("kubelet") and spec.runtime == "hollow" and spec.nodes else found
    names = spec.node_names()
    found += [("kubelet", name) for name in names]
    found += [("proxy", name) for name in ("", *names) if spec.has("proxy")]
    return [*found, ("dns", "")] if spec.has("dns") else found


class Components:
    """Starts components as tasks of a group; `client` gives a client with an identity of its own."""

    def __init__(
        self,
        spec: ClusterSpec,
        layout: Layout,
        credentials: Credentials,
        network: Network | None,
        reporter: Reporter,
        client: Callable[[Identity], Client],
    ) -> None:
        self.spec, self.layout, self.credentials, self.network, self.reporter, self.client = (
            spec, layout, credentials, network, reporter, client,
        )  # fmt: skip
        self.metrics = component_metrics.ComponentMetrics()
        self._agents: Agents | None = None

    async def start(self, component: str, node: str, group: asyncio.TaskGroup) -> Ready:
        """Start one; returns what to wait for until it is ready."""
        match component:
            case "controllers":
                return self._controllers(group)
            case "scheduler":
                return self._scheduler(group)
            case "hollow":
                return self._hollow(group)
            case "kubelet":
                return await self.agents.kubelet(node, group)
            case "proxy":
                return await self.agents.proxy(node, group)
            case "dns":
                return await self.agents.dns(group)
        raise ValueError(f"no component {component!r}")

    @property
    def agents(self) -> Agents:
        if self._agents is None:
            from minikube_py.cluster.agents import Agents

            assert self.network is not None
            self._agents = Agents(self.spec, self.layout, self.credentials, self.network, self.reporter, self.client)
        return self._agents

    @property
    def host_dns(self) -> str:
        return self._agents.host_dns if self._agents is not None else ""

    def _controllers(self, group: asyncio.TaskGroup) -> Ready:
        from minikube_py.controllers.controller_manager import ControllerManager, Options

        def client_for(name: str) -> Client:
            return self.client(CONTROLLERS if name == CONTROLLERS.user.removeprefix("system:") else controller_identity(name))

        authority = self.credentials.authority.pair
        options = Options(
            node_monitor_grace=self.spec.node_monitor_grace_period,
            cluster_cidr=self.spec.pod_cidr,
            root_ca=authority.certificate.decode(),
            signing_certificate=authority.certificate.decode(),
            signing_key=authority.key.decode(),
            sign_token=self._sign_token,
            volumes_directory=str(self.layout.volumes) if self.spec.real_nodes else "",
        )
        manager = ControllerManager(client_for, options)
        manager.prepare()
        self.metrics.register("controllers", functools.partial(component_metrics.of_controllers, manager))
        group.create_task(manager.run(), name="controllers")
        return manager.synced

    def _sign_token(self, namespace: str, account: str, uid: str, secret: str) -> str:
        """The token of a Secret for a service account; the key is read with the first."""
        from minikube_api.server.access.jwt import SigningKey
        from minikube_api.server.access.service_accounts import secret_token

        key = SigningKey(self.credentials.service_account_key())
        return secret_token(key, namespace, account, uid, secret)

    def _scheduler(self, group: asyncio.TaskGroup) -> Ready:
        from minikube_py.scheduler.scheduler import Scheduler

        scheduler = Scheduler(self.client(SCHEDULER))
        self.metrics.register("scheduler", functools.partial(component_metrics.of_scheduler, scheduler))
        group.create_task(scheduler.run(), name="scheduler")
        return scheduler.ready.wait

    def _hollow(self, group: asyncio.TaskGroup) -> Ready:
        from minikube_agents.kubelet.hollow_nodes import HollowNodes, HollowOptions

        hollow = HollowNodes(
            self.client(ADMIN), self.spec.nodes, HollowOptions(prefix=f"{self.spec.name}-node-", node_network=HOLLOW_NODE_NETWORK)
        )
        group.create_task(hollow.run(), name="hollow-nodes")
        return hollow.registered.wait
