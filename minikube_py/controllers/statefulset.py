"""StatefulSet controller: pods with a name, a claim and an order of their own. Planning is in `statefulset_plan`."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from minikube_api.meta.errors import AlreadyExists, NotFound, StatusError
from minikube_api.schema.typed.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from minikube_api.schema.typed.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodTemplateSpec,
    Volume,
)
from minikube_py.controllers import history, owners, pods, statefulset_plan, templates
from minikube_py.controllers.runner import Controller, Key, Result, key_of, namespace_terminating
from minikube_py.controllers.statefulset_plan import REVISION_LABEL


class StatefulSetController(Controller):
    name = "statefulset-controller"
    identity = "statefulset-controller"
    component = "statefulset-controller"

    def setup(self) -> None:
        self._sets = self.informers.informer(StatefulSet)
        self._pods = self.informers.informer(Pod)
        self._claims = self.informers.informer(PersistentVolumeClaim)
        self._revisions = self.informers.informer(ControllerRevision)
        for informer in (self._pods, self._revisions):
            informer.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._sets.on_change(self.enqueue)
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Pod) -> None:
        ref = owners.controller_of(pod)
        if ref is not None:
            if ref.kind == "StatefulSet":
                self.queue.add(Key(pod.metadata.namespace, ref.name))
            return
        for owner in self._sets.list(pod.metadata.namespace):
            if statefulset_plan.ordinal_of(owner, pod) is not None:
                self.enqueue(owner)

    async def reconcile(self, key: Key) -> Result | None:
        owner = self._sets.get(*key)
        if owner is None or owner.metadata.deletionTimestamp is not None:
            return None
        selector = owners.selector_of(owner.spec.selector)
        listed = await owners.claim(
            self.client,
            owner,
            Pod,
            [
                *self._pods.index(owners.CONTROLLER_INDEX, owner.metadata.uid),
                *self._pods.index(owners.CONTROLLER_INDEX, owners.orphans_of(key.namespace)),
            ],
            matches=lambda p: selector.matches(p.metadata.labels) and statefulset_plan.ordinal_of(owner, p) is not None,
            fresh_owner=partial(self.client.get, StatefulSet, key.name, namespace=key.namespace),
        )
        revisions = history.in_order(self._revisions.index(owners.CONTROLLER_INDEX, owner.metadata.uid))
        update = await history.present(self.client, owner, revisions)
        current = owner.status.currentRevision or update.metadata.name
        if all(r.metadata.name != current for r in revisions):
            current = update.metadata.name
        now = self.clock.time()
        plan = statefulset_plan.plan(owner, listed, current, update.metadata.name, now)
        by_name = {r.metadata.name: r for r in (*revisions, update)}
        await self._retain(owner, listed)
        try:
            for pod in plan.delete:
                await self._delete(owner, pod)
            for ordinal, revision in plan.create:
                await self._create(owner, ordinal, by_name[revision])
        except StatusError as error:
            if not namespace_terminating(error):
                raise
        status = statefulset_plan.status_of(owner, listed, current, update.metadata.name, now)
        await self._write_status(owner, status)
        used = {pod.metadata.labels.get(REVISION_LABEL, "") for pod in listed} | {
            status.currentRevision or "",
            update.metadata.name,
        }
        await history.trim(self.client, owner, [r for r in revisions if r.metadata.name not in used])
        wait = pods.next_availability(listed, owner.spec.minReadySeconds or 0, now)
        return Result(wait) if wait is not None else None

    # pods

    async def _create(self, owner: StatefulSet, ordinal: int, revision: ControllerRevision) -> None:
        template = history.template_of(revision)
        pod = new_pod(owner, template, ordinal, revision.metadata.name)
        for claim in new_claims(owner, ordinal):
            await self._create_claim(owner, pod, claim)
        what = f"create Pod {pod.metadata.name} in StatefulSet {owner.metadata.name}"
        try:
            await self.client.create(pod)
        except StatusError as error:
            if not namespace_terminating(error) and not isinstance(error, AlreadyExists):
                self.recorder.event(owner, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _create_claim(self, owner: StatefulSet, pod: Pod, claim: PersistentVolumeClaim) -> None:
        if self._claims.get(*key_of(claim)) is not None:
            return
        what = f"create Claim {claim.metadata.name} Pod {pod.metadata.name} in StatefulSet {owner.metadata.name}"
        try:
            await self.client.create(claim)
        except AlreadyExists:
            return  # kept from an earlier life of the pod: its data is what the set is for
        except StatusError as error:
            self.recorder.event(owner, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulCreate", f"{what} success")

    async def _retain(self, owner: StatefulSet, listed: list[Pod]) -> None:
        """Give the pods' claims the owners that the retention policy asks for, before any of the pods is deleted."""
        for pod in listed:
            ordinal = statefulset_plan.ordinal_of(owner, pod)
            if ordinal is None:
                continue
            for template in owner.spec.volumeClaimTemplates:
                claim = self._claims.get(owner.metadata.namespace, claim_name(owner, template, ordinal))
                if claim is None:
                    continue
                wanted = statefulset_plan.claim_owners(owner, pod, claim.metadata.ownerReferences)
                if wanted != claim.metadata.ownerReferences:
                    await self.client.update(replace(claim, metadata=replace(claim.metadata, ownerReferences=wanted)))

    async def _delete(self, owner: StatefulSet, pod: Pod) -> None:
        meta = pod.metadata
        if pods.is_terminal(pod):
            reason = "RecreatingFailedPod" if pod.status.phase == "Failed" else "RecreatingTerminatedPod"
            state = "failed" if pod.status.phase == "Failed" else "terminated"
            message = f"StatefulSet {key_of(owner)} is recreating {state} Pod {meta.name}"
            self.recorder.event(owner, "Warning" if state == "failed" else "Normal", reason, message)
        what = f"delete Pod {meta.name} in StatefulSet {owner.metadata.name}"
        try:
            await self.client.delete(Pod, meta.name, namespace=meta.namespace, uid=meta.uid)
        except NotFound:
            return
        except StatusError as error:
            self.recorder.event(owner, "Warning", "FailedDelete", f"{what} failed error: {error}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulDelete", f"{what} successful")

    async def _write_status(self, owner: StatefulSet, status: StatefulSetStatus) -> None:
        if _plain(status) == _plain(owner.status):
            return
        try:
            await self.client.update_status(replace(owner, status=status))
        except NotFound:
            pass  # deleted meanwhile: its status no longer matters


def claim_name(owner: StatefulSet, template: PersistentVolumeClaim, ordinal: int) -> str:
    return f"{template.metadata.name}-{owner.metadata.name}-{ordinal}"


def new_claims(owner: StatefulSet, ordinal: int) -> list[PersistentVolumeClaim]:
    labels = owner.spec.selector.matchLabels
    return [
        replace(
            template,
            metadata=replace(
                template.metadata,
                name=claim_name(owner, template, ordinal),
                namespace=owner.metadata.namespace,
                labels=template.metadata.labels | labels,
            ),
            status=type(template.status)(),
        )
        for template in owner.spec.volumeClaimTemplates
    ]


def new_pod(owner: StatefulSet, template: PodTemplateSpec, ordinal: int, revision: str) -> Pod:
    """The pod of an ordinal: its identity (name, hostname, labels) and its claims as volumes. Pure."""
    name = f"{owner.metadata.name}-{ordinal}"
    labels = {
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(ordinal),
        REVISION_LABEL: revision,
    }
    pod = templates.pod_from(template, owner, owners.controller_reference(owner), name=name, labels=labels)
    claimed = {
        t.metadata.name: Volume(
            name=t.metadata.name,
            persistentVolumeClaim=PersistentVolumeClaimVolumeSource(claimName=claim_name(owner, t, ordinal)),
        )
        for t in owner.spec.volumeClaimTemplates
    }
    volumes = (*(v for v in pod.spec.volumes if v.name not in claimed), *claimed.values())
    spec = replace(pod.spec, hostname=name, subdomain=owner.spec.serviceName or None, volumes=volumes)
    return replace(pod, spec=spec)


def _plain(status: StatefulSetStatus) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(status).items() if value}
