"""DaemonSet controller: one pod on each node that fits the template. Planning is in `daemonset_plan`."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from minikube_api.meta.errors import Conflict, NotFound, StatusError
from minikube_api.schema.typed.apps_v1 import ControllerRevision, DaemonSet, DaemonSetStatus
from minikube_api.schema.typed.core_v1 import Node, Pod, PodSpec
from minikube_py.controllers import daemonset_plan, history, owners, pods, templates
from minikube_py.controllers.daemonset_plan import GENERATION_ANNOTATION, GENERATION_LABEL, Plan
from minikube_py.controllers.expectations import Expectations
from minikube_py.controllers.history import HASH_LABEL
from minikube_py.controllers.runner import Context, Controller, Key, Result, gather, key_of, namespace_terminating, slow_start

#: Most pods created or deleted in one go.
BURST: Final = 250
#: Seconds before a failed pod is replaced: doubled for each in a row on one node.
BACKOFF: Final = 1.0
MAX_BACKOFF: Final = 900.0


class DaemonSetController(Controller):
    name = "daemonset-controller"
    identity = "daemon-set-controller"
    component = "daemonset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._expectations = Expectations(context.clock)
        #: (uid of the set, node) -> (time of the last replacement, present back-off)
        self._failures: dict[tuple[str, str], tuple[float, float]] = {}

    def setup(self) -> None:
        self._sets = self.informers.informer(DaemonSet)
        self._pods = self.informers.informer(Pod)
        self._nodes = self.informers.informer(Node)
        self._revisions = self.informers.informer(ControllerRevision)
        for informer in (self._pods, self._revisions):
            informer.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._sets.on_change(self.enqueue)
        self._pods.on_add(self._pod_added)
        self._pods.on_update(self._pod_updated)
        self._pods.on_delete(self._pod_deleted)
        self._nodes.on_add(lambda _: self._enqueue_all())
        self._nodes.on_delete(lambda _: self._enqueue_all())
        self._nodes.on_update(self._node_updated)
        self._revisions.on_delete(self._revision_deleted)

    def _enqueue_all(self) -> None:
        for owner in self._sets:
            self.enqueue_paced(key_of(owner), len(self._nodes))

    def _node_updated(self, old: Node, new: Node) -> None:
        """Heartbeats are most updates: only what placing depends on counts."""
        if old.metadata.labels != new.metadata.labels or old.spec.taints != new.spec.taints:
            self._enqueue_all()

    def _revision_deleted(self, revision: ControllerRevision) -> None:
        ref = owners.controller_of(revision)
        if ref is not None and ref.kind == "DaemonSet":
            self.queue.add(Key(revision.metadata.namespace, ref.name))

    def _owner_key(self, pod: Pod) -> Key | None:
        ref = owners.controller_of(pod)
        return Key(pod.metadata.namespace, ref.name) if ref is not None and ref.kind == "DaemonSet" else None

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletionTimestamp is not None:
            self._pod_deleted(pod)
        elif (key := self._owner_key(pod)) is not None:
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
        if (key := self._owner_key(pod)) is not None:
            self._expectations.deleted(key, pod.metadata.uid)
            self._enqueue_owner(key, pod)

    def _enqueue_owner(self, key: Key, pod: Pod) -> None:
        ref = owners.controller_of(pod)
        self.enqueue_paced(key, self._pods.index_size(owners.CONTROLLER_INDEX, ref.uid) if ref is not None else 0)

    def _enqueue_matching(self, pod: Pod) -> None:
        for owner in self._sets.list(pod.metadata.namespace):
            selector = owners.selector_of(owner.spec.selector)
            if not selector.everything and selector.matches(pod.metadata.labels):
                self.enqueue(owner)

    # reconciling

    async def reconcile(self, key: Key) -> Result | None:
        owner = self._sets.get(*key)
        if owner is None:
            self._expectations.forget(key)
            return None
        if owner.metadata.deletionTimestamp is not None or owners.selector_of(owner.spec.selector).everything:
            return None
        now = self.clock.time()
        revisions = history.in_order(self._revisions.index(owners.CONTROLLER_INDEX, owner.metadata.uid))
        update = await self._labelled(await history.present(self.client, owner, revisions))
        hash = update.metadata.labels[HASH_LABEL]
        spec = daemonset_plan.with_tolerations(owner.spec.template.spec)
        nodes = list(self._nodes)
        error: Exception | None = None
        wait: float | None = None
        is_settled = self._expectations.satisfied(key)
        listed = await self._claim(owner)
        if is_settled:
            plan, wait = self._plan(owner, spec, nodes, listed, hash, now)
            error = await self._act(key, owner, spec, plan, hash)
        status = daemonset_plan.status_of(
            owner, spec, nodes, daemonset_plan.by_node(listed), hash, now, settled=is_settled and error is None
        )
        await self._write_status(owner, status)
        if error is not None:
            raise error
        if is_settled:
            await self._trim(owner, revisions, update, listed)
        ready = pods.next_availability(listed, owner.spec.minReadySeconds or 0, now)
        waits = [seconds for seconds in (wait, ready) if seconds is not None]
        return Result(min(waits)) if waits else None

    def _plan(
        self, owner: DaemonSet, spec: PodSpec, nodes: list[Node], listed: list[Pod], hash: str, now: float
    ) -> tuple[Plan, float | None]:
        """What to do now; and, when failed pods wait for their back-off, the seconds until then."""
        placed = daemonset_plan.by_node(p for p in listed if not (pods.is_terminal(p) and p.metadata.deletionTimestamp))
        plan = daemonset_plan.manage(owner, spec, nodes, placed, hash, now)
        waits = [self._backoff(owner, pod, now) for pod in plan.ended if pod.status.phase == "Failed"]
        held = {pod.metadata.uid for pod, wait in waits if wait}
        plan.delete = [pod for pod in plan.delete if pod.metadata.uid not in held]
        plan.ended = [pod for pod in plan.ended if pod.metadata.uid not in held]
        if daemonset_plan.is_rolling(owner) and not plan.create and not plan.delete:
            desired = sum(daemonset_plan.belongs(spec, node)[0] for node in nodes)
            plan = daemonset_plan.rolling_update(owner, desired, placed, hash, now)
        return plan, min((wait for _, wait in waits if wait), default=None)

    def _backoff(self, owner: DaemonSet, pod: Pod, now: float) -> tuple[Pod, float]:
        """Seconds until the failed pod may be replaced, 0 = now (which is noted). Forgotten after twice the longest back-off."""
        place = (owner.metadata.uid, daemonset_plan.target_node(pod))
        self._failures = {k: v for k, v in self._failures.items() if now - v[0] < 2 * MAX_BACKOFF}
        last = self._failures.get(place)
        if last is not None and now < last[0] + last[1]:
            return pod, last[0] + last[1] - now
        self._failures[place] = (now, BACKOFF if last is None else min(2 * last[1], MAX_BACKOFF))
        return pod, 0.0

    async def _labelled(self, revision: ControllerRevision) -> ControllerRevision:
        """A revision that somebody made without the label that pods are compared by gets it."""
        if HASH_LABEL in revision.metadata.labels:
            return revision
        labels = revision.metadata.labels | {HASH_LABEL: revision.metadata.name}
        return await self.client.update(replace(revision, metadata=replace(revision.metadata, labels=labels)))

    async def _claim(self, owner: DaemonSet) -> list[Pod]:
        selector = owners.selector_of(owner.spec.selector)
        return await owners.claim(
            self.client,
            owner,
            Pod,
            [
                *self._pods.index(owners.CONTROLLER_INDEX, owner.metadata.uid),
                *self._pods.index(owners.CONTROLLER_INDEX, owners.orphans_of(owner.metadata.namespace)),
            ],
            matches=lambda pod: selector.matches(pod.metadata.labels),
            fresh_owner=partial(self.client.get, DaemonSet, owner.metadata.name, namespace=owner.metadata.namespace),
        )

    async def _trim(
        self, owner: DaemonSet, revisions: list[ControllerRevision], update: ControllerRevision, listed: list[Pod]
    ) -> None:
        used = {pod.metadata.labels.get(HASH_LABEL) for pod in listed} | {update.metadata.labels[HASH_LABEL]}
        unused = [
            r for r in revisions if r.metadata.name != update.metadata.name and r.metadata.labels.get(HASH_LABEL) not in used
        ]
        await history.trim(self.client, owner, unused)

    # pods

    async def _act(self, key: Key, owner: DaemonSet, spec: PodSpec, plan: Plan, hash: str) -> Exception | None:
        for pod in plan.ended:
            failed = pod.status.phase == "Failed"
            where = f"daemon pod {key_of(pod)} on node {daemonset_plan.target_node(pod)}"
            if failed:
                self.recorder.event(owner, "Warning", "FailedDaemonPod", f"Found failed {where}, will try to kill it")
            else:
                self.recorder.event(owner, "Normal", "SucceededDaemonPod", f"Found succeeded {where}, will try to delete it")
        create, delete = plan.create[:BURST], plan.delete[:BURST]
        self._expectations.expect(key, creations=len(create), deletions=[pod.metadata.uid for pod in delete])
        failure = await self._create(key, owner, spec, create, hash)
        errors = await gather(*(self._delete(key, owner, pod) for pod in delete))
        return next((error for error in (failure, *errors) if error is not None), None)

    async def _create(self, key: Key, owner: DaemonSet, spec: PodSpec, nodes: list[str], hash: str) -> Exception | None:
        labels = {HASH_LABEL: hash}
        if generation := owner.metadata.annotations.get(GENERATION_ANNOTATION):
            labels[GENERATION_LABEL] = generation
        pod = templates.pod_from(owner.spec.template, owner, owners.controller_reference(owner), labels=labels)
        remaining = iter(nodes)

        async def create_one() -> None:
            try:
                made = await self.client.create(replace(pod, spec=daemonset_plan.pinned(spec, next(remaining))))
            except StatusError as error:
                if not namespace_terminating(error):
                    self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")

        successes, error = await slow_start(len(nodes), create_one)
        if successes < len(nodes):
            self._expectations.created(key, len(nodes) - successes)
        return None if isinstance(error, StatusError) and namespace_terminating(error) else error

    async def _delete(self, key: Key, owner: DaemonSet, pod: Pod) -> None:
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

    async def _write_status(self, owner: DaemonSet, status: DaemonSetStatus) -> None:
        if _plain(status) == _plain(owner.status):
            return
        try:
            await self.client.update_status(replace(owner, status=status))
        except Conflict:
            fresh = await self.client.get(DaemonSet, owner.metadata.name, namespace=owner.metadata.namespace)
            if fresh.metadata.uid == owner.metadata.uid:
                await self.client.update_status(replace(fresh, status=status))
        except NotFound:
            pass  # deleted meanwhile: its status no longer matters


def _plain(status: DaemonSetStatus) -> dict[str, Any]:
    return {name: getattr(status, name) or 0 for name in status.__struct_fields__}
