"""What the scheduler knows of the cluster: nodes with what their pods use, kept incrementally; pods that are assumed but not bound yet.

Single-threaded: everything runs on the loop, so the "snapshot" of a decision is the state itself, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from minikube_api.meta import selectors
from minikube_api.schema.typed.core_v1 import Node, Pod, PodAffinityTerm, PreferredSchedulingTerm, TopologySpreadConstraint
from minikube_py.scheduler import requests
from minikube_py.scheduler.requests import Amounts, HostPort

#: changes remembered at least
CHANGES = 20_000


@dataclass(slots=True, eq=False)
class AffinityTerm:
    """A compiled PodAffinityTerm. `namespaces` None = all of `namespace_selector`'s."""

    selector: selectors.LabelSelector
    namespaces: frozenset[str]
    namespace_selector: selectors.LabelSelector | None
    topology_key: str
    weight: int = 0

    def matches(self, pod: PodInfo, namespace_labels: dict[str, dict[str, str]]) -> bool:
        if not self.selector.matches(pod.labels):
            return False
        if pod.namespace in self.namespaces:
            return True
        if self.namespace_selector is None:
            return False
        return self.namespace_selector.matches(namespace_labels.get(pod.namespace, {}))


@dataclass(slots=True, eq=False)
class SpreadConstraint:
    """A compiled TopologySpreadConstraint."""

    selector: selectors.LabelSelector
    topology_key: str
    max_skew: int
    hard: bool
    min_domains: int
    honor_affinity: bool
    honor_taints: bool


@dataclass(slots=True, eq=False)
class PodInfo:
    """A pod with all that decisions need, computed once."""

    pod: Pod
    uid: str
    namespace: str
    name: str
    labels: dict[str, str]
    priority: int
    requests: Amounts
    nonzero: Amounts
    ports: frozenset[HostPort]
    required_affinity: tuple[AffinityTerm, ...] = ()
    required_anti_affinity: tuple[AffinityTerm, ...] = ()
    preferred_affinity: tuple[AffinityTerm, ...] = ()
    spread: tuple[SpreadConstraint, ...] = ()
    preferred_nodes: tuple[PreferredSchedulingTerm, ...] = ()
    node: str = ""
    terminating: bool = False

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def pod_info(pod: Pod) -> PodInfo:
    meta, spec = pod.metadata, pod.spec
    namespace = meta.namespace or ""
    affinity = spec.affinity
    required: list[AffinityTerm] = []
    anti: list[AffinityTerm] = []
    preferred: list[AffinityTerm] = []
    preferred_nodes: tuple[PreferredSchedulingTerm, ...] = ()
    if affinity is not None:
        if affinity.nodeAffinity is not None:
            preferred_nodes = affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
        if (towards := affinity.podAffinity) is not None:
            required += [_term(t, pod) for t in towards.requiredDuringSchedulingIgnoredDuringExecution]
            preferred += [
                _term(w.podAffinityTerm, pod, w.weight) for w in towards.preferredDuringSchedulingIgnoredDuringExecution
            ]
        if (away := affinity.podAntiAffinity) is not None:
            anti += [_term(t, pod) for t in away.requiredDuringSchedulingIgnoredDuringExecution]
            preferred += [_term(w.podAffinityTerm, pod, -w.weight) for w in away.preferredDuringSchedulingIgnoredDuringExecution]
    return PodInfo(
        pod=pod,
        uid=meta.uid or "",
        namespace=namespace,
        name=meta.name or "",
        labels=meta.labels,
        priority=spec.priority or 0,
        requests=requests.of_pod(pod),
        nonzero=requests.of_pod(pod, nonzero=True),
        ports=requests.host_ports(pod),
        required_affinity=tuple(required),
        required_anti_affinity=tuple(anti),
        preferred_affinity=tuple(preferred),
        spread=tuple(_constraint(c, pod) for c in spec.topologySpreadConstraints),
        preferred_nodes=preferred_nodes,
        node=spec.nodeName or "",
        terminating=meta.deletionTimestamp is not None,
    )


def compiled(selector: object) -> selectors.LabelSelector:
    """A typed LabelSelector as the matching one; None selects nothing, an empty one everything."""
    return selectors.from_label_selector(None if selector is None else msgspec.to_builtins(selector))


def _term(term: PodAffinityTerm, pod: Pod, weight: int = 0) -> AffinityTerm:
    own = pod.metadata.namespace or ""
    wanted = term.namespaces or (() if term.namespaceSelector is not None else (own,))
    tree = msgspec.to_builtins(term.labelSelector) if term.labelSelector is not None else None
    if tree is not None and (term.matchLabelKeys or term.mismatchLabelKeys):
        labels = pod.metadata.labels
        pairs = [(k, "In") for k in term.matchLabelKeys] + [(k, "NotIn") for k in term.mismatchLabelKeys]
        added = [{"key": k, "operator": operator, "values": [labels[k]]} for k, operator in pairs if k in labels]
        known = tree.get("matchExpressions", [])
        tree = {**tree, "matchExpressions": [*known, *(a for a in added if a not in known)]}
    namespace_selector = compiled(term.namespaceSelector) if term.namespaceSelector is not None else None
    return AffinityTerm(selectors.from_label_selector(tree), frozenset(wanted), namespace_selector, term.topologyKey, weight)


def _constraint(constraint: TopologySpreadConstraint, pod: Pod) -> SpreadConstraint:
    tree = msgspec.to_builtins(constraint.labelSelector) if constraint.labelSelector is not None else None
    if tree is not None and constraint.matchLabelKeys:
        labels = pod.metadata.labels
        same = {k: labels[k] for k in constraint.matchLabelKeys if k in labels}
        tree = {**tree, "matchLabels": {**tree.get("matchLabels", {}), **same}}
    return SpreadConstraint(
        selector=selectors.from_label_selector(tree),
        topology_key=constraint.topologyKey,
        max_skew=constraint.maxSkew,
        hard=constraint.whenUnsatisfiable == "DoNotSchedule",
        min_domains=constraint.minDomains or 1,
        honor_affinity=(constraint.nodeAffinityPolicy or "Honor") == "Honor",
        honor_taints=(constraint.nodeTaintsPolicy or "Ignore") == "Honor",
    )


@dataclass(slots=True, eq=False)
class NodeInfo:
    """A node and what its pods use."""

    name: str
    node: Node | None = None
    pods: dict[str, PodInfo] = field(default_factory=dict)
    requested: Amounts = field(default_factory=dict)
    nonzero: Amounts = field(default_factory=lambda: {"cpu": 0, "memory": 0})
    allocatable: Amounts = field(default_factory=dict)
    ports: dict[HostPort, int] = field(default_factory=dict)
    with_affinity: dict[str, PodInfo] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    #: place in `ClusterState.order`; -1 = not there
    index: int = -1

    @property
    def labels(self) -> dict[str, str]:
        assert self.node is not None
        return self.node.metadata.labels

    def add(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._count(pod, 1)
        for port in pod.ports:
            self.ports[port] = self.ports.get(port, 0) + 1
        if has_affinity(pod):
            self.with_affinity[pod.uid] = pod

    def remove(self, uid: str) -> PodInfo | None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        self._count(pod, -1)
        for port in pod.ports:
            self.ports[port] -= 1
            if not self.ports[port]:
                del self.ports[port]
        self.with_affinity.pop(uid, None)
        return pod

    def _count(self, pod: PodInfo, sign: int) -> None:
        for name, value in pod.requests.items():
            self.requested[name] = self.requested.get(name, 0) + sign * value
        for name in ("cpu", "memory"):
            self.nonzero[name] += sign * pod.nonzero.get(name, 0)


def has_affinity(pod: PodInfo) -> bool:
    return bool(pod.required_affinity or pod.required_anti_affinity or pod.preferred_affinity)


class ClusterState:
    """Nodes in a stable order (by first appearance), pods by uid, and counters that tell which checks are needed at all."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.order: list[NodeInfo] = []
        self.namespace_labels: dict[str, dict[str, str]] = {}
        self.pods: dict[str, PodInfo] = {}
        self.assumed: set[str] = set()
        #: nodes in the order they changed (themselves or their pods), so that who remembers something of them knows what to forget;
        #: `change` counts them, older ones than the last CHANGES are forgotten
        self.change = 0
        self._changes: list[NodeInfo] = []
        #: grows when places in `order` move
        self.layout = 0
        #: image -> how many nodes have it
        self.image_nodes: dict[str, int] = {}
        self._hosts: dict[str, int] = {}
        #: hostname labels that several nodes have
        self.shared_hosts = 0
        #: how many placed pods have pod affinity of any kind
        self.with_affinity = 0

    def _touch(self, info: NodeInfo) -> None:
        self.change += 1
        self._changes.append(info)
        if len(self._changes) > 2 * CHANGES:
            del self._changes[:CHANGES]

    def changes_since(self, change: int) -> list[NodeInfo] | None:
        """The nodes that changed after the `change`-th change; None when that is too long ago."""
        behind = self.change - change
        if behind > len(self._changes):
            return None
        return self._changes[len(self._changes) - behind :]

    def __iter__(self) -> Iterator[NodeInfo]:
        return iter(self.order)

    def set_node(self, node: Node) -> None:
        name = node.metadata.name or ""
        info = self.nodes.get(name)
        if info is None:
            info = self.nodes[name] = NodeInfo(name)
        if info.node is None:
            info.index = len(self.order)
            self.order.append(info)
        else:
            self._describe(info, -1)
        info.node = node
        info.allocatable = requests.amounts(node.status.allocatable)
        info.images = {n: image.sizeBytes or 0 for image in node.status.images for n in image.names or ()}
        self._describe(info, 1)
        self._touch(info)

    def _describe(self, info: NodeInfo, sign: int) -> None:
        """Count the node's images and host name, in or out."""
        for image in info.images:
            self.image_nodes[image] = self.image_nodes.get(image, 0) + sign
            if not self.image_nodes[image]:
                del self.image_nodes[image]
        host = info.labels.get("kubernetes.io/hostname", "")
        if host:
            before = self._hosts.get(host, 0)
            self._hosts[host] = before + sign
            self.shared_hosts += (before + sign > 1) - (before > 1)
            if not before + sign:
                del self._hosts[host]

    def remove_node(self, name: str) -> None:
        """Its pods stay counted until they are gone themselves."""
        info = self.nodes.get(name)
        if info is None or info.node is None:
            return
        self._describe(info, -1)
        info.node = None
        del self.order[info.index]
        for i in range(info.index, len(self.order)):
            self.order[i].index = i
        info.index = -1
        self.layout += 1
        if not info.pods:
            del self.nodes[name]

    def place(self, pod: PodInfo, *, assumed: bool = False) -> None:
        """Count a pod on its node; an assumed one until the API says it is bound (or `forget`)."""
        self.forget(pod.uid)
        info = self.nodes.get(pod.node)
        if info is None:
            info = self.nodes[pod.node] = NodeInfo(pod.node)
        info.add(pod)
        self.pods[pod.uid] = pod
        self.with_affinity += has_affinity(pod)
        if assumed:
            self.assumed.add(pod.uid)
        self._touch(info)

    def forget(self, uid: str) -> PodInfo | None:
        """The pod no longer counts anywhere."""
        pod = self.pods.pop(uid, None)
        self.assumed.discard(uid)
        if pod is None:
            return None
        info = self.nodes[pod.node]
        info.remove(uid)
        self.with_affinity -= has_affinity(pod)
        self._touch(info)
        if info.node is None and not info.pods:
            del self.nodes[pod.node]
        return pod
