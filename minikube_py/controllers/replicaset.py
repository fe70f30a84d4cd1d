"""ReplicaSet controller: keeps as many pods as asked for, and says how many are there, ready and available.

Source: pkg/controller/replicaset. ReplicationController is the same thing with a plain selector (`replication.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from minikube_api.meta import selectors, times
from minikube_api.meta.errors import Conflict, NotFound, StatusError
from minikube_api.schema.typed.apps_v1 import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from minikube_api.schema.typed.core_v1 import Pod, PodTemplateSpec
from minikube_py.controllers import conditions, owners, pods, templates
from minikube_py.controllers.expectations import Expectations
from minikube_py.controllers.runner import Context, Controller, Key, Result, gather, namespace_terminating, slow_start

#: Most pods created or deleted in one go.
BURST: Final = 500


class ReplicaSetController(Controller):
    name = "replicaset-controller"
    identity = "replicaset-controller"
    component = "replicaset-controller"

    kind: ClassVar[type[Any]] = ReplicaSet
    condition_type: ClassVar[type[Any]] = ReplicaSetCondition
    status_type: ClassVar[type[Any]] = ReplicaSetStatus

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._expectations = Expectations(context.clock)

    def setup(self) -> None:
        self._sets = self.informers.informer(self.kind)
        self._pods = self.informers.informer(Pod)
        self._sets.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._pods.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._sets.on_change(self.enqueue)
        self._pods.on_add(self._pod_added)
        self._pods.on_update(self._pod_updated)
        self._pods.on_delete(self._pod_deleted)

    # what differs between ReplicaSet and ReplicationController

    def selector(self, owner: Any) -> selectors.LabelSelector:
        return owners.selector_of(owner.spec.selector)

    # pods -> keys

    def _owner_key(self, pod: Pod) -> Key | None:
        ref = owners.controller_of(pod)
        if ref is None or ref.kind != self.kind.API.kind:
            return None
        return Key(pod.metadata.namespace, ref.name)

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletionTimestamp is not None:
            self._pod_deleted(pod)
            return
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.created(key)
            self._enqueue_owner(key, pod)
        elif owners.controller_of(pod) is None:
            self._enqueue_matching(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if new.metadata.deletionTimestamp is not None and old.metadata.deletionTimestamp is None:
            self._pod_deleted(new)
            return
        key, old_key = self._owner_key(new), self._owner_key(old)
        if old_key is not None and old_key != key:
            self.queue.add(old_key)
        if key is not None:
            self._enqueue_owner(key, new)
        elif owners.controller_of(new) is None and (
            new.metadata.labels != old.metadata.labels or owners.controller_of(old) is not None
        ):
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: Pod) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.deleted(key, pod.metadata.uid)
            self._enqueue_owner(key, pod)

    def _enqueue_owner(self, key: Key, pod: Pod) -> None:
        ref = owners.controller_of(pod)
        siblings = self._pods.index_size(owners.CONTROLLER_INDEX, ref.uid) if ref is not None else 0
        self.enqueue_paced(key, siblings)

    def _enqueue_matching(self, pod: Pod) -> None:
        """An orphan: whoever selects it may adopt it."""
        if not pod.metadata.labels:
            return
        for owner in self._sets.list(pod.metadata.namespace):
            selector = self.selector(owner)
            if not selector.everything and selector.matches(pod.metadata.labels):
                self.enqueue(owner)

    # reconciling

    async def reconcile(self, key: Key) -> Result | None:
        owner = self._sets.get(*key)
        if owner is None:
            self._expectations.forget(key)
            return None
        needs_sync = self._expectations.satisfied(key)
        claimed = await self._claim(owner)
        active = [pod for pod in claimed if pods.is_active(pod)]
        error: Exception | None = None
        if needs_sync and owner.metadata.deletionTimestamp is None:
            error = await self._manage(key, owner, active)
        terminating = sum(pods.is_terminating(pod) for pod in claimed)
        now = self.clock.time()
        status = self.status(owner, active, terminating, error, now)
        await self._write_status(owner, status)
        if error is not None:
            raise error
        wait = pods.next_availability(active, owner.spec.minReadySeconds or 0, now)
        return Result(wait) if wait is not None else None

    async def _claim(self, owner: Any) -> list[Pod]:
        selector = self.selector(owner)
        candidates = self._pods.index(owners.CONTROLLER_INDEX, owner.metadata.uid)
        candidates += [
            pod
            for pod in self._pods.index(owners.CONTROLLER_INDEX, owners.orphans_of(owner.metadata.namespace))
            if not pods.is_terminal(pod)
        ]
        return await owners.claim(
            self.client,
            owner,
            Pod,
            candidates,
            matches=lambda pod: selector.matches(pod.metadata.labels),
            fresh_owner=partial(self.client.get, self.kind, owner.metadata.name, namespace=owner.metadata.namespace),
        )

    async def _manage(self, key: Key, owner: Any, active: list[Pod]) -> Exception | None:
        """Create or delete what is missing or too much; the first error is returned for the status."""
        wanted = 1 if owner.spec.replicas is None else owner.spec.replicas
        difference = len(active) - wanted
        if difference < 0:
            return await self._create(key, owner, min(-difference, BURST))
        if difference > 0:
            return await self._delete(key, owner, active, min(difference, BURST))
        return None

    async def _create(self, key: Key, owner: Any, count: int) -> Exception | None:
        self._expectations.expect(key, creations=count)
        template: PodTemplateSpec = owner.spec.template or PodTemplateSpec()
        pod = templates.pod_from(template, owner, owners.controller_reference(owner))

        async def create_one() -> None:
            try:
                made = await self.client.create(pod)
            except StatusError as error:
                if not namespace_terminating(error):
                    self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")

        successes, error = await slow_start(count, create_one)
        if successes < count:
            self._expectations.created(key, count - successes)
        if isinstance(error, StatusError) and namespace_terminating(error):
            return None
        return error

    async def _delete(self, key: Key, owner: Any, active: list[Pod], count: int) -> Exception | None:
        victims = pods.to_delete(active, self._related(owner), count, self.clock.time())
        self._expectations.expect(key, deletions=[pod.metadata.uid for pod in victims])

        async def delete_one(pod: Pod) -> None:
            name = pod.metadata.name
            try:
                await self.client.delete(Pod, name, namespace=pod.metadata.namespace, uid=pod.metadata.uid)
            except (NotFound, Conflict):
                self._expectations.deleted(key, pod.metadata.uid)
                return
            except (StatusError, OSError) as error:
                self._expectations.deleted(key, pod.metadata.uid)
                self.recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            self.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

        errors = await gather(*(delete_one(pod) for pod in victims))
        return next((error for error in errors if error is not None), None)

    def _related(self, owner: Any) -> Iterable[Pod]:
        """Pods of all sets of the same owner (of one Deployment)."""
        ref = owners.controller_of(owner)
        siblings = [owner] if ref is None else self._sets.index(owners.CONTROLLER_INDEX, ref.uid)
        for sibling in siblings:
            yield from self._pods.index(owners.CONTROLLER_INDEX, sibling.metadata.uid)

    # status

    def status(self, owner: Any, active: list[Pod], terminating: int, error: Exception | None, now: float) -> Any:
        """The status that describes these pods. Pure."""
        template: PodTemplateSpec = owner.spec.template or PodTemplateSpec()
        labels = template.metadata.labels.items()
        ready = [pod for pod in active if pods.is_ready(pod)]
        minimum = owner.spec.minReadySeconds or 0
        failure = conditions.find(owner.status.conditions, "ReplicaFailure")
        listed = owner.status.conditions
        if error is not None and failure is None:
            wanted = 1 if owner.spec.replicas is None else owner.spec.replicas
            listed = conditions.with_condition(
                listed,
                self.condition_type(
                    type="ReplicaFailure",
                    status="True",
                    reason="FailedCreate" if len(active) < wanted else "FailedDelete",
                    message=str(error),
                    lastTransitionTime=times.format_time(now),
                ),
            )
        elif error is None and failure is not None:
            listed = conditions.without(listed, "ReplicaFailure")
        return self.status_type(
            replicas=len(active),
            fullyLabeledReplicas=sum(labels <= pod.metadata.labels.items() for pod in active),
            readyReplicas=len(ready),
            availableReplicas=sum(pods.is_available(pod, minimum, now) for pod in ready),
            observedGeneration=owner.metadata.generation,
            conditions=listed,
            **self.terminating(terminating),
        )

    def terminating(self, count: int) -> dict[str, int]:
        return {"terminatingReplicas": count}

    async def _write_status(self, owner: Any, status: Any) -> None:
        if _plain(owner.status) == _plain(status):
            return
        try:
            await self.client.update_status(replace(owner, status=status))
        except Conflict:
            fresh = await self.client.get(self.kind, owner.metadata.name, namespace=owner.metadata.namespace)
            if fresh.metadata.uid == owner.metadata.uid:
                await self.client.update_status(replace(fresh, status=status))
        except NotFound:
            pass  # deleted meanwhile: its status no longer matters


def _plain(status: Any) -> dict[str, Any]:
    """A status with absent counts as 0, to compare what was read with what was computed."""
    return {name: getattr(status, name) or 0 for name in status.__struct_fields__}
