"""One component as a process of its own: `python -m minikube_py.cluster.component NAME [--node NODE] --data-dir DIR --report-fd N`.

The supervisor (`separate`) spawns these. Each reaches the API server over HTTPS with a client certificate of its own identity. Reports are
those of `reporting`: `{"ready": true, ...}` once. SIGTERM ends it; pods and shims are left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable

from minikube_api.client import kubeconfig
from minikube_api.client.client import Client
from minikube_api.client.http import HttpTransport
from minikube_py.cluster import collecting
from minikube_py.cluster.components import Components
from minikube_py.cluster.controller_tokens import ControllerTokens
from minikube_py.cluster.credentials import CONTROLLERS, SCHEDULER, Credentials, Identity
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.network import Network
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.spec import ClusterSpec

API_SERVER = "apiserver"
#: components of which one leads, as in Kubernetes: their Lease in kube-system, and whose it is
LEASES = {"controllers": ("kube-controller-manager", CONTROLLERS), "scheduler": ("kube-scheduler", SCHEDULER)}


def client_over_https(layout: Layout, credentials: Credentials, cluster: str, server: str) -> Callable[[Identity], Client]:
    """Clients by identity: each with a kubeconfig file of its own, as on a machine of its own."""

    def client(identity: Identity) -> Client:
        name = identity.user.replace(":", "-")
        path = layout.kubeconfigs / name
        credentials.kubeconfig(path, cluster=cluster, server=server, name=name, identity=identity)
        return Client(kubeconfig.load(path).transport(), user_agent=identity.user.rpartition(":")[2])

    return client


async def controller_clients(
    client: Callable[[Identity], Client], server: str, credentials: Credentials, group: asyncio.TaskGroup
) -> Callable[[Identity], Client]:
    """Clients of the controllers' service accounts by token; others as before."""
    from minikube_py.controllers import controller_manager

    tokens = ControllerTokens(client(CONTROLLERS))
    await tokens.prepare(controller_manager.load(name).identity for name in controller_manager.CONTROLLERS)
    group.create_task(tokens.renew(), name="controller-tokens")
    context = ssl.create_default_context(cadata=credentials.ca.decode())

    def by_token(identity: Identity) -> Client:
        prefix, _, name = identity.user.rpartition(":")
        if not prefix.startswith("system:serviceaccount:"):
            return client(identity)
        return Client(HttpTransport(server, context, lambda: tokens.current(name)), user_agent=name)

    return by_token


def end_with_parent() -> None:
    """SIGTERM when the supervisor dies, however it does (prctl(2) PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)
    if os.getppid() == 1:
        sys.exit("the supervisor is gone")


async def serve(component: str, node: str, layout: Layout, reporter: Reporter, server: str) -> None:
    spec = ClusterSpec.load(layout.settled)
    credentials = Credentials(layout.pki)
    network = Network.attached(layout) if spec.real_nodes else None
    if network is not None:
        await network.attach()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    if component == API_SERVER:
        await _api_server(spec, layout, credentials, network, reporter, ending)
        return
    connect = client_over_https(layout, credentials, spec.name, server)

    async def live() -> None:
        async with asyncio.TaskGroup() as group:
            client = connect
            if component == "controllers":
                client = await controller_clients(connect, server, credentials, group)
            if network is not None:
                group.create_task(_follow(network), name="network")
            components = Components(spec, layout, credentials, network, reporter, client)
            ready = await components.start(component, node, group)
            group.create_task(_report(ready, reporter, lambda: components.host_dns), name="until-ready")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_elected(component, spec, connect, live) if component in LEASES else live(), name=component)
            await ending.wait()
            raise _Ending
    except* _Ending:
        logging.getLogger(__name__).info("ending")


async def _elected(
    component: str, spec: ClusterSpec, connect: Callable[[Identity], Client], live: Callable[[], Awaitable[None]]
) -> None:
    """Live while leading.

    The supervisor never runs two of a component: one that comes back is the same candidate and need not wait for its own lease.
    """
    from minikube_api.client.election import LeaderElector

    lease, identity = LEASES[component]
    await LeaderElector(connect(identity), lease, identity=f"{socket.gethostname()}_{spec.name}").run(live)


async def _follow(network: Network) -> None:
    """Know which nodes are unplugged. A lost node is the supervisor's business: it makes it again and starts its components anew."""
    async for _lost in network.follow():
        pass


async def _report(ready: Callable, reporter: Reporter, dns: Callable[[], str]) -> None:
    await ready()
    reporter.send({"ready": True, "warnings": reporter.warnings, "dns": dns()})
    collecting.settle()


async def _api_server(
    spec: ClusterSpec,
    layout: Layout,
    credentials: Credentials,
    network: Network | None,
    reporter: Reporter,
    ending: asyncio.Event,
) -> None:
    from minikube_py.cluster.control_plane import start_control_plane

    plane = await start_control_plane(spec, layout, credentials, network)
    reporter.send({"ready": True, "warnings": [], "url": plane.url, "kubeconfig": str(plane.kubeconfig)})
    collecting.settle()
    ended = asyncio.ensure_future(ending.wait())
    failed = asyncio.ensure_future(plane.server.wait())
    await asyncio.wait((ended, failed), return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        failed.result()
    await plane.server.stop()


class _Ending(Exception):
    """Leaves the component's task group."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m minikube_py.cluster.component", description=__doc__)
    parser.add_argument("component")
    parser.add_argument("--node", default="")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--report-fd", type=int)
    parser.add_argument("--server", default="", help="URL of the API server")
    arguments = parser.parse_args()
    end_with_parent()
    who = f"{arguments.component} {arguments.node}".strip()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname).1s [{who}] %(name)s: %(message)s")
    layout, reporter = Layout(arguments.data_dir), Reporter(arguments.report_fd)
    os.set_inheritable(arguments.report_fd, False)
    import uvloop

    uvloop.run(serve(arguments.component, arguments.node, layout, reporter, arguments.server))


if __name__ == "__main__":
    main()
