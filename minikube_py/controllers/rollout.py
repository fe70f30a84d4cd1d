"""Rollout arithmetic of Deployments: which replica set is new, how many replicas each may have, conditions and status. Pure.

Source: pkg/controller/deployment/util and sync/rolling/progress of the deployment controller. Replica sets and deployments are given as
the caches show them; sizes come back as numbers, for `deployment.py` to write.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from minikube_api.meta import times
from minikube_api.schema.typed.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet
from minikube_py.controllers import conditions, templates

REVISION: Final = "deployment.kubernetes.io/revision"
REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS: Final = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS: Final = "deployment.kubernetes.io/max-replicas"
#: Annotations of a Deployment that its replica sets don't get.
NOT_COPIED: Final = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
})  # fmt: skip
HISTORY_LENGTH: Final = 2000
_NO_DEADLINE: Final = 2**31 - 1

NEW_AVAILABLE: Final = "NewReplicaSetAvailable"
TIMED_OUT: Final = "ProgressDeadlineExceeded"


def size(rs: ReplicaSet) -> int:
    return rs.spec.replicas or 0


def total(sets: Iterable[ReplicaSet]) -> int:
    return sum(size(rs) for rs in sets)


def available(sets: Iterable[ReplicaSet]) -> int:
    return sum(rs.status.availableReplicas or 0 for rs in sets)


def active(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    return [rs for rs in sets if size(rs) > 0]


def wanted(d: Deployment) -> int:
    return 1 if d.spec.replicas is None else d.spec.replicas


def created(rs: ReplicaSet) -> tuple[str, str]:
    """Sort key: oldest first, by name when of the same second."""
    return rs.metadata.creationTimestamp or "", rs.metadata.name


def revision(rs: ReplicaSet) -> int:
    text = rs.metadata.annotations.get(REVISION, "")
    return int(text) if text.isdigit() else 0


def newest(d: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The replica set of the current template: the oldest that matches, so that a rollback finds its old set."""
    for rs in sorted(sets, key=created):
        if templates.equal_ignoring_hash(rs.spec.template, d.spec.template):
            return rs
    return None


# surge and unavailability


def resolve(value: int | str | None, of: int, *, round_up: bool) -> int:
    """An absolute number, or a percentage (`25%`) of `of`."""
    if value is None:
        return 0
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * of
        return -(-share // 100) if round_up else share // 100
    return int(value)


def fenceposts(d: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. Both zero would never move, so then one may be unavailable."""
    rolling = d.spec.strategy.rollingUpdate
    surge = resolve(rolling.maxSurge if rolling else None, wanted(d), round_up=True)
    unavailable = resolve(rolling.maxUnavailable if rolling else None, wanted(d), round_up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def is_rolling(d: Deployment) -> bool:
    return d.spec.strategy.type in (None, "RollingUpdate")


def max_surge(d: Deployment) -> int:
    return fenceposts(d)[0] if is_rolling(d) else 0


def max_unavailable(d: Deployment) -> int:
    if not is_rolling(d) or wanted(d) == 0:
        return 0
    return min(fenceposts(d)[1], wanted(d))


# sizes


def new_size(d: Deployment, sets: Iterable[ReplicaSet], new: ReplicaSet | None) -> int:
    """Replicas that the new set may have now, given that all sets together may have `replicas + maxSurge`."""
    current = size(new) if new is not None else 0
    if not is_rolling(d):
        return wanted(d)
    room = wanted(d) + max_surge(d) - total(sets)
    if room <= 0:
        return current
    return current + min(room, wanted(d) - current)


def old_sizes(d: Deployment, old: Sequence[ReplicaSet], new: ReplicaSet | None) -> dict[str, int]:
    """New sizes (by name) of the old sets that can shrink now: replicas that are not healthy first, then as availability permits."""
    sizes = {rs.metadata.name: size(rs) for rs in old}
    if not sum(sizes.values()):
        return {}
    everything = [*old, *([new] if new is not None else [])]
    minimum = wanted(d) - max_unavailable(d)
    new_unavailable = size(new) - (new.status.availableReplicas or 0) if new is not None else 0
    limit = total(everything) - minimum - new_unavailable
    if limit <= 0:
        return {}
    ordered = sorted(old, key=created)
    cleaned = 0
    for rs in ordered:
        unhealthy = size(rs) - (rs.status.availableReplicas or 0)
        step = min(limit - cleaned, unhealthy)
        if step > 0:
            sizes[rs.metadata.name] -= step
            cleaned += step
    # A set that was scaled down a moment ago may still report the pods it is about to lose: they don't count.
    spare = sum(min(size(rs), rs.status.availableReplicas or 0) for rs in everything) - minimum
    for rs in ordered:
        step = min(sizes[rs.metadata.name], spare)
        if step > 0:
            sizes[rs.metadata.name] -= step
            spare -= step
    return {rs.metadata.name: sizes[rs.metadata.name] for rs in old if sizes[rs.metadata.name] != size(rs)}


def active_or_latest(new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The only set with replicas; without any, the new one or else the latest. None when several have replicas."""
    if new is None and not old:
        return None
    running = active([*old, *([new] if new is not None else [])])
    if not running:
        return new if new is not None else max(old, key=created)
    return running[0] if len(running) == 1 else None


def is_saturated(d: Deployment, rs: ReplicaSet | None) -> bool:
    """The set has all the replicas that the deployment wants, and they are available."""
    return (
        rs is not None
        and rs.metadata.annotations.get(DESIRED_REPLICAS) == str(wanted(d))
        and size(rs) == wanted(d)
        and (rs.status.availableReplicas or 0) == wanted(d)
    )


def proportional_sizes(d: Deployment, sets: Iterable[ReplicaSet]) -> dict[str, int]:
    """Sizes (by name) when the deployment was scaled in the midst of a rollout: each set grows or shrinks in proportion."""
    running = active(sets)
    allowed = wanted(d) + max_surge(d) if wanted(d) > 0 else 0
    difference = allowed - total(running)
    # Bigger sets first; of equal ones the newer takes the rest when growing, the older when shrinking.
    running.sort(key=created, reverse=difference > 0)
    running.sort(key=size, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for rs in running:
        part = _proportion(d, rs, difference, added) if difference else 0
        sizes[rs.metadata.name] = size(rs) + part
        added += part
    if running and difference:
        biggest = running[0].metadata.name
        sizes[biggest] = max(0, sizes[biggest] + difference - added)
    return sizes


def _proportion(d: Deployment, rs: ReplicaSet, difference: int, added: int) -> int:
    if size(rs) == 0 or difference == added:
        return 0
    fraction, rest = _fraction(d, rs), difference - added
    return min(fraction, rest) if difference > 0 else max(fraction, rest)


def _fraction(d: Deployment, rs: ReplicaSet) -> int:
    """How much this set alone would change, by what the deployment could have at most before and now."""
    if wanted(d) == 0:
        return -size(rs)
    text = rs.metadata.annotations.get(MAX_REPLICAS, "")
    before = int(text) if text.isdigit() else 0
    before = before or d.status.replicas or 0
    if not before:
        return 0
    share = size(rs) * (wanted(d) + max_surge(d)) / before
    return math.floor(share + 0.5) - size(rs)


# annotations


def replicas_annotations(d: Deployment) -> dict[str, str]:
    return {DESIRED_REPLICAS: str(wanted(d)), MAX_REPLICAS: str(wanted(d) + max_surge(d))}


def new_annotations(d: Deployment, annotations: Mapping[str, str], new_revision: int, *, exists: bool) -> dict[str, str]:
    """Annotations of the new replica set: the deployment's own, its revision and the revisions it had before."""
    result = dict(annotations)
    result |= {key: value for key, value in d.metadata.annotations.items() if key not in NOT_COPIED}
    old_text = annotations.get(REVISION, "")
    old_revision = int(old_text) if old_text.isdigit() else 0
    if old_revision < new_revision:
        result[REVISION] = str(new_revision)
        if REVISION in annotations:
            history = [r for r in result.get(REVISION_HISTORY, "").split(",") if r]
            history.append(old_text)
            while len(",".join(history)) > HISTORY_LENGTH:
                history.pop(0)
            result[REVISION_HISTORY] = ",".join(history)
    if not exists:
        result |= replicas_annotations(d)
    return result


def surplus_history(d: Deployment, old: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Old sets beyond revisionHistoryLimit that are scaled down and observed as such; lowest revision first."""
    limit = d.spec.revisionHistoryLimit
    if limit is None or limit == _NO_DEADLINE:
        return []
    kept = [rs for rs in old if rs.metadata.deletionTimestamp is None]
    excess = len(kept) - limit
    kept.sort(key=lambda rs: (revision(rs), created(rs)))
    return [
        rs
        for rs in kept[: max(0, excess)]
        if not rs.status.replicas and not size(rs) and (rs.metadata.generation or 0) <= (rs.status.observedGeneration or 0)
    ]


# conditions and status


def has_deadline(d: Deployment) -> bool:
    return d.spec.progressDeadlineSeconds is not None and d.spec.progressDeadlineSeconds != _NO_DEADLINE


def condition(type: str, status: str, reason: str, message: str, now: float) -> DeploymentCondition:
    stamp = times.format_time(now)
    return DeploymentCondition(
        type=type, status=status, reason=reason, message=message, lastUpdateTime=stamp, lastTransitionTime=stamp
    )


def status_of(d: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None, now: float) -> DeploymentStatus:
    """The counts and the Available condition that the sets give; other conditions stay."""
    ready_now = available(sets)
    if ready_now >= wanted(d) - max_unavailable(d):
        is_available = condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    else:
        is_available = condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    return DeploymentStatus(
        observedGeneration=d.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updatedReplicas=new.status.replicas if new is not None else 0,
        readyReplicas=sum(rs.status.readyReplicas or 0 for rs in sets),
        availableReplicas=ready_now,
        unavailableReplicas=max(0, total(sets) - ready_now),
        terminatingReplicas=sum(rs.status.terminatingReplicas or 0 for rs in sets),
        collisionCount=d.status.collisionCount,
        conditions=conditions.with_condition(d.status.conditions, is_available),
    )


def is_complete(d: Deployment, status: DeploymentStatus) -> bool:
    return (
        (status.updatedReplicas or 0) == wanted(d)
        and (status.replicas or 0) == wanted(d)
        and (status.availableReplicas or 0) == wanted(d)
        and (status.observedGeneration or 0) >= (d.metadata.generation or 0)
    )


def is_progressing(d: Deployment, status: DeploymentStatus) -> bool:
    before = d.status
    old_before = (before.replicas or 0) - (before.updatedReplicas or 0)
    old_now = (status.replicas or 0) - (status.updatedReplicas or 0)
    return (
        (status.updatedReplicas or 0) > (before.updatedReplicas or 0)
        or old_now < old_before
        or (status.readyReplicas or 0) > (before.readyReplicas or 0)
        or (status.availableReplicas or 0) > (before.availableReplicas or 0)
    )


def deadline_in(d: Deployment, current: DeploymentCondition, now: float) -> float:
    """Seconds until the progress deadline, by the last progress seen; negative when it has passed."""
    since = times.parse(current.lastUpdateTime) if current.lastUpdateTime else now
    return since + (d.spec.progressDeadlineSeconds or 0) - now


def has_timed_out(d: Deployment, status: DeploymentStatus, now: float) -> bool:
    current = conditions.find(status.conditions, "Progressing")
    if current is None or current.reason == NEW_AVAILABLE:
        return False
    return current.reason == TIMED_OUT or deadline_in(d, current, now) < 0


def rollout_conditions(
    d: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None, status: DeploymentStatus, now: float
) -> tuple[DeploymentCondition, ...]:
    """The conditions of a rollout's status: Progressing by what changed since the last status, ReplicaFailure from the sets."""
    listed = status.conditions
    current = conditions.find(d.status.conditions, "Progressing")
    done = (status.replicas or 0) == (status.updatedReplicas or 0) and current is not None and current.reason == NEW_AVAILABLE
    subject = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{d.metadata.name}"'
    if not has_deadline(d):
        listed = conditions.without(listed, "Progressing")
    elif done:
        pass
    elif is_complete(d, status):
        complete = condition("Progressing", "True", NEW_AVAILABLE, f"{subject} has successfully progressed.", now)
        listed = conditions.with_condition(listed, complete)
    elif is_progressing(d, status):
        moving = condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if current is not None and current.status == "True":
            # Replaced also when its reason is the same: lastUpdateTime is when progress was last seen.
            moving = condition_since(moving, current)
            listed = conditions.without(listed, "Progressing")
        listed = conditions.with_condition(listed, moving)
    elif has_timed_out(d, status, now):
        late = condition("Progressing", "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
        listed = conditions.with_condition(listed, late)
    failure = _failure(sets, new)
    if failure is not None:
        return conditions.with_condition(listed, failure)
    return conditions.without(listed, "ReplicaFailure")


def condition_since(new: DeploymentCondition, old: DeploymentCondition) -> DeploymentCondition:
    return DeploymentCondition(
        type=new.type,
        status=new.status,
        reason=new.reason,
        message=new.message,
        lastUpdateTime=new.lastUpdateTime,
        lastTransitionTime=old.lastTransitionTime,
    )


def _failure(sets: Sequence[ReplicaSet], new: ReplicaSet | None) -> DeploymentCondition | None:
    for rs in (*((new,) if new is not None else ()), *sets):
        found = conditions.find(rs.status.conditions, "ReplicaFailure")
        if found is not None:
            return DeploymentCondition(
                type="ReplicaFailure",
                status=found.status,
                reason=found.reason,
                message=found.message,
                lastTransitionTime=found.lastTransitionTime,
                lastUpdateTime=found.lastTransitionTime,
            )
    return None
