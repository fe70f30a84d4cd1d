"""One decision: filter, score, choose. Pure over the state; random only in ties."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from minikube_api.schema import node_matching as matching
from minikube_py.scheduler import scores
from minikube_py.scheduler.classes import Classes, PodClass
from minikube_py.scheduler.filters import Check, Filters, Refusal, summary
from minikube_py.scheduler.state import ClusterState, NodeInfo, PodInfo, SpreadConstraint

#: below this many nodes all are looked at; above, a share (50 % minus one per 125 nodes, at least 5 %), at least this many
MIN_FEASIBLE = 100
#: nodes from which on remembering costs less than looking again
CLASSES_FROM = 20


@dataclass(frozen=True, slots=True)
class Decision:
    """`node` is empty when none fits; then `refusals` has a refusal for each node and `message` says it as kube-scheduler does."""

    node: str
    refusals: dict[str, Refusal] = field(default_factory=dict)
    message: str = ""

    @property
    def plugins(self) -> frozenset[str]:
        return frozenset(r.plugin for r in self.refusals.values())


def feasible_limit(nodes: int) -> int:
    """How many fitting nodes are enough (percentageOfNodesToScore, adaptive)."""
    if nodes < MIN_FEASIBLE:
        return nodes
    percent = max(5, 50 - nodes // 125)
    return max(MIN_FEASIBLE, nodes * percent // 100)


class Decider:
    """Remembers where the last search ended, so that all nodes get their turn."""

    def __init__(self, state: ClusterState, rng: random.Random, *, classes_from: int = CLASSES_FROM) -> None:
        self.state, self._random = state, rng
        self._classes, self._classes_from = Classes(state), classes_from
        self._start = 0
        #: pods that a preemption made room for: node name -> pods by uid
        self.nominated: dict[str, dict[str, PodInfo]] = {}

    def decide(self, pod: PodInfo, *, volumes: Check | None = None, default_spread: Sequence[SpreadConstraint] = ()) -> Decision:
        state = self.state
        if not state.order:
            return Decision("", {}, "no nodes available to schedule pods")
        if volumes is None and not self.nominated and len(state.order) >= self._classes_from:
            known = self._classes.find(pod, default_spread)
            if known is not None and self._candidates(pod) is None:
                return self._decide_by_class(known)
        filters = Filters(pod, state, volumes)
        feasible, refusals = self._search(pod, filters)
        if not feasible:
            return Decision("", refusals, summary(refusals.values(), len(state.order)))
        if len(feasible) == 1:
            return Decision(feasible[0].name)
        totals = scores.totals(pod, feasible, state, default_spread)
        best = max(totals)
        return Decision(self._random.choice([n for n, t in zip(feasible, totals, strict=True) if t == best]).name)

    def _decide_by_class(self, known: PodClass) -> Decision:
        order = self.state.order
        start = self._start % len(order)
        found, looked = known.search(start, feasible_limit(len(order)))
        self._start = start + looked
        if not found:
            refusals = known.refusals()
            return Decision("", refusals, summary(refusals.values(), len(order)))
        if len(found) == 1:
            return Decision(order[found[0]].name)
        return Decision(order[self._random.choice(known.best(found))].name)

    def _candidates(self, pod: PodInfo) -> list[NodeInfo] | None:
        """The nodes that a required affinity by name narrows to (DaemonSet pods), None = all."""
        affinity = pod.pod.spec.affinity
        wanted = affinity.nodeAffinity if affinity else None
        names = matching.required_names(wanted.requiredDuringSchedulingIgnoredDuringExecution if wanted else None)
        if names is None:
            return None
        return [n for name in names if (n := self.state.nodes.get(name)) is not None and n.node is not None]

    def _search(self, pod: PodInfo, filters: Filters) -> tuple[list[NodeInfo], dict[str, Refusal]]:
        order = self.state.order
        narrowed = self._candidates(pod)
        nodes = order if narrowed is None else narrowed
        enough, count = feasible_limit(len(nodes)), len(nodes)
        start = self._start % count if count and narrowed is None else 0
        feasible: list[NodeInfo] = []
        refusals: dict[str, Refusal] = {}
        looked = 0
        for looked in range(1, count + 1):
            node = nodes[(start + looked - 1) % count]
            refusal = self.check(filters, node)
            if refusal is not None:
                refusals[node.name] = refusal
                continue
            feasible.append(node)
            if len(feasible) >= enough:
                break
        if narrowed is None:
            self._start = start + looked
        elif not feasible:
            from minikube_py.scheduler.filters import NO_AFFINITY

            refusals.update({n.name: NO_AFFINITY for n in order if n.name not in refusals})
        return feasible, refusals

    def check(self, filters: Filters, node: NodeInfo) -> Refusal | None:
        """The filters with the pods counted in that were promised the node and are not less important."""
        promised = self.nominated.get(node.name)
        if not promised:
            return filters.check(node)
        pod = filters.pod
        guests = [p for p in promised.values() if p.uid != pod.uid and p.priority >= pod.priority and p.uid not in node.pods]
        for guest in guests:
            node.add(guest)
        try:
            refusal = filters.check(node)
        finally:
            for guest in guests:
                node.remove(guest.uid)
        return refusal or filters.check(node)

    def nominate(self, pod: PodInfo, node: str) -> None:
        self.withdraw(pod.uid)
        if node:
            self.nominated.setdefault(node, {})[pod.uid] = pod

    def withdraw(self, uid: str) -> None:
        for node, pods in list(self.nominated.items()):
            if pods.pop(uid, None) is not None and not pods:
                del self.nominated[node]
