"""Does a node fit what a pod says of nodes: selectors, node affinity, taints. Pure.

Sources: "Assigning Pods to Nodes", "Taints and Tolerations". Selectors are compiled once a pod, not once a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from minikube_api.schema.typed.core_v1 import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration

NodeTest = Callable[[Mapping[str, str], str], bool]


def requirement_holds(requirement: NodeSelectorRequirement, values: Mapping[str, str]) -> bool:
    """One NodeSelectorRequirement against labels (or fields). An unknown operator or a bad number never holds."""
    value = values.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values if value is not None else False
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            if value is None or len(requirement.values) != 1:
                return False
            try:
                mine, other = int(value), int(requirement.values[0])
            except ValueError:
                return False
            return mine > other if requirement.operator == "Gt" else mine < other
    return False


def term_holds(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    """All of a term; an empty term matches nothing."""
    if not term.matchExpressions and not term.matchFields:
        return False
    return all(requirement_holds(r, labels) for r in term.matchExpressions) and all(
        requirement_holds(r, {"metadata.name": name}) for r in term.matchFields
    )


def selector_holds(selector: NodeSelector, labels: Mapping[str, str], name: str) -> bool:
    """Any of the terms."""
    return any(term_holds(term, labels, name) for term in selector.nodeSelectorTerms or ())


def required_names(selector: NodeSelector | None) -> frozenset[str] | None:
    """The node names that a required affinity narrows to by metadata.name (DaemonSet pods), or None when it does not."""
    if selector is None or not selector.nodeSelectorTerms:
        return None
    names: set[str] = set()
    for term in selector.nodeSelectorTerms:
        found = [set(r.values) for r in term.matchFields if r.key == "metadata.name" and r.operator == "In"]
        if not found:
            return None
        names |= set.intersection(*found)
    return frozenset(names)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.key) and (toleration.value or "") == (taint.value or "")
        case "Gt" | "Lt":
            try:
                mine, limit = int(taint.value or ""), int(toleration.value or "")
            except ValueError:
                return False
            return mine > limit if toleration.operator == "Gt" else mine < limit
    return False


def untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: frozenset[str]) -> Taint | None:
    """The first taint with one of the effects that no toleration covers."""
    tolerations = tuple(tolerations)
    for taint in taints:
        if taint.effect in effects and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None


def node_labels(node: Node) -> Mapping[str, str]:
    return node.metadata.labels
