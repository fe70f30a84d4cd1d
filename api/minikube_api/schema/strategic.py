"""Strategic merge patch: JSON merge patch that knows the kind's lists.

Lists with a merge key merge item by item, primitive lists with strategy `merge` unite, all others are replaced. Directives in the patch:
`$patch: replace|delete` (maps, list items), `$retainKeys`, `$deleteFromPrimitiveList/NAME`, `$setElementOrder/NAME`. Source: Kubernetes'
"Strategic Merge Patch" design document and apimachinery's strategicpatch package, whose order of steps and error texts these are.

The given trees are left alone; the result shares what did not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minikube_api.meta import field_errors
from minikube_api.meta.errors import BadRequest, Invalid, StatusError
from minikube_api.schema.apply_merge import go_text
from minikube_api.schema.model import Schema

Tree = dict[str, Any]

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_PRIMITIVES = "$deleteFromPrimitiveList"
ELEMENT_ORDER = "$setElementOrder"

_UNKNOWN = Schema("any")


def patch(doc: Tree, changes: Tree, schema: Schema) -> Tree:
    """The patched object. Raises BadRequest (malformed directives), StatusError 500 without reason (what does not fit), Invalid (types)."""
    merged = _merge_map(doc, changes, schema)
    problem = type_problem(merged, schema)
    if problem:
        raise Invalid.object("", "", "", [field_errors.invalid("patch", go_text(changes), problem)])
    return merged


def _failed(message: str) -> StatusError:
    """What kube-apiserver does not classify: a 500 that has only a message."""
    return StatusError(message, code=500, reason="")


def _bad_directive(directive: Any, tree: Tree) -> StatusError:
    return _failed(f"unknown patch type: {go_text(directive)} in map: {go_text(tree)}")


def _no_merge_key(tree: Tree, key: str) -> StatusError:
    return _failed(f"map: {go_text(tree)} does not contain declared merge key: {key}")


def _merge_map(original: Tree, changes: Tree, schema: Schema) -> Tree:
    if DIRECTIVE in changes:
        directive = changes[DIRECTIVE]
        if directive == "replace":
            return {name: value for name, value in changes.items() if name != DIRECTIVE}
        if directive == "delete":
            return {}
        raise _bad_directive(directive, changes)
    merged = dict(original)
    changes = dict(changes)
    _retain_keys(merged, changes)
    _order_elements(merged, changes, schema)
    for name, value in changes.items():
        deleting = name.startswith(DELETE_PRIMITIVES)
        if deleting:
            name = _directed_key(name, DELETE_PRIMITIVES, "primitive list")
        if value is None:
            merged.pop(name, None)
            continue
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            node = _field(schema, name)
            replaced = "replace" in node.patch_strategy
            merged[name] = value if replaced else _merge_map(before, value, node)
        elif isinstance(before, list) and isinstance(value, list):
            node = _field(schema, name)
            merged[name] = _merge_field_list(before, value, node, deleting=deleting)
        elif not deleting:
            keep, clean = _cleaned(value)
            if keep:
                merged[name] = clean
    return merged


def _field(schema: Schema, name: str) -> Schema:
    """The node of a field that both sides hold a container for. Only structs have such fields."""
    node = schema.fields.get(name)
    if node is not None:
        return node
    if schema.type == "object" and schema.fields:
        raise _failed(f'unable to find api field in struct {schema.name} for the json field "{name}"')
    if schema.type == "any":
        return _UNKNOWN
    raise _failed("merging an object in json but data type is not struct, instead is: map")


def _directed_key(name: str, prefix: str, what: str) -> str:
    head, slash, key = name.partition("/")
    if not slash or head != prefix:
        raise BadRequest(f"invalid patch format of {what}")
    return key


def _retain_keys(merged: Tree, changes: Tree) -> None:
    """Drop what `$retainKeys` does not list; a patch that sets anything else contradicts itself."""
    if RETAIN_KEYS not in changes:
        return
    retained = changes.pop(RETAIN_KEYS)
    if not isinstance(retained, list):
        raise BadRequest("invalid patch format of retainKeys")
    kept = {name for name in retained if isinstance(name, str)}
    for name, value in changes.items():
        if value is not None and not name.startswith((DELETE_PRIMITIVES, ELEMENT_ORDER)) and name not in kept:
            raise BadRequest("invalid patch format of retainKeys")
    for name in [name for name in merged if name not in kept]:
        del merged[name]


# ---- lists


def _merge_field_list(original: list[Any], changes: list[Any], node: Schema, *, deleting: bool) -> list[Any]:
    if "merge" in node.patch_strategy or deleting:
        return _merge_list(original, changes, node, deleting=deleting)
    return changes


def _merge_list(original: list[Any], changes: list[Any], node: Schema, *, deleting: bool) -> list[Any]:
    if not original and not changes:
        return original
    key = node.patch_merge_key
    if not _elements_are_maps(original, changes):
        if deleting:
            return [item for item in original if not any(_same(item, gone) for gone in changes)]
        merged = _unique([*original, *changes])
        return _ordered(merged, changes, original, _whole)
    if not key:
        raise _failed(f"cannot merge lists without merge key for {node.items.name if node.items else ''}")
    original, changes = _special_elements(original, changes, key)
    merged = _merge_items(original, changes, node.items or _UNKNOWN, key)
    return _ordered(merged, changes, original, _by(key))


def _special_elements(original: list[Any], changes: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the items with a `$patch`; gives what is left of the original, and the items to merge."""
    plain: list[Any] = []
    replace = False
    for item in changes:
        if DIRECTIVE not in item:
            plain.append(item)
            continue
        directive = item[DIRECTIVE]
        if directive == "delete":
            if key not in item:
                raise _no_merge_key(item, key)
            original = [other for other in original if key not in other or not _same(other[key], item[key])]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _failed("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_directive(directive, item)
    return (plain, []) if replace else (original, plain)


def _merge_items(original: list[Any], changes: list[Any], items: Schema, key: str) -> list[Any]:
    merged = list(original)
    for item in changes:
        if key not in item:
            raise _no_merge_key(item, key)
        for i, other in enumerate(merged):
            if key in other and _same(other[key], item[key]):
                merged[i] = _merge_map(other, item, items)
                break
        else:
            merged.append(_cleaned(item)[1])
    return merged


def _order_elements(merged: Tree, changes: Tree, schema: Schema) -> None:
    """Merge the lists that a `$setElementOrder` directive orders, and take both out of the patch."""
    for directive in [name for name in changes if name.startswith(ELEMENT_ORDER)]:
        order = changes.pop(directive)
        if not isinstance(order, list):
            raise _failed(_bad_argument("[]interface {}", order))
        name = _directed_key(directive, ELEMENT_ORDER, "setElementOrder list")
        before, additions = merged.get(name), changes.get(name)
        for part in (before, additions):
            if part is not None and not isinstance(part, list):
                raise _failed(_bad_argument("[]interface {}", part))
        node = _field(schema, name)
        _check_order(additions or [], order, node.patch_merge_key)
        if before is None and additions is None:
            continue
        if additions is None:
            joined = before or []
        elif before is None:
            joined = _cleaned(additions)[1]
        else:
            joined = _merge_field_list(before, additions, node, deleting=False)
        identity = _by(node.patch_merge_key) if node.patch_merge_key else _whole
        if node.patch_merge_key:
            for item in [*joined, *order]:
                if not isinstance(item, dict) or node.patch_merge_key not in item:
                    raise _no_merge_key(item if isinstance(item, dict) else {}, node.patch_merge_key)
        merged[name] = _ordered(joined, order, before or [], identity)
        changes.pop(name, None)


_GO_TYPES = {dict: "map[string]interface {}", list: "[]interface {}", str: "string", bool: "bool", int: "int64", float: "float64"}


def _bad_argument(expected: str, value: Any) -> str:
    return f"expected a {expected}, but received a {_GO_TYPES.get(type(value), '<nil>')}"


def _check_order(additions: list[Any], order: list[Any], key: str) -> None:
    """The items of the patch must stand in the order list, in that order."""
    if key:
        additions = [item for item in additions if not (isinstance(item, dict) and item.get(DIRECTIVE) == "delete")]
    identity = _by(key) if key else _whole
    at = 0
    for item in order:
        if at < len(additions) and _same(identity(additions[at]), identity(item)):
            at += 1
    if at < len(additions):
        raise _failed(f"The order in patch list:\n{go_text(additions)}\n doesn't match {ELEMENT_ORDER} list:\n{go_text(order)}\n")


def _whole(item: Any) -> Any:
    return item


def _by(key: str) -> Callable[[Any], Any]:
    def identity(item: Any) -> Any:
        return item.get(key) if isinstance(item, dict) else None

    return identity


def _position(items: list[Any], wanted: Any, identity: Callable[[Any], Any]) -> int:
    return next((i for i, item in enumerate(items) if _same(identity(item), wanted)), -1)


def _ordered(merged: list[Any], order: list[Any], live: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """The items of the patch in its order, with those that only the live list has put in before the first that follows them there."""
    ours: list[Any] = []
    others: list[Any] = []
    for item in merged:
        (ours if _position(order, identity(item), identity) >= 0 else others).append(item)
    ours.sort(key=lambda item: _position(order, identity(item), identity))
    others.sort(key=lambda item: _position(live, identity(item), identity))
    result: list[Any] = []
    j = 0
    for item in others:
        place = _position(live, identity(item), identity)
        while j < len(ours):
            there = _position(live, identity(ours[j]), identity)
            if place >= 0 and there >= 0 and place < there:
                break
            result.append(ours[j])
            j += 1
        result.append(item)
    return result + ours[j:]


def _elements_are_maps(*lists: list[Any]) -> bool:
    """Whether the lists hold maps; all elements must be of one type, and no lists."""
    types = {_go_type(item) for items in lists for item in items}
    if "list" in types:
        raise Invalid("the server rejected our request due to an error in our request", details={})
    if len(types) > 1:
        shown = " ".join(go_text(items) for items in lists)
        raise _failed(f"list element types are not identical: [{shown}]")
    return types == {"dict"}


def _go_type(item: Any) -> str:
    return type(item).__name__


def _unique(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(_same(item, other) for other in found):
            found.append(item)
    return found


def _same(a: Any, b: Any) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _cleaned(value: Any) -> tuple[bool, Any]:
    """A value that is new to the object: without nulls and directives. False when it is to be deleted, so that nothing is added."""
    if isinstance(value, dict):
        if value.get(DIRECTIVE) == "delete":
            return False, {}
        clean: Tree = {}
        for name, part in value.items():
            if part is None or name in (DIRECTIVE, RETAIN_KEYS) or name.startswith((DELETE_PRIMITIVES, ELEMENT_ORDER)):
                continue
            keep, cleaned = _cleaned(part)
            if keep:
                clean[name] = cleaned
        return True, clean
    if isinstance(value, list):
        return True, [cleaned for keep, cleaned in map(_cleaned, value) if keep]
    return True, value


# ---- types of the result

_KINDS = {dict: "map", list: "slice", str: "string", bool: "bool", int: "int64", float: "float64"}


def type_problem(value: Any, schema: Schema) -> str:
    """What keeps the tree from becoming the kind's Go structs, in the converter's words; "" when nothing does."""
    if value is None:
        return ""
    match schema.type:
        case "object":
            if not isinstance(value, dict):
                return f"cannot restore struct from: {_KINDS[type(value)]}"
            return _first(type_problem(part, schema.fields[name]) for name, part in value.items() if name in schema.fields)
        case "map":
            if not isinstance(value, dict):
                return f"cannot restore map from {_KINDS[type(value)]}"
            values = schema.values
            return "" if values is None else _first(type_problem(part, values) for part in value.values())
        case "array":
            if not isinstance(value, list):
                return f"cannot restore slice from {_KINDS[type(value)]}"
            items = schema.items
            return "" if items is None else _first(type_problem(item, items) for item in value)
        case "string" if not isinstance(value, str):
            return f"cannot convert {_KINDS[type(value)]} to string"
        case "boolean" if not isinstance(value, bool):
            return f"cannot convert {_KINDS[type(value)]} to bool"
        case "integer" if isinstance(value, bool | str | dict | list) or value != int(value):
            return f"cannot convert {_KINDS[type(value)]} to {schema.format or 'int64'}"
    return ""


def _first(problems: Any) -> str:
    return next((problem for problem in problems if problem), "")
