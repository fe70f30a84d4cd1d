"""`$(VAR)` expansion with Kubernetes' rules: `$$` is an escaped `$`, unknown references stay as they are. Pure.

Source: third_party/forked/golang/expansion's documented behaviour and the API reference of EnvVar.value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """`lookup` gives None for an unknown name."""
    if "$" not in text:
        return text
    out: list[str] = []
    i = 0
    while i < len(text):
        char = text[i]
        if char != "$" or i + 1 == len(text):
            out.append(char)
            i += 1
            continue
        following = text[i + 1]
        if following == "$":
            out.append("$")
            i += 2
        elif following == "(":
            end = text.find(")", i + 2)
            if end < 0:
                # An unclosed reference: the operator and its opener stand for themselves.
                out.append("$(")
                i += 2
                continue
            name = text[i + 2 : end]
            value = lookup(name)
            out.append(f"$({name})" if value is None else value)
            i = end + 1
        else:
            out.append("$" + following)
            i += 2
    return "".join(out)


def expand_all(texts: tuple[str, ...], variables: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expand(text, variables.get) for text in texts)


def missing(text: str, variables: Mapping[str, str]) -> list[str]:
    """Names that `text` refers to and that are not there (subPathExpr must have none)."""
    unknown: list[str] = []

    def lookup(name: str) -> str | None:
        if name not in variables:
            unknown.append(name)
        return variables.get(name)

    expand(text, lookup)
    return unknown
