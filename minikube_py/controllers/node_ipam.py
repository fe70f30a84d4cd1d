"""Node IPAM controller: gives every node its share of the cluster's pod addresses (pkg/controller/nodeipam, range allocator)."""

from __future__ import annotations

import ipaddress
from typing import Final

from minikube_api.schema.typed.core_v1 import Node
from minikube_py.controllers.runner import Context, Controller, Key, Result

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Prefix length of one node's share, by IP version.
NODE_PREFIX: Final = {4: 24, 6: 64}


class CidrSet:
    """The shares of one cluster CIDR, handed out round-robin, so that a freed one is not used again at once. Pure."""

    def __init__(self, cluster: str, prefix: int = 0) -> None:
        self.network: Network = ipaddress.ip_network(cluster)
        self.prefix = prefix or NODE_PREFIX[self.network.version]
        if self.prefix < self.network.prefixlen:
            raise ValueError(f"node CIDR mask size {self.prefix} is less than cluster CIDR {cluster}")
        self._size = 1 << (self.network.max_prefixlen - self.prefix)
        self.count = 1 << (self.prefix - self.network.prefixlen)
        self._used: set[int] = set()
        self._next = 0

    def occupy(self, cidr: str) -> None:
        """Mark what a node has already. A CIDR outside the cluster's is ignored; ValueError when it is none."""
        network = ipaddress.ip_network(cidr)
        if network.version != self.network.version or not network.overlaps(self.network):  # type: ignore[arg-type]
            return
        base = int(self.network.network_address)
        first = max(0, (int(network.network_address) - base) // self._size)
        last = min(self.count - 1, (int(network.broadcast_address) - base) // self._size)
        self._used.update(range(first, last + 1))

    def release(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        if network.version == self.network.version:
            self._used.discard((int(network.network_address) - int(self.network.network_address)) // self._size)

    def allocate(self) -> str | None:
        """The next free share; None when all are used."""
        for offset in range(self.count):
            index = (self._next + offset) % self.count
            if index not in self._used:
                self._used.add(index)
                self._next = (index + 1) % self.count
                address = self.network.network_address + index * self._size
                return f"{address}/{self.prefix}"
        return None


class NodeIpamController(Controller):
    """Keys are nodes."""

    name = "node-ipam-controller"
    identity = "node-controller"
    component = "cidrAllocator"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sets = [CidrSet(cidr) for cidr in self.options.cluster_cidr.split(",") if cidr]

    def setup(self) -> None:
        self._nodes = self.informers.informer(Node)
        self._nodes.on_add(self._added)
        self._nodes.on_update(self._updated)
        self._nodes.on_delete(self._deleted)

    def _added(self, node: Node) -> None:
        if not node.spec.podCIDR:
            self.enqueue(node)
        for cidr in node.spec.podCIDRs or ((node.spec.podCIDR,) if node.spec.podCIDR else ()):
            for each in self._sets:
                each.occupy(cidr)

    def _updated(self, old: Node, new: Node) -> None:
        if not new.spec.podCIDR:
            self.enqueue(new)
        elif old.spec.podCIDRs != new.spec.podCIDRs:
            self._added(new)

    def _deleted(self, node: Node) -> None:
        for cidr in node.spec.podCIDRs:
            for each in self._sets:
                each.release(cidr)

    async def reconcile(self, key: Key) -> Result | None:
        node = self._nodes.get("", key.name)
        if node is None or node.spec.podCIDR or not self._sets:
            return None
        # All caches were synced before the first key, so every share in use is known here.
        chosen = [each.allocate() for each in self._sets]
        if None in chosen:
            self._give_back(chosen)
            message = f"Node {key.name} status is now: CIDRNotAvailable"
            self.recorder.event(node, "Normal", "CIDRNotAvailable", message)
            raise RuntimeError("failed to allocate cidr: CIDR allocation failed; there are no remaining CIDRs left to allocate")
        cidrs = tuple(cidr for cidr in chosen if cidr is not None)
        body = {
            "metadata": {"resourceVersion": node.metadata.resourceVersion},
            "spec": {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)},
        }
        try:
            await self.client.patch(Node, key.name, body)
        except BaseException:
            self._give_back(chosen)
            raise
        return None

    def _give_back(self, cidrs: list[str | None]) -> None:
        for each, cidr in zip(self._sets, cidrs, strict=True):
            if cidr is not None:
                each.release(cidr)
