"""A node's sign of life: registration, the Lease every ten seconds, status when it changed and every five minutes.

Source: KEP-589 (node leases). Failures are logged and tried again at the next beat; the node then turns Unknown as it should.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from minikube_api.client.client import Client
from minikube_api.meta import times
from minikube_api.meta.errors import AlreadyExists, Conflict, NotFound, StatusError
from minikube_api.meta.times import Clock

log = logging.getLogger(__name__)

Tree = dict[str, Any]
NAMESPACE = "kube-node-lease"


class LeaseKeeper:
    """Renews `kube-node-lease/NODE`."""

    def __init__(self, client: Client, node: str, *, seconds: int, clock: Clock) -> None:
        self._client = client
        self._node = node
        self._seconds = seconds
        self._clock = clock
        self._known: Tree | None = None
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{node}"

    async def renew(self, owner_uid: str = "") -> None:
        """One beat: an update of what was last answered, or a read and create. Raises StatusError and OSError."""
        now = times.now_micro(self._clock)
        for _ in range(2):
            if self._known is None:
                await self._adopt(now, owner_uid)
                return
            lease = {**self._known, "spec": {**self._known["spec"], "renewTime": now}}
            try:
                self._known = await self._client.raw.update(self._path, lease)
                return
            except (Conflict, NotFound):
                self._known = None

    async def _adopt(self, now: str, owner_uid: str) -> None:
        spec = {"holderIdentity": self._node, "leaseDurationSeconds": self._seconds, "renewTime": now}
        metadata: Tree = {"name": self._node, "namespace": NAMESPACE}
        if owner_uid:
            metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": owner_uid}]
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            self._known = await self._client.raw.create(self._path.rpartition("/")[0], body)
        except AlreadyExists:
            found = await self._client.raw.get(self._path)
            found["spec"] = {**found.get("spec", {}), **spec}
            self._known = await self._client.raw.update(self._path, found)


class NodeReporter:
    """Registers the node and keeps its status: `make_status(conditions before)` gives the present one."""

    def __init__(
        self, client: Client, node: str, make_status: Callable[[dict[str, Tree]], Awaitable[Tree]], *, follow: bool = True
    ) -> None:
        """`follow`: read the node before each report, to make what others advertise on it allocatable (one GET a report)."""
        self._follow = follow
        self._client = client
        self._node = node
        self._make_status = make_status
        self._told: Tree | None = None
        self._path = f"/api/v1/nodes/{node}"
        self.uid = ""

    async def register(self, make_node: Callable[[Tree], Tree]) -> Tree:
        """Creates the Node, or takes over the one that is there (its labels get ours added). Gives the Node."""
        status = await self._make_status({})
        try:
            node = await self._client.raw.create("/api/v1/nodes", make_node(status))
        except AlreadyExists:
            labels = make_node(status)["metadata"]["labels"]
            node = await self._client.raw.patch(self._path, {"metadata": {"labels": labels}}, type="strategic")
        self.uid = node["metadata"]["uid"]
        # Conditions are the kubelet's alone; whatever a create kept or dropped of them is told now.
        kept = node.get("status", {})
        if all(kept.get(name) == value for name, value in status.items()):
            self._told = status
            return node
        before = {c["type"]: c for c in kept.get("conditions", ())}
        await self._write(await self._make_status(before))
        return node

    async def report(self, *, force: bool = False) -> bool:
        """Tells the status if it changed (heartbeats apart), if others made the node Unknown meanwhile, or if `force`.
        True when it was written."""
        kept = (await self._client.raw.get(self._path))["status"] if self._follow else self._told or {}
        before = {c["type"]: c for c in kept.get("conditions", ())}
        status = await self._make_status(before)
        if self._follow:
            add_advertised(status, kept)
        as_told = all(before.get(c["type"], {}).get("status") == c["status"] for c in status["conditions"])
        if not force and as_told and self._told is not None and _steady(status) == _steady(self._told):
            return False
        await self._write(status)
        return True

    async def _write(self, status: Tree) -> None:
        await self._client.raw.patch(f"{self._path}/status", {"status": status}, type="strategic")
        self._told = status


def add_advertised(status: Tree, kept: Tree) -> None:
    """Extended resources that someone put into the node's capacity are allocatable in full, and no longer when they are taken out
    (Kubernetes documentation, "Advertise Extended Resources for a Node")."""
    capacity = kept.get("capacity", {})
    for resource, quantity in capacity.items():
        if resource not in status["capacity"]:
            status["capacity"][resource] = status["allocatable"][resource] = quantity
    for resource in kept.get("allocatable", {}):
        if resource not in status["capacity"]:
            status["allocatable"][resource] = None


def _steady(status: Tree) -> Tree:
    conditions = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status["conditions"]]
    return {**status, "conditions": conditions}


async def beat(clock: Clock, interval: float, act: Callable[[], Awaitable[Any]], what: str) -> None:
    """Calls `act` every `interval` seconds until cancelled; failures are logged."""
    while True:
        await clock.sleep(interval)
        try:
            await act()
        except (StatusError, OSError) as error:
            log.warning("%s: %s", what, error)
