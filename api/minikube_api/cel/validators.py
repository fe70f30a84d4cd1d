"""What is looked at once an expression is known to be well typed: literals that no run could read, lists and maps of mixed types.

Source: cel-go's cel/validator.go, with the validators that Kubernetes' base environment has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from minikube_api.cel import values
from minikube_api.cel.syntax import Node, Problem
from minikube_api.cel.types import Type, assignable
from minikube_api.cel.values import EvaluationError
from minikube_api.meta import expressions


def _reads_pattern(text: str) -> bool:
    return not expressions.problem(text)


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except EvaluationError:
            return False
        return True

    return check


_CHECKED: dict[str, Callable[[str], bool]] = {
    "duration": _reads(values.duration),
    "timestamp": _reads(values.timestamp),
    "matches": _reads_pattern,
}


def problems(tree: Node, kinds: dict[Node, Type]) -> list[Problem]:
    found: list[Problem] = []
    for node, mixed_allowed in _walk(tree, False):
        if node.kind == "call" and node.name in _CHECKED and node.args:
            argument = node.args[0]
            if argument.kind == "literal" and isinstance(argument.value, str) and not _CHECKED[node.name](argument.value):
                found.append(Problem(argument.at, f"invalid {node.name} argument"))
        elif node.kind == "list" and not mixed_allowed:
            found += _mixed(node.args, node.flags, kinds)
        elif node.kind == "map" and not mixed_allowed:
            found += _mixed(node.args[0::2], (), kinds) + _mixed(node.args[1::2], node.flags, kinds)
    return found


def _walk(node: Node, mixed_allowed: bool) -> Iterator[tuple[Node, bool]]:
    """Nodes, and whether they stand in what is formatted: there anything may be together."""
    yield node, mixed_allowed
    if node.target is not None:
        yield from _walk(node.target, mixed_allowed)
    inside = mixed_allowed or (node.kind == "call" and node.name == "format")
    for argument in node.args:
        yield from _walk(argument, inside)


def _mixed(parts: Sequence[Node], flags: Sequence[bool], kinds: dict[Node, Type]) -> list[Problem]:
    """The first element whose type is another than that of the first one."""
    expected: Type | None = None
    for i, part in enumerate(parts):
        kind = kinds.get(part)
        if kind is not None and i < len(flags) and flags[i] and kind.item is not None:
            kind = kind.item
        if kind is None or kind.kind in ("dyn", "param"):
            continue
        if expected is None:
            expected = kind
        elif not (assignable(expected, kind, {}) and assignable(kind, expected, {})):
            return [Problem(part.at, f"expected type '{expected}' but found '{kind}'")]
    return []
