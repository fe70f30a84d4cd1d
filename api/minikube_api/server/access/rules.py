"""RBAC rules as data: what one matches, what a set of them covers, how Kubernetes prints them. Pure.

Sources: Kubernetes documentation "Using RBAC Authorization"; wording as kube-apiserver's escalation check prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minikube_api.server.contract import Attributes


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule. A resource rule has `resources`, a path rule `urls`."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, tree: dict[str, Any]) -> Rule:
        return cls(
            verbs=tuple(tree.get("verbs") or ()),
            groups=tuple(tree.get("apiGroups") or ()),
            resources=tuple(tree.get("resources") or ()),
            names=tuple(tree.get("resourceNames") or ()),
            urls=tuple(tree.get("nonResourceURLs") or ()),
        )

    def allows(self, asked: Attributes, *, any_name: bool = False) -> bool:
        """`any_name`: whatever object it is asked for."""
        if "*" not in self.verbs and asked.verb not in self.verbs:
            return False
        if not asked.resource_request:
            return any(_path_matches(url, asked.path) for url in self.urls)
        if "*" not in self.groups and asked.group not in self.groups:
            return False
        if not _resource_matches(self.resources, asked.resource, asked.subresource):
            return False
        return any_name or not self.names or asked.name in self.names

    def covers(self, part: Rule) -> bool:
        """Whether whoever holds this rule holds all of `part`, a rule of `broken_down`."""
        return (
            _has_all(self.verbs, part.verbs)
            and _has_all(self.groups, part.groups)
            and all(_resource_covered(self.resources, resource) for resource in part.resources)
            and (not self.names or (bool(part.names) and set(part.names) <= set(self.names)))
            and all(any(_url_covers(url, asked) for url in self.urls) for asked in part.urls)
        )

    def __str__(self) -> str:
        fields = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in fields if values) + "}"


def quoted(values: Iterable[str]) -> str:
    """A Go []string printed with %q."""
    return "[" + " ".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "]"


def _path_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def _url_covers(url: str, asked: str) -> bool:
    return url in ("*", asked) or (url.endswith("*") and asked.startswith(url.rstrip("*")))


def _resource_matches(resources: Sequence[str], resource: str, subresource: str) -> bool:
    if "*" in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def _resource_covered(resources: Sequence[str], resource: str) -> bool:
    if "*" in resources or resource in resources:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in resources


def _has_all(held: Sequence[str], asked: Sequence[str]) -> bool:
    return "*" in held or set(asked) <= set(held)


def broken_down(rule: Rule) -> list[Rule]:
    """The rule as rules of one verb, group, resource and name (or one URL) each."""
    parts = []
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                if rule.names:
                    parts += [Rule((verb,), (group,), (resource,), (name,)) for name in rule.names]
                else:
                    parts.append(Rule((verb,), (group,), (resource,)))
    parts += [Rule((verb,), urls=(url,)) for url in rule.urls for verb in rule.verbs]
    return parts


def missing(held: Iterable[Rule], asked: Iterable[Rule]) -> list[Rule]:
    """Parts of `asked` that no rule of `held` covers."""
    held = tuple(held)
    parts = [part for rule in asked for part in broken_down(rule)]
    return [part for part in parts if not any(rule.covers(part) for rule in held)]


def compacted(parts: Iterable[Rule]) -> list[Rule]:
    """Rules of one group, one resource and at most one name joined by their verbs."""
    others: list[Rule] = []
    joined: dict[tuple[object, ...], list[str]] = {}
    for part in parts:
        if part.urls or len(part.groups) != 1 or len(part.resources) != 1 or len(part.names) > 1:
            others.append(part)
        else:
            joined.setdefault((part.groups, part.resources, part.names), []).extend(part.verbs)
    simple = [Rule(tuple(verbs), groups, resources, names) for (groups, resources, names), verbs in joined.items()]  # type: ignore[arg-type]
    return others + simple
