"""CEL's string extension (version 2, as Kubernetes has it), lists, sets and regular expressions.

Sources: cel-go's ext/strings.go and ext/sets.go, k8s.io/apiserver/pkg/cel/library (lists.go, regex.go).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from minikube_api.cel import values
from minikube_api.cel.functions import checked, expression, global_, method, number_text, to_text
from minikube_api.cel.types import BOOL, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, UINT, A, list_of
from minikube_api.cel.values import Duration, EvaluationError, UInt, equal

_STRINGS = list_of(STRING)
_LA = list_of(A)


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise EvaluationError(f"index out of range: {at}")
    return text[at : at + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part))


def _lower_ascii(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _upper_ascii(text: str) -> str:
    return "".join(c.upper() if c.isascii() else c for c in text)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new) if count < 0 else text.replace(old, new, count)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if count < 0 or count >= len(parts) else [*parts[: count - 1], "".join(parts[count - 1 :])]
    return text.split(separator) if count < 0 else text.split(separator, count - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    if not 0 <= end <= len(text):
        raise EvaluationError(f"index out of range: {end}")
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _quote(text: str) -> str:
    for plain, escaped in (
        ("\\", "\\\\"), ("\a", "\\a"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v"),
        ('"', '\\"'),
    ):  # fmt: skip
        text = text.replace(plain, escaped)
    return f'"{text}"'


method("charAt", (STRING, INT), STRING, _char_at)
for _args in ((STRING, STRING), (STRING, STRING, INT)):
    method("indexOf", _args, INT, _index_of)
    method("lastIndexOf", _args, INT, _last_index_of)
    method("split", _args, _STRINGS, _split)
method("lowerAscii", (STRING,), STRING, _lower_ascii)
method("upperAscii", (STRING,), STRING, _upper_ascii)
for _args in ((STRING, STRING, STRING), (STRING, STRING, STRING, INT)):
    method("replace", _args, STRING, _replace)
for _args in ((STRING, INT), (STRING, INT, INT)):
    method("substring", _args, STRING, _substring)
method("trim", (STRING,), STRING, lambda text: text.strip())
method("join", (_STRINGS,), STRING, "".join)
method("join", (_STRINGS, STRING), STRING, lambda parts, separator: separator.join(parts))
global_("strings.quote", (STRING,), STRING, _quote)


# ---- format


def _formatted(text: str, args: list[Any]) -> str:
    out: list[str] = []
    at = used = 0
    while at < len(text):
        c = text[at]
        at += 1
        if c != "%":
            out.append(c)
            continue
        if text[at : at + 1] == "%":
            out.append("%")
            at += 1
            continue
        precision: int | None = None
        if text[at : at + 1] == ".":
            end = at + 1
            while text[end : end + 1].isdigit():
                end += 1
            precision, at = int(text[at + 1 : end] or 0), end
        verb = text[at : at + 1]
        at += 1
        if used >= len(args):
            raise EvaluationError(f"index {used} out of range")
        out.append(_clause(verb, precision, args[used]))
        used += 1
    return "".join(out)


def _clause(verb: str, precision: int | None, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb == "s":
        return _shown(value)
    if verb == "d" and isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    if verb == "f" and number:
        return f"{float(value):.{6 if precision is None else precision}f}"
    if verb == "e" and number:
        return f"{float(value):.{6 if precision is None else precision}e}"
    if verb == "b" and isinstance(value, int):
        return f"{int(value):b}"
    if verb == "o" and isinstance(value, int) and not isinstance(value, bool):
        return f"{int(value):o}"
    if verb in ("x", "X"):
        if isinstance(value, str | bytes):
            text = (value.encode() if isinstance(value, str) else value).hex()
        elif isinstance(value, int) and not isinstance(value, bool):
            text = f"{int(value):x}"
        else:
            raise _wrong_clause(verb, value)
        return text.upper() if verb == "X" else text
    if verb not in "sdfeboxX" or not verb:
        raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    raise _wrong_clause(verb, value)


_CLAUSES = {
    "d": "decimal clause can only be used on integers", "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles", "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers", "x": "only integers, byte buffers, and strings can be formatted as hex",
}  # fmt: skip


def _wrong_clause(verb: str, value: Any) -> EvaluationError:
    return EvaluationError(f"error during formatting: {_CLAUSES[verb.lower()]}, was given {values.type_name(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(part) for part in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(key)}: {_shown(value[key])}" for key in sorted(value, key=str)) + "}"
    if value is None:
        return "null"
    if isinstance(value, float):
        return number_text(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return to_text(value)


method("format", (STRING, list_of(DYN)), STRING, _formatted)

# ---- lists


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    if isinstance(items[0], Duration):
        return Duration(sum(item.nanos for item in items))
    total = sum(items)
    if isinstance(items[0], UInt):
        return UInt(total)
    return checked(total) if isinstance(total, int) else total


def _is_sorted(items: list[Any]) -> bool:
    return all(not b < a for a, b in itertools.pairwise(items))


def _extreme(name: str, better: Any) -> Any:
    def find(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if better(item, best):
                best = item
        return best

    return find


def _place(items: list[Any], item: Any) -> int:
    return next((i for i, other in enumerate(items) if equal(item, other)), -1)


def _last_place(items: list[Any], item: Any) -> int:
    return next((i for i in range(len(items) - 1, -1, -1) if equal(item, items[i])), -1)


for _of in (INT, UINT, DOUBLE, DURATION):
    method("sum", (list_of(_of),), _of, _sum)
for _of in (INT, UINT, DOUBLE, DURATION, TIMESTAMP, STRING, BOOL):
    method("isSorted", (list_of(_of),), BOOL, _is_sorted)
    method("max", (list_of(_of),), _of, _extreme("max", lambda a, b: b < a))
    method("min", (list_of(_of),), _of, _extreme("min", lambda a, b: a < b))
method("indexOf", (_LA, A), INT, _place)
method("lastIndexOf", (_LA, A), INT, _last_place)

# ---- sets


def _all_in(items: list[Any], others: list[Any]) -> bool:
    return all(any(equal(item, other) for other in others) for item in items)


global_("sets.contains", (_LA, _LA), BOOL, lambda items, wanted: _all_in(wanted, items))
global_("sets.equivalent", (_LA, _LA), BOOL, lambda a, b: _all_in(a, b) and _all_in(b, a))
global_("sets.intersects", (_LA, _LA), BOOL, lambda a, b: any(equal(x, y) for x in a for y in b))

# ---- regular expressions


def _find_all(text: str, pattern: str, count: int = -1) -> list[str]:
    found = [match[0] for match in expression(pattern).finditer(text)]
    return found if count < 0 else found[:count]


def _find(text: str, pattern: str) -> str:
    match = expression(pattern).search(text)
    return match[0] if match else ""


method("find", (STRING, STRING), STRING, _find)
method("findAll", (STRING, STRING), _STRINGS, _find_all)
method("findAll", (STRING, STRING, INT), _STRINGS, _find_all)
