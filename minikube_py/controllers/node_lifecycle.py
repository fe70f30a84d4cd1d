"""Node lifecycle controller: notices nodes that stopped reporting, taints them, and marks their pods not ready.

Source: pkg/controller/nodelifecycle. A sign of life is a change of the node's Lease or of its Ready condition's heartbeat, timed by this
controller's own clock. Instead of looking at all nodes every five seconds, each node has one delayed key for the moment its grace ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from minikube_api.meta import conditions, times
from minikube_api.meta.errors import Conflict, NotFound
from minikube_api.schema.typed.coordination_v1 import Lease
from minikube_api.schema.typed.core_v1 import Node, NodeCondition, Pod
from minikube_py.controllers import pods, taints
from minikube_py.controllers.runner import Context, Controller, Key, Result, gather

LEASES: Final = "kube-node-lease"
NODE_INDEX: Final = "node"
#: Conditions that become Unknown with their node.
WATCHED: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
#: Nodes a second that get a NoExecute taint, per zone; the secondary rate is for large zones that are partly down.
EVICTION_RATE: Final = 0.1
SECONDARY_RATE: Final = 0.01
LARGE_ZONE: Final = 50
UNHEALTHY_SHARE: Final = 0.55


def node_of(pod: Pod) -> tuple[str, ...]:
    """Index of pods by node."""
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def zone_of(node: Node) -> str:
    labels = node.metadata.labels
    return f"{labels.get('topology.kubernetes.io/region', '')}:{labels.get('topology.kubernetes.io/zone', '')}"


def is_ready(node: Node) -> bool:
    return conditions.is_true(node.status.conditions, "Ready")


def eviction_rate(ready: int, not_ready: int) -> float:
    """NoExecute taints a second in a zone with so many nodes."""
    total = ready + not_ready
    if ready and not_ready > 2 and not_ready / total >= UNHEALTHY_SHARE:  # partial disruption
        return SECONDARY_RATE if total > LARGE_ZONE else 0.0
    return EVICTION_RATE


def with_unknown(node: Node, now: str) -> list[dict[str, Any]] | None:
    """The node's conditions once it stopped reporting, or None when they say so already. Pure."""
    listed: list[dict[str, Any]] = [msgspec.to_builtins(c) for c in node.status.conditions]
    changed = False
    for type in WATCHED:
        current = next((c for c in listed if c["type"] == type), None)
        if current is None:
            changed = True
            listed.append(
                {
                    "type": type,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node.metadata.creationTimestamp,
                    "lastTransitionTime": now,
                }
            )
        elif current["status"] != "Unknown":
            changed = True
            current |= {
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            }
    return listed if changed else None


@dataclass(slots=True)
class _Tokens:
    """Token bucket of one zone, burst 1."""

    next_free: float = 0.0

    def wait(self, rate: float, now: float) -> float | None:
        """0 and take the token, or seconds until one is there; None when there is no rate."""
        if rate <= 0:
            return None
        if now >= self.next_free:
            self.next_free = now + 1 / rate
            return 0.0
        return self.next_free - now


class NodeLifecycleController(Controller):
    """Keys are nodes."""

    name = "node-lifecycle-controller"
    identity = "node-controller"
    component = "node-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._seen: dict[str, float] = {}
        self._zones: dict[str, _Tokens] = {}
        self._was_ready: dict[str, bool] = {}

    def setup(self) -> None:
        self._nodes = self.informers.informer(Node)
        self._pods = self.informers.informer(Pod)
        self._leases = self.informers.informer(Lease, namespace=LEASES)
        self._pods.add_index(NODE_INDEX, node_of)
        self._nodes.on_add(self._node_added)
        self._nodes.on_update(self._node_updated)
        self._nodes.on_delete(self._node_deleted)
        self._leases.on_add(self._lease_added)
        self._leases.on_update(self._lease_updated)
        self._pods.on_add(self._pod_changed)
        self._pods.on_update(self._pod_updated)

    # signs of life

    def _node_added(self, node: Node) -> None:
        self._seen[node.metadata.name] = self.clock.monotonic()
        self.enqueue(node)

    def _node_updated(self, old: Node, new: Node) -> None:
        before = conditions.find(old.status.conditions, "Ready")
        after = conditions.find(new.status.conditions, "Ready")
        if after is not None and after.status != "Unknown" and _beat(before) != _beat(after):
            self._seen[new.metadata.name] = self.clock.monotonic()
        if old.spec != new.spec or [(c.type, c.status) for c in old.status.conditions] != [
            (c.type, c.status) for c in new.status.conditions
        ]:
            self.enqueue(new)
            if is_ready(old) != is_ready(new):
                self._zone_changed(new)

    def _node_deleted(self, node: Node) -> None:
        self._seen.pop(node.metadata.name, None)
        self._was_ready.pop(node.metadata.name, None)

    def _zone_changed(self, node: Node) -> None:
        """The eviction rate of a zone's other unready nodes may have changed with this one."""
        for other in self._nodes.list():
            if not is_ready(other) and other.metadata.name != node.metadata.name:
                self.enqueue(other)

    def _lease_added(self, lease: Lease) -> None:
        self._seen[lease.metadata.name] = self.clock.monotonic()

    def _lease_updated(self, old: Lease, new: Lease) -> None:
        if old.spec.renewTime != new.spec.renewTime:
            self._seen[new.metadata.name] = self.clock.monotonic()

    def _pod_changed(self, pod: Pod) -> None:
        """A pod of an unready node must not count as ready (it was marked so before, or bound since)."""
        node = self._nodes.get("", pod.spec.nodeName) if pod.spec.nodeName else None
        if node is not None and not is_ready(node) and pods.is_ready(pod):
            self.enqueue(node)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if pods.is_ready(new) != pods.is_ready(old) or new.spec.nodeName != old.spec.nodeName:
            self._pod_changed(new)

    # reconciling

    async def reconcile(self, key: Key) -> Result | None:
        node = self._nodes.get("", key.name)
        if node is None:
            return None
        reported = conditions.find(node.status.conditions, "Ready") is not None
        grace = self.options.node_monitor_grace if reported else self.options.node_startup_grace
        left = self._seen.setdefault(key.name, self.clock.monotonic()) + grace - self.clock.monotonic()
        if left < 0:
            node = await self._mark_unknown(node)
            left = grace  # looked at again in any case; a sign of life comes by itself
        await self._note_transition(node)
        wait = await self._taint(node)
        return Result(min(left + 0.01, wait if wait is not None else left + 0.01))

    async def _mark_unknown(self, node: Node) -> Node:
        listed = with_unknown(node, times.now(self.clock))
        if listed is None:
            return node
        body = {"metadata": {"resourceVersion": node.metadata.resourceVersion}, "status": {"conditions": listed}}
        return await self.client.patch(Node, node.metadata.name, body, subresource="status")

    async def _note_transition(self, node: Node) -> None:
        name = node.metadata.name
        ready = is_ready(node)
        if not ready:
            if self._was_ready.get(name, False):
                message = f"Node {name} status is now: NodeNotReady"
                self.recorder.event(node, "Normal", "NodeNotReady", message)
            await self._mark_pods(name)
        self._was_ready[name] = ready

    async def _mark_pods(self, node: str) -> None:
        """Pods of a node that is not ready are not ready either: services must not send to them."""

        async def mark(pod: Pod) -> None:
            now = times.now(self.clock)
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": now}
            body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
            self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            try:
                await self.client.patch(
                    Pod,
                    pod.metadata.name,
                    body,
                    namespace=pod.metadata.namespace,
                    type="strategic",
                    subresource="status",
                )
            except (NotFound, Conflict):
                pass  # gone or replaced: nothing to mark

        ready = [pod for pod in self._pods.index(NODE_INDEX, node) if pods.is_ready(pod)]
        for error in await gather(*(mark(pod) for pod in ready)):
            if error is not None:
                raise error

    async def _taint(self, node: Node) -> float | None:
        """Bring the managed taints in line; gives the seconds to wait when a NoExecute taint has to wait for its turn."""
        now = times.now(self.clock)
        wanted = taints.with_effect(node.spec.taints, "NoSchedule", taints.no_schedule_of(node), now)
        execute = taints.no_execute_of(node)
        wait: float | None = None
        has_any = any(t.effect == "NoExecute" and t.key in (taints.NOT_READY, taints.UNREACHABLE) for t in node.spec.taints)
        if execute is None:
            wanted = taints.with_effect(wanted, "NoExecute", (), now)
        elif self._is_master_disrupted(node):
            # Every node is unready: more likely the control plane is cut off, and nothing must be evicted.
            wanted = taints.with_effect(wanted, "NoExecute", (), now)
        elif has_any:
            wanted = taints.with_effect(wanted, "NoExecute", (execute,), now)
        else:
            zone = zone_of(node)
            wait = self._zones.setdefault(zone, _Tokens()).wait(self._rate(zone), self.clock.monotonic())
            if wait == 0.0:
                wanted = taints.with_effect(wanted, "NoExecute", (execute,), now)
                wait = None
        if wanted != node.spec.taints:
            body = {
                "metadata": {"resourceVersion": node.metadata.resourceVersion},
                "spec": {"taints": [msgspec.to_builtins(t) for t in wanted] or None},
            }
            await self.client.patch(Node, node.metadata.name, body)
        return wait

    def _is_master_disrupted(self, node: Node) -> bool:
        """`node` may be newer than the cache."""
        return not is_ready(node) and not any(
            is_ready(other) for other in self._nodes if other.metadata.name != node.metadata.name
        )

    def _rate(self, zone: str) -> float:
        listed = [is_ready(node) for node in self._nodes if zone_of(node) == zone]
        return eviction_rate(sum(listed), len(listed) - sum(listed))


def _beat(condition: NodeCondition | None) -> str | None:
    return condition.lastHeartbeatTime if condition is not None else None
