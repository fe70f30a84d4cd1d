"""kube-scheduler: informers keep the state, one loop decides, bindings go out side by side.

A decided pod is assumed on its node at once, so that the next decision sees it; when the binding fails the assumption is taken back.
Neighbours: `state`, `queue`, `deciding` (filters and scores), `preempting`, `volumes`. Everything but the API calls is synchronous.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field

from minikube_api.client.client import Client
from minikube_api.client.events import EventRecorder
from minikube_api.client.informers import Informer, InformerFactory
from minikube_api.meta import times
from minikube_api.meta.errors import Conflict, NotFound, StatusError
from minikube_api.schema.typed import apps_v1, core_v1, policy_v1
from minikube_api.schema.typed.core_v1 import Node, Pod
from minikube_py.scheduler import preempting, spreading
from minikube_py.scheduler.deciding import Decider, Decision
from minikube_py.scheduler.queue import Happening, SchedulingQueue, Waiting
from minikube_py.scheduler.state import ClusterState, PodInfo, compiled, has_affinity, pod_info
from minikube_py.scheduler.volumes import VolumeChecker

log = logging.getLogger(__name__)

DEFAULT_NAME = "default-scheduler"


@dataclass(frozen=True, kw_only=True)
class Options:
    """`bindings`: how many binding requests may be under way."""

    name: str = DEFAULT_NAME
    bindings: int = 64
    clock: times.Clock = times.SYSTEM
    rng: random.Random = field(default_factory=random.Random)


class Scheduler:
    """`await run()` until cancelled; `ready` is set when the caches are synced."""

    def __init__(self, client: Client, options: Options | None = None, *, factory: InformerFactory | None = None) -> None:
        self.options = options or Options()
        self.client = client
        self.clock = self.options.clock
        self.state = ClusterState()
        self.queue = SchedulingQueue(self.clock)
        self.decider = Decider(self.state, self.options.rng)
        self.recorder = EventRecorder(client, self.options.name, clock=self.clock)
        self.ready = asyncio.Event()
        #: attempts by how they ended; for metrics
        self.scheduled = self.refused = self.failed = 0
        self._owns_factory = factory is None
        self.factory = factory or InformerFactory(client, clock=self.clock)
        self.pods: Informer[Pod] = self.factory.informer(Pod, field_selector="status.phase!=Succeeded,status.phase!=Failed")
        self.nodes: Informer[Node] = self.factory.informer(Node)
        self.namespaces = self.factory.informer(core_v1.Namespace)
        self.budgets = self.factory.informer(policy_v1.PodDisruptionBudget)
        self.spreading = spreading.DefaultSpreading(
            self.factory.informer(core_v1.Service),
            self.factory.informer(apps_v1.ReplicaSet),
            self.factory.informer(apps_v1.StatefulSet),
            self.factory.informer(core_v1.ReplicationController),
        )
        self.volumes = VolumeChecker(self.factory, self.queue)
        self._slots = asyncio.Semaphore(self.options.bindings)
        self._watch()

    # what happens in the cluster

    def _watch(self) -> None:
        self.nodes.on_add(self._node_added)
        self.nodes.on_update(self._node_changed)
        self.nodes.on_delete(lambda node: self.state.remove_node(node.metadata.name or ""))
        self.pods.on_add(lambda pod: self._pod_seen(None, pod))
        self.pods.on_update(self._pod_seen)
        self.pods.on_delete(self._pod_gone)
        self.namespaces.on_change(self._namespace_seen)

    def _namespace_seen(self, namespace: core_v1.Namespace) -> None:
        name = namespace.metadata.name or ""
        if self.state.namespace_labels.get(name) != namespace.metadata.labels:
            self.state.namespace_labels[name] = namespace.metadata.labels
            self.queue.happened(Happening.NAMESPACE_CHANGED)

    def _node_added(self, node: Node) -> None:
        self.state.set_node(node)
        self.queue.happened(Happening.NODE_ADDED)

    def _node_changed(self, old: Node, new: Node) -> None:
        same = (
            old.status.allocatable == new.status.allocatable
            and old.spec == new.spec
            and old.metadata.labels == new.metadata.labels
            and old.status.images == new.status.images
        )
        if same:
            return
        self.state.set_node(new)
        self.queue.happened(Happening.NODE_CHANGED)

    def _is_mine(self, pod: Pod) -> bool:
        return (pod.spec.schedulerName or DEFAULT_NAME) == self.options.name

    def _pod_seen(self, old: Pod | None, new: Pod) -> None:
        if new.spec.nodeName:
            self._placed(old, pod_info(new))
            return
        if not self._is_mine(new):
            return
        uid = new.metadata.uid or ""
        if new.metadata.deletionTimestamp is not None or new.spec.schedulingGates:
            self._leave(uid)
            return
        if uid in self.state.assumed:
            return
        info = pod_info(new)
        if old is None or self._matters(old, new):
            if new.status.nominatedNodeName:
                self.decider.nominate(info, new.status.nominatedNodeName)
            self.queue.add(info)
        else:
            self.queue.update(info)

    @staticmethod
    def _matters(old: Pod, new: Pod) -> bool:
        return old.spec != new.spec or old.metadata.labels != new.metadata.labels

    def _placed(self, old: Pod | None, info: PodInfo) -> None:
        known = self.state.pods.get(info.uid)
        first = known is None or info.uid in self.state.assumed
        self.queue.remove(info.uid)
        self.decider.withdraw(info.uid)
        if known is not None and known.node == info.node and known.pod.spec == info.pod.spec and known.labels == info.labels:
            self.state.assumed.discard(info.uid)
            if known.terminating != info.terminating:
                self.state.place(info)
            else:
                known.pod = info.pod
            return
        self.state.place(info)
        self.queue.happened(Happening.POD_PLACED if first else Happening.POD_CHANGED)

    def _pod_gone(self, pod: Pod) -> None:
        uid = pod.metadata.uid or ""
        self._leave(uid)
        if self.state.forget(uid) is not None:
            self.queue.happened(Happening.POD_GONE)

    def _leave(self, uid: str) -> None:
        self.queue.remove(uid)
        self.decider.withdraw(uid)

    # the loop

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.recorder.run(), name="scheduler-events")
            if self._owns_factory:
                group.create_task(self.factory.run(), name="scheduler-informers")
            await self.factory.synced()
            self.ready.set()
            while True:
                waiting = await self.queue.pop()
                await self._slots.acquire()
                try:
                    self._schedule(waiting, group)
                except Exception:
                    self._slots.release()
                    log.exception("scheduling %s failed", waiting.pod.key)
                    self.failed += 1
                    self.queue.failed(waiting)
                await asyncio.sleep(0)

    def _schedule(self, waiting: Waiting, group: asyncio.TaskGroup) -> None:
        """Decide; what follows is a task that gives the slot back."""
        pod = waiting.pod
        problem = self.volumes.problem(pod)
        if problem:
            decision = self.volumes.refusal(problem, self.state)
        else:
            spread = () if pod.spread else self.spreading.constraints(pod)
            decision = self.decider.decide(pod, volumes=self.volumes.check(pod), default_spread=spread)
        if not decision.node:
            group.create_task(self._refuse(waiting, decision), name=f"refuse {pod.key}")
            return
        pod.node = decision.node
        self.state.place(pod, assumed=True)
        group.create_task(self._bind(waiting, decision.node), name=f"bind {pod.key}")

    async def _bind(self, waiting: Waiting, node: str) -> None:
        pod = waiting.pod
        body = core_v1.Binding(
            metadata=pod.pod.metadata.__class__(name=pod.name, namespace=pod.namespace, uid=pod.uid),
            target=core_v1.ObjectReference(kind="Node", name=node),
        )
        try:
            await self.volumes.prepare(self.client, pod, node)
            await self.client.create_subresource(Pod, pod.name, "binding", body, namespace=pod.namespace)
        except (StatusError, OSError) as error:
            self._not_bound(waiting, error)
        else:
            self.scheduled += 1
            self.queue.done(pod.uid)
            self.decider.withdraw(pod.uid)
            self.recorder.event(pod.pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")
            if has_affinity(pod):
                self.queue.happened(Happening.POD_PLACED)
        finally:
            self._slots.release()

    def _not_bound(self, waiting: Waiting, error: Exception) -> None:
        pod = waiting.pod
        if pod.uid in self.state.assumed:
            self.state.forget(pod.uid)
            self.queue.happened(Happening.POD_GONE)
        pod.node = ""
        gone = isinstance(error, NotFound) or (isinstance(error, Conflict) and self.pods.get(pod.namespace, pod.name) is None)
        if gone:
            self.queue.done(pod.uid)
            return
        log.warning("binding %s: %s", pod.key, error)
        self.failed += 1
        self.recorder.event(pod.pod, "Warning", "FailedScheduling", f"running Bind plugin: {error}")
        self.queue.failed(waiting)

    async def _refuse(self, waiting: Waiting, decision: Decision) -> None:
        """Say why, make room if less important pods are in the way, and let the pod wait."""
        self.refused += 1
        pod = waiting.pod
        message, nominated = decision.message, ""
        try:
            if decision.refusals:
                nominated, text = await self._preempt(pod, decision)
                if text:
                    message += f" preemption: {text}"
            self.recorder.event(pod.pod, "Warning", "FailedScheduling", message)
            await self._write_condition(pod, message, nominated)
        except NotFound:
            self.queue.done(pod.uid)
        except (StatusError, OSError) as error:
            log.warning("status of %s: %s", pod.key, error)
            self.queue.failed(waiting)
        else:
            self.queue.refused(waiting, decision.plugins)
        finally:
            self._slots.release()

    async def _preempt(self, pod: PodInfo, decision: Decision) -> tuple[str, str]:
        """(nominated node, message)."""
        why = preempting.eligible(pod, self.state, pod.pod.status.nominatedNodeName or "")
        if why:
            return pod.pod.status.nominatedNodeName or "", why
        budgets = [
            preempting.Budget(
                b.metadata.namespace or "",
                compiled(b.spec.selector),
                b.status.disruptionsAllowed or 0,
                frozenset(b.status.disruptedPods),
            )
            for b in self.budgets
        ]
        candidate, text = preempting.find(pod, self.state, decision.refusals, budgets, volumes=self.volumes.check(pod))
        if candidate is None:
            self.decider.withdraw(pod.uid)
            return "", text
        self.decider.nominate(pod, candidate.node)
        async with asyncio.TaskGroup() as group:
            for victim in candidate.victims:
                group.create_task(self._evict(pod, victim, candidate.node), name=f"preempt {victim.key}")
        return candidate.node, ""

    async def _evict(self, pod: PodInfo, victim: PodInfo, node: str) -> None:
        if victim.terminating:
            return
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{self.options.name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": times.now(self.clock),
        }
        try:
            await self.client.patch(
                Pod,
                victim.name,
                {"status": {"conditions": [condition]}},
                type="strategic",
                namespace=victim.namespace,
                subresource="status",
            )
            await self.client.delete(Pod, victim.name, namespace=victim.namespace)
        except NotFound:
            return
        self.recorder.event(victim.pod, "Normal", "Preempted", f"Preempted by pod {pod.uid} on node {node}")

    async def _write_condition(self, pod: PodInfo, message: str, nominated: str) -> None:
        """PodScheduled False; unchanged conditions are not written again."""
        known = next((c for c in pod.pod.status.conditions if c.type == "PodScheduled"), None)
        status: dict[str, object] = {}
        if known is None or (known.status, known.reason, known.message) != ("False", "Unschedulable", message):
            changed = known is None or known.status != "False"
            since = times.now(self.clock) if changed or known is None else known.lastTransitionTime
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": message,
                    "lastTransitionTime": since,
                    "observedGeneration": pod.pod.metadata.generation or 0,
                }
            ]
        if nominated != (pod.pod.status.nominatedNodeName or ""):
            status["nominatedNodeName"] = nominated or None
        if status:
            await self.client.patch(
                Pod, pod.name, {"status": status}, type="strategic", namespace=pod.namespace, subresource="status"
            )
