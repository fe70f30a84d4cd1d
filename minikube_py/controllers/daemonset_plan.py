"""Planning of DaemonSets: on which nodes a pod belongs, which to create and delete, rolling updates, status. Pure.

Source: pkg/controller/daemon (daemon_controller.go, update.go) and its util/. Daemon pods are placed by a node affinity on
`metadata.name`, so that the scheduler binds them; they tolerate what the node controller taints, so that they stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from minikube_api.schema import node_matching
from minikube_api.schema.typed.apps_v1 import DaemonSet, DaemonSetStatus
from minikube_api.schema.typed.core_v1 import (
    Affinity,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodSpec,
    Toleration,
)
from minikube_py.controllers import pods
from minikube_py.controllers.history import HASH_LABEL
from minikube_py.controllers.rollout import resolve

GENERATION_LABEL: Final = "pod-template-generation"
GENERATION_ANNOTATION: Final = "deprecated.daemonset.template.generation"
_NODE: Final = "node.kubernetes.io"
TOLERATIONS: Final = (
    Toleration(key=f"{_NODE}/not-ready", operator="Exists", effect="NoExecute"),
    Toleration(key=f"{_NODE}/unreachable", operator="Exists", effect="NoExecute"),
    Toleration(key=f"{_NODE}/disk-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key=f"{_NODE}/memory-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key=f"{_NODE}/pid-pressure", operator="Exists", effect="NoSchedule"),
    Toleration(key=f"{_NODE}/unschedulable", operator="Exists", effect="NoSchedule"),
)
_HOST_NETWORK: Final = Toleration(key=f"{_NODE}/network-unavailable", operator="Exists", effect="NoSchedule")

ByNode = Mapping[str, Sequence[Pod]]


@dataclass(slots=True)
class Plan:
    """Nodes that get a pod, pods to delete; `ended` are those of the latter that failed or succeeded (told in an event)."""

    create: list[str] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    ended: list[Pod] = field(default_factory=list)


def with_tolerations(spec: PodSpec) -> PodSpec:
    """The spec with the tolerations of daemon pods; one that is there already is not repeated."""
    added = (*TOLERATIONS, _HOST_NETWORK) if spec.hostNetwork else TOLERATIONS
    return replace(spec, tolerations=(*spec.tolerations, *(t for t in added if t not in spec.tolerations)))


def pinned(spec: PodSpec, node: str) -> PodSpec:
    """The spec for one node: the required node affinity is replaced (the controller has evaluated it), preferences stay."""
    term = NodeSelectorTerm(matchFields=(NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,)),))
    affinity = spec.affinity or Affinity()
    on_nodes = replace(
        affinity.nodeAffinity or NodeAffinity(),
        requiredDuringSchedulingIgnoredDuringExecution=NodeSelector(nodeSelectorTerms=(term,)),
    )
    return replace(spec, affinity=replace(affinity, nodeAffinity=on_nodes))


def target_node(pod: Pod) -> str:
    """The node that a pod is on, or is meant for."""
    if pod.spec.nodeName:
        return pod.spec.nodeName
    on_nodes = pod.spec.affinity.nodeAffinity if pod.spec.affinity is not None else None
    names = node_matching.required_names(on_nodes.requiredDuringSchedulingIgnoredDuringExecution if on_nodes else None)
    return next(iter(names)) if names is not None and len(names) == 1 else ""


def by_node(listed: Iterable[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in listed:
        if node := target_node(pod):
            found.setdefault(node, []).append(pod)
    return found


def belongs(spec: PodSpec, node: Node) -> tuple[bool, bool]:
    """(a pod should be made there, one that is there may stay). `spec` has the tolerations of daemon pods."""
    name, labels = node.metadata.name, node.metadata.labels
    if spec.nodeName and spec.nodeName != name:
        return False, False
    if not spec.nodeSelector.items() <= labels.items():
        return False, False
    on_nodes = spec.affinity.nodeAffinity if spec.affinity is not None else None
    required = on_nodes.requiredDuringSchedulingIgnoredDuringExecution if on_nodes is not None else None
    if required is not None and not node_matching.selector_holds(required, labels, name):
        return False, False
    if node_matching.untolerated(node.spec.taints, spec.tolerations, frozenset({"NoSchedule", "NoExecute"})) is None:
        return True, True
    return False, node_matching.untolerated(node.spec.taints, spec.tolerations, frozenset({"NoExecute"})) is None


def is_updated(owner: DaemonSet, pod: Pod, hash: str) -> bool:
    """Made from the present template: by the generation that older API versions counted, or by the revision's hash."""
    generation = owner.metadata.annotations.get(GENERATION_ANNOTATION)
    labels = pod.metadata.labels
    return (bool(generation) and labels.get(GENERATION_LABEL) == generation) or (bool(hash) and labels.get(HASH_LABEL) == hash)


def _split(owner: DaemonSet, alive: Iterable[Pod], hash: str) -> tuple[list[Pod], list[Pod]]:
    new: list[Pod] = []
    old: list[Pod] = []
    for pod in alive:
        (new if is_updated(owner, pod, hash) else old).append(pod)
    return new, old


def is_rolling(owner: DaemonSet) -> bool:
    return owner.spec.updateStrategy.type in (None, "RollingUpdate")


def fenceposts(owner: DaemonSet, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods, rounded up; both zero would never move."""
    rolling = owner.spec.updateStrategy.rollingUpdate
    if not is_rolling(owner):
        return 0, 0
    surge = resolve(rolling.maxSurge, desired, round_up=True) if rolling is not None else 0
    stated = 1 if rolling is None or rolling.maxUnavailable is None else rolling.maxUnavailable
    unavailable = resolve(stated, desired, round_up=True)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def allows_surge(owner: DaemonSet) -> bool:
    rolling = owner.spec.updateStrategy.rollingUpdate
    return is_rolling(owner) and rolling is not None and rolling.maxSurge not in (None, 0, "0%")


def manage(owner: DaemonSet, spec: PodSpec, nodes: Iterable[Node], listed: ByNode, hash: str, now: float) -> Plan:
    """One pod on each node that should have one, none elsewhere. Pods that are ending keep their place until they are gone."""
    plan = Plan()
    for node in nodes:
        should_run, may_stay = belongs(spec, node)
        present = listed.get(node.metadata.name, ())
        if should_run and not present:
            plan.create.append(node.metadata.name)
        elif may_stay:
            _keep_one(owner, present, hash, now, plan)
        else:
            plan.delete += [pod for pod in present if pod.metadata.deletionTimestamp is None]
    return plan


def _keep_one(owner: DaemonSet, present: Sequence[Pod], hash: str, now: float, plan: Plan) -> None:
    """Of the pods of one node: ended ones go (to be made again), and those too many."""
    staying = []
    for pod in present:
        if pod.metadata.deletionTimestamp is not None:
            continue
        if pods.is_terminal(pod):
            plan.ended.append(pod)
            plan.delete.append(pod)
        else:
            staying.append(pod)
    staying.sort(key=lambda pod: (pod.metadata.creationTimestamp or "", pod.metadata.name))
    if not allows_surge(owner):
        plan.delete += staying[1:]
        return
    new, old = _split(owner, staying, hash)
    plan.delete += [*new[1:], *old[1:]]
    if new and old and (not pods.is_ready(old[0]) or pods.is_available(new[0], owner.spec.minReadySeconds or 0, now)):
        plan.delete.append(old[0])


def rolling_update(owner: DaemonSet, desired: int, listed: ByNode, hash: str, now: float) -> Plan:
    """What an update may replace now: old pods that are unavailable at once, others within maxUnavailable or maxSurge."""
    surge, unavailable = fenceposts(owner, desired)
    minimum = owner.spec.minReadySeconds or 0
    at_once, candidates, replaced = [], [], []
    busy = 0
    for node, present in listed.items():
        alive = [pod for pod in present if pod.metadata.deletionTimestamp is None]
        new, old = _split(owner, alive, hash)
        if len(new) > 1 or len(old) > 1:
            busy += 1  # `manage` puts it right
        elif surge:
            if not old:
                continue
            if not new:
                (candidates if pods.is_available(old[0], minimum, now) else at_once).append((node, old[0]))
            elif pods.is_available(new[0], minimum, now):
                replaced.append(old[0])
            else:
                busy += 1
        elif bool(new) == bool(old):
            busy += 1
        elif new:
            busy += not pods.is_available(new[0], minimum, now)
        elif pods.is_available(old[0], minimum, now):
            candidates.append((node, old[0]))
        else:
            busy += 1
            at_once.append((node, old[0]))
    free = max(0, (surge or unavailable) - busy)
    chosen = [*at_once, *candidates[:free]]
    if surge:
        return Plan(create=[node for node, _ in chosen], delete=replaced)
    return Plan(delete=[pod for _, pod in chosen])


def status_of(
    owner: DaemonSet, spec: PodSpec, nodes: Iterable[Node], listed: ByNode, hash: str, now: float, *, settled: bool = True
) -> DaemonSetStatus:
    """The status that these pods give. `settled`: the generation was acted upon."""
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
    minimum = owner.spec.minReadySeconds or 0
    for node in nodes:
        present = listed.get(node.metadata.name, ())
        if not belongs(spec, node)[0]:
            counts["misscheduled"] += bool(present)
            continue
        counts["desired"] += 1
        if not present:
            continue
        counts["current"] += 1
        pod = min(present, key=_oldest_bound_first)
        counts["ready"] += pods.is_ready(pod)
        counts["available"] += pods.is_available(pod, minimum, now)
        counts["updated"] += is_updated(owner, pod, hash)
    return DaemonSetStatus(
        observedGeneration=owner.metadata.generation if settled else owner.status.observedGeneration,
        desiredNumberScheduled=counts["desired"],
        currentNumberScheduled=counts["current"],
        numberMisscheduled=counts["misscheduled"],
        numberReady=counts["ready"],
        numberAvailable=counts["available"],
        numberUnavailable=counts["desired"] - counts["available"],
        updatedNumberScheduled=counts["updated"],
        collisionCount=owner.status.collisionCount,
        conditions=owner.status.conditions,
    )


def _oldest_bound_first(pod: Pod) -> tuple[Any, ...]:
    return (not pod.spec.nodeName, pod.status.phase != "Running", pod.metadata.creationTimestamp or "", pod.metadata.name)
