"""From objects to field sets: which fields an object names, and which differ between two objects.

Source: structured-merge-diff's typed package (`ToFieldSet`, `Compare`). Equality of subtrees is Python's, in C: it takes true for 1,
which the types of all known fields exclude.
"""

from __future__ import annotations

from typing import Any

from minikube_api.schema.apply_sets import LEAF, SELF, Fields
from minikube_api.schema.apply_shapes import ANY, ItemError, Shape

#: (added or modified, removed) below a node; None where there is nothing
Sets = tuple[Fields | None, Fields | None]
_NO_NAMES: frozenset[str] = frozenset()


def field_set(obj: dict[str, Any], shape: Shape) -> Fields:
    """The fields that an applied configuration names: leaves, atomic containers, list items, empty and null maps. Raises ItemError."""
    return below(obj, shape) or LEAF


def below(value: Any, shape: Shape) -> Fields | None:
    """The set of what a part of an object names; None when it names nothing."""
    if not shape.walked or value is None:
        return LEAF
    if isinstance(value, dict) and shape.container != "list":
        if not value:
            return LEAF
        node: Fields = {}
        for name, part in value.items():
            element, child = shape.child(name)
            inner = below(part, child)
            if shape.is_field(name):
                if inner is not None:
                    node[element] = inner
            else:
                node[element] = {SELF: LEAF, **inner} if inner else LEAF
        return node or None
    if isinstance(value, list) and shape.container == "list":
        node = {}
        for item in value:
            inner = below(item, shape.items)
            node[shape.item_element(item)] = {SELF: LEAF, **inner} if inner else LEAF
        return node or None
    return LEAF


def compare(old: dict[str, Any], new: dict[str, Any], shape: Shape) -> tuple[Fields, Fields]:
    """(added or modified, removed) fields from `old` to `new`. Raises ItemError."""
    changed, removed = _compare_maps(old, new, shape)
    return changed or LEAF, removed or LEAF


def compare_except(old: dict[str, Any], new: dict[str, Any], shape: Shape, names: frozenset[str]) -> tuple[Fields, Fields]:
    """`compare` without these names of this level."""
    changed, removed = _compare_maps(old, new, shape, names)
    return changed or LEAF, removed or LEAF


def whole(value: Any, shape: Shape) -> Fields:
    """All paths of a value that stands on one side only, the containers themselves included."""
    if not value or not shape.walked:
        return LEAF
    if isinstance(value, dict) and shape.container != "list":
        node: Fields = {SELF: LEAF}
        for name, part in value.items():
            element, child = shape.child(name)
            # scalars are most of what there is
            node[element] = whole(part, child) if child.walked else LEAF
        return node
    if isinstance(value, list) and shape.container == "list":
        node = {SELF: LEAF}
        items = shape.items
        for item in value:
            element = shape.item_element(item)
            # an item that stands twice is owned as one thing
            node[element] = LEAF if element in node else whole(item, items)
        return node
    return LEAF


def _compare(old: Any, new: Any, shape: Shape) -> Sets:
    """Both sides are there and differ."""
    if not shape.walked:
        return LEAF, None
    if shape.kind == "any":
        if isinstance(old, dict) and isinstance(new, dict):
            return _compare_maps(old, new, ANY) if old or new else (LEAF, None)
        return LEAF, None
    if not old and not new:
        # null and empty are told apart as leaves
        return LEAF, None
    if shape.container == "map":
        if not isinstance(old or {}, dict) or not isinstance(new or {}, dict):
            return LEAF, None
        return _compare_maps(old or {}, new or {}, shape)
    if not isinstance(old or [], list) or not isinstance(new or [], list):
        return LEAF, None
    return _compare_lists(old or [], new or [], shape)


def _compare_maps(old: dict[str, Any], new: dict[str, Any], shape: Shape, names: frozenset[str] = _NO_NAMES) -> Sets:
    changed: Fields = {}
    removed: Fields = {}
    for name, value in new.items():
        if name in names:
            continue
        if name in old:
            before = old[name]
            if before is value or before == value:
                continue
            element, child = shape.child(name)
            more, less = _compare(before, value, child)
            if more is not None:
                changed[element] = more
            if less is not None:
                removed[element] = less
        else:
            element, child = shape.child(name)
            changed[element] = whole(value, child) if child.walked else LEAF
    if not old.keys() <= new.keys():
        for name, value in old.items():
            if name not in new and name not in names:
                element, child = shape.child(name)
                removed[element] = whole(value, child)
    return changed or None, removed or None


def _index(items: list[Any], shape: Shape) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(shape.item_element(item), []).append(item)
    return found


def _compare_lists(old: list[Any], new: list[Any], shape: Shape) -> Sets:
    before, after = _index(old, shape), _index(new, shape)
    items = shape.items
    changed: Fields = {}
    removed: Fields = {}
    for element, those in after.items():
        these = before.get(element, ())
        if len(these) <= 1 and len(those) <= 1:
            if not these:
                changed[element] = whole(those[0], items)
            elif these[0] != those[0]:
                more, less = _compare(these[0], those[0], items)
                if more is not None:
                    changed[element] = more
                if less is not None:
                    removed[element] = less
        elif len(these) >= 2 and len(those) >= 2:
            if these != those:
                changed[element] = LEAF
        elif len(these) >= 2:
            changed[element] = whole(those[0], items)
            removed[element] = LEAF
        else:
            changed[element] = LEAF
            if these:
                removed[element] = whole(these[0], items)
    for element, these in before.items():
        if element not in after:
            removed[element] = whole(these[0], items) if len(these) == 1 else LEAF
    return changed or None, removed or None


__all__ = ["ItemError", "below", "compare", "compare_except", "field_set", "whole"]
