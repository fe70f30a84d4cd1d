"""The most that an expression can cost, from the sizes that declared types allow: what a definition's rules are refused by.

Values below `self` and `oldSelf` have the sizes of their schema; what else is made has a size that follows from how it is made, or none.
Sources: cel-go's checker/cost.go, ext/sets.go; k8s.io/apiserver/pkg/cel/library/cost.go (EstimateCallCost).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from minikube_api.cel import costs, macros
from minikube_api.cel.costs import PATTERN, TRAVERSAL
from minikube_api.cel.functions import Overload
from minikube_api.cel.syntax import Node
from minikube_api.cel.types import Type

#: more than this is not told apart (a uint64)
ENDLESS = (1 << 64) - 1

Size = tuple[int, int]
UNKNOWN: Size = (0, ENDLESS)
ONE: Size = (1, 1)

_SCALARS = frozenset(("bool", "int", "uint", "double", "duration", "timestamp"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a value: the cost of making it, its type, its size, the size of its entries.

    `placed`: it stands somewhere below a declared variable, so that its type's sizes hold.
    """

    cost: int
    type: Type
    size: Size | None = None
    entry: Size | None = None
    placed: bool = False

    @property
    def sized(self) -> Size:
        if self.size is not None:
            return self.size
        if self.placed:
            return (0, self.type.size)
        return ONE if self.type.kind in _SCALARS else UNKNOWN

    @property
    def entries(self) -> Size:
        """The size of a list's items."""
        if self.placed and self.type.item is not None:
            return (0, self.type.item.size)
        return self.entry or UNKNOWN


def most(tree: Node, kinds: dict[Node, Type], chosen: dict[Node, list[Overload]]) -> int:
    """The upper bound of a run's cost."""
    return _Walk(kinds, chosen).of(tree, {}).cost


def times(a: int, b: int) -> int:
    return min(a * b, ENDLESS)


def plus(*amounts: int) -> int:
    return min(sum(amounts), ENDLESS)


def part(amount: int, factor: float = TRAVERSAL) -> int:
    return ENDLESS if amount >= ENDLESS and factor >= 1 else min(math.ceil(amount * factor), ENDLESS)


def _union(a: Size, b: Size) -> Size:
    return min(a[0], b[0]), max(a[1], b[1])


Locals = dict[str, Seen]


class _Walk:
    def __init__(self, kinds: dict[Node, Type], chosen: dict[Node, list[Overload]]) -> None:
        self.kinds = kinds
        self.chosen = chosen

    def of(self, node: Node, local: Locals) -> Seen:
        seen: Seen = getattr(self, "_" + node.kind)(node, local)
        return seen

    def kind(self, node: Node, fallback: Type | None = None) -> Type:
        return self.kinds.get(node) or fallback or Type("dyn")

    def _literal(self, node: Node, local: Locals) -> Seen:
        length = len(node.value) if isinstance(node.value, str | bytes) else 1
        return Seen(0, self.kind(node), (length, length))

    def _ident(self, node: Node, local: Locals) -> Seen:
        kind = self.kind(node)
        if kind.kind == "type":
            return Seen(0, kind)
        if node.name in local:
            return replace(local[node.name], cost=1, type=kind)
        return Seen(1, kind, placed=True)

    def _select(self, node: Node, local: Locals) -> Seen:
        assert node.target is not None
        kind = self.kind(node)
        if kind.kind == "type":
            return Seen(0, kind)
        target = self.of(node.target, local)
        if node.test:
            return Seen(target.cost, kind)
        return Seen(plus(target.cost, 1), kind, placed=target.placed and not node.optional and target.type.kind != "optional")

    def _index(self, node: Node, local: Locals) -> Seen:
        target, key = (self.of(arg, local) for arg in node.args)
        return Seen(plus(target.cost, key.cost, 1), self.kind(node), placed=target.placed and not node.optional)

    def _list(self, node: Node, local: Locals) -> Seen:
        parts = [self.of(arg, local) for arg in node.args]
        entry: Size | None = None
        for seen in parts:
            entry = seen.sized if entry is None else _union(entry, seen.sized)
        return Seen(plus(*(p.cost for p in parts), costs.LIST), self.kind(node), (len(parts), len(parts)), entry)

    def _map(self, node: Node, local: Locals) -> Seen:
        amount = plus(*(self.of(arg, local).cost for arg in node.args), costs.MAP)
        return Seen(amount, self.kind(node), (len(node.flags), len(node.flags)))

    def _struct(self, node: Node, local: Locals) -> Seen:
        return Seen(plus(*(self.of(arg, local).cost for arg in node.args[1::2]), costs.STRUCT), self.kind(node))

    # ---- calls

    def _call(self, node: Node, local: Locals) -> Seen:
        if node in self.chosen or node.name.startswith(("_", "!", "-")):
            return self._function(node, local)
        if node.name == "has" and node.target is None:
            argument = node.args[0]
            assert argument.target is not None
            return Seen(self.of(argument.target, local).cost, self.kind(node))
        if node.name == "bind":
            value = self.of(node.args[1], local)
            body = self.of(node.args[2], {**local, node.args[0].name: value})
            return replace(body, cost=plus(value.cost, body.cost, costs.LIST))
        if node.name in ("optMap", "optFlatMap"):
            return self._opt_map(node, local)
        return self._loop(node, local)

    def _opt_map(self, node: Node, local: Locals) -> Seen:
        assert node.target is not None
        target = self.of(node.target, local)
        item = target.type.item or Type("dyn")
        body = self.of(node.args[1], {**local, node.args[0].name: Seen(1, item)})
        of = 1 if node.name == "optMap" else 0
        cost = plus(target.cost, 1, target.cost, 1, costs.LIST, body.cost, of)
        return Seen(cost, self.kind(node))

    def _loop(self, node: Node, local: Locals) -> Seen:
        assert node.target is not None
        source = self.of(node.target, local)
        turn, whole = macros.costs_of(node.name)
        two = node.name.startswith("transform") or (not node.name.startswith(("map", "filter")) and len(node.args) == 3)
        names = [arg.name for arg in node.args[: 2 if two else 1]]
        inside = {**local, **dict(zip(names, self._variables(source, two), strict=True))}
        parts = [self.of(arg, inside) for arg in node.args[len(names) :]]
        times_ = source.sized[1]
        cost = plus(source.cost, whole, times(times_, plus(turn, *(p.cost for p in parts))))
        kind = self.kind(node)
        if kind.kind == "bool":
            return Seen(cost, kind, ONE)
        entry = source.entries if node.name == "filter" else parts[-1].sized
        return Seen(cost, kind, source.sized, entry)

    def _variables(self, source: Seen, two: bool) -> list[Seen]:
        """A loop's variables: (index or key, value), or the one that the range gives."""
        kind = source.type
        item = kind.item or Type("dyn")
        value = Seen(1, item, None if source.placed else source.entry, placed=source.placed)
        if kind.kind == "map" and kind.key is not None:
            key = Seen(1, kind.key, placed=source.placed)
            return [key, value] if two else [key]
        return [Seen(1, Type("int"), ONE), value] if two else [value]

    def _function(self, node: Node, local: Locals) -> Seen:
        nodes = node.args if node.target is None or not self._member(node) else (node.target, *node.args)
        args = [self.of(arg, local) for arg in nodes]
        given = plus(*(arg.cost for arg in args))
        kind = self.kind(node)
        name = node.name
        if name == "_?_:_":
            test, yes, no = args
            return Seen(plus(test.cost, max(yes.cost, no.cost)), kind, _union(yes.sized, no.sized))
        if name in ("_&&_", "_||_"):
            return Seen(given, kind)
        estimate = _ESTIMATES.get(self._full(node))
        if estimate is None:
            return Seen(plus(given, 1), kind)
        cost, size = estimate(args, [arg.value if arg.kind == "literal" else None for arg in nodes])
        return Seen(plus(given, cost), kind, size)

    def _member(self, node: Node) -> bool:
        return any(overload.member for overload in self.chosen.get(node, ()))

    def _full(self, node: Node) -> str:
        if node.target is not None and not self._member(node) and node.target.kind == "ident":
            return f"{node.target.name}.{node.name}"
        return node.name


# ---- what calls cost: (arguments, values of literal ones) -> (cost, size of the result)

Estimate = tuple[int, Size | None]


def _text(args: list[Seen]) -> bool:
    return args[0].type.kind in ("string", "bytes")


def _through(factor: float = 1, *, of: int = 0, sized: bool = False) -> Callable[..., Estimate]:
    """Characters of an argument gone through; `sized`: the result is as long."""

    def estimate(args: list[Seen], values: list[object]) -> Estimate:
        size = args[of].sized
        return part(size[1], TRAVERSAL * factor), size if sized else None

    return estimate


def _compared(args: list[Seen], values: list[object]) -> Estimate:
    return part(min(args[0].sized[1], args[1].sized[1])), None


def _ordered(args: list[Seen], values: list[object]) -> Estimate:
    if all(arg.type.kind in ("string", "bytes", "dyn") for arg in args):
        compared = _compared(args, values)[0]
        return (compared if all(arg.type.kind != "dyn" for arg in args) else max(compared, 1)), None
    return 1, None


def _added(args: list[Seen], values: list[object]) -> Estimate:
    (low, high), (least, greatest) = args[0].sized, args[1].sized
    size = (plus(low, least), plus(high, greatest))
    kinds = {arg.type.kind for arg in args}
    if kinds <= {"string", "bytes"} or ("dyn" in kinds and not kinds & _SCALARS):
        return max(part(size[1]), 1 if "dyn" in kinds else 0), size
    return 1, size if "list" in kinds else None


def _searched(args: list[Seen], values: list[object]) -> Estimate:
    return times(part(args[0].sized[1]), part(args[1].sized[1])), None


def _matched(args: list[Seen], values: list[object]) -> Estimate:
    return times(part(plus(args[0].sized[1], 1)), part(args[1].sized[1], PATTERN)), None


def _found(args: list[Seen], values: list[object]) -> Estimate:
    return _matched(args, values)[0], args[0].sized


def _within(args: list[Seen], values: list[object]) -> Estimate:
    return (args[1].sized[1] if args[1].type.kind in ("list", "dyn") else 1), None


def _walked(args: list[Seen], values: list[object]) -> Estimate:
    if _text(args):
        return part(args[0].sized[1]), None
    item = args[0].type.item
    each = 1 + part(args[0].entries[1]) if item is not None and item.kind in ("string", "bytes") else 1
    return times(args[0].sized[1], each), None


def _replaced(args: list[Seen], values: list[object]) -> Estimate:
    (low, high), (old_low, old_high), (new_low, new_high) = (arg.sized for arg in args[:3])
    if old_low == 0:
        most_times, kept = min(high + 1, ENDLESS), high
    elif new_high <= old_low:
        most_times, kept = 0, high
    else:
        most_times, kept = math.ceil(high / old_low), 0
    if old_high == 0:
        least_times, left = min(low + 1, ENDLESS), low
    elif old_high <= new_low:
        least_times, left = 0, low
    else:
        least_times, left = math.ceil(low / old_high), 0
    size = (plus(times(least_times, new_low), left), plus(times(most_times, new_high), kept))
    return part(high, 2 * TRAVERSAL), size


def _split(args: list[Seen], values: list[object]) -> Estimate:
    count = values[2] if len(values) > 2 else None
    high = count if isinstance(count, int) else args[0].sized[1]
    return part(args[0].sized[1], 2 * TRAVERSAL), (0, high)


def _joined(args: list[Seen], values: list[object]) -> Estimate:
    (low, high), (least, greatest) = args[0].sized, args[0].entries
    size = (times(low, least), times(high, greatest))
    if len(args) > 1:
        separator = args[1].sized
        size = (plus(size[0], times(separator[0], max(low - 1, 0))), plus(size[1], times(separator[1], max(high - 1, 0))))
    return part(size[1]), size


def _quoted(args: list[Seen], values: list[object]) -> Estimate:
    low, high = args[0].sized
    return part(high), (low + 2, plus(times(high, 2), 2))


def _to_bytes(args: list[Seen], values: list[object]) -> Estimate:
    low, high = args[0].sized
    return (part(high), (low, times(high, 4))) if args[0].type.kind == "string" else (1, None)


def _to_text(args: list[Seen], values: list[object]) -> Estimate:
    low, high = args[0].sized
    return (part(high), (low // 4, high)) if args[0].type.kind == "bytes" else (1, None)


def _pairs(factor: int) -> Callable[..., Estimate]:
    return lambda args, values: (plus(1, times(times(args[0].sized[1], args[1].sized[1]), factor)), None)


def _address(args: list[Seen], values: list[object]) -> Estimate:
    return (part(args[0].sized[1]), args[0].sized) if args[0].type.kind in ("string", "dyn") else (1, None)


def _holds(args: list[Seen], values: list[object]) -> Estimate:
    return (part(args[1].sized[1]) if args[1].type.kind in ("string", "dyn") else 1), None


_ESTIMATES: dict[str, Callable[..., Estimate]] = {
    "_==_": _compared, "_!=_": _compared, "_<_": _ordered, "_<=_": _ordered, "_>_": _ordered, "_>=_": _ordered, "_+_": _added,
    "@in": _within, "startsWith": _through(of=1), "endsWith": _through(of=1), "contains": _searched, "matches": _matched,
    "find": _found, "findAll": _found, "format": _through(), "strings.quote": _quoted, "bytes": _to_bytes, "string": _to_text,
    "isSorted": _walked, "sum": _walked, "max": _walked, "min": _walked, "indexOf": _walked, "lastIndexOf": _walked,
    "lowerAscii": _through(sized=True), "upperAscii": _through(sized=True), "substring": _through(sized=True),
    "trim": _through(sized=True), "jsonpatch.escapeKey": _through(sized=True), "replace": _replaced, "split": _split,
    "join": _joined, "url": _through(sized=True), "isURL": _through(), "cidr": _through(sized=True), "isIP": _through(),
    "isCIDR": _through(), "ip": _address, "ip.isCanonical": _through(2), "containsIP": _holds, "containsCIDR": _holds,
    "quantity": _through(sized=True), "isQuantity": _through(), "semver": _through(sized=True), "isSemver": _through(),
    "validate": _through(costs.FORMAT_SIZE, of=1), "check": lambda args, values: (costs.CHECK, None),
    "sets.contains": _pairs(1), "sets.intersects": _pairs(1), "sets.equivalent": _pairs(2),
}  # fmt: skip
