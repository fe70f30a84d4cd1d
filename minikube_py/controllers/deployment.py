"""Deployment controller: replica sets per revision, rolled out as the strategy says. The arithmetic is in `rollout`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from minikube_api.meta.errors import AlreadyExists, NotFound, StatusError
from minikube_api.schema.typed.apps_v1 import Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec
from minikube_api.schema.typed.core_v1 import Pod, PodTemplateSpec
from minikube_api.schema.typed.meta_v1 import LabelSelector, ObjectMeta
from minikube_py.controllers import conditions, owners, pods, rollout, templates
from minikube_py.controllers.runner import Controller, Key, Result, TerminalError, gather, namespace_terminating


class DeploymentController(Controller):
    name = "deployment-controller"
    identity = "deployment-controller"
    component = "deployment-controller"

    def setup(self) -> None:
        self._deployments = self.informers.informer(Deployment)
        self._sets = self.informers.informer(ReplicaSet)
        self._pods = self.informers.informer(Pod)
        self._sets.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._pods.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._deployments.on_change(self.enqueue)
        self._sets.on_add(self._set_changed)
        self._sets.on_update(self._set_updated)
        self._sets.on_delete(self._set_changed)
        self._pods.on_delete(self._pod_deleted)

    # children -> keys

    def _set_changed(self, rs: ReplicaSet) -> None:
        ref = owners.controller_of(rs)
        if ref is not None:
            if ref.kind == "Deployment":
                self.queue.add(Key(rs.metadata.namespace, ref.name))
            return
        for d in self._deployments.list(rs.metadata.namespace):
            selector = owners.selector_of(d.spec.selector)
            if not selector.everything and selector.matches(rs.metadata.labels):
                self.enqueue(d)

    def _set_updated(self, old: ReplicaSet, new: ReplicaSet) -> None:
        before, after = owners.controller_of(old), owners.controller_of(new)
        if before is not None and before != after and before.kind == "Deployment":
            self.queue.add(Key(old.metadata.namespace, before.name))
        if after is not None or before is not None or old.metadata.labels != new.metadata.labels:
            self._set_changed(new)

    def _pod_deleted(self, pod: Pod) -> None:
        """A Recreate rollout waits for the last old pod."""
        ref = owners.controller_of(pod)
        rs = self._sets.get(pod.metadata.namespace, ref.name) if ref is not None and ref.kind == "ReplicaSet" else None
        owner = owners.controller_of(rs) if rs is not None else None
        if owner is None or owner.kind != "Deployment":
            return
        d = self._deployments.get(pod.metadata.namespace, owner.name)
        if d is not None and d.spec.strategy.type == "Recreate":
            self.enqueue(d)

    # reconciling

    async def reconcile(self, key: Key) -> Result | None:
        d = self._deployments.get(*key)
        if d is None:
            return None
        selector = owners.selector_of(d.spec.selector)
        if selector.everything:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self.recorder.event(d, "Warning", "SelectingAll", message)
            if (d.status.observedGeneration or 0) < (d.metadata.generation or 0):
                await self._update_status(d, replace(d.status, observedGeneration=d.metadata.generation))
            raise TerminalError(message)
        sets = await owners.claim(
            self.client,
            d,
            ReplicaSet,
            [
                *self._sets.index(owners.CONTROLLER_INDEX, d.metadata.uid),
                *self._sets.index(owners.CONTROLLER_INDEX, owners.orphans_of(d.metadata.namespace)),
            ],
            matches=lambda rs: selector.matches(rs.metadata.labels),
            fresh_owner=partial(self.client.get, Deployment, d.metadata.name, namespace=d.metadata.namespace),
        )
        return await Rollout(self, d, sets).run()

    async def _update_status(self, d: Deployment, status: DeploymentStatus) -> Deployment:
        return await self.client.update_status(replace(d, status=status))

    def pods_of(self, rs: ReplicaSet) -> list[Pod]:
        return self._pods.index(owners.CONTROLLER_INDEX, rs.metadata.uid)


class Rollout:
    """One pass over one deployment; `d` follows the writes of the pass."""

    def __init__(self, controller: DeploymentController, d: Deployment, sets: list[ReplicaSet]) -> None:
        self._controller = controller
        self._client = controller.client
        self._now = controller.clock.time()
        self.d = d
        self._sets = sets

    async def run(self) -> Result | None:
        if self.d.metadata.deletionTimestamp is not None:
            new, old = await self._sort(create=False)
            return await self._write_plain_status(new, old)
        await self._note_pause()
        if self.d.spec.paused or self._is_scaling():
            new, old = await self._sort(create=False)
            await self._scale(new, old)
            if self.d.spec.paused:
                await self._clean_up(old)
            return await self._write_plain_status(new, old)
        if self.d.spec.strategy.type == "Recreate":
            return await self._recreate()
        return await self._roll()

    async def _note_pause(self) -> None:
        """A paused deployment makes no progress, which must not count against its deadline."""
        if not rollout.has_deadline(self.d):
            return
        current = conditions.find(self.d.status.conditions, "Progressing")
        if current is not None and current.reason == rollout.TIMED_OUT:
            return
        is_noted = current is not None and current.reason == "DeploymentPaused"
        if self.d.spec.paused and not is_noted:
            noted = rollout.condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", self._now)
        elif not self.d.spec.paused and is_noted:
            noted = rollout.condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", self._now)
        else:
            return
        await self._set_condition(noted)

    def _is_scaling(self) -> bool:
        """Whether the deployment's size changed since its active sets were last written."""
        for rs in rollout.active(self._sets):
            desired = rs.metadata.annotations.get(rollout.DESIRED_REPLICAS, "")
            if desired.isdigit() and int(desired) != rollout.wanted(self.d):
                return True
        return False

    # strategies

    async def _roll(self) -> Result | None:
        new, old = await self._sort(create=True)
        if new is None:
            return None
        everything = [*old, new]
        size = rollout.new_size(self.d, everything, new)
        if rollout.size(new) > rollout.wanted(self.d):
            size = rollout.wanted(self.d)
        if size != rollout.size(new):
            new = await self._resize(new, size)
            return await self._write_rollout_status(new, [*old, new])
        sizes = rollout.old_sizes(self.d, rollout.active(old), new)
        if sizes:
            old = [await self._resize(rs, sizes[rs.metadata.name]) if rs.metadata.name in sizes else rs for rs in old]
            return await self._write_rollout_status(new, [*old, new])
        if rollout.is_complete(self.d, self.d.status):
            await self._clean_up(old)
        return await self._write_rollout_status(new, [*old, new])

    async def _recreate(self) -> Result | None:
        new, old = await self._sort(create=False)
        running = rollout.active(old)
        if running:
            old = [await self._resize(rs, 0) if rollout.size(rs) else rs for rs in old]
            return await self._write_rollout_status(new, [*old, *((new,) if new else ())])
        if any(rs.status.replicas for rs in old) or self._old_pods_run(old):
            return await self._write_rollout_status(new, [*old, *((new,) if new else ())])
        if new is None:
            new, old = await self._sort(create=True)
            if new is None:
                return None
        new = await self._resize(new, rollout.wanted(self.d))
        if rollout.is_complete(self.d, self.d.status):
            await self._clean_up(old)
        return await self._write_rollout_status(new, [*old, new])

    def _old_pods_run(self, old: Sequence[ReplicaSet]) -> bool:
        return any(not pods.is_terminal(pod) for rs in old for pod in self._controller.pods_of(rs))

    # replica sets

    async def _sort(self, *, create: bool) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
        """The new set (created if asked, with its annotations brought up to date) and the old ones; syncs the revision."""
        new = rollout.newest(self.d, self._sets)
        old = [rs for rs in self._sets if new is None or rs.metadata.uid != new.metadata.uid]
        revision = max((rollout.revision(rs) for rs in old), default=0) + 1
        if new is not None:
            return await self._update_new(new, revision), old
        if not create:
            return None, old
        return await self._create_new(old, revision), old

    async def _update_new(self, new: ReplicaSet, revision: int) -> ReplicaSet:
        annotations = rollout.new_annotations(self.d, new.metadata.annotations, revision, exists=True)
        minimum = self.d.spec.minReadySeconds or None
        if annotations != new.metadata.annotations or minimum != (new.spec.minReadySeconds or None):
            changed = replace(
                new,
                metadata=replace(new.metadata, annotations=annotations),
                spec=replace(new.spec, minReadySeconds=minimum),
            )
            return await self._client.update(changed)
        noted = None
        if rollout.has_deadline(self.d) and conditions.find(self.d.status.conditions, "Progressing") is None:
            message = f'Found new replica set "{new.metadata.name}"'
            noted = rollout.condition("Progressing", "True", "FoundNewReplicaSet", message, self._now)
        await self._sync_revision(new.metadata.annotations.get(rollout.REVISION, ""), noted)
        return new

    async def _create_new(self, old: list[ReplicaSet], revision: int) -> ReplicaSet | None:
        d = self.d
        new = new_replica_set(d, revision, rollout.new_size(d, old, None))
        is_new = True
        try:
            created = await self._client.create(new)
        except AlreadyExists:
            created = await self._existing(new)
            is_new = False
        except StatusError as error:
            if namespace_terminating(error):
                return None
            message = f'Failed to create new replica set "{new.metadata.name}": {error}'
            if rollout.has_deadline(d):
                failed = rollout.condition("Progressing", "False", "ReplicaSetCreateError", message, self._now)
                await self._set_condition(failed)
            self._controller.recorder.event(d, "Warning", "ReplicaSetCreateError", message)
            raise
        noted = None
        if is_new:
            if rollout.size(created):
                message = f"Scaled up replica set {created.metadata.name} from 0 to {rollout.size(created)}"
                self._controller.recorder.event(d, "Normal", "ScalingReplicaSet", message)
            if rollout.has_deadline(d):
                message = f'Created new replica set "{created.metadata.name}"'
                noted = rollout.condition("Progressing", "True", "NewReplicaSetCreated", message, self._now)
        await self._sync_revision(str(revision), noted)
        return created

    async def _existing(self, new: ReplicaSet) -> ReplicaSet:
        """The set that has the new one's name: ours of an earlier try, or a collision of hashes, which is counted."""
        found = await self._client.get(ReplicaSet, new.metadata.name, namespace=new.metadata.namespace)
        if owners.is_controlled_by(found, self.d) and templates.equal_ignoring_hash(found.spec.template, self.d.spec.template):
            return found
        count = (self.d.status.collisionCount or 0) + 1
        await self._write(replace(self.d.status, collisionCount=count))
        raise AlreadyExists.object("replicasets", new.metadata.name, "apps")

    async def _scale(self, new: ReplicaSet | None, old: list[ReplicaSet]) -> None:
        only = rollout.active_or_latest(new, old)
        if only is not None:
            await self._resize(only, rollout.wanted(self.d), annotate=rollout.size(only) != rollout.wanted(self.d))
        elif rollout.is_saturated(self.d, new):
            for rs in rollout.active(old):
                await self._resize(rs, 0)
        elif rollout.is_rolling(self.d):
            everything = [*old, *((new,) if new is not None else ())]
            sizes = rollout.proportional_sizes(self.d, everything)
            for rs in everything:
                if rs.metadata.name in sizes:
                    await self._resize(rs, sizes[rs.metadata.name], annotate=True)

    async def _resize(self, rs: ReplicaSet, size: int, *, annotate: bool | None = None) -> ReplicaSet:
        """Scale a set, with the event; its annotations get the deployment's present size (also alone, if `annotate`)."""
        before = rollout.size(rs)
        annotations = rs.metadata.annotations | rollout.replicas_annotations(self.d)
        if size == before and (not annotate or annotations == rs.metadata.annotations):
            return rs
        changed = replace(
            rs,
            metadata=replace(rs.metadata, annotations=annotations),
            spec=replace(rs.spec, replicas=size),
        )
        written = await self._client.update(changed)
        if size != before:
            direction = "up" if size > before else "down"
            message = f"Scaled {direction} replica set {rs.metadata.name} from {before} to {size}"
            self._controller.recorder.event(self.d, "Normal", "ScalingReplicaSet", message)
        return written

    async def _clean_up(self, old: list[ReplicaSet]) -> None:
        async def delete(rs: ReplicaSet) -> None:
            try:
                await self._client.delete(ReplicaSet, rs.metadata.name, namespace=rs.metadata.namespace)
            except NotFound:
                pass  # somebody was quicker

        errors = await gather(*(delete(rs) for rs in rollout.surplus_history(self.d, old)))
        for error in errors:
            if error is not None:
                raise error

    # status

    async def _write_plain_status(self, new: ReplicaSet | None, old: list[ReplicaSet]) -> None:
        everything = [*old, *((new,) if new is not None else ())]
        await self._write(rollout.status_of(self.d, everything, new, self._now))

    async def _write_rollout_status(self, new: ReplicaSet | None, everything: list[ReplicaSet]) -> Result | None:
        status = rollout.status_of(self.d, everything, new, self._now)
        listed = rollout.rollout_conditions(self.d, everything, new, status, self._now)
        status = replace(status, conditions=listed)
        await self._write(status)
        current = conditions.find(status.conditions, "Progressing")
        if not rollout.has_deadline(self.d) or current is None or current.reason == rollout.TIMED_OUT:
            return None
        if rollout.is_complete(self.d, status):
            return None
        return Result(max(0.0, rollout.deadline_in(self.d, current, self._now)) + 1)

    async def _sync_revision(self, revision: str, noted: Any) -> None:
        """The deployment carries its new set's revision. Written through status: annotations pass there, without a new generation."""
        d = self.d
        status = d.status
        if noted is not None:
            status = replace(status, conditions=conditions.with_condition(status.conditions, noted))
        if d.metadata.annotations.get(rollout.REVISION) != revision:
            annotations = d.metadata.annotations | {rollout.REVISION: revision}
            d = replace(d, metadata=replace(d.metadata, annotations=annotations))
        elif noted is None:
            return
        self.d = await self._client.update_status(replace(d, status=status))

    async def _set_condition(self, condition: Any) -> None:
        listed = conditions.with_condition(self.d.status.conditions, condition)
        await self._write(replace(self.d.status, conditions=listed))

    async def _write(self, status: DeploymentStatus) -> None:
        if _plain(status) != _plain(self.d.status):
            self.d = await self._client.update_status(replace(self.d, status=status))


def new_replica_set(d: Deployment, revision: int, replicas: int) -> ReplicaSet:
    """The replica set of the deployment's present template. Pure; the name is decided by template and collision count."""
    hash = templates.template_hash(d.spec.template, d.status.collisionCount)
    template: PodTemplateSpec = d.spec.template
    labels = template.metadata.labels | {templates.HASH_LABEL: hash}
    selector: LabelSelector = d.spec.selector
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{d.metadata.name}-{hash}",
            namespace=d.metadata.namespace,
            labels=labels,
            annotations=rollout.new_annotations(d, {}, revision, exists=False),
            ownerReferences=(owners.controller_reference(d),),
        ),
        spec=ReplicaSetSpec(
            replicas=replicas,
            minReadySeconds=d.spec.minReadySeconds or None,
            selector=replace(selector, matchLabels=selector.matchLabels | {templates.HASH_LABEL: hash}),
            template=replace(template, metadata=replace(template.metadata, labels=labels)),
        ),
    )


def _plain(status: DeploymentStatus) -> dict[str, Any]:
    """Absent counts as 0, to compare what was read with what was computed."""
    return {key: value for key, value in msgspec.to_builtins(status).items() if value}
