"""Decisions by class: pods that ask for the same things (those of one ReplicaSet differ in name only) share what was found out about each node.

A class keeps an array over the nodes: does it fit, and its own score. A node's cell is worked out when a decision looks at it, and again only
after the node or its pods changed (`ClusterState.changes`). A decision is then slices, a maximum and a choice: the cost no longer
grows with the filters. What depends on other nodes' pods beyond the system's default spreading (pod affinity, constraints of the pod's own, volumes,
nominated pods) takes the plain path of `deciding`, and both paths choose the same node for the same random numbers (a property test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from minikube_py.scheduler import filters, scores
from minikube_py.scheduler.filters import Filters, Refusal
from minikube_py.scheduler.spreading import HOSTNAME, ZONE
from minikube_py.scheduler.state import ClusterState, NodeInfo, PodInfo, SpreadConstraint

#: classes remembered; the least recently used one goes
CLASSES = 64
_UNKNOWN, _REFUSED = -2, -1
ClassKey = tuple[Any, ...]
#: (matching pods on the node, its zone); None where the node lacks the label
Domain = tuple[int | None, str | None]


def key_of(pod: PodInfo, default_spread: Sequence[SpreadConstraint]) -> ClassKey | None:
    """What a decision about the pod depends on; None when it depends on more than a class can keep."""
    if (
        pod.required_affinity
        or pod.required_anti_affinity
        or pod.preferred_affinity
        or pod.preferred_nodes
        or pod.spread
        or pod.node
    ):
        return None
    spread = tuple((c.topology_key, c.selector, c.max_skew) for c in default_spread)
    if spread and [c[0] for c in spread] != [HOSTNAME, ZONE]:
        return None
    spec = pod.pod.spec
    return (
        pod.namespace if spread else "",
        tuple(sorted(pod.requests.items())),
        tuple(sorted(pod.nonzero.items())),
        pod.ports,
        tuple(c.image for c in (*spec.initContainers, *spec.containers)),
        tuple(sorted(spec.nodeSelector.items())),
        spec.tolerations,
        msgspec.json.encode(spec.affinity) if spec.affinity is not None else b"",
        spread,
    )


class PodClass:
    """Cells of all nodes for one class. `pod` is one of its pods: any gives the same answers (a copy, for it will soon have a node)."""

    def __init__(self, pod: PodInfo, state: ClusterState, default_spread: Sequence[SpreadConstraint]) -> None:
        self.pod, self._state = replace(pod), state
        self._spread = tuple(default_spread)
        self._images = {c.image for c in (*pod.pod.spec.initContainers, *pod.pod.spec.containers) if c.image}
        self._shares: dict[str, float] = {}
        self._layout = -1
        self._seen = 0
        #: by the node's index: _UNKNOWN, _REFUSED, or the score
        self._cells: list[int] = []
        self._refusals: dict[int, Refusal] = {}
        self._tainted: list[bool] = []
        self._domains: list[Domain] = []
        #: what a node has added to `_zones`
        self._counted: list[tuple[str, int] | None] = []
        self._zones: dict[str, int] = {}

    # keeping up

    def refresh(self) -> None:
        """Forget what changed since the last decision."""
        state = self._state
        shares = {i: n / len(state.order) for i in self._images if (n := state.image_nodes.get(i))}
        fresh = state.changes_since(self._seen) if self._layout == state.layout and shares == self._shares else None
        if fresh is None:
            self._rebuild(shares)
        else:
            for node in fresh:
                self._forget(node)
        self._seen = state.change

    def _rebuild(self, shares: dict[str, float]) -> None:
        state = self._state
        self._layout, self._shares = state.layout, shares
        size = len(state.order)
        self._cells = [_UNKNOWN] * size
        self._tainted = [False] * size
        self._refusals = {}
        self._zones = {}
        self._counted = [None] * size
        self._domains = [(None, None)] * size
        if self._spread:
            for node in state.order:
                self._count(node)

    def _forget(self, node: NodeInfo) -> None:
        index = node.index
        if index < 0:
            return  # not in the order: pods of a node that is gone
        while index >= len(self._cells):
            self._cells.append(_UNKNOWN)
            self._tainted.append(False)
            self._domains.append((None, None))
            self._counted.append(None)
        self._cells[index] = _UNKNOWN
        if self._spread:
            self._count(node)

    def _count(self, node: NodeInfo) -> None:
        """The node's pods that the spreading counts: for itself, and towards its zone."""
        index = node.index
        before = self._counted[index]
        if before is not None:
            self._zones[before[0]] -= before[1]
        labels = node.labels
        zone = labels.get(ZONE)
        matching = filters.matching_pods(node, self._spread[0], self.pod.namespace) if node.pods else 0
        self._domains[index] = (matching if HOSTNAME in labels else None, zone)
        self._counted[index] = None
        if zone is not None and filters.counted(self.pod, node, self._spread[1]):
            self._counted[index] = (zone, matching)
            self._zones[zone] = self._zones.get(zone, 0) + matching

    def _work_out(self, begin: int, end: int) -> None:
        """The unknown cells of [begin, end)."""
        cells, order, pod = self._cells, self._state.order, self.pod
        check = Filters(pod, self._state).check
        index = begin
        for _ in range(cells[begin:end].count(_UNKNOWN)):
            index = cells.index(_UNKNOWN, index)
            node = order[index]
            refusal = check(node)
            if refusal is not None:
                self._refusals[index] = refusal
                cells[index] = _REFUSED
            else:
                self._refusals.pop(index, None)
                assert node.node is not None
                self._tainted[index] = bool(node.node.spec.taints)
                cells[index] = scores.least_allocated(pod, node) + scores.balanced(pod, node)
                if self._shares:
                    cells[index] += scores.image_locality(pod, node, self._shares)

    # deciding

    def search(self, start: int, enough: int) -> tuple[list[int], int]:
        """(indexes of the first `enough` fitting nodes from `start` on, how many nodes were looked at)."""
        cells = self._cells
        count, looked, found = len(cells), 0, []
        while looked < count and len(found) < enough:
            begin = (start + looked) % count
            end = min(begin + enough - len(found), count, begin + count - looked)
            if _UNKNOWN in cells[begin:end]:
                self._work_out(begin, end)
            part = cells[begin:end]
            if _REFUSED in part:
                found += [i for i, cell in enumerate(part, begin) if cell >= 0]
            else:
                found += range(begin, end)
            looked += end - begin
        return found, looked

    def refusals(self) -> dict[str, Refusal]:
        """Of all nodes, when none fits."""
        order = self._state.order
        return {order[index].name: refusal for index, refusal in self._refusals.items()}

    def best(self, found: list[int]) -> list[int]:
        """Those with the highest total, in the given order."""
        tainted = self._tainted
        if True in tainted and any(tainted[i] for i in found):
            order = self._state.order
            totals = scores.totals(self.pod, [order[i] for i in found], self._state, self._spread)
        else:
            cells = self._cells
            totals = [cells[i] for i in found]
            if self._spread:
                totals = self._spread_out(found, totals)
        most = max(totals)
        return [i for i, total in zip(found, totals, strict=True) if total == most]

    def _spread_out(self, found: list[int], totals: list[int]) -> list[int]:
        """Add the score of PodTopologySpread (`scores.spread_scores` by distinct domains instead of by node)."""
        domains = [self._domains[i] for i in found]
        distinct = set(domains)
        hosts, zones = self._spread
        zone_weight = math.log(len({zone for _, zone in distinct if zone is not None}) + 2)
        host_weight = math.log(len(found) + 2)
        values: dict[Domain, int] = {}
        for matching, zone in distinct:
            raw = 0.0
            if matching is not None:
                raw += matching * host_weight + (hosts.max_skew - 1)
            if zone is not None:
                raw += self._zones.get(zone, 0) * zone_weight + (zones.max_skew - 1)
            values[matching, zone] = round(raw)
        scored = scores.spread_normalized(list(values.values()))
        shares = {domain: 2 * score for domain, score in zip(values, scored, strict=True)}
        return [total + shares[domain] for total, domain in zip(totals, domains, strict=True)]


class Classes:
    """The classes in use, by key; the most recently used last."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._known: dict[ClassKey, PodClass] = {}

    def find(self, pod: PodInfo, default_spread: Sequence[SpreadConstraint]) -> PodClass | None:
        """The pod's class, up to date; None when it must be decided by itself."""
        if self._state.with_affinity or (default_spread and self._state.shared_hosts):
            return None
        key = key_of(pod, default_spread)
        if key is None:
            return None
        known = self._known.pop(key, None) or PodClass(pod, self._state, default_spread)
        self._known[key] = known
        if len(self._known) > CLASSES:
            del self._known[next(iter(self._known))]
        known.refresh()
        return known
