"""All pod workers of a kubelet (or of many hollow nodes): a queue of pod uids, and a task per pod that has something to do.

Wake-ups come from the pods' informer, runtime events, probes, ended kills and timers; they only add the uid. Never two tasks for one pod.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from minikube_agents.kubelet import pods
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.worker import PodWorker
from minikube_agents.runtime.contract import Runtime, RuntimeError_
from minikube_api.client.informers import Informer
from minikube_api.client.queue import WorkQueue
from minikube_api.meta.errors import StatusError
from minikube_api.meta.times import Clock
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)


#: seconds before a broken stream of runtime events is opened again
EVENTS_RETRY = 1.0


def matters(old: v1.Pod, new: v1.Pod) -> bool:
    """Whether an update gives a worker anything to do. Most updates are the echo of its own status."""
    before, after = old.metadata, new.metadata
    return (
        before.uid != after.uid
        or before.generation != after.generation
        or before.deletionTimestamp != after.deletionTimestamp
        or before.deletionGracePeriodSeconds != after.deletionGracePeriodSeconds
        or before.labels != after.labels
        or before.annotations != after.annotations
        or old.spec != new.spec
        or old.status.phase != new.status.phase
        or old.status.startTime != new.status.startTime
        or (bool(new.spec.readinessGates) and old.status.conditions != new.status.conditions)
    )


class PodWorkers:
    """`host_of(pod)` names the node of a pod; None = the pod of a uid that only the runtime knows."""

    def __init__(self, runtime: Runtime, clock: Clock, host_of: Callable[[v1.Pod | None], Host | None]) -> None:
        self.queue: WorkQueue[str] = WorkQueue(clock, name="pods")
        self._runtime = runtime
        self._clock = clock
        self._host_of = host_of
        self._workers: dict[str, PodWorker] = {}
        self._pods: dict[str, v1.Pod] = {}
        self._names: dict[pods.PodKey, str] = {}

    def pods(self) -> list[v1.Pod]:
        """The pods as the API gives them."""
        return list(self._pods.values())

    def find_pod(self, namespace: str, name: str) -> v1.Pod | None:
        return self._pods.get(self._names.get(pods.PodKey(namespace, name), ""))

    def worker(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def follow(self, informer: Informer[v1.Pod]) -> None:
        """Pods of the informer from now on, and those that are there already."""

        def changed(pod: v1.Pod) -> None:
            uid = pod.metadata.uid
            self._pods[uid] = pod
            self._names[pods.key(pod)] = uid
            self.queue.add(uid)

        def updated(old: v1.Pod, new: v1.Pod) -> None:
            if old.metadata.uid != new.metadata.uid:
                gone(old)
            if matters(old, new):
                changed(new)
            else:
                self._pods[new.metadata.uid] = new

        def gone(pod: v1.Pod) -> None:
            uid = pod.metadata.uid
            self._pods.pop(uid, None)
            if self._names.get(pods.key(pod)) == uid:
                del self._names[pods.key(pod)]
            self.queue.add(uid)

        informer.on_add(changed)
        informer.on_update(updated)
        informer.on_delete(gone)

    async def adopt(self) -> None:
        """Sandboxes that ran before go to the workers of their pods; those that no pod claims are ended and removed."""
        for sandbox in await self._runtime.sandboxes():
            worker = self._worker(sandbox.uid, None)
            if worker is not None:
                worker.sandbox_ids.add(sandbox.id)
                self.queue.add(sandbox.uid)

    def adopt_leftovers(self, uids: set[str]) -> None:
        """Directories of pods: those that no pod claims are removed by their (short-lived) workers."""
        for uid in uids:
            if self._worker(uid, None) is not None:
                self.queue.add(uid)

    def wake_all(self) -> None:
        for uid in {*self._pods, *self._workers}:
            self.queue.add(uid)

    def _worker(self, uid: str, pod: v1.Pod | None) -> PodWorker | None:
        worker = self._workers.get(uid)
        if worker is None:
            host = self._host_of(pod)
            if host is not None:
                worker = self._workers[uid] = PodWorker(host, uid)
        return worker

    async def dispatch(self, group: asyncio.TaskGroup) -> None:
        """Until cancelled."""
        while True:
            uid = await self.queue.get()
            group.create_task(self._work(uid), name=f"kubelet: pod {uid}")

    async def _work(self, uid: str) -> None:
        try:
            pod = self._pods.get(uid)
            if pod is not None:
                worker = self._worker(uid, pod)
                if worker is not None:
                    await worker.sync(pod)
            elif uid in self._workers:
                await self._workers[uid].forget()
                self._workers.pop(uid, None)
            self.queue.forget(uid)
        except (RuntimeError_, StatusError, OSError) as error:
            log.warning("pod %s: %s: %s", uid, type(error).__name__, error)
            self.queue.add_rate_limited(uid)
        except Exception:
            # One broken pod must not take the node with it.
            log.exception("pod %s: unexpected error", uid)
            self.queue.add_rate_limited(uid)
        finally:
            self.queue.done(uid)

    async def follow_runtime(self) -> None:
        """Runtime events wake the pod they tell of. Until cancelled."""
        while True:
            try:
                async for event in self._runtime.events():
                    worker = self._workers.get(event.pod_uid)
                    if worker is not None:
                        if event.type == "sandbox-started":
                            worker.sandbox_ids.add(event.sandbox_id)
                        self.queue.add(event.pod_uid)
            except (RuntimeError_, OSError) as error:
                log.warning("runtime events: %s", error)
            # The stream broke: whatever happened meanwhile is found by looking at everything.
            await self._clock.sleep(EVENTS_RETRY)
            self.wake_all()
