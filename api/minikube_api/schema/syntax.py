"""JSON text: what Go's parser says of broken text, and objects with every pair kept, duplicates included.

orjson parses the good bodies; this module is for the others. Wording: encoding/json's scanner, as kube-apiserver passes it on.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_SPACE = " \t\r\n"
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class SyntaxProblem(ValueError):
    """The text is no JSON; `str()` is Go's message."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs in document order."""


def pairs(body: bytes) -> Any:
    """The tree with every object as `Pairs`. The body must be valid JSON."""
    return _repaired(json.loads(body.decode("utf-8", "replace"), object_pairs_hook=Pairs))


def merged(value: Any) -> Any:
    """The tree of `pairs`, repeated keys taken as Go takes them: an object adds to the one before, anything else replaces it."""
    if isinstance(value, Pairs):
        tree: dict[str, Any] = {}
        for key, part in value:
            new, old = merged(part), tree.get(key)
            tree[key] = _added(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
        return tree
    return [merged(part) for part in value] if isinstance(value, list) else value


def _added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    for key, part in new.items():
        before = old.get(key)
        old[key] = _added(before, part) if isinstance(before, dict) and isinstance(part, dict) else part
    return old


def may_repeat_keys(body: bytes, tree: Any) -> bool:
    """Whether some object of the body may hold a key twice. False is certain; True asks for a closer look at `pairs`.

    Text inside strings looks alike in the body and in the tree encoded anew, so that only a lost key changes the number of `":`;
    what could hide one (a blank before a colon, a quote written as an escape) counts as suspicious.
    """
    if any(hidden in body for hidden in _HIDING):
        return True
    try:
        again = orjson.dumps(tree)
    except TypeError:  # numbers past 64 bits
        return True
    return body.count(b'":') != again.count(b'":')


_HIDING = (b" :", b"\t:", b"\n:", b"\r:", b"\\u0022", b"\\u003a", b"\\u003A")


def tolerant(body: bytes) -> Any:
    """The tree of what orjson refuses and Go takes: bytes that are no UTF-8 and lone surrogates (U+FFFD), deep nesting."""
    return _repaired(json.loads(body.decode("utf-8", "replace")))


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Pairs):
        return Pairs((_repaired(key), _repaired(part)) for key, part in value)
    if isinstance(value, list):
        return [_repaired(part) for part in value]
    if isinstance(value, dict):
        return {_repaired(key): _repaired(part) for key, part in value.items()}
    return value


def problem(body: bytes) -> str:
    """What Go's decoder says of a body that is no JSON; "" when it is JSON after all."""
    text = body.decode("utf-8", "replace")
    try:
        end = _value(text, _skip(text, 0))
        end = _skip(text, end)
        if end < len(text):
            raise _unexpected(text, end, "after top-level value")
    except SyntaxProblem as found:
        return str(found)
    except RecursionError:
        return "exceeded max depth"
    return ""


def _unexpected(text: str, at: int, where: str) -> SyntaxProblem:
    if at >= len(text):
        return SyntaxProblem("unexpected end of JSON input")
    return SyntaxProblem(f"invalid character {_quoted(text[at])} {where}")


def _quoted(character: str) -> str:
    if character == "'":
        return "'\\''"
    if character == '"':
        return "'\"'"
    escapes = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "\0": "\\x00", "\b": "\\b", "\f": "\\f"}
    if character in escapes:
        return f"'{escapes[character]}'"
    return f"'{character}'" if character.isprintable() else f"'\\x{ord(character.encode()[:1]):02x}'"


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _value(text: str, at: int) -> int:
    """The end of the value that starts at `at`."""
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at + 1)
    if first == "[":
        return _array(text, at + 1)
    if first == '"':
        return _string(text, at + 1)
    for word in ("true", "false", "null"):
        if first == word[0]:
            return _word(text, at, word)
    if first == "-" or first.isdigit():
        return _digits(text, at)
    raise _unexpected(text, at, "looking for beginning of value")


def _object(text: str, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return at + 1
    while True:
        if text[at : at + 1] != '"':
            raise _unexpected(text, at, "looking for beginning of object key string")
        at = _skip(text, _string(text, at + 1))
        if text[at : at + 1] != ":":
            raise _unexpected(text, at, "after object key")
        at = _skip(text, _value(text, _skip(text, at + 1)))
        if text[at : at + 1] == "}":
            return at + 1
        if text[at : at + 1] != ",":
            raise _unexpected(text, at, "after object key:value pair")
        at = _skip(text, at + 1)


def _array(text: str, at: int) -> int:
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        at = _skip(text, _value(text, _skip(text, at)))
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] != ",":
            raise _unexpected(text, at, "after array element")
        at += 1


def _string(text: str, at: int) -> int:
    while at < len(text):
        character = text[at]
        if character == '"':
            return at + 1
        if character == "\\":
            at = _escape(text, at + 1)
        elif character < " ":
            raise _unexpected(text, at, "in string literal")
        else:
            at += 1
    raise _unexpected(text, at, "")


def _escape(text: str, at: int) -> int:
    if text[at : at + 1] == "u":
        for place in range(at + 1, at + 5):
            if text[place : place + 1] not in tuple("0123456789abcdefABCDEF"):
                raise _unexpected(text, place, "in \\u hexadecimal character escape")
        return at + 5
    if text[at : at + 1] not in tuple('bfnrt\\/"'):
        raise _unexpected(text, at, "in string escape code")
    return at + 1


def _word(text: str, at: int, word: str) -> int:
    for offset, character in enumerate(word):
        if text[at + offset : at + offset + 1] != character:
            raise _unexpected(text, at + offset, f"in literal {word} (expecting '{character}')")
    return at + len(word)


def _digits(text: str, at: int) -> int:
    match = _number.match(text, at)
    end = match.end() if match else at + 1
    if match is None or text[end : end + 1] == ".":
        after = end + 1 if match and text[end : end + 1] == "." else end
        where = "after decimal point in numeric literal" if match else "in numeric literal"
        raise _unexpected(text, after, where)
    if text[end : end + 1] in ("e", "E"):
        after = end + 1 + (text[end + 1 : end + 2] in ("+", "-"))
        raise _unexpected(text, after, "in exponent of numeric literal")
    return end
