"""An applied configuration taken for what its schema says: its field set in one pass, when there is nothing wrong with it.

Most configurations are good ones, and the pass that finds out is the one that names the fields. For all others it only says no:
`apply_merge.problems` has the words. Source: structured-merge-diff's `FromUnstructured` followed by `ToFieldSet`.
"""

from __future__ import annotations

from typing import Any

from minikube_api.schema import apply_compare, apply_merge
from minikube_api.schema.apply_sets import LEAF, SELF, Fields
from minikube_api.schema.apply_shapes import ItemError, Shape


class _Untyped(Exception):
    """Something in the value is not what the schema says."""


def field_set(obj: dict[str, Any], shape: Shape) -> Fields | None:
    """`apply_compare.field_set` of an object that `apply_merge.problems` finds nothing wrong with; None for any other."""
    try:
        return _of_map(obj, shape) or LEAF
    except (_Untyped, ItemError):
        return None


def _of_map(value: dict[str, Any], shape: Shape) -> Fields | None:
    node: Fields = {}
    for name, part in value.items():
        element, child = shape.child(name)
        declared = shape.is_field(name)
        if not (declared or shape.open):
            raise _Untyped
        if part is None:
            node[element] = LEAF
            continue
        types = child.scalars
        if types is not None:
            if type(part) not in types:
                raise _Untyped
            node[element] = LEAF
            continue
        below = _of(part, child)
        if not declared:
            node[element] = {SELF: LEAF, **below} if below else LEAF
        elif below is not None:
            node[element] = below
    return node or None


def _of(value: Any, shape: Shape) -> Fields | None:
    """Of what is neither null nor a scalar."""
    if shape.kind == "any":
        return apply_compare.field_set(value, shape) if value and isinstance(value, dict) else LEAF
    if shape.container == "map":
        if type(value) is not dict:
            raise _Untyped
        if shape.walked:
            return _of_map(value, shape) if value else LEAF
    else:
        if type(value) is not list:
            raise _Untyped
        if shape.walked:
            return _of_list(value, shape)
    if apply_merge.problems_below(value, shape):
        raise _Untyped
    return LEAF


def _of_list(value: list[Any], shape: Shape) -> Fields | None:
    node: Fields = {}
    items = shape.items
    keyed = shape.kind == "keyed"
    for item in value:
        element = shape.item_element(item)
        if element in node:
            raise _Untyped
        if keyed and items.container:
            below = _of(item, items)
        elif apply_merge.problems_below(item, items):
            raise _Untyped
        else:
            below = apply_compare.below(item, items)
        node[element] = {SELF: LEAF, **below} if below else LEAF
    return node or None
