"""What a run costs, in cel-go's units: 1 for a name, a step into a value or a plain call, a tenth for each character gone through.

Sources: cel-go's interpreter/runtimecost.go and common/cost.go, ext/sets.go; k8s.io/apiserver/pkg/cel/library/cost.go (CallCost).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from minikube_api.cel.values import EvaluationError, Optional

if TYPE_CHECKING:
    from minikube_api.cel.syntax import Node
    from minikube_api.cel.types import Type

#: where the running cost stands in an activation
COST = "@cost"

#: building a list, a map, a message
LIST, MAP, STRUCT = 10, 30, 40
#: a character gone through; a character of a regular expression
TRAVERSAL, PATTERN = 0.1, 0.25
#: one question to the authorizer
CHECK = 350_000
#: characters of the longest name that a named format knows
FORMAT_SIZE = 128


class CostExceeded(EvaluationError):
    """The run cost more than it may."""


class Cost:
    """What a run may still spend."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise CostExceeded("operation cancelled: actual cost limit exceeded")


def size(value: Any) -> int:
    """Characters, bytes or entries; 1 for everything else."""
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size(value.value)
    return 1


def _part(amount: float, factor: float = TRAVERSAL) -> int:
    return math.ceil(amount * factor)


def _traversal(value: Any) -> int:
    if isinstance(value, str | bytes):
        return int(len(value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(_traversal(part) for part in value)
    if isinstance(value, dict):
        return sum(_traversal(key) + _traversal(part) for key, part in value.items())
    return 1


def _first(value: Any, *rest: Any) -> int:
    return _part(size(value))


def _first_twice(value: Any, *rest: Any) -> int:
    return _part(size(value), 2 * TRAVERSAL)


def _second(value: Any, other: Any, *rest: Any) -> int:
    return _part(size(other))


def _shorter(a: Any, b: Any) -> int:
    return _part(min(size(a), size(b)))


def _pattern(text: Any, pattern: Any, *rest: Any) -> int:
    return _part(1 + size(text)) * _part(size(pattern), PATTERN)


def _joined(parts: Any, separator: Any = "") -> int:
    if not isinstance(parts, list):
        return 1
    whole = sum(size(part) for part in parts) + size(separator) * max(len(parts) - 1, 0)
    return _part(whole, 2 * TRAVERSAL)


def _pairs(factor: int) -> Callable[[Any, Any], int]:
    return lambda a, b: 1 + size(a) * size(b) * factor


def _sum(a: Any, b: Any) -> int:
    return _part(size(a) + size(b))


def _within(value: Any, items: Any) -> int:
    return size(items) if isinstance(items, list) else 1


def _walked(value: Any, *rest: Any) -> int:
    return _traversal(value)


#: calls whose cost depends on sizes: (argument values) -> cost
METERS: dict[str, Callable[..., int]] = {
    "startsWith": _second, "endsWith": _second, "bytes": _first, "strings.quote": _first, "format": _first, "@in": _within,
    "contains": lambda text, part: _part(size(text)) * _part(size(part)), "matches": _pattern, "find": _pattern,
    "findAll": _pattern, "isSorted": _walked, "sum": _walked, "max": _walked, "min": _walked, "indexOf": _walked,
    "lastIndexOf": _walked, "url": _first, "isURL": _first, "lowerAscii": _first, "upperAscii": _first, "substring": _first,
    "trim": _first, "jsonpatch.escapeKey": _first, "replace": _first_twice, "split": _first_twice, "join": _joined,
    "cidr": _first, "isIP": _first, "isCIDR": _first, "ip.isCanonical": _first_twice, "quantity": _first, "isQuantity": _first,
    "semver": _first, "isSemver": _first, "validate": lambda form, text: _part(size(text), TRAVERSAL * FORMAT_SIZE),
    "sets.contains": _pairs(1), "sets.intersects": _pairs(1), "sets.equivalent": _pairs(2), "_==_": _shorter, "_!=_": _shorter,
}  # fmt: skip
_SCALARS = frozenset(("bool", "int", "uint", "double", "duration", "timestamp", "null", "type", "opaque"))
_COMPARED = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"))
_TEXTS = frozenset(("string", "bytes", "dyn"))


def meter(name: str, nodes: Sequence[Node], kinds: Sequence[Type]) -> int | Callable[..., int]:
    """What a call costs: a number, or a function of its arguments' values where sizes count."""
    if name == "check":
        return CHECK
    if name in _COMPARED:
        if any(kind.kind in _SCALARS for kind in kinds) or any(_short(node) for node in nodes):
            return 1
        return _shorter if name in ("_==_", "_!=_") or all(kind.kind in _TEXTS for kind in kinds) else 1
    if name == "_+_":
        return _sum if all(kind.kind in ("string", "bytes") for kind in kinds) else 1
    if name in ("ip", "string"):
        parses = kinds[0].kind in (("string", "dyn") if name == "ip" else ("bytes",))
        return _first if parses else 1
    if name in ("containsIP", "containsCIDR") and kinds[1].kind in ("string", "dyn"):
        return _second
    if name in ("startsWith", "endsWith") and isinstance(nodes[1].value, str):
        return _part(len(nodes[1].value))
    if name == "@in" and nodes[1].kind == "list":
        return len(nodes[1].args)
    return METERS.get(name, 1)


def _short(node: Node) -> bool:
    """Comparing with a literal of at most ten characters costs 1."""
    return node.kind == "literal" and isinstance(node.value, str) and 0 < len(node.value) <= 10
