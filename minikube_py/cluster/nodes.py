"""Nodes of an all-in-one cluster come and go: what ran on a node whose shim died is ended, the node made again, its agents started anew.

Its containers died with the shim; the new kubelet finds that out and the pods' restart policy does the rest.
"""

from __future__ import annotations

import logging

from minikube_py.cluster.lives import Lives
from minikube_py.cluster.network import Network

log = logging.getLogger(__name__)


async def restore_lost(network: Network, lives: Lives) -> None:
    """Bring lost nodes back until cancelled. Raises NetworkError when the whole network is gone."""
    async for name in network.follow():
        log.warning("node %s is lost: its shim ended; making it again", name)
        # the DNS server has sockets on every node
        lost = [unit for unit in lives.units if unit.node == name or unit.component == "dns"]
        await lives.pause(lost)
        await network.restore(name)
        lives.resume(lost)
