"""The JSON paths of printer columns, scale and selectable fields: `.spec.a`, `['b.c']`, `[0]`, `[*]`, `..x`, `[?(@.type=="Ready")]`.

A subset of client-go's util/jsonpath. `parse` compiles a path; the compiled path gives all values it finds in a tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Path = Callable[[Any], list[Any]]
Step = Callable[[list[Any]], list[Any]]

_field = re.compile(r"(?:\\.|[^.\[\]\\{}'\"\s])+")


class PathProblem(ValueError):
    """The path can't be read."""


def parse(text: str) -> Path:
    """`text` without the template's braces. Raises PathProblem."""
    steps: list[Step] = []
    at = 1 if text.startswith("$") else 0
    while at < len(text):
        if text.startswith("..", at):
            match = _field.match(text, at + 2)
            if match is None:
                raise PathProblem("unexpected path end")
            steps.append(_descend(_unescaped(match[0])))
            at = match.end()
        elif text[at] == ".":
            at += 1
            if text[at : at + 1] == "[":
                continue
            if text[at : at + 1] == "*":
                steps.append(_all)
                at += 1
                continue
            match = _field.match(text, at)
            if match is None:
                if at == len(text) and len(text) == 1:
                    break
                raise PathProblem(f"unrecognized character in action: {text[at : at + 1]!r}")
            steps.append(_member(_unescaped(match[0])))
            at = match.end()
        elif text[at] == "[":
            end = _closing(text, at)
            steps.append(_bracket(text[at + 1 : end]))
            at = end + 1
        else:
            match = _field.match(text, at)
            if match is None or at:
                raise PathProblem(f"unrecognized character in action: {text[at]!r}")
            steps.append(_member(_unescaped(match[0])))
            at = match.end()

    def find(tree: Any) -> list[Any]:
        values = [tree]
        for step in steps:
            values = step(values)
            if not values:
                break
        return values

    return find


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _closing(text: str, at: int) -> int:
    depth, quote = 0, ""
    for i in range(at, len(text)):
        c = text[i]
        if quote:
            if c == quote and text[i - 1] != "\\":
                quote = ""
        elif c in "'\"":
            quote = c
        elif c == "[":
            depth += 1
        elif c == "]":
            depth -= 1
            if depth == 0:
                return i
    raise PathProblem("unterminated array")


def _member(name: str) -> Step:
    return lambda values: [v[name] for v in values if isinstance(v, dict) and name in v]


def _all(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        found += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return found


def _descend(name: str) -> Step:
    def walk(value: Any, found: list[Any]) -> None:
        if isinstance(value, dict):
            if name in value:
                found.append(value[name])
            for part in value.values():
                walk(part, found)
        elif isinstance(value, list):
            for part in value:
                walk(part, found)

    def step(values: list[Any]) -> list[Any]:
        found: list[Any] = []
        for value in values:
            walk(value, found)
        return found

    return step


def _bracket(inner: str) -> Step:
    inner = inner.strip()
    if inner == "*":
        return _all
    if inner[:1] in ("'", '"') and inner[-1:] == inner[:1]:
        return _member(_unescaped(inner[1:-1]))
    if inner.startswith("?(") and inner.endswith(")"):
        return _filter(inner[2:-1])
    if re.fullmatch(r"-?[0-9]+(,-?[0-9]+)*", inner):
        numbers = [int(part) for part in inner.split(",")]
        return lambda values: [v[n] for v in values if isinstance(v, list) for n in numbers if -len(v) <= n < len(v)]
    if match := re.fullmatch(r"(-?[0-9]*):(-?[0-9]*)(?::(-?[0-9]+))?", inner):
        low, high, step = (int(part) if part else None for part in match.groups())
        return lambda values: [part for v in values if isinstance(v, list) for part in v[low:high:step]]
    raise PathProblem(f"invalid array index {inner}")


_comparison = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")


def _filter(text: str) -> Step:
    match = _comparison.fullmatch(text)
    if match is None:
        exists = _operand(text.strip())
        return lambda values: [p for v in values if isinstance(v, list) for p in v if exists(p)]
    left, operator, right = _operand(match[1]), match[2], _operand(match[3])

    def holds(item: Any) -> bool:
        a, b = left(item), right(item)
        return bool(a) and bool(b) and _compare(operator, a[0], b[0])

    return lambda values: [p for v in values if isinstance(v, list) for p in v if holds(p)]


def _operand(text: str) -> Path:
    if text.startswith("@"):
        return parse(text[1:])
    if text[:1] in ("'", '"'):
        value: Any = _unescaped(text[1:-1])
    elif text in ("true", "false"):
        value = text == "true"
    else:
        try:
            value = float(text) if "." in text else int(text)
        except ValueError:
            raise PathProblem(f"unrecognized identifier {text}") from None
    return lambda item: [value]


def _compare(operator: str, a: Any, b: Any) -> bool:
    if operator == "==":
        return bool(a == b)
    if operator == "!=":
        return bool(a != b)
    try:
        return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator])
    except TypeError:
        return False
