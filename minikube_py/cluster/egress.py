"""How the API server reaches nodes, pods and Services: through the cluster's network, everything else from the machine itself.

Kubernetes calls this the egress selector (KEP-1281). In a private network the cluster's addresses exist behind its shim only.
"""

from __future__ import annotations

import ipaddress
import socket

from minikube_api.server.contract import DirectDialer
from minikube_py.cluster.network import Network


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
