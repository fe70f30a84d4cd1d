"""Disruption controller: says on each PodDisruptionBudget how many of its pods may be evicted now. The eviction subresource obeys it.

Source: pkg/controller/disruption (disruption.go). The number of pods that should be there is asked of their controllers' `scale`, so that a
percentage means the same while pods are being replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from minikube_api.meta import conditions, times
from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.apps_v1 import Deployment, ReplicaSet, StatefulSet
from minikube_api.schema.typed.core_v1 import Pod, ReplicationController
from minikube_api.schema.typed.meta_v1 import Condition, OwnerReference
from minikube_api.schema.typed.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
from minikube_py.controllers import discovery, owners, pods
from minikube_py.controllers.rollout import resolve
from minikube_py.controllers.runner import Controller, Key, Result

#: Seconds in which an evicted pod must begin to end; after them the eviction counts as failed.
DELETION_TIMEOUT: Final = 120.0
#: Keys of pods whose DisruptionTarget condition may be stale; a budget's name has no slash.
_POD: Final = "pods/"


class Unknown(Exception):
    """How many pods are expected can't be known."""


def disrupted(budget: PodDisruptionBudget, listed: Iterable[Pod], now: float) -> tuple[dict[str, str], list[Pod], float | None]:
    """(evictions under way: pod -> time, pods that should have ended by now, seconds until the next of them counts as failed)."""
    under_way: dict[str, str] = {}
    overdue: list[Pod] = []
    next_check: float | None = None
    for pod in listed:
        since = budget.status.disruptedPods.get(pod.metadata.name)
        if since is None or pod.metadata.deletionTimestamp is not None:
            continue
        left = times.parse(since) + DELETION_TIMEOUT - now
        if left < 0:
            overdue.append(pod)
        else:
            under_way[pod.metadata.name] = since
            next_check = left if next_check is None else min(next_check, left)
    return under_way, overdue, next_check


def healthy(listed: Iterable[Pod], under_way: Mapping[str, str]) -> int:
    return sum(
        pod.metadata.deletionTimestamp is None and pod.metadata.name not in under_way and pods.is_ready(pod) for pod in listed
    )


def with_counts(
    budget: PodDisruptionBudget, current: int, desired: int, expected: int, under_way: dict[str, str], now: float
) -> PodDisruptionBudgetStatus:
    allowed = max(0, current - desired) if expected > 0 else 0
    generation = budget.metadata.generation
    status = PodDisruptionBudgetStatus(
        currentHealthy=current,
        desiredHealthy=desired,
        expectedPods=expected,
        disruptionsAllowed=allowed,
        disruptedPods=under_way,
        observedGeneration=generation,
        conditions=budget.status.conditions,
    )
    word = "SufficientPods" if allowed else "InsufficientPods"
    return replace(status, conditions=_condition(budget, "True" if allowed else "False", word, "", now))


def failed(budget: PodDisruptionBudget, why: str, now: float) -> PodDisruptionBudgetStatus:
    """Nothing may be evicted while the count can't be known."""
    listed = _condition(budget, "False", "SyncFailed", why, now)
    return replace(budget.status, disruptionsAllowed=0, observedGeneration=budget.metadata.generation, conditions=listed)


def _condition(budget: PodDisruptionBudget, status: str, reason: str, message: str, now: float) -> tuple[Condition, ...]:
    type = "DisruptionAllowed"
    old = conditions.find(budget.status.conditions, type)
    moved = old.lastTransitionTime if old is not None and old.status == status else times.format_time(now)
    new = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        lastTransitionTime=moved,
        observedGeneration=budget.metadata.generation,
    )
    return (*conditions.without_condition(budget.status.conditions, type), new)


class DisruptionController(Controller):
    name = "disruption-controller"
    identity = "disruption-controller"
    component = "controllermanager"

    def setup(self) -> None:
        self._budgets = self.informers.informer(PodDisruptionBudget)
        self._pods = self.informers.informer(Pod)
        self._sets = self.informers.informer(ReplicaSet)
        self._deployments = self.informers.informer(Deployment)
        self._stateful = self.informers.informer(StatefulSet)
        self._replication = self.informers.informer(ReplicationController)
        self._kinds: discovery.Discovered | None = None
        self._budgets.on_change(self.enqueue)
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Pod) -> None:
        for budget in self._budgets.list(pod.metadata.namespace):
            if self._selects(budget, pod):
                self.enqueue(budget)
        if conditions.is_true(pod.status.conditions, "DisruptionTarget"):
            self.queue.add(Key(pod.metadata.namespace, _POD + pod.metadata.name))

    def _selects(self, budget: PodDisruptionBudget, pod: Pod) -> bool:
        return owners.selector_of(budget.spec.selector).matches(pod.metadata.labels)

    async def reconcile(self, key: Key) -> Result | None:
        if key.name.startswith(_POD):
            return await self._clear_stale(Key(key.namespace, key.name.removeprefix(_POD)))
        budget = self._budgets.get(*key)
        if budget is None:
            return None
        selector = owners.selector_of(budget.spec.selector)
        listed = [pod for pod in self._pods.list(key.namespace) if selector.matches(pod.metadata.labels)]
        if not listed:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        now = self.clock.time()
        try:
            expected, desired, unmanaged = await self._expected(budget, listed)
        except Unknown as error:
            message = f"Failed to calculate the number of expected pods: {error}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", message)
            await self._write(budget, failed(budget, str(error), now))
            return None  # a pod's or the budget's next event asks again
        if unmanaged:
            self._tell_unmanaged(budget)
        under_way, overdue, wait = disrupted(budget, listed, now)
        for pod in overdue:
            message = f"Pod was expected by PDB {key} to be deleted but it wasn't"
            self.recorder.event(pod, "Warning", "NotDeleted", message)
        status = with_counts(budget, healthy(listed, under_way), desired, expected, under_way, now)
        await self._write(budget, status)
        return Result(wait + 1) if wait is not None else None

    def _tell_unmanaged(self, budget: PodDisruptionBudget) -> None:
        message = (
            f"Pods selected by this PodDisruptionBudget (selector: {budget.spec.selector}) were found to be unmanaged. As a result, the "
            "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set "
            '".spec.minAvailable" field of the PDB to an integer value.'
        )
        self.recorder.event(budget, "Warning", "UnmanagedPods", message)

    # how many there should be

    async def _expected(self, budget: PodDisruptionBudget, listed: list[Pod]) -> tuple[int, int, bool]:
        """(pods expected, of them to be healthy, whether some have no controller). Raises Unknown."""
        least, most = budget.spec.minAvailable, budget.spec.maxUnavailable
        if most is not None:
            expected, unmanaged = await self._scale(listed)
            return expected, max(0, expected - resolve(most, expected, round_up=True)), unmanaged
        if isinstance(least, str):
            expected, unmanaged = await self._scale(listed)
            return expected, resolve(least, expected, round_up=True), unmanaged
        return len(listed), least or 0, False

    async def _scale(self, listed: list[Pod]) -> tuple[int, bool]:
        """The replicas that the pods' controllers are asked for, in sum."""
        scales: dict[str, int] = {}
        seen: set[str] = set()
        unmanaged = False
        for pod in listed:
            ref = owners.controller_of(pod)
            if ref is None:
                unmanaged = True
            elif ref.uid not in seen:
                seen.add(ref.uid)
                uid, count = await self._scale_of(pod.metadata.namespace, ref)
                scales[uid] = count
        return sum(scales.values()), unmanaged

    async def _scale_of(self, namespace: str, ref: OwnerReference) -> tuple[str, int]:
        """(uid of what scales the pod, its replicas); a Deployment stands for its ReplicaSets."""
        informers: dict[tuple[str, str], Any] = {
            ("apps", "ReplicaSet"): self._sets,
            ("apps", "StatefulSet"): self._stateful,
            ("", "ReplicationController"): self._replication,
        }
        group = ref.apiVersion.rpartition("/")[0]
        informer = informers.get((group, ref.kind))
        if informer is None:
            return ref.uid, await self._ask_scale(namespace, ref)
        owner = informer.get(namespace, ref.name)
        if owner is None or owner.metadata.uid != ref.uid:
            raise Unknown(f'found no controllers for pod of {ref.kind} "{ref.name}"')
        above = owners.controller_of(owner)
        if above is not None and above.kind == "Deployment":
            deployment = self._deployments.get(namespace, above.name)
            if deployment is not None and deployment.metadata.uid == above.uid:
                owner = deployment
        return owner.metadata.uid, 1 if owner.spec.replicas is None else owner.spec.replicas

    async def _ask_scale(self, namespace: str, ref: OwnerReference) -> int:
        resource = self._kinds.by_kind(ref.apiVersion, ref.kind) if self._kinds is not None else None
        if resource is None:
            self._kinds = await discovery.discover(self.client.raw)
            resource = self._kinds.by_kind(ref.apiVersion, ref.kind)
        if resource is None:
            raise Unknown(f'no matches for kind "{ref.kind}" in group "{ref.apiVersion}"')
        try:
            scale = await self.client.raw.get(f"{resource.path(namespace, ref.name)}/scale")
        except NotFound as error:
            raise Unknown(f"{resource.qualified} does not implement the scale subresource") from error
        return int((scale.get("spec") or {}).get("replicas") or 0)

    # writing

    async def _write(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> None:
        if _plain(status) == _plain(budget.status):
            return
        try:
            await self.client.update_status(replace(budget, status=status))
        except NotFound:
            pass  # deleted meanwhile: its status no longer matters

    async def _clear_stale(self, key: Key) -> Result | None:
        """A pod that was to be disrupted and was not deleted in time is a target no longer (KEP-3329)."""
        pod = self._pods.get(*key)
        if pod is None or pod.metadata.deletionTimestamp is not None or pods.is_terminal(pod):
            return None
        marked = conditions.find(pod.status.conditions, "DisruptionTarget")
        if marked is None or marked.status != "True" or not marked.lastTransitionTime:
            return None
        now = self.clock.time()
        left = times.parse(marked.lastTransitionTime) + DELETION_TIMEOUT - now
        if left > 0:
            return Result(left)
        condition = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": times.format_time(now)}
        body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self.client.patch(Pod, key.name, body, namespace=key.namespace, type="strategic", subresource="status")
        except NotFound:
            pass  # gone, so no target either
        return None


def _plain(status: PodDisruptionBudgetStatus) -> dict[str, Any]:
    return {name: getattr(status, name) or 0 for name in status.__struct_fields__}
