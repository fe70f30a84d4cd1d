"""Patterns run as sets of states, one step a character: slow for a short text, but never more than the text is long.

Thompson's construction, as RE2 has it; only says whether there is a match. For patterns in which `re` could try exponentially many ways.
"""

from __future__ import annotations

from minikube_api.meta.expression_syntax import Node

#: a state: (character class or None, assertion or "", next states)
_State = tuple[Node | None, str, list[int]]


class Automaton:
    def __init__(self, tree: Node) -> None:
        self._states: list[_State] = []
        self._final = self._add(None, "", [])
        self._start = self._build(tree, self._final)
        self._known: dict[tuple[int, str], bool] = {}

    def _add(self, of: Node | None, edge: str, following: list[int]) -> int:
        self._states.append((of, edge, following))
        return len(self._states) - 1

    def _build(self, node: Node, following: int) -> int:
        """The state at which the node begins, when `following` comes after it."""
        if node.kind == "class":
            return self._add(node, "", [following])
        if node.kind == "either":
            return self._add(None, "", [self._build(part, following) for part in node.parts])
        if node.kind == "repeat":
            return self._repeat(node, following)
        if node.kind in ("row", "group"):
            for part in reversed(node.parts):
                following = self._build(part, following)
            return following
        return self._add(None, node.kind, [following])

    def _repeat(self, node: Node, following: int) -> int:
        part = node.parts[0]
        if node.most is None:
            loop = self._add(None, "", [following])
            self._states[loop][2].append(self._build(part, loop))
            at = loop
        else:
            at = following
            for _ in range(node.most - node.least):
                at = self._add(None, "", [self._build(part, at), following])
        for _ in range(node.least):
            at = self._build(part, at)
        return at

    def search(self, text: str) -> bool:
        current: set[int] = set()
        before = ""
        for c in (*text, ""):
            states = self._closure({*current, self._start}, before, c)
            if self._final in states:
                return True
            current = {
                target
                for state in states
                if (of := self._states[state][0]) is not None and c and self._holds(state, of, c)
                for target in self._states[state][2]
            }
            before = c
        return False

    def _closure(self, states: set[int], before: str, after: str) -> set[int]:
        found: set[int] = set()
        left = list(states)
        while left:
            state = left.pop()
            if state in found:
                continue
            of, edge, following = self._states[state]
            found.add(state)
            if of is None and (not edge or _at_edge(edge, before, after)):
                left += following
        return found

    def _holds(self, state: int, of: Node, c: str) -> bool:
        known = self._known.get((state, c))
        if known is None:
            forms = {c, c.lower(), c.upper()} if of.fold else {c}
            known = any(low <= ord(form) <= high for form in forms if len(form) == 1 for low, high in of.ranges)
            if len(self._known) < 4096:
                self._known[state, c] = known
        return known


def _word(c: str) -> bool:
    return c.isascii() and (c.isalnum() or c == "_") if c else False


def _at_edge(edge: str, before: str, after: str) -> bool:
    if edge == "begin":
        return not before
    if edge == "end":
        return not after
    if edge == "line begin":
        return not before or before == "\n"
    if edge == "line end":
        return not after or after == "\n"
    return (_word(before) != _word(after)) == (edge == "word edge")
