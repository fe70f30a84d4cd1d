"""Which groups of watches a change concerns: by namespace, by metadata.name, by spec.nodeName.

Five thousand kubelets watch `spec.nodeName=X`: a pod's change must cost one look-up, not five thousand selectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from minikube_api.cache.renderings import Rendering
from minikube_api.cache.requests import Selection
from minikube_api.cache.watching import Change, Group, Watch

_NODE = "spec.nodeName"


class Groups:
    def __init__(self) -> None:
        self._groups: dict[tuple[Selection, Hashable], Group] = {}
        #: (kind of index, value...) -> groups
        self._index: dict[tuple[str, ...], set[Group]] = {}
        self._nodes = 0

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def join(self, selection: Selection, rendering: Rendering) -> Group:
        """The group for a watch, made when there is none. Its first watch must be added before the loop turns."""
        key = (selection, rendering.key)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(selection, rendering)
            self._index.setdefault(_place(selection), set()).add(group)
            self._nodes += bool(_place(selection)[0] == "node")
        return group

    def leave(self, watch: Watch) -> None:
        group = watch.group
        group.watches.discard(watch)
        key = (group.selection, group.rendering.key)
        if group.watches or self._groups.get(key) is not group:
            return
        del self._groups[key]
        place = _place(group.selection)
        self._nodes -= place[0] == "node"
        groups = self._index[place]
        groups.discard(group)
        if not groups:
            del self._index[place]

    def offer(self, changes: Sequence[Change]) -> None:
        """Give each group the changes that can concern it, in order."""
        index = self._index
        if not index:
            return
        for group in tuple(index.get(("all",), ())):
            group.offer(changes)
        if len(index) == 1 and ("all",) in index:
            return
        concerned: defaultdict[Group, list[Change]] = defaultdict(list)
        for change in changes:
            for place in self._places(change):
                for group in index.get(place, ()):
                    concerned[group].append(change)
        for group, seen in concerned.items():
            group.offer(seen)

    def _places(self, change: Change) -> Iterator[tuple[str, ...]]:
        entry = change.entry
        yield ("namespace", entry.namespace)
        yield ("name", entry.namespace, entry.name)
        if entry.namespace:
            yield ("name", "", entry.name)
        if self._nodes:
            nodes = {state.fields.get(_NODE, "") for state in (change.previous, change.current) if state is not None}
            for node in nodes:
                yield ("node", node)


def _place(selection: Selection) -> tuple[str, ...]:
    if selection.name:
        return ("name", selection.namespace, selection.name)
    if selection.node_name:
        return ("node", selection.node_name)
    return ("namespace", selection.namespace) if selection.namespace else ("all",)
