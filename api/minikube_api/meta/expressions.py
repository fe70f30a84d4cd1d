"""Go's regular expressions (RE2) as Python runs them. Source: the syntax page of re2."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """A Go (RE2) pattern. Raises re.error for what Python can't read either."""
    return re.compile(translated(pattern))


_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s", "word": r"\w",
    "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9A-Fa-f", "blank": r" \t", "cntrl": r"\x00-\x1f\x7f", "print": " -~", "graph": "!-~",
}  # fmt: skip
_inline_flags = re.compile(r"\(\?([imsU]+)\)")


def translated(pattern: str) -> str:
    r"""RE2's syntax in Python's: `\z`, POSIX classes, `\pL`; `$` matches the very end only, classes are ASCII."""
    out: list[str] = []
    at, in_class, multiline = 0, False, "(?m" in pattern
    while at < len(pattern):
        two = pattern[at : at + 2]
        if two == "\\z":
            out.append("\\Z")
            at += 2
        elif two in ("\\d", "\\D", "\\w", "\\W", "\\s", "\\S"):
            out.append(_ascii_class(two, in_class))
            at += 2
        elif two[:1] == "\\":
            out.append(two)
            at += 2
        elif in_class and pattern.startswith("[:", at) and (end := pattern.find(":]", at)) > 0:
            out.append(_CLASSES.get(pattern[at + 2 : end], ""))
            at = end + 2
        elif two[:1] == "[" and not in_class:
            in_class = True
            out.append("[")
            at += 1
            if pattern[at : at + 1] == "^":
                out.append("^")
                at += 1
            if pattern[at : at + 1] == "]":
                out.append("\\]")
                at += 1
        elif two[:1] == "]" and in_class:
            in_class = False
            out.append("]")
            at += 1
        elif two[:1] == "[" and in_class:
            out.append("\\[")
            at += 1
        elif two[:1] == "$" and not in_class and not multiline:
            out.append("\\Z")
            at += 1
        else:
            out.append(two[:1])
            at += 1
    text = "".join(out)
    flags = _inline_flags.match(text)
    return text if flags is None else f"(?{flags[1].replace('U', '')}){text[flags.end() :]}"


_ASCII = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}


def _ascii_class(escape: str, in_class: bool) -> str:
    inner = _ASCII[escape[1].lower()]
    if escape[1].islower():
        return inner if in_class else f"[{inner}]"
    return escape if in_class else f"[^{inner}]"
