"""Which FlowSchema a request belongs to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minikube_api.server.context import Object, Request

_ACCOUNT = "system:serviceaccount:"


def _has(wanted: frozenset[str], value: str) -> bool:
    return value in wanted or "*" in wanted


@dataclass(frozen=True, slots=True)
class ResourceRule:
    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    cluster_scope: bool
    namespaces: frozenset[str]

    def matches(self, request: Request) -> bool:
        info = request.info
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        return (
            _has(self.verbs, info.verb)
            and _has(self.groups, info.group)
            and _has(self.resources, resource)
            and (_has(self.namespaces, info.namespace) if info.namespace else self.cluster_scope)
        )


@dataclass(frozen=True, slots=True)
class UrlRule:
    verbs: frozenset[str]
    urls: tuple[str, ...]

    def matches(self, request: Request) -> bool:
        path = request.path
        return _has(self.verbs, request.info.verb) and any(
            url in ("*", path) or (url.endswith("/*") and path.startswith(url[:-1])) for url in self.urls
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Subjects as (kind, name); a service account's name is NAMESPACE:NAME, or NAMESPACE: for all of a namespace."""

    subjects: tuple[tuple[str, str], ...]
    resources: tuple[ResourceRule, ...]
    urls: tuple[UrlRule, ...]

    def matches(self, request: Request) -> bool:
        rules = self.resources if request.info.is_resource else self.urls
        return any(self._is(kind, name, request) for kind, name in self.subjects) and any(r.matches(request) for r in rules)

    @staticmethod
    def _is(kind: str, name: str, request: Request) -> bool:
        user = request.user
        if kind == "Group":
            return name == "*" or name in user.groups
        if kind == "User":
            return name in ("*", user.name)
        account = user.name.removeprefix(_ACCOUNT)
        if account == user.name:
            return False
        return account.startswith(name) if name.endswith(":") else account == name


@dataclass(frozen=True, slots=True)
class Schema:
    name: str
    uid: str
    precedence: int
    level: str
    #: ByUser, ByNamespace or "" (one flow)
    distinguisher: str
    rules: tuple[Rule, ...]

    def matches(self, request: Request) -> bool:
        return any(rule.matches(request) for rule in self.rules)

    def flow(self, request: Request) -> str:
        """What tells flows of this schema apart."""
        if self.distinguisher == "ByUser":
            return request.user.name
        return request.info.namespace if self.distinguisher == "ByNamespace" else ""

    @property
    def names_namespaces(self) -> bool:
        """Whether rules ask for certain namespaces: then decisions can't be kept for all namespaces alike."""
        return any("*" not in r.namespaces and r.namespaces for rule in self.rules for r in rule.resources)


def schema_of(tree: Object) -> Schema:
    meta, spec = tree["metadata"], tree.get("spec") or {}
    return Schema(
        meta["name"],
        meta.get("uid", ""),
        spec.get("matchingPrecedence") or 1000,
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        (spec.get("distinguisherMethod") or {}).get("type", ""),
        tuple(_rule(rule) for rule in spec.get("rules") or ()),
    )


def _rule(tree: dict[str, Any]) -> Rule:
    return Rule(
        tuple(_subject(subject) for subject in tree.get("subjects") or ()),
        tuple(
            ResourceRule(
                frozenset(r.get("verbs") or ()),
                frozenset(r.get("apiGroups") or ()),
                frozenset(r.get("resources") or ()),
                bool(r.get("clusterScope")),
                frozenset(r.get("namespaces") or ()),
            )
            for r in tree.get("resourceRules") or ()
        ),
        tuple(
            UrlRule(frozenset(r.get("verbs") or ()), tuple(r.get("nonResourceURLs") or ()))
            for r in tree.get("nonResourceRules") or ()
        ),
    )


def _subject(tree: dict[str, Any]) -> tuple[str, str]:
    kind = tree.get("kind", "")
    if kind == "ServiceAccount":
        account = tree.get("serviceAccount") or {}
        name = account.get("name", "")
        return kind, f"{account.get('namespace', '')}:{'' if name == '*' else name}"
    return kind, (tree.get("group" if kind == "Group" else "user") or {}).get("name", "")
