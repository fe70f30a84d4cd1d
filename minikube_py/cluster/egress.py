"""How the API server reaches nodes, pods and Services: through the cluster's network, everything else from the machine itself.

Kubernetes calls this the egress selector (KEP-1281). In a private network the cluster's addresses exist behind its shim only.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import TYPE_CHECKING

from minikube_api.server.contract import DirectDialer
from minikube_py.cluster.spec import HOLLOW_NODE_NETWORK

if TYPE_CHECKING:
    from minikube_py.cluster.network import Network

#: the port that hollow nodes' status names none of, so that clients take the default
_KUBELET_PORT = 10250


class ClusterDialer:
    """A `Dialer`: addresses of the cluster's ranges through the shim, others directly."""

    def __init__(self, network: Network) -> None:
        started = network.started
        self._network = network
        self._ranges = [ipaddress.ip_network(c) for c in (started.node_cidr, started.pod_cidr, started.service_cidr)]
        self._direct = DirectDialer()

    async def connect(self, host: str, port: int) -> socket.socket:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return await self._direct.connect(host, port)
        if any(address in r for r in self._ranges):
            return await self._network.connect_to(host, port)
        return await self._direct.connect(host, port)


class HollowDialer:
    """A `Dialer` of a cluster whose nodes are simulated: no kubelet listens at their addresses, whatever host of this machine's networks may."""

    def __init__(self) -> None:
        self._nodes = ipaddress.ip_network(HOLLOW_NODE_NETWORK)
        self._direct = DirectDialer()

    async def connect(self, host: str, port: int) -> socket.socket:
        if port == _KUBELET_PORT and self._is_node(host):
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return await self._direct.connect(host, port)

    def _is_node(self, host: str) -> bool:
        try:
            return ipaddress.ip_address(host) in self._nodes
        except ValueError:
            return False
