"""What list and watch are asked and what they answer, in the API's terms (API concepts, "Resource versions")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from minikube_api.cache.entries import Entry
from minikube_api.meta.selectors import FieldSelector, LabelSelector


class Selector(Protocol):
    """A label or field selector of `meta.selectors`: hashable; equal selectors select equally."""

    def matches(self, values: Mapping[str, str], /) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects: `namespace` "" = all; `name` narrows to one; None selectors select everything.

    `node_name` is the value that the field selector demands of spec.nodeName (watchers are indexed by it); the selector
    itself must be in `fields` too. `Selection.of` fills `name` and `node_name` in.
    """

    namespace: str = ""
    name: str = ""
    node_name: str = ""
    labels: Selector | None = None
    fields: Selector | None = None

    @classmethod
    def of(cls, namespace: str, labels: LabelSelector | None, fields: FieldSelector | None, name: str = "") -> Selection:
        """From parsed selectors; those that select everything count as none."""
        node_name = ""
        if fields is not None:
            name = name or fields.exact("metadata.name") or ""
            namespace = namespace or fields.exact("metadata.namespace") or ""
            node_name = fields.exact("spec.nodeName") or ""
        return cls(
            namespace=namespace,
            name=name,
            node_name=node_name,
            labels=None if labels is None or labels.everything else labels,
            fields=None if fields is None or fields.everything else fields,
        )

    def matches(self, entry: Entry) -> bool:
        if self.namespace and entry.namespace != self.namespace:
            return False
        if self.name and entry.name != self.name:
            return False
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return self.fields is None or self.fields.matches(entry.fields)

    def covers(self, entry: Entry) -> bool:
        """Namespace and name fit; selectors are not asked."""
        return (not self.namespace or entry.namespace == self.namespace) and (not self.name or entry.name == self.name)

    @property
    def everything(self) -> bool:
        """No selector narrows the key range (then remainingItemCount can be told)."""
        return not self.name and self.labels is None and self.fields is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """`resource_version`: "" most recent, "0" any, "N" not older (or exactly, by `match`). Already validated (ListOptions)."""

    selection: Selection = Selection()
    resource_version: str = ""
    match: Literal["", "Exact", "NotOlderThan"] = ""
    limit: int = 0
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of list: `revision` is the list's resourceVersion; `remaining` None = not told."""

    items: Sequence[Entry]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """`send_initial_events` None = not given (then "" and "0" begin with synthetic ADDED events, as kube-apiserver does)."""

    selection: Selection = Selection()
    resource_version: str = ""
    send_initial_events: bool | None = None
    bookmarks: bool = False
