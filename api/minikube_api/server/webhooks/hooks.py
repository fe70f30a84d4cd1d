"""The webhooks that are configured, in the order they are called: by configuration name, then as listed.

Follows the configurations through their cacher, so that a write sees every configuration that was answered before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minikube_api.cache.watching import Change
from minikube_api.meta import selectors
from minikube_api.meta.selectors import LabelSelector
from minikube_api.resources.resource import Registry
from minikube_api.server.context import Object
from minikube_api.server.storage import Storage
from minikube_api.server.webhooks.matching import ADMISSION_GROUP, Rule


@dataclass(frozen=True)
class Hook:
    """One webhook of a configuration. `uid` tells it from all others, also from namesakes in one configuration."""

    configuration: str
    uid: str
    name: str
    tree: Object
    rules: tuple[Rule, ...]
    #: seconds
    timeout: int
    ignores_failure: bool
    equivalent: bool
    side_effects: str
    reinvoked: bool
    conditions: tuple[Object, ...]

    @cached_property
    def namespace_selector(self) -> LabelSelector:
        """Raises BadRequest when the selector can't be parsed (validation lets none through)."""
        return selectors.from_label_selector(self.tree.get("namespaceSelector") or {})

    @cached_property
    def object_selector(self) -> LabelSelector:
        return selectors.from_label_selector(self.tree.get("objectSelector") or {})

    @cached_property
    def review_version(self) -> str:
        """The first version of AdmissionReview that both sides know; "" when there is none."""
        known = ("v1", "v1beta1")
        return next((v for v in self.tree.get("admissionReviewVersions") or () if v in known), "")


def hooks_of(configuration: Object) -> list[Hook]:
    name = configuration["metadata"]["name"]
    seen: dict[str, int] = {}
    made = []
    for tree in configuration.get("webhooks") or ():
        number = seen[tree["name"]] = seen.get(tree["name"], -1) + 1
        made.append(
            Hook(
                name,
                f"{name}/{tree['name']}/{number}",
                tree["name"],
                tree,
                tuple(Rule.of(rule) for rule in tree.get("rules") or ()),
                tree.get("timeoutSeconds") or 10,
                tree.get("failurePolicy") == "Ignore",
                tree.get("matchPolicy") != "Exact",
                tree.get("sideEffects") or "",
                tree.get("reinvocationPolicy") == "IfNeeded",
                tuple(tree.get("matchConditions") or ()),
            )
        )
    return made


class HookSource:
    """`plural` names the kind of configuration. `current` is empty while there are none: that is all a write pays then."""

    def __init__(self, storage: Storage, registry: Registry, plural: str) -> None:
        self._storage = storage
        self._registry = registry
        self._plural = plural
        self._by_name: dict[str, list[Hook]] = {}
        self.current: tuple[Hook, ...] = ()
        self.loaded = False

    async def load(self) -> None:
        resource = self._registry.get(ADMISSION_GROUP, "v1", self._plural)
        if resource is None:
            self.loaded = True
            return
        cacher = self._storage.cacher(resource)
        await cacher.load()
        if self.loaded:
            return  # somebody else was waiting for the same
        self.loaded = True
        cacher.listeners.append(self._follow)
        for entry in cacher.index.span("", None):
            self._by_name[entry.name] = hooks_of(entry.tree())
        self._order()

    def _follow(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.current is None:
                self._by_name.pop(change.entry.name, None)
            else:
                self._by_name[change.current.name] = hooks_of(change.current.tree())
        self._order()

    def _order(self) -> None:
        self.current = tuple(hook for name in sorted(self._by_name) for hook in self._by_name[name])


def client_key(client: dict[str, Any]) -> tuple[str, ...]:
    """What makes two clientConfigs share connections."""
    service = client.get("service") or {}
    return (
        client.get("url") or "",
        client.get("caBundle") or "",
        service.get("namespace", ""),
        service.get("name", ""),
        str(service.get("port") or 443),
    )
