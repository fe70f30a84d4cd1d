"""The cluster's network and nodes as the daemon sees them. Imports nothing heavy: `prepare` runs before anything else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Protocol

from minikube_py.cluster.layout import Layout
from minikube_py.cluster.reporting import Reporter
from minikube_py.cluster.spec import ClusterSpec

if TYPE_CHECKING:
    from minikube_api.server.contract import Dialer


class NetworkError(Exception):
    """The machine can't give what the options ask for; the message says what to change."""


class Network(Protocol):
    """A prepared network. `control_plane` is where pods reach the API server."""

    control_plane: tuple[str, int]
    dialer: Dialer

    async def api_listener(self) -> socket.socket: ...

    def state(self) -> dict[str, Any]: ...

    async def close(self) -> None: ...


def prepare(spec: ClusterSpec, layout: Layout, reporter: Reporter) -> Network | None:
    """Make or adopt the cluster's network; None when no component needs one."""
    if not spec.real_nodes:
        return None
    raise NetworkError("--runtime process is not available yet")
