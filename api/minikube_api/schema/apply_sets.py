"""Sets of field paths, kept in the form that managedFields carries them: the `fieldsV1` tree itself.

A node is a dict from path element to node. Path elements are written `f:NAME` (field), `k:{...}` (item of a list map, by its keys),
`v:VALUE` (member of a list set) and `i:INDEX`. An empty node is a member of the set without anything below it; a node that has children
is itself a member only if it holds `"."`. The root is never a member; an empty root is the empty set.

Nothing here modifies a given tree: results share what did not change, so that a set decoded once can be used for ever. Source: KEP-555
and structured-merge-diff's fieldpath package, whose set operations these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from minikube_api.meta import field_errors

Fields = dict[str, Any]

SELF = "."
#: shared leaf; never modified
LEAF: Fields = {}
_LEAF_AS_NODE: Fields = {SELF: LEAF}


def is_member(node: Fields) -> bool:
    return not node or SELF in node


def _closed(node: Fields) -> Fields | None:
    """A node as the tree writes it: one that is only itself is a leaf, one without anything is nothing."""
    if not node:
        return None
    return LEAF if len(node) == 1 and SELF in node else node


def union(a: Fields, b: Fields) -> Fields:
    if not a:
        return b
    if not b:
        return a
    merged = a
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None:
            node = theirs
        elif mine is theirs or not (mine or theirs):
            continue
        else:
            node = union(mine or _LEAF_AS_NODE, theirs or _LEAF_AS_NODE)
            if node is mine:
                continue
        if merged is a:
            merged = a.copy()
        merged[element] = node
    return merged


def difference(a: Fields, b: Fields) -> Fields:
    """The paths of `a` that are not in `b`, path by path: a member of `b` does not take what lies below it."""
    return _difference(a, b, below=False)


def recursive_difference(a: Fields, b: Fields) -> Fields:
    """As `difference`, but a member of `b` takes everything below it along."""
    return _difference(a, b, below=True)


def _difference(a: Fields, b: Fields, *, below: bool) -> Fields:
    if not a or not b:
        return a
    left = a
    for element, theirs in b.items():
        mine = a.get(element)
        if mine is None:
            continue
        node: Fields | None
        if element == SELF or (is_member(theirs) and (below or not mine)):
            node = None
        elif not mine:
            continue
        else:
            node = _difference(mine, theirs or _LEAF_AS_NODE, below=below)
            if node is mine:
                continue
            node = _closed(node)
        if left is a:
            left = a.copy()
        if node is None:
            del left[element]
        else:
            left[element] = node
    return left


def intersection(a: Fields, b: Fields) -> Fields:
    if not a or not b:
        return LEAF
    if len(a) > len(b):
        a, b = b, a
    shared: Fields = {}
    for element, mine in a.items():
        theirs = b.get(element)
        if theirs is None:
            continue
        if element == SELF:
            shared[SELF] = LEAF
            continue
        node = _closed(intersection(mine or _LEAF_AS_NODE, theirs or _LEAF_AS_NODE))
        if node is not None:
            shared[element] = node
    return shared


def elements(fields: Fields, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path of the set, as structured-merge-diff walks it: the members of a level, then what lies below each, both in order."""
    ordered = sorted((e for e in fields if e != SELF), key=_order)
    for element in ordered:
        if is_member(fields[element]):
            yield (*prefix, element)
    for element in ordered:
        if fields[element]:
            yield from elements(fields[element], (*prefix, element))


def _order(element: str) -> tuple[int, str]:
    """Fields before keys before values before indices."""
    return "fkvi".index(element[0]), element


def has(fields: Fields, path: tuple[str, ...]) -> bool:
    node: Fields | None = fields
    for element in path:
        node = node.get(element) if node else None
        if node is None:
            return False
    return is_member(node) if node is not None else False


def from_paths(paths: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> Fields:
    """The set of these paths."""
    found: Fields = {}
    for path in paths:
        single: Fields = LEAF
        for element in reversed(path):
            single = {element: single}
        found = union(found, single)
    return found


def path_text(path: tuple[str, ...]) -> str:
    """A path as conflicts name it: `.spec.containers[name="c"].image`."""
    return "".join(map(element_text, path))


def element_text(element: str) -> str:
    kind, rest = element[0], element[2:]
    if kind == "f":
        return "." + rest
    if kind == "k":
        keys = orjson.loads(rest)
        return "[" + ",".join(f"{k}={value_text(v)}" for k, v in sorted(keys.items())) + "]"
    if kind == "v":
        return f"[={value_text(orjson.loads(rest))}]"
    return f"[{rest}]"


def value_text(value: Any) -> str:
    if isinstance(value, str):
        return field_errors.quote(value)
    if isinstance(value, list):
        return "[" + ",".join(map(value_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ";".join(f"{k}={value_text(v)}" for k, v in value.items()) + "}"
    return field_errors.shown(value)


@lru_cache(maxsize=8192, typed=True)
def key_element(names: tuple[str, ...], *values: Any) -> str:
    """The path element of a list map's item; `names` are sorted."""
    return "k:" + orjson.dumps(dict(zip(names, values, strict=True))).decode()


@lru_cache(maxsize=8192, typed=True)
def value_element(value: Any) -> str:
    return "v:" + orjson.dumps(value).decode()


def check(fields: Any) -> bool:
    """Whether a client's `fieldsV1` is a set that can be worked with."""
    if not isinstance(fields, dict):
        return False
    for element, node in fields.items():
        if element != SELF and (len(element) < 2 or element[1] != ":" or element[0] not in "fkvi"):
            return False
        if not check(node):
            return False
    return True
