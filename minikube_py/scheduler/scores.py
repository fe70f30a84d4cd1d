"""Which of the nodes that can take a pod is best: kube-scheduler's score plug-ins with its default weights.

Every score is 0..100 a node after normalising; the total is their weighted sum. Weights are those of the default profile:
TaintToleration 3, NodeAffinity 2, PodTopologySpread 2, InterPodAffinity 2, NodeResourcesFit (least allocated) 1,
NodeResourcesBalancedAllocation 1, ImageLocality 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minikube_api.schema import node_matching as matching
from minikube_py.scheduler import filters
from minikube_py.scheduler.state import ClusterState, NodeInfo, PodInfo, SpreadConstraint

MAX = 100
_PREFER = frozenset({"PreferNoSchedule"})
#: bytes; images smaller or larger than these count nothing or fully (ImageLocality)
_IMAGE_MIN, _IMAGE_MAX = 23 << 20, 1000 << 20


def least_allocated(pod: PodInfo, node: NodeInfo) -> int:
    """The mean share of CPU and memory that stays free, with defaults for pods that ask for nothing."""
    total, weights = 0, 0
    for name in ("cpu", "memory"):
        capacity = node.allocatable.get(name, 0)
        if not capacity:
            continue
        wanted = node.nonzero[name] + pod.nonzero.get(name, 0)
        total += (capacity - wanted) * MAX // capacity if wanted <= capacity else 0
        weights += 1
    return total // weights if weights else 0


def balanced(pod: PodInfo, node: NodeInfo) -> int:
    """High when the shares of CPU and memory in use would be alike. Pods that ask for neither are not scored (KEP-5229 behaviour)."""
    shares = []
    for name in ("cpu", "memory"):
        capacity = node.allocatable.get(name, 0)
        if not capacity:
            continue
        shares.append(min(1.0, (node.requested.get(name, 0) + pod.requests.get(name, 0)) / capacity))
    if len(shares) < 2:
        return MAX
    return int((1 - abs(shares[0] - shares[1]) / 2) * MAX)


def image_locality(pod: PodInfo, node: NodeInfo, spread: dict[str, float]) -> int:
    """`spread`: image -> share of the nodes that have it."""
    containers = (*pod.pod.spec.initContainers, *pod.pod.spec.containers)
    total = sum(int(node.images[c.image] * spread.get(c.image, 0)) for c in containers if c.image and c.image in node.images)
    most = _IMAGE_MAX * len(containers)
    return MAX * (min(max(total, _IMAGE_MIN), most) - _IMAGE_MIN) // (most - _IMAGE_MIN) if most > _IMAGE_MIN else 0


def preferred_taints(pod: PodInfo, node: NodeInfo) -> int:
    """How many PreferNoSchedule taints the pod does not tolerate."""
    assert node.node is not None
    tolerations = [t for t in pod.pod.spec.tolerations if not t.effect or t.effect == "PreferNoSchedule"]
    return sum(1 for taint in node.node.spec.taints if matching.untolerated([taint], tolerations, _PREFER))


def preferred_nodes(pod: PodInfo, node: NodeInfo) -> int:
    return sum(t.weight for t in pod.preferred_nodes if matching.term_holds(t.preference, node.labels, node.name))


def normalized(raw: Sequence[int], *, reverse: bool = False) -> list[int]:
    """Scaled so that the largest is 100; reversed: the largest becomes 0."""
    largest = max(raw, default=0)
    if not largest:
        return [MAX if reverse else 0] * len(raw)
    scaled = [value * MAX // largest for value in raw]
    return [MAX - value for value in scaled] if reverse else scaled


def spread_scores(
    pod: PodInfo, nodes: Sequence[NodeInfo], constraints: Sequence[SpreadConstraint], state: ClusterState, *, all_keys: bool
) -> list[int]:
    """PodTopologySpread, soft constraints: fewer matching pods in a node's domains is better.

    `all_keys`: nodes that lack one of the keys are left out (constraints of the pod's own, not the system's).
    """
    keys = [c.topology_key for c in constraints]
    left_out = [all_keys and not all(k in n.labels for k in keys) for n in nodes]
    raw = [0.0] * len(nodes)
    for constraint in constraints:
        key = constraint.topology_key
        domains = {n.labels[key] for n, out in zip(nodes, left_out, strict=True) if not out and key in n.labels}
        size = len(nodes) - sum(left_out) if key == "kubernetes.io/hostname" else len(domains)
        weight = math.log(size + 2)
        if key == "kubernetes.io/hostname":
            counts = {n.labels[key]: filters.matching_pods(n, constraint, pod.namespace) for n in nodes if key in n.labels}
        else:
            counts = dict.fromkeys(domains, 0)
            for other in state:
                domain = other.labels.get(key)
                if domain in counts and filters.counted(pod, other, constraint):
                    counts[domain] += filters.matching_pods(other, constraint, pod.namespace)
        for i, node in enumerate(nodes):
            domain = node.labels.get(key)
            if domain is not None and not left_out[i]:
                raw[i] += counts.get(domain, 0) * weight + (constraint.max_skew - 1)
    values = [round(value) for value in raw]
    kept = iter(spread_normalized([v for v, out in zip(values, left_out, strict=True) if not out]))
    return [0 if out else next(kept) for out in left_out]


def spread_normalized(values: Sequence[int]) -> list[int]:
    """Fewest matching pods: 100."""
    least, most = min(values, default=0), max(values, default=0)
    return [MAX * (most + least - v) // most if most else MAX for v in values]


def affinity_scores(pod: PodInfo, nodes: Sequence[NodeInfo], state: ClusterState) -> list[int]:
    """InterPodAffinity: preferences of the pod towards others, and of others (and their hard affinity, weight 1) towards it."""
    pairs: dict[tuple[str, str], int] = {}
    names = state.namespace_labels
    for node in state:
        labels = node.labels
        others = node.pods.values() if pod.preferred_affinity else node.with_affinity.values()
        for other in others:
            terms = [(t, t.weight) for t in pod.preferred_affinity if t.matches(other, names)]
            terms += [(t, t.weight) for t in other.preferred_affinity if t.matches(pod, names)]
            terms += [(t, 1) for t in other.required_affinity if t.matches(pod, names)]
            for term, weight in terms:
                if term.topology_key in labels:
                    pair = (term.topology_key, labels[term.topology_key])
                    pairs[pair] = pairs.get(pair, 0) + weight
    raw = [sum(w for (key, value), w in pairs.items() if n.labels.get(key) == value) for n in nodes]
    least, most = min(raw, default=0), max(raw, default=0)
    return [int(MAX * (value - least) / (most - least)) if most > least else 0 for value in raw]


def totals(pod: PodInfo, nodes: Sequence[NodeInfo], state: ClusterState, default_spread: Sequence[SpreadConstraint]) -> list[int]:
    """The weighted sum for each node. `default_spread`: the system's constraints when the pod has none of its own."""
    soft = [c for c in pod.spread if not c.hard]
    images = {c.image for c in (*pod.pod.spec.initContainers, *pod.pod.spec.containers) if c.image}
    known = {i for n in nodes for i in images if i in n.images}
    share = {i: sum(1 for n in state if i in n.images) / len(state.order) for i in known}
    sums = [least_allocated(pod, n) + balanced(pod, n) + (image_locality(pod, n, share) if known else 0) for n in nodes]
    parts: list[tuple[int, list[int]]] = []
    if any(n.node is not None and n.node.spec.taints for n in nodes):
        parts.append((3, normalized([preferred_taints(pod, n) for n in nodes], reverse=True)))
    if pod.preferred_nodes:
        parts.append((2, normalized([preferred_nodes(pod, n) for n in nodes])))
    if soft or (not pod.spread and default_spread):
        parts.append((2, spread_scores(pod, nodes, soft or default_spread, state, all_keys=bool(soft))))
    if pod.preferred_affinity or state.with_affinity:
        parts.append((2, affinity_scores(pod, nodes, state)))
    for weight, scores in parts:
        for i, score in enumerate(scores):
            sums[i] += weight * score
    return sums
