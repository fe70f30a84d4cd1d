"""Pod garbage collector: pods of nodes that are gone, terminating pods that no kubelet will end, and too many finished pods.

Source: pkg/controller/podgc. Instead of a scan of all pods every 20 s, events enqueue what may have to go; only the number of finished
pods is looked at periodically.
"""

from __future__ import annotations

from typing import Final

from minikube_api.meta import conditions, times
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import Node, Pod
from minikube_py.controllers import pods, taints
from minikube_py.controllers.disrupting import mark_disrupted
from minikube_py.controllers.node_lifecycle import NODE_INDEX, node_of
from minikube_py.controllers.runner import Controller, Key, Result, gather

#: Seconds that a node must be gone before its pods are deleted: it may be registered again.
QUARANTINE: Final = 40.0
PERIOD: Final = 20.0
TERMINATED_INDEX: Final = "terminated"


class PodGarbageCollector(Controller):
    """Keys are pods, and nodes (with namespace "")."""

    name = "pod-garbage-collector-controller"
    identity = "pod-garbage-collector"
    component = "pod-garbage-collector-controller"
    workers = 4

    def setup(self) -> None:
        self._nodes = self.informers.informer(Node)
        self._pods = self.informers.informer(Pod)
        self._pods.add_index(NODE_INDEX, node_of)
        self._pods.add_index(TERMINATED_INDEX, lambda pod: ("",) if pods.is_terminal(pod) else ())
        self._pods.on_add(self._pod_changed)
        self._pods.on_update(self._pod_updated)
        self._nodes.on_delete(lambda node: self.queue.add_after(Key("", node.metadata.name), QUARANTINE))
        self._nodes.on_update(self._node_updated)

    def _pod_changed(self, pod: Pod) -> None:
        if not pod.spec.nodeName:
            if pod.metadata.deletionTimestamp is not None:
                self.enqueue(pod)
        elif self._nodes.get("", pod.spec.nodeName) is None:
            self.queue.add_after(Key("", pod.spec.nodeName), QUARANTINE)
        elif pod.metadata.deletionTimestamp is not None and self._is_out_of_service(pod.spec.nodeName):
            self.enqueue(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if old.spec.nodeName != new.spec.nodeName or old.metadata.deletionTimestamp != new.metadata.deletionTimestamp:
            self._pod_changed(new)

    def _node_updated(self, old: Node, new: Node) -> None:
        if old.spec.taints != new.spec.taints and self._is_out_of_service(new.metadata.name):
            for pod in self._pods.index(NODE_INDEX, new.metadata.name):
                self._pod_changed(pod)

    def _is_out_of_service(self, name: str) -> bool:
        """An administrator says that the node is down for good (KEP-2268)."""
        node = self._nodes.get("", name)
        return (
            node is not None
            and not conditions.is_true(node.status.conditions, "Ready")
            and any(t.key == taints.OUT_OF_SERVICE for t in node.spec.taints)
        )

    async def reconcile(self, key: Key) -> Result | None:
        if not key.namespace:
            await self._orphans_of(key.name)
            return None
        pod = self._pods.get(*key)
        if pod is None or pod.metadata.deletionTimestamp is None:
            return None
        if not pod.spec.nodeName or self._is_out_of_service(pod.spec.nodeName):
            await self._delete(pod)
        return None

    async def _orphans_of(self, node: str) -> None:
        orphans = self._pods.index(NODE_INDEX, node)
        if not orphans or self._nodes.get("", node) is not None:
            return
        try:
            await self.client.get(Node, node)
            return  # the cache was behind
        except NotFound:
            pass  # gone indeed
        message = "PodGC: node no longer exists"

        async def end(pod: Pod) -> None:
            phase = None if pods.is_terminal(pod) else "Failed"
            now = times.now(self.clock)
            try:
                await mark_disrupted(self.client, pod, "DeletionByPodGC", message, now, phase=phase)
            except NotFound:
                return
            await self._delete(pod)

        for error in await gather(*(end(pod) for pod in orphans)):
            if error is not None:
                raise error

    async def _delete(self, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self.client.delete(Pod, meta.name, namespace=meta.namespace, uid=meta.uid, grace_period_seconds=0)
        except NotFound:
            pass  # gone already

    async def background(self) -> None:
        while True:
            await self.clock.sleep(PERIOD)
            for pod in surplus(self._pods.index(TERMINATED_INDEX, ""), self.options.terminated_pod_threshold):
                await self._delete(pod)


def surplus(terminated: list[Pod], threshold: int) -> list[Pod]:
    """The finished pods beyond the threshold, evicted ones first, then oldest first; 0 = no limit. Pure."""
    excess = len(terminated) - threshold
    if threshold <= 0 or excess <= 0:
        return []
    ordered = sorted(
        (pod for pod in terminated if pod.metadata.deletionTimestamp is None),
        key=lambda pod: (
            pod.status.reason != "Evicted", pod.metadata.creationTimestamp or "", pod.metadata.name
        ),
    )  # fmt: skip
    return ordered[:excess]
