"""Planning of StatefulSets: which pods to create and delete now, and the status that the pods give. Pure.

Source: pkg/controller/statefulset (stateful_set_control.go). OrderedReady makes one step at a time, from the lowest ordinal up and, when
shrinking or updating, from the highest down; Parallel creates and deletes at once but updates one by one, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from minikube_api.schema.typed.apps_v1 import StatefulSet, StatefulSetStatus
from minikube_api.schema.typed.core_v1 import Pod
from minikube_api.schema.typed.meta_v1 import OwnerReference
from minikube_py.controllers import pods
from minikube_py.controllers.rollout import resolve

REVISION_LABEL: Final = "controller-revision-hash"


@dataclass(slots=True)
class Plan:
    """Ordinals to create with the revision (its name) of their template, and pods to delete."""

    create: list[tuple[int, str]] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)


def ordinal_of(owner: StatefulSet, pod: Pod) -> int | None:
    parent, _, number = pod.metadata.name.rpartition("-")
    is_canonical = number.isdigit() and str(int(number)) == number
    return int(number) if parent == owner.metadata.name and is_canonical else None


def ordinals(owner: StatefulSet) -> range:
    start = (owner.spec.ordinals.start or 0) if owner.spec.ordinals is not None else 0
    return range(start, start + (1 if owner.spec.replicas is None else owner.spec.replicas))


def is_parallel(owner: StatefulSet) -> bool:
    return owner.spec.podManagementPolicy == "Parallel"


def is_rolling(owner: StatefulSet) -> bool:
    return owner.spec.updateStrategy.type in (None, "RollingUpdate")


def partition(owner: StatefulSet) -> int:
    rolling = owner.spec.updateStrategy.rollingUpdate
    return (rolling.partition or 0) if rolling is not None else 0


def max_unavailable(owner: StatefulSet) -> int:
    """Pods that an update may take away at a time, at least one."""
    rolling = owner.spec.updateStrategy.rollingUpdate
    stated = rolling.maxUnavailable if rolling is not None else None
    return max(1, resolve(1 if stated is None else stated, len(ordinals(owner)), round_up=True))


def claim_owners(owner: StatefulSet, pod: Pod, references: tuple[OwnerReference, ...]) -> tuple[OwnerReference, ...]:
    """The owners of the claims of a pod by persistentVolumeClaimRetentionPolicy (KEP-1847): garbage collection does the rest.

    The set owns them when they go with it; the pod, when it is one too many and they go with it. References of others stay.
    """
    policy = owner.spec.persistentVolumeClaimRetentionPolicy
    with_set = policy is not None and policy.whenDeleted == "Delete"
    is_surplus = ordinal_of(owner, pod) not in ordinals(owner)
    with_pod = policy is not None and policy.whenScaled == "Delete" and is_surplus
    kept = [r for r in references if r.uid != owner.metadata.uid and not (r.kind == "Pod" and r.name == pod.metadata.name)]
    if with_pod:
        kept.append(OwnerReference(apiVersion="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid))
    elif with_set:
        meta = owner.metadata
        kept.append(OwnerReference(apiVersion="apps/v1", kind="StatefulSet", name=meta.name, uid=meta.uid))
    return references if set(map(_identity, kept)) == set(map(_identity, references)) else tuple(kept)


def _identity(reference: OwnerReference) -> tuple[str, str]:
    return reference.kind, reference.uid


def revision_for(owner: StatefulSet, ordinal: int, current: str, update: str) -> str:
    """The revision that a pod made now gets: below the partition the current one."""
    start = ordinals(owner).start
    if owner.spec.updateStrategy.rollingUpdate is None:
        return current if ordinal < start + (owner.status.currentReplicas or 0) else update
    return current if ordinal < start + partition(owner) else update


def plan(owner: StatefulSet, listed: Iterable[Pod], current: str, update: str, now: float) -> Plan:
    by_ordinal = {n: pod for pod in listed if (n := ordinal_of(owner, pod)) is not None}
    wanted = ordinals(owner)
    minimum = owner.spec.minReadySeconds or 0
    result = Plan()
    for ordinal in wanted:
        pod = by_ordinal.get(ordinal)
        if pod is None:
            result.create.append((ordinal, revision_for(owner, ordinal, current, update)))
        elif pods.is_terminal(pod):
            # Ended for good: a stateful pod is made again under its name.
            if pod.metadata.deletionTimestamp is None:
                result.delete.append(pod)
        elif pod.metadata.deletionTimestamp is None and pods.is_available(pod, minimum, now):
            continue
        if not is_parallel(owner):
            return result
    for ordinal in sorted((n for n in by_ordinal if n not in wanted), reverse=True):
        pod = by_ordinal[ordinal]
        if pod.metadata.deletionTimestamp is None:
            result.delete.append(pod)
        if not is_parallel(owner):
            return result
    if result.create or result.delete or not is_rolling(owner):
        return result
    return _update(owner, by_ordinal, wanted, update, minimum, now)


def _update(owner: StatefulSet, by_ordinal: dict[int, Pod], wanted: range, update: str, minimum: int, now: float) -> Plan:
    """The highest pod that has not the new revision goes, when all above it are well again; with maxUnavailable above one (KEP-961)
    as many as may be unavailable.
    """
    limit = max_unavailable(owner)
    if limit > 1:
        away = sum(
            p.metadata.deletionTimestamp is not None or not pods.is_available(p, minimum, now) for p in by_ordinal.values()
        )
        old = [
            by_ordinal[ordinal]
            for ordinal in reversed(wanted)
            if ordinal >= wanted.start + partition(owner)
            and by_ordinal[ordinal].metadata.deletionTimestamp is None
            and by_ordinal[ordinal].metadata.labels.get(REVISION_LABEL) != update
        ]
        return Plan(delete=old[: max(0, limit - away)])
    for ordinal in reversed(wanted):
        if ordinal < wanted.start + partition(owner):
            break
        pod = by_ordinal[ordinal]
        if pod.metadata.deletionTimestamp is not None:
            break
        if pod.metadata.labels.get(REVISION_LABEL) != update:
            return Plan(delete=[pod])
        if not pods.is_available(pod, minimum, now):
            break
    return Plan()


def status_of(owner: StatefulSet, listed: Iterable[Pod], current: str, update: str, now: float) -> StatefulSetStatus:
    minimum = owner.spec.minReadySeconds or 0
    made = [pod for pod in listed if ordinal_of(owner, pod) is not None and not pods.is_terminal(pod)]
    alive = [pod for pod in made if pod.metadata.deletionTimestamp is None]
    ready = [pod for pod in made if pods.is_ready(pod) and pod.status.phase == "Running"]
    status = StatefulSetStatus(
        observedGeneration=owner.metadata.generation,
        replicas=len(made),
        readyReplicas=len(ready),
        availableReplicas=sum(pods.is_available(pod, minimum, now) for pod in ready),
        currentReplicas=sum(pod.metadata.labels.get(REVISION_LABEL) == current for pod in alive),
        updatedReplicas=sum(pod.metadata.labels.get(REVISION_LABEL) == update for pod in alive),
        currentRevision=current,
        updateRevision=update,
        collisionCount=owner.status.collisionCount or 0,
        conditions=owner.status.conditions,
    )
    is_done = status.updatedReplicas == status.replicas == status.readyReplicas
    if is_rolling(owner) and is_done and partition(owner) == 0:
        return replace(status, currentRevision=update, currentReplicas=status.updatedReplicas)
    return status
