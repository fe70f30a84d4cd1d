"""Go's regular expressions (RE2), run by Python's `re`: read by RE2's grammar, refused in Go's words, written anew in Python's syntax.

What differs between the two is settled here: `$` is the very end, classes like \\d are ASCII, flags hold from where they stand to the end of
their group, `{,2}` is plain text, there are no back-references and no look-around. Patterns whose time `re` can't bound (a repetition inside
of a repetition) are run by `automata` where only a yes or no is asked for. Source: the syntax page of re2, Go's regexp/syntax/parse.go.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from minikube_api.meta.expression_syntax import ExpressionProblem, Node, parse

__all__ = ["ExpressionProblem", "compiled", "problem", "tester"]


class Tester(Protocol):
    """Says whether a text has a match anywhere."""

    def search(self, text: str, /) -> object: ...


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """A Go (RE2) pattern for Python. Raises ExpressionProblem in Go's words."""
    return re.compile(_written(parse(pattern)))


@lru_cache(maxsize=1024)
def tester(pattern: str) -> Tester:
    """The same where only a yes or no is asked for: never slower than the text is long. Raises ExpressionProblem."""
    tree = parse(pattern)
    if _bounded(tree):
        return compiled(pattern)
    from minikube_api.meta import expression_automata

    return expression_automata.Automaton(tree)


def problem(pattern: str) -> str:
    """Why Go can't read the pattern, in its words; "" when it can."""
    try:
        parse(pattern)
    except ExpressionProblem as found:
        return str(found)
    return ""


def _bounded(node: Node) -> bool:
    """Whether no repetition stands inside of another one in a way that leaves open which of the two takes a character."""
    if node.kind == "repeat" and (node.most is None or node.most > 1):
        inner = _repeated(node.parts[0])
        if inner is not None and not any(_apart(_edge(node.parts[0], last=last), inner) for last in (False, True)):
            return False
    return all(_bounded(part) for part in node.parts)


def _repeated(node: Node) -> list[Node] | None:
    """The classes inside of repetitions and branches that a repeated node holds; None when it holds none."""
    found = [part for child in node.parts for part in _repeated(child) or ()]
    if node.kind == "either" or (node.kind == "repeat" and node.least != node.most):
        found += _classes(node)
    return found or None


def _classes(node: Node) -> list[Node]:
    return [node] if node.kind == "class" else [part for child in node.parts for part in _classes(child)]


def _edge(node: Node, *, last: bool) -> list[Node] | None:
    """The classes that a node's first (or last) character is of; None when the node may be empty there."""
    if node.kind == "class":
        return [node]
    if node.kind == "repeat":
        return _edge(node.parts[0], last=last) if node.least else None
    if node.kind == "either":
        edges = [_edge(part, last=last) for part in node.parts]
        return None if any(edge is None for edge in edges) else [part for edge in edges for part in edge or ()]
    for part in reversed(node.parts) if last else node.parts:
        if (edge := _edge(part, last=last)) is not None:
            return edge
        if part.kind in ("repeat", "row", "group", "either"):
            return None
    return None


def _apart(edge: list[Node] | None, inner: list[Node]) -> bool:
    """Whether no character of the edge can be one of the inner classes: then each turn of the loop is told apart."""
    if edge is None or any(part.fold for part in (*edge, *inner)):
        return False
    return not any(
        low <= other_high and other_low <= high
        for part in edge
        for other in inner
        for low, high in part.ranges
        for other_low, other_high in other.ranges
    )


_ASSERTIONS = {
    "begin": r"\A", "end": r"\Z", "line begin": "(?m:^)", "line end": "(?m:$)", "word edge": r"(?a:\b)", "no word edge": r"(?a:\B)",
}  # fmt: skip


def _written(node: Node) -> str:
    if node.kind == "class":
        return _class(node)
    if node.kind in _ASSERTIONS:
        return _ASSERTIONS[node.kind]
    if node.kind == "group":
        return f"({_written(node.parts[0])})"
    if node.kind == "either":
        return "(?:" + "|".join(_written(part) for part in node.parts) + ")"
    if node.kind == "repeat":
        return f"(?:{_written(node.parts[0])})" + _times(node)
    return "".join(_written(part) for part in node.parts)


def _times(node: Node) -> str:
    known = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((node.least, node.most))
    most = "" if node.most is None else node.most
    return (known or f"{{{node.least},{most}}}") + ("" if node.greedy else "?")


def _class(node: Node) -> str:
    if not node.ranges:
        return "(?!)"
    if len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]:
        text = re.escape(chr(node.ranges[0][0]))
    else:
        text = "[" + "".join(_range(low, high) for low, high in node.ranges) + "]"
    return f"(?i:{text})" if node.fold else text


def _range(low: int, high: int) -> str:
    return f"\\U{low:08x}" if low == high else f"\\U{low:08x}-\\U{high:08x}"
