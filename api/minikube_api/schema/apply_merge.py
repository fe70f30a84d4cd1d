"""Structured merge: an applied configuration over the live object, and taking fields out of an object again.

Source: structured-merge-diff's typed package (`Merge`, `RemoveItems`, `EnsureNamedFieldsAreMembers`) and KEP-555. Given trees are left
alone; results share parts with them.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta.field_errors import quote
from minikube_api.schema.apply_sets import LEAF, SELF, Fields, element_text, is_member
from minikube_api.schema.apply_shapes import ANY, ItemError, Shape


def merge(live: dict[str, Any], applied: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """`live` with everything that `applied` names. Maps and keyed lists merge, leaves and atomic containers are replaced.

    What is equal on both sides is not walked; as in `apply_compare`, equal is what Python says.
    """
    return _merge_maps(live, applied, shape)


def _merge(live: Any, applied: Any, shape: Shape) -> Any:
    if not shape.walked or (not live and not applied):
        return applied
    if isinstance(applied, dict) or (applied is None and isinstance(live, dict)):
        if shape.container == "list" or not isinstance(live, dict):
            return applied
        return _merge_maps(live, applied or {}, shape)
    if shape.container == "list" and isinstance(live, list):
        return _merge_lists(live, applied or [], shape)
    return applied


def _merge_maps(live: dict[str, Any], applied: dict[str, Any], shape: Shape) -> dict[str, Any]:
    merged = dict(live)
    for name, value in applied.items():
        if name in live:
            before = live[name]
            if before != value:
                merged[name] = _merge(before, value, shape.child(name)[1])
        else:
            merged[name] = value
    return merged


def _merge_lists(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Applied items in their order; live ones that are not among them stay behind the neighbour they had.

    The walk takes live items until it meets the next item that both sides share, then the applied ones up to there.
    """
    mine = [shape.item_element(item) for item in live]
    theirs = [shape.item_element(item) for item in applied]
    before: dict[str, Any] = {}
    for element, item in zip(mine, live, strict=True):
        # an item that stands twice cannot be merged with: the applied one takes the place of the first
        before[element] = None if element in before else item
    after = dict(zip(theirs, applied, strict=True))
    shared = [element for element in theirs if element in before]
    turn = iter(shared)
    wanted = next(turn, None)
    merged: list[Any] = []
    done: set[str] = set()
    items = shape.items

    def joined(element: str) -> Any:
        live_item = before.get(element)
        item = after[element]
        return item if live_item is None or live_item == item else _merge(live_item, item, items)

    i = j = 0
    while i < len(mine) or j < len(theirs):
        if i < len(mine) and j < len(theirs):
            element = mine[i]
            if element == theirs[j]:
                done.add(element)
                merged.append(joined(element))
                i, j, wanted = i + 1, j + 1, next(turn, None)
                continue
            if element in after and wanted is not None and wanted != element:
                i += 1
                continue
        if i < len(mine):
            element = mine[i]
            if element not in after:
                merged.append(live[i])
                i += 1
                continue
            if element in done:
                i += 1
        if j < len(theirs):
            element = theirs[j]
            done.add(element)
            merged.append(joined(element))
            j += 1
            if wanted == element:
                wanted = next(turn, None)
    return merged


def remove(value: Any, gone: Fields, shape: Shape) -> Any:
    """`value` without the members of `gone`; containers that are not members themselves stay, if need be empty."""
    if not gone or not shape.walked:
        return value
    if isinstance(value, dict) and shape.container != "list":
        kept: dict[str, Any] = {}
        for name, part in value.items():
            element, child = shape.child(name)
            node = gone.get(element)
            if node is None:
                kept[name] = part
            elif not is_member(node):
                kept[name] = remove(part, node, child)
        return kept
    if isinstance(value, list) and shape.container == "list":
        rest: list[Any] = []
        for item in value:
            node = gone.get(shape.item_element(item))
            if node is None:
                rest.append(item)
            elif not is_member(node):
                rest.append(remove(item, node, shape.items))
        return rest
    return value


def with_named_fields(fields: Fields, shape: Shape) -> Fields:
    """The set with every struct field on the way to its members as a member of its own, so that whole structs can be taken out."""
    closed: Fields = {}
    for element, node in fields.items():
        if element == SELF:
            closed[SELF] = LEAF
        elif not node:
            closed[element] = LEAF
        elif element[0] == "f":
            name = element[2:]
            child = shape.child(name)[1] if shape.container != "list" else ANY
            below = with_named_fields(node, child)
            if SELF not in below and shape.container == "map" and shape.is_field(name):
                below[SELF] = LEAF
            closed[element] = below
        else:
            closed[element] = with_named_fields(node, shape.items if shape.container == "list" else ANY)
    return closed


def problems(obj: dict[str, Any], shape: Shape, *, duplicates: bool = False) -> list[tuple[str, str]]:
    """What keeps `obj` from being typed: (path, message) in structured-merge-diff's words. `duplicates` allows equal list items."""
    return list(_map_problems(obj, shape, "", duplicates))


def problems_below(value: Any, shape: Shape) -> list[tuple[str, str]]:
    """`problems` of a part of an object, its paths starting there."""
    return _problems(value, shape, "", False)


def _problems(value: Any, shape: Shape, path: str, duplicates: bool) -> list[tuple[str, str]]:
    if value is None or shape.kind == "any":
        return []
    if shape.container == "map":
        if not isinstance(value, dict):
            return [(path, f"expected map, got &{{{go_text(value)}}}")]
        return _map_problems(value, shape, path, duplicates)
    if shape.container == "list":
        if not isinstance(value, list):
            return [(path, f"expected list, got &{{{go_text(value)}}}")]
        return _list_problems(value, shape, path, duplicates)
    return _scalar_problems(value, shape, path)


def _map_problems(value: dict[str, Any], shape: Shape, path: str, duplicates: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, part in value.items():
        if not shape.is_field(name) and not shape.open:
            found.append((f"{path}.{name}", "field not declared in schema"))
            break
        child = shape.child(name)[1]
        found += _problems(part, child, f"{path}.{name}", duplicates)
    return found


def _list_problems(value: list[Any], shape: Shape, path: str, duplicates: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    keyed = shape.walked
    for i, item in enumerate(value):
        where = f"{path}[{i}]"
        if keyed:
            try:
                element = shape.item_element(item)
            except ItemError as why:
                return [*found, (path, f"element {i}: {why}")]
            text = element_text(element)
            if element in seen and not duplicates:
                found.append((path, f"duplicate entries for key {text}"))
            seen.add(element)
            where = path + text
        found += _problems(item, shape.items, where, duplicates)
    return found


_GO_NAMES = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map[string]interface {}", list: "[]interface {}"}


def _scalar_problems(value: Any, shape: Shape, path: str) -> list[tuple[str, str]]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match shape.schema.type:
        case "integer" | "number":
            if not number:
                return [(path, f"expected numeric (int or float), got {_GO_NAMES[type(value)]}")]
        case "string" | "bytes":
            if not isinstance(value, str):
                return [(path, f"expected string, got &value.valueUnstructured{{Value:{go_syntax(value)}}}")]
        case "boolean":
            if not isinstance(value, bool):
                return [(path, f"expected boolean, got &{{{go_text(value)}}}")]
        case _:
            if isinstance(value, dict | list):
                return [(path, f"expected any scalar, got &{{{go_text(value)}}}")]
    return []


def go_text(value: Any) -> str:
    """A tree as Go's `%v` prints it: `map[a:1 b:[x y]]`, keys sorted."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{go_text(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if isinstance(value, float):
        return go_float(value)
    return str(value)


def go_float(value: float) -> str:
    """A float64 as `%v` prints it: shortest digits, exponent form below 1e-4 and from 1e21 on."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').rjust(2, '0')}"
    return text


def go_syntax(value: Any) -> str:
    """A tree as Go's `%#v` prints it."""
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{go_syntax(k)}:{go_syntax(v)}" for k, v in sorted(value.items()))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(go_syntax, value)) + "}"
    return go_text(value)
