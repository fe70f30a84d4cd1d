"""The RBAC authorizer: roles and bindings indexed by subject, always as new as the cache.

A decision looks only at the bindings of the user's own names; what was decided is remembered until a role or binding changes.
Reasons are worded as kube-apiserver's: `RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minikube_api.cache.cacher import Cacher
from minikube_api.cache.entries import Entry
from minikube_api.cache.watching import Change
from minikube_api.resources.resource import Registry
from minikube_api.server.access.rules import Rule
from minikube_api.server.context import UserInfo
from minikube_api.server.contract import NO_OPINION, Attributes, Decision
from minikube_api.server.storage import Storage

GROUP = "rbac.authorization.k8s.io"
_ACCOUNT = "system:serviceaccount:"
_REMEMBERED = 20_000
Subject = tuple[str, str]
Candidate = tuple[tuple[str, ...], Decision]


@dataclass(frozen=True, slots=True)
class Binding:
    """`namespace` is empty for a ClusterRoleBinding; `subjects` maps what users and groups match to how it is described."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subjects: dict[Subject, str]

    @property
    def role_key(self) -> tuple[str, str]:
        return ("" if self.role_kind == "ClusterRole" else self.namespace, self.role)

    def reason(self, subject: Subject) -> str:
        kind, name = ("RoleBinding", f"{self.name}/{self.namespace}") if self.namespace else ("ClusterRoleBinding", self.name)
        return f'RBAC: allowed by {kind} "{name}" of {self.role_kind} "{self.role}" to {self.subjects[subject]}'


class RBAC:
    """An `Authorizer`, and the rules that a user holds. `start` loads the four kinds; from then on it follows the cache."""

    def __init__(self, storage: Storage, registry: Registry) -> None:
        self._storage = storage
        self._registry = registry
        #: (namespace, "" for cluster roles; name) -> rules
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[str, Binding] = {}
        #: subject -> namespace ("" = cluster) -> store keys of bindings
        self._by_subject: dict[Subject, dict[str, set[str]]] = {}
        self._decided: dict[tuple[object, ...], tuple[Candidate, ...]] = {}
        self._started = False

    async def start(self) -> None:
        if self._started:
            return
        self._started = True
        for plural in ("clusterroles", "roles", "clusterrolebindings", "rolebindings"):
            resource = self._registry.get(GROUP, "v1", plural)
            if resource is None:
                continue
            cacher: Cacher = self._storage.cacher(resource)
            await cacher.load()
            is_role = plural.endswith("roles")
            for entry in cacher.index.span("", None):
                self._put(entry, is_role)
            cacher.listeners.append(self._follow_roles if is_role else self._follow_bindings)
        self._decided.clear()

    def _follow_roles(self, changes: Sequence[Change]) -> None:
        self._follow(changes, True)

    def _follow_bindings(self, changes: Sequence[Change]) -> None:
        self._follow(changes, False)

    def _follow(self, changes: Sequence[Change], is_role: bool) -> None:
        self._decided.clear()
        for change in changes:
            if change.current is not None:
                self._put(change.current, is_role)
            elif is_role:
                self._roles.pop((change.entry.namespace, change.entry.name), None)
            else:
                self._forget(change.entry.key)

    def _put(self, entry: Entry, is_role: bool) -> None:
        tree = entry.tree()
        if is_role:
            self._roles[entry.namespace, entry.name] = rules_of(tree)
            return
        self._forget(entry.key)
        ref = tree.get("roleRef") or {}
        subjects = dict(subject_of(subject, entry.namespace) for subject in tree.get("subjects") or ())
        binding = Binding(entry.namespace, entry.name, ref.get("kind", ""), ref.get("name", ""), subjects)
        self._bindings[entry.key] = binding
        for subject in subjects:
            self._by_subject.setdefault(subject, {}).setdefault(entry.namespace, set()).add(entry.key)

    def _forget(self, key: str) -> None:
        binding = self._bindings.pop(key, None)
        if binding is None:
            return
        for subject in binding.subjects:
            places = self._by_subject[subject]
            places[binding.namespace].discard(key)
            if not places[binding.namespace]:
                del places[binding.namespace]
            if not places:
                del self._by_subject[subject]

    def grants(self, user: UserInfo, namespace: str) -> Iterator[tuple[Binding, Subject]]:
        """Bindings that name the user: cluster-wide ones first, then those of the namespace; by name."""
        subjects: list[Subject] = [("User", user.name), *(("Group", group) for group in user.groups)]
        for place in ("", namespace) if namespace else ("",):
            found: dict[str, Subject] = {}
            for subject in subjects:
                for key in self._by_subject.get(subject, {}).get(place, ()):
                    found.setdefault(key, subject)
            for key in sorted(found):
                yield self._bindings[key], found[key]

    async def authorize(self, attributes: Attributes) -> Decision:
        if not self._started:
            await self.start()
        user = attributes.user
        key = (
            user.name, user.groups, attributes.verb, attributes.resource_request, attributes.namespace, attributes.group,
            attributes.resource, attributes.subresource, "" if attributes.resource_request else attributes.path,
        )  # fmt: skip
        candidates = self._decided.get(key)
        if candidates is None:
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            candidates = self._decided[key] = tuple(self._candidates(attributes))
        for names, decision in candidates:
            if not names or attributes.name in names:
                return decision
        return NO_OPINION

    def _candidates(self, attributes: Attributes) -> Iterator[Candidate]:
        """In order, what decides for which object names (none: for all); so the memory holds no names of objects."""
        lost: list[str] = []
        for binding, subject in self.grants(attributes.user, attributes.namespace):
            rules = self._roles.get(binding.role_key)
            if rules is None:
                lost.append(not_found(binding))
                continue
            for rule in rules:
                if rule.allows(attributes, any_name=True):
                    yield rule.names, Decision("allowed", binding.reason(subject))
                    if not rule.names:
                        return
        if lost:
            yield (), Decision("no opinion", f"RBAC: {aggregate(lost)}")

    async def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[Rule], list[str]]:
        """All that a user holds in a namespace ("": cluster-wide only), and the roles that could not be found."""
        await self.start()
        held: list[Rule] = []
        lost: list[str] = []
        for binding, _ in self.grants(user, namespace):
            rules = self._roles.get(binding.role_key)
            if rules is None:
                lost.append(not_found(binding))
            else:
                held += rules
        return held, lost

    async def role(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of the role that a roleRef names."""
        await self.start()
        return self._roles.get(("" if kind == "ClusterRole" else namespace, name))


def rules_of(tree: dict[str, Any]) -> tuple[Rule, ...]:
    return tuple(Rule.of(rule) for rule in tree.get("rules") or ())


def subject_of(tree: dict[str, Any], namespace: str) -> tuple[Subject, str]:
    """What matches a subject of a binding, and how reasons describe it."""
    kind, name = tree.get("kind", ""), tree.get("name", "")
    if kind == "ServiceAccount":
        place = tree.get("namespace") or namespace
        return ("User", f"{_ACCOUNT}{place}:{name}"), f'ServiceAccount "{name}/{place}"'
    return (kind, name), f'{kind} "{name}"'


def not_found(binding: Binding) -> str:
    return f'{binding.role_kind.lower()}.{GROUP} "{binding.role}" not found'


def aggregate(messages: Iterable[str]) -> str:
    """Several errors as apimachinery's Aggregate prints them."""
    unique = list(dict.fromkeys(messages))
    return unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
