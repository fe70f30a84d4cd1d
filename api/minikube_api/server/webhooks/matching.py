"""Does a webhook want to hear of a request? Pure: rules, scopes, exempt kinds (documentation, "Matching requests: rules")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minikube_api.meta.selectors import LabelSelector
from minikube_api.server.context import Object

ADMISSION_GROUP = "admissionregistration.k8s.io"
#: never intercepted, so that no webhook can keep people from removing it
_EXEMPT = frozenset(
    {
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    }
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules are held against. `namespace` of a Namespace is its own name."""

    operation: str
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Rule:
    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    #: (resource, subresource), "*" is any
    resources: tuple[tuple[str, str], ...]
    scope: str

    @staticmethod
    def of(tree: Mapping[str, Any]) -> Rule:
        return Rule(
            frozenset(tree.get("operations") or ()),
            frozenset(tree.get("apiGroups") or ()),
            frozenset(tree.get("apiVersions") or ()),
            tuple((text.partition("/")[0], text.partition("/")[2]) for text in tree.get("resources") or ()),
            tree.get("scope") or "*",
        )

    def matches(self, subject: Subject) -> bool:
        return (
            _has(self.operations, subject.operation)
            and _has(self.groups, subject.group)
            and _has(self.versions, subject.version)
            and any(name in ("*", subject.resource) and sub in ("*", subject.subresource) for name, sub in self.resources)
            and self._in_scope(subject)
        )

    def _in_scope(self, subject: Subject) -> bool:
        if self.scope == "*":
            return True
        is_namespace = not subject.group and subject.resource == "namespaces"
        clustered = not subject.namespace or is_namespace
        return clustered if self.scope == "Cluster" else not clustered


def _has(wanted: frozenset[str], value: str) -> bool:
    return value in wanted or "*" in wanted


def exempt(group: str, resource: str) -> bool:
    return group == ADMISSION_GROUP and resource in _EXEMPT


def any_object_matches(selector: LabelSelector, objects: Iterable[Object | None]) -> bool:
    """objectSelector: true when the new or the old object has such labels; things without metadata match nothing."""
    if selector.everything:
        return True
    for tree in objects:
        if tree is not None and isinstance(meta := tree.get("metadata"), dict) and selector.matches(meta.get("labels") or {}):
            return True
    return False
