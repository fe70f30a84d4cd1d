"""Which pods must go so that a more important one fits: kube-scheduler's DefaultPreemption. Pure over the state (restored afterwards).

On each node that could help, all less important pods are removed in thought, then as many as possible are put back, the most
important (and those whose PodDisruptionBudget would be violated) first. Among nodes: fewest budget violations, then the lowest highest priority, then
the smallest sum of priorities, then the fewest victims, then the latest start of the most important victim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minikube_api.meta import times
from minikube_api.meta.selectors import LabelSelector
from minikube_py.scheduler.filters import Check, Filters, Refusal
from minikube_py.scheduler.state import ClusterState, NodeInfo, PodInfo


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget: `allowed` more pods may go; `disrupted` names are counted already."""

    namespace: str
    selector: LabelSelector
    allowed: int
    disrupted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    node: str
    victims: tuple[PodInfo, ...]
    violations: int


def eligible(pod: PodInfo, state: ClusterState, nominated: str) -> str:
    """Why the pod may not preempt, "" when it may. A pod that waits for victims to end on its nominated node waits on."""
    if pod.pod.spec.preemptionPolicy == "Never":
        return "not eligible due to preemptionPolicy=Never."
    node = state.nodes.get(nominated)
    if node is not None and any(p.terminating and p.priority < pod.priority for p in node.pods.values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def importance(pod: PodInfo) -> tuple[int, float]:
    """Larger = more important: priority, then the longer running."""
    started = pod.pod.status.startTime
    return pod.priority, -(times.parse(started) if started else float("inf"))


def find(
    pod: PodInfo,
    state: ClusterState,
    refusals: dict[str, Refusal],
    budgets: Sequence[Budget],
    *,
    volumes: Check | None = None,
    enough: int = 100,
) -> tuple[Candidate | None, str]:
    """The best candidate, or None with the message that ends `preemption: `."""
    helpful = [n for n in state if n.name in refusals and refusals[n.name].resolvable]
    useless = len(state.order) - len(helpful)
    candidates: list[Candidate] = []
    for node in helpful:
        found = victims_on(pod, node, state, budgets, lambda: Filters(pod, state, volumes))
        if found is not None:
            candidates.append(found)
            if len(candidates) >= enough:
                break
    if candidates:
        return min(candidates, key=_cost), ""
    counts = {"Preemption is not helpful for scheduling": useless, "No preemption victims found for incoming pod": len(helpful)}
    listed = ", ".join(sorted(f"{n} {reason}" for reason, n in counts.items() if n))
    return None, f"0/{len(state.order)} nodes are available: {listed}."


def victims_on(
    pod: PodInfo, node: NodeInfo, state: ClusterState, budgets: Sequence[Budget], filters: Callable[[], Filters]
) -> Candidate | None:
    """The pods that must leave one node, None when even without all less important ones the pod would not fit."""
    lower = [p for p in node.pods.values() if p.priority < pod.priority]
    if not lower:
        return None
    for victim in lower:
        node.remove(victim.uid)
    state.with_affinity -= (
        affected := sum(1 for p in lower if p.required_anti_affinity or p.required_affinity or p.preferred_affinity)
    )
    try:
        if filters().check(node) is not None:
            return None
        lower.sort(key=importance, reverse=True)
        violating, others = split_by_budget(lower, budgets)
        victims: list[PodInfo] = []
        violations = 0
        for group, costs in ((violating, 1), (others, 0)):
            for candidate in group:
                node.add(candidate)
                if filters().check(node) is not None:
                    node.remove(candidate.uid)
                    victims.append(candidate)
                    violations += costs
        return Candidate(node.name, tuple(sorted(victims, key=importance, reverse=True)), violations)
    finally:
        for victim in lower:
            if victim.uid not in node.pods:
                node.add(victim)
        state.with_affinity += affected


def split_by_budget(pods: Sequence[PodInfo], budgets: Sequence[Budget]) -> tuple[list[PodInfo], list[PodInfo]]:
    """(pods whose eviction would violate a budget, the others), each in the given order."""
    left = {id(b): b.allowed for b in budgets}
    violating: list[PodInfo] = []
    fine: list[PodInfo] = []
    for pod in pods:
        violates = False
        for budget in budgets:
            if budget.namespace == pod.namespace and pod.name not in budget.disrupted and budget.selector.matches(pod.labels):
                left[id(budget)] -= 1
                violates = violates or left[id(budget)] < 0
        (violating if violates else fine).append(pod)
    return violating, fine


def _cost(candidate: Candidate) -> tuple[int, int, int, int, float]:
    victims = candidate.victims
    highest = max((v.priority for v in victims), default=-(2**31))
    total = sum(v.priority + 2**31 for v in victims)
    earliest = min((-importance(v)[1] for v in victims if v.priority == highest), default=0.0)
    return candidate.violations, highest, total, len(victims), -earliest
