"""What list and watch are asked and what they answer, in the API's terms (API concepts, "Resource versions")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from minikube_api.cache.entries import Entry


class Selector(Protocol):
    """A label or field selector of `meta.selectors`. `str()` is its canonical text: equal texts select equally."""

    def matches(self, values: Mapping[str, str], /) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects: `namespace` "" = all; `name` narrows to one; None selectors select everything.

    `node_name` is the value that the field selector demands of spec.nodeName (watchers are indexed by it); the selector
    itself must be in `fields` too.
    """

    namespace: str = ""
    name: str = ""
    node_name: str = ""
    labels: Selector | None = None
    fields: Selector | None = None

    def matches(self, entry: Entry) -> bool:
        if self.namespace and entry.namespace != self.namespace:
            return False
        if self.name and entry.name != self.name:
            return False
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return self.fields is None or self.fields.matches(entry.fields)

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
