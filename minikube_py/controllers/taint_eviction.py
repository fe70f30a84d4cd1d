"""Taint eviction controller: pods leave nodes with NoExecute taints when their tolerations end (pkg/controller/tainteviction)."""

from __future__ import annotations

from minikube_api.meta import times
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import Node, Pod
from minikube_py.controllers import taints
from minikube_py.controllers.disrupting import mark_disrupted
from minikube_py.controllers.node_lifecycle import NODE_INDEX, node_of
from minikube_py.controllers.runner import Context, Controller, Key, Result


class TaintEvictionController(Controller):
    """Keys are pods."""

    name = "taint-eviction-controller"
    identity = "node-controller"
    component = "taint-eviction-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        #: pods that wait for the end of their toleration, by uid -> since when (seconds since the epoch)
        self._scheduled: dict[str, float] = {}

    def setup(self) -> None:
        self._nodes = self.informers.informer(Node)
        self._pods = self.informers.informer(Pod)
        self._pods.add_index(NODE_INDEX, node_of)
        self._nodes.on_add(self._node_changed)
        self._nodes.on_update(self._node_updated)
        self._pods.on_add(self._pod_changed)
        self._pods.on_update(self._pod_updated)
        self._pods.on_delete(self._pod_deleted)

    def _node_changed(self, node: Node) -> None:
        if any(t.effect == "NoExecute" for t in node.spec.taints):
            for pod in self._pods.index(NODE_INDEX, node.metadata.name):
                self.enqueue(pod)

    def _node_updated(self, old: Node, new: Node) -> None:
        if old.spec.taints != new.spec.taints:
            for pod in self._pods.index(NODE_INDEX, new.metadata.name):
                self.enqueue(pod)

    def _pod_changed(self, pod: Pod) -> None:
        node = self._nodes.get("", pod.spec.nodeName) if pod.spec.nodeName else None
        if node is not None and any(t.effect == "NoExecute" for t in node.spec.taints):
            self.enqueue(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if old.spec.nodeName != new.spec.nodeName or old.spec.tolerations != new.spec.tolerations:
            self._pod_changed(new)

    def _pod_deleted(self, pod: Pod) -> None:
        self._scheduled.pop(pod.metadata.uid, None)

    async def reconcile(self, key: Key) -> Result | None:
        pod = self._pods.get(*key)
        if pod is None or pod.metadata.deletionTimestamp is not None or not pod.spec.nodeName:
            return None
        node = self._nodes.get("", pod.spec.nodeName)
        listed = [t for t in node.spec.taints if t.effect == "NoExecute"] if node is not None else []
        now = self.clock.time()
        since = self._scheduled.get(pod.metadata.uid, now)
        due = taints.eviction_time(listed, pod.spec.tolerations, now, since=since) if listed else None
        if due is None:
            if pod.metadata.uid in self._scheduled:
                del self._scheduled[pod.metadata.uid]
                message = f"Cancelling deletion of Pod {key}"
                self.recorder.event(pod, "Normal", "TaintManagerEviction", message)
            return None
        if due > now:
            self._scheduled[pod.metadata.uid] = since
            return Result(due - now)
        self._scheduled.pop(pod.metadata.uid, None)
        self.recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        try:
            await mark_disrupted(
                self.client,
                pod,
                "DeletionByTaintManager",
                "Taint manager: deleting due to NoExecute taint",
                times.now(self.clock),
            )
            await self.client.delete(Pod, key.name, namespace=key.namespace, uid=pod.metadata.uid)
        except NotFound:
            pass  # gone already
        return None
