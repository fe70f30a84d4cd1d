"""ClusterRole aggregation: the rules of a role with an aggregationRule are those of all roles that its selectors match.

Source: documentation, "Aggregated ClusterRoles". Written by server-side apply, so that whoever else holds fields keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable

from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_api.schema.typed.rbac_v1 import ClusterRole, PolicyRule
from minikube_py.controllers.owners import selector_of
from minikube_py.controllers.runner import Controller, Key, Result

MANAGER = "clusterrole-aggregation-controller"


class ClusterRoleAggregationController(Controller):
    """Keys are aggregating roles; any role's change asks all of them (they are few)."""

    name = "clusterrole-aggregation-controller"
    identity = "clusterrole-aggregation-controller"
    workers = 1

    def setup(self) -> None:
        self._roles = self.informers.informer(ClusterRole)
        self._roles.on_change(self._changed)

    def _changed(self, _role: ClusterRole) -> None:
        for role in self._roles.list():
            if role.aggregationRule is not None:
                self.queue.add(Key("", role.metadata.name))

    async def reconcile(self, key: Key) -> Result | None:
        role = self._roles.get("", key.name)
        if role is None or role.aggregationRule is None:
            return None
        rules = aggregated(role, self._roles.list())
        if rules != (role.rules or ()):
            made = ClusterRole(metadata=ObjectMeta(name=key.name), rules=rules)
            await self.client.apply(made, field_manager=MANAGER, force=True)
        return None


def aggregated(role: ClusterRole, roles: Iterable[ClusterRole]) -> tuple[PolicyRule, ...]:
    """Rules of the matching roles, selector by selector, roles by name, each rule once. Pure."""
    assert role.aggregationRule is not None
    ordered = sorted(roles, key=lambda other: other.metadata.name)
    rules: list[PolicyRule] = []
    for chosen in role.aggregationRule.clusterRoleSelectors:
        matches = selector_of(chosen).matches
        for other in ordered:
            if other.metadata.name != role.metadata.name and matches(other.metadata.labels):
                rules += [rule for rule in other.rules or () if rule not in rules]
    return tuple(rules)
