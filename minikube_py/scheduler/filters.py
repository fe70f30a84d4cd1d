"""Which nodes can take a pod: kube-scheduler's filter plug-ins with their reasons, as plain functions.

A `Filters` object is made for one decision (PreFilter: what can be computed once a pod); `check(node)` gives the reasons against a
node. Reasons that no preemption can cure are `Unresolvable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from minikube_api.schema import node_matching as matching
from minikube_api.schema.typed.core_v1 import Taint
from minikube_py.scheduler.requests import ports_conflict
from minikube_py.scheduler.state import AffinityTerm, ClusterState, NodeInfo, PodInfo, SpreadConstraint

UNSCHEDULABLE_TAINT = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_HARD_EFFECTS = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node can't take the pod. `resolvable`: removing pods from it could help."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = False


UNSCHEDULABLE = Refusal("NodeUnschedulable", ("node(s) were unschedulable",))
WRONG_NAME = Refusal("NodeName", ("node(s) didn't match the requested node name",))
TAINTED = Refusal("TaintToleration", ("node(s) had untolerated taint(s)",))
NO_AFFINITY = Refusal("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",))
NO_PORTS = Refusal("NodePorts", ("node(s) didn't have free ports for the requested pod ports",), True)
SPREAD = Refusal("PodTopologySpread", ("node(s) didn't match pod topology spread constraints",), True)
SPREAD_LABEL = Refusal("PodTopologySpread", ("node(s) didn't match pod topology spread constraints (missing required label)",))
EXISTING_ANTI = Refusal("InterPodAffinity", ("node(s) didn't satisfy existing pods anti-affinity rules",), True)
OWN_ANTI = Refusal("InterPodAffinity", ("node(s) didn't match pod anti-affinity rules",), True)
OWN_AFFINITY = Refusal("InterPodAffinity", ("node(s) didn't match pod affinity rules",))

Check = Callable[[NodeInfo], Refusal | None]
TopologyPair = tuple[str, str]


def unschedulable(pod: PodInfo, node: NodeInfo) -> Refusal | None:
    assert node.node is not None
    if node.node.spec.unschedulable and not any(matching.tolerates(t, UNSCHEDULABLE_TAINT) for t in pod.pod.spec.tolerations):
        return UNSCHEDULABLE
    return None


def node_name(pod: PodInfo, node: NodeInfo) -> Refusal | None:
    return WRONG_NAME if pod.node and pod.node != node.name else None


def taints(pod: PodInfo, node: NodeInfo) -> Refusal | None:
    assert node.node is not None
    found = node.node.spec.taints
    return TAINTED if found and matching.untolerated(found, pod.pod.spec.tolerations, _HARD_EFFECTS) else None


def node_affinity(pod: PodInfo, node: NodeInfo) -> Refusal | None:
    spec = pod.pod.spec
    labels = node.labels
    for key, value in spec.nodeSelector.items():
        if labels.get(key) != value:
            return NO_AFFINITY
    affinity = spec.affinity.nodeAffinity if spec.affinity else None
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution if affinity else None
    if required is not None and not matching.selector_holds(required, labels, node.name):
        return NO_AFFINITY
    return None


def ports(pod: PodInfo, node: NodeInfo) -> Refusal | None:
    return NO_PORTS if pod.ports and ports_conflict(pod.ports, node.ports) else None


def fit(pod: PodInfo, node: NodeInfo) -> Refusal | None:
    """Resources. What exceeds the whole node can't be cured by preemption."""
    allocatable, requested = node.allocatable, node.requested
    reasons: list[str] = []
    resolvable = True
    if len(node.pods) + 1 > allocatable.get("pods", 0):
        reasons.append("Too many pods")
    for name, wanted in pod.requests.items():
        have = allocatable.get(name, 0)
        if wanted > have - requested.get(name, 0):
            reasons.append(f"Insufficient {name}")
            resolvable = resolvable and wanted <= have
    return Refusal("NodeResourcesFit", tuple(reasons), resolvable) if reasons else None


class Spread:
    """PodTopologySpread, hard constraints: pods counted per domain once, then a look-up a node."""

    def __init__(self, pod: PodInfo, constraints: list[SpreadConstraint], state: ClusterState) -> None:
        self._pod = pod
        self._counts: list[tuple[SpreadConstraint, dict[str, int], int, bool]] = []
        keys = [c.topology_key for c in constraints]
        for constraint in constraints:
            counts: dict[str, int] = {}
            for node in state:
                if not all(key in node.labels for key in keys) or not counted(pod, node, constraint):
                    continue
                domain = node.labels[constraint.topology_key]
                counts[domain] = counts.get(domain, 0) + matching_pods(node, constraint, pod.namespace)
            least = min(counts.values(), default=0) if len(counts) >= constraint.min_domains else 0
            self._counts.append((constraint, counts, least, constraint.selector.matches(pod.labels)))

    def __call__(self, node: NodeInfo) -> Refusal | None:
        for constraint, counts, least, itself in self._counts:
            domain = node.labels.get(constraint.topology_key)
            if domain is None:
                return SPREAD_LABEL
            if counts.get(domain, 0) + itself - least > constraint.max_skew:
                return SPREAD
        return None


def counted(pod: PodInfo, node: NodeInfo, constraint: SpreadConstraint) -> bool:
    """Whether a node's pods count for a constraint (node inclusion policies, KEP-3094)."""
    if constraint.honor_affinity and node_affinity(pod, node) is not None:
        return False
    return not (constraint.honor_taints and taints(pod, node) is not None)


def matching_pods(node: NodeInfo, constraint: SpreadConstraint, namespace: str) -> int:
    return sum(
        1 for p in node.pods.values() if p.namespace == namespace and not p.terminating and constraint.selector.matches(p.labels)
    )


class InterPodAffinity:
    """Pod affinity and anti-affinity: topology pairs counted once, then look-ups a node."""

    def __init__(self, pod: PodInfo, state: ClusterState) -> None:
        self._pod = pod
        names = state.namespace_labels
        self._existing_anti: dict[TopologyPair, int] = {}
        self._anti: dict[TopologyPair, int] = {}
        self._affinity: dict[TopologyPair, int] = {}
        for node in state:
            labels = node.labels
            for other in node.with_affinity.values():
                for term in other.required_anti_affinity:
                    if term.topology_key in labels and term.matches(pod, names):
                        _count(self._existing_anti, (term.topology_key, labels[term.topology_key]))
            if pod.required_affinity or pod.required_anti_affinity:
                for other in node.pods.values():
                    self._count_own(other, labels, names)

    def _count_own(self, other: PodInfo, labels: Mapping[str, str], names: dict[str, dict[str, str]]) -> None:
        required = self._pod.required_affinity
        if required and all(term.matches(other, names) for term in required):
            for term in required:
                if term.topology_key in labels:
                    _count(self._affinity, (term.topology_key, labels[term.topology_key]))
        for term in self._pod.required_anti_affinity:
            if term.topology_key in labels and term.matches(other, names):
                _count(self._anti, (term.topology_key, labels[term.topology_key]))

    def __call__(self, node: NodeInfo, names: dict[str, dict[str, str]]) -> Refusal | None:
        labels = node.labels
        if not self._own_affinity_holds(labels, names):
            return OWN_AFFINITY
        if self._anti and _any(self._pod.required_anti_affinity, labels, self._anti):
            return OWN_ANTI
        if self._existing_anti and any((key, value) in self._existing_anti for key, value in labels.items()):
            return EXISTING_ANTI
        return None

    def _own_affinity_holds(self, labels: Mapping[str, str], names: dict[str, dict[str, str]]) -> bool:
        required = self._pod.required_affinity
        if not required:
            return True
        if any(term.topology_key not in labels for term in required):
            return False
        if all((t.topology_key, labels[t.topology_key]) in self._affinity for t in required):
            return True
        # the first pod of a group that wants to be together may go anywhere, if it matches its own terms
        return not self._affinity and all(term.matches(self._pod, names) for term in required)


def _count(counts: dict[TopologyPair, int], pair: TopologyPair) -> None:
    counts[pair] = counts.get(pair, 0) + 1


def _any(terms: Iterable[AffinityTerm], labels: Mapping[str, str], counts: dict[TopologyPair, int]) -> bool:
    return any(t.topology_key in labels and (t.topology_key, labels[t.topology_key]) in counts for t in terms)


class Filters:
    """All filters for one pod, in kube-scheduler's order. `volumes` is the check of PersistentVolumes when the pod has claims."""

    def __init__(self, pod: PodInfo, state: ClusterState, volumes: Check | None = None) -> None:
        self.pod, self._state, self._volumes = pod, state, volumes
        hard = [c for c in pod.spread if c.hard]
        self._spread = Spread(pod, hard, state) if hard else None
        needed = pod.required_affinity or pod.required_anti_affinity or state.with_affinity
        self._affinity = InterPodAffinity(pod, state) if needed else None

    def check(self, node: NodeInfo) -> Refusal | None:
        """The first refusal, None when the node can take the pod."""
        pod = self.pod
        refusal = (
            unschedulable(pod, node)
            or node_name(pod, node)
            or taints(pod, node)
            or node_affinity(pod, node)
            or ports(pod, node)
            or fit(pod, node)
            or (self._volumes(node) if self._volumes else None)
        )
        if refusal is None and self._spread is not None:
            refusal = self._spread(node)
        if refusal is None and self._affinity is not None:
            refusal = self._affinity(node, self._state.namespace_labels)
        return refusal


def summary(refusals: Iterable[Refusal], nodes: int) -> str:
    """`0/5 nodes are available: 2 Insufficient cpu, 3 node(s) had untolerated taint(s).`"""
    counts: dict[str, int] = {}
    for refusal in refusals:
        for reason in refusal.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{nodes} nodes are available: {listed}." if listed else f"0/{nodes} nodes are available."
