"""RE2's grammar: a pattern to a tree, or Go's words for what is wrong with it. Source: Go's regexp/syntax/parse.go."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache

LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]

#: how often something may be repeated by a count
_MOST = 1000
_DEEPEST = 1000


class ExpressionProblem(ValueError):
    """No RE2 pattern."""

    def __init__(self, why: str, part: str) -> None:
        super().__init__(f"error parsing regexp: {why}: `{part}`")


@dataclass(frozen=True, slots=True)
class Node:
    """`kind`: class (one character of ranges), row, either, repeat, group, or an assertion (begin, end, line begin, word edge...)."""

    kind: str
    parts: tuple[Node, ...] = ()
    ranges: Ranges = ()
    fold: bool = False
    least: int = 0
    most: int | None = None
    greedy: bool = True


@dataclass(frozen=True, slots=True)
class _Flags:
    fold: bool = False
    lines: bool = False
    dot_all: bool = False
    lazy: bool = False


_PERL: dict[str, Ranges] = {
    "d": ((48, 57),), "s": ((9, 10), (12, 13), (32, 32)), "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
}  # fmt: skip
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)), "alpha": ((65, 90), (97, 122)), "ascii": ((0, 127),), "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)), "digit": ((48, 57),), "graph": ((33, 126),), "lower": ((97, 122),), "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)), "space": ((9, 13), (32, 32)), "upper": ((65, 90),),
    "word": _PERL["w"], "xdigit": ((48, 57), (65, 70), (97, 102)),
}  # fmt: skip
_ESCAPES = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_EDGES = {"A": "begin", "z": "end", "b": "word edge", "B": "no word edge"}


def parse(pattern: str) -> Node:
    """Raises ExpressionProblem."""
    return _Parser(pattern).parse()


def negated(ranges: Ranges) -> Ranges:
    made: list[tuple[int, int]] = []
    at = 0
    for low, high in sorted(ranges):
        if low > at:
            made.append((at, low - 1))
        at = max(at, high + 1)
    return (*made, (at, LAST)) if at <= LAST else tuple(made)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.depth = 0
        self.flags = _Flags()

    def parse(self) -> Node:
        node = self._either()
        if self.at < len(self.text):
            raise ExpressionProblem("unexpected )", self.text)
        return node

    def _either(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ExpressionProblem("expression nests too deeply", self.text)
        branches = [self._row()]
        while self._next("|"):
            branches.append(self._row())
        self.depth -= 1
        return branches[0] if len(branches) == 1 else Node("either", tuple(branches))

    def _next(self, text: str) -> bool:
        if self.text.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def _row(self) -> Node:
        found: list[Node] = []
        repeated = -1
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            start = self.at
            if self.text[start] in "*+?" or (self.text[start] == "{" and self._counts(start) is not None):
                self._repeat(found, repeated)
                repeated = start
                continue
            repeated = -1
            if self._next("\\Q"):
                end = self.text.find("\\E", self.at)
                found += [self._character(ord(c)) for c in self.text[self.at : end if end >= 0 else None]]
                self.at = len(self.text) if end < 0 else end + 2
            elif (node := self._atom()) is not None:
                found.append(node)
        return found[0] if len(found) == 1 else Node("row", tuple(found))

    def _character(self, code: int) -> Node:
        return Node("class", ranges=((code, code),), fold=self.flags.fold and chr(code).lower() != chr(code).upper())

    def _class_of(self, ranges: Ranges) -> Node:
        return Node("class", ranges=ranges, fold=self.flags.fold)

    # ---- repetition

    def _counts(self, at: int) -> tuple[int, int | None, int] | None:
        """(least, most, end) of `{n}`, `{n,}`, `{n,m}` at a place; None when it is plain text."""
        end = self.text.find("}", at)
        low, comma, high = self.text[at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not _number(low) or (high and not _number(high)):
            return None
        return int(low), int(high) if high else (None if comma else int(low)), end + 1

    def _repeat(self, found: list[Node], before: int) -> None:
        start = self.at
        counts = self._counts(start) if self.text[start] == "{" else None
        if counts is not None:
            least, most, self.at = counts
        else:
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self.text[start]]
            self.at += 1
        operator = self.text[start : self.at]
        if counts is not None and (max(least, most or 0) > _MOST or (most is not None and least > most)):
            raise ExpressionProblem("invalid repeat count", operator)
        lazy = self._next("?")
        if before >= 0:
            raise ExpressionProblem("invalid nested repetition operator", self.text[before : self.at])
        if not found:
            raise ExpressionProblem("missing argument to repetition operator", self.text[start : self.at])
        made = Node("repeat", (found[-1],), least=least, most=most, greedy=lazy == self.flags.lazy)
        if counts is not None and _copies(made) > _MOST:
            raise ExpressionProblem("invalid repeat count", self.text[start : self.at])
        found[-1] = made

    # ---- atoms

    def _atom(self) -> Node | None:
        c = self.text[self.at]
        if c == "(":
            return self._group()
        if c == "[":
            return self._class()
        if c == "\\":
            return self._escaped()
        self.at += 1
        if c == ".":
            return Node("class", ranges=((0, LAST),) if self.flags.dot_all else negated(((10, 10),)))
        if c == "^":
            return Node("line begin" if self.flags.lines else "begin")
        if c == "$":
            return Node("line end" if self.flags.lines else "end")
        return self._character(ord(c))

    def _group(self) -> Node | None:
        outer, captures = self.flags, True
        start = self.at
        if self.text.startswith("(?", start):
            named = self.text.startswith(("(?P<", "(?<"), start)
            if named:
                self._name(start)
            elif self._set_flags(start):
                return None
            captures = named
        else:
            self.at += 1
        inner = self._either()
        if not self._next(")"):
            raise ExpressionProblem("missing closing )", self.text)
        self.flags = outer
        return Node("group", (inner,)) if captures else Node("row", (inner,))

    def _name(self, start: int) -> None:
        end = self.text.find(">", start)
        if end < 0:
            raise ExpressionProblem("invalid named capture", self.text[start:])
        name = self.text[self.text.index("<", start) + 1 : end]
        if not name or not all(c == "_" or (c.isascii() and c.isalnum()) for c in name):
            raise ExpressionProblem("invalid named capture", self.text[start : end + 1])
        self.at = end + 1

    def _set_flags(self, start: int) -> bool:
        """Reads `(?flags)` (True: that was all) or `(?flags:`."""
        self.at = start + 2
        value, seen, flags = True, False, self.flags
        while self.at < len(self.text):
            c = self.text[self.at]
            self.at += 1
            field = {"i": "fold", "m": "lines", "s": "dot_all", "U": "lazy"}.get(c)
            if field is not None:
                flags, seen = replace(flags, **{field: value}), True
            elif c == "-" and value:
                value, seen = False, False
            elif c in ":)" and (value or seen):
                if c == ":":
                    self._inner_flags(flags)
                    return False
                self.flags = flags
                return True
            else:
                break
        raise ExpressionProblem("invalid or unsupported Perl syntax", self.text[start : self.at])

    def _inner_flags(self, flags: _Flags) -> None:
        self.flags = flags

    # ---- escapes and classes

    def _escaped(self) -> Node:
        following = self.text[self.at + 1 : self.at + 2]
        if following in _EDGES and following:
            self.at += 2
            return Node(_EDGES[following])
        ranges = self._named_class()
        if ranges is not None:
            return self._class_of(ranges)
        return self._character(self._escape())

    def _named_class(self) -> Ranges | None:
        """`\\d`, `\\pL`, `\\p{Greek}` at the place; None when there is something else."""
        following = self.text[self.at + 1 : self.at + 2]
        if not following or self.text[self.at] != "\\":
            return None
        if following.lower() in _PERL:
            self.at += 2
            found = _PERL[following.lower()]
            return found if following.islower() else negated(found)
        if following not in ("p", "P"):
            return None
        start, end = self.at, self.at + 3
        name = self.text[start + 2 : end]
        if name == "{":
            end = self.text.find("}", start) + 1
            if not end:
                raise ExpressionProblem("invalid character class range", self.text[start:])
            name = self.text[start + 3 : end - 1]
        self.at = end
        opposite = (following == "P") != name.startswith("^")
        found_ranges = unicode_class(name.removeprefix("^"))
        if found_ranges is None:
            raise ExpressionProblem("invalid character class range", self.text[start:end])
        return negated(found_ranges) if opposite else found_ranges

    def _escape(self) -> int:
        """The character that an escape stands for."""
        start = self.at
        c = self.text[start + 1 : start + 2]
        self.at = min(start + 2, len(self.text))
        if not c:
            raise ExpressionProblem("trailing backslash at end of expression", "")
        if c in "01234567" and (c == "0" or self.text[self.at : self.at + 1] in tuple("01234567")):
            while self.at < min(start + 4, len(self.text)) and self.text[self.at] in "01234567":
                self.at += 1
            return int(self.text[start + 1 : self.at], 8)
        if c == "x":
            return self._hexadecimal(start)
        if c in _ESCAPES:
            return _ESCAPES[c]
        if c.isascii() and not c.isalnum():
            return ord(c)
        raise ExpressionProblem("invalid escape sequence", self.text[start : self.at])

    def _hexadecimal(self, start: int) -> int:
        braced = self._next("{")
        end = self.text.find("}", self.at) if braced else self.at + 2
        digits = self.text[self.at : end] if end >= 0 else ""
        if not digits or (not braced and len(digits) < 2) or not all(d in "0123456789abcdefABCDEF" for d in digits):
            raise ExpressionProblem("invalid escape sequence", self.text[start : self.at + 1])
        self.at = end + 1 if braced else end
        code = int(digits, 16)
        if code > LAST:
            raise ExpressionProblem("invalid escape sequence", self.text[start : self.at])
        return code

    def _class(self) -> Node:
        start = self.at
        self.at += 1
        opposite = self._next("^")
        found: list[tuple[int, int]] = []
        first = True
        while first or not self._next("]"):
            if self.at >= len(self.text):
                raise ExpressionProblem("missing closing ]", self.text[start:])
            first = False
            named = self._posix() or self._named_class()
            if named is not None:
                found += named
                continue
            low_at = self.at
            low = self._class_character(start)
            high = low
            if self.text[self.at : self.at + 1] == "-" and self.text[self.at + 1 : self.at + 2] not in ("", "]"):
                self.at += 1
                high = self._class_character(start)
                if high < low:
                    raise ExpressionProblem("invalid character class range", self.text[low_at : self.at])
            found.append((low, high))
        ranges = tuple(found)
        if opposite and self.flags.fold:
            ranges = tuple(_folded(ranges))
        return self._class_of(negated(ranges) if opposite else ranges)

    def _posix(self) -> Ranges | None:
        if not self.text.startswith("[:", self.at):
            return None
        end = self.text.find(":]", self.at + 2)
        if end < 0:
            return None
        name = self.text[self.at + 2 : end]
        found = _POSIX.get(name.removeprefix("^"))
        if found is None:
            raise ExpressionProblem("invalid character class range", self.text[self.at : end + 2])
        self.at = end + 2
        return negated(found) if name.startswith("^") else found

    def _class_character(self, start: int) -> int:
        if self.at >= len(self.text):
            raise ExpressionProblem("missing closing ]", self.text[start:])
        if self.text[self.at] == "\\":
            return self._escape()
        self.at += 1
        return ord(self.text[self.at - 1])


def _number(text: str) -> bool:
    """Digits without a leading zero; more than a few of them are too many anyway."""
    return text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))


def _copies(node: Node) -> int:
    """How often the innermost of nested counted repetitions is written out."""
    inner = max((_copies(part) for part in node.parts), default=1)
    if node.kind != "repeat":
        return inner
    return inner * max(1, node.most if node.most is not None else node.least)


def _folded(ranges: Ranges) -> list[tuple[int, int]]:
    """Ranges with the other case of their letters. (Large ones hold both cases of theirs, or are cut to what is likely.)"""
    made = list(ranges)
    for low, high in ranges:
        for code in range(low, min(high, low + 0x600) + 1):
            for other in (chr(code).lower(), chr(code).upper()):
                if len(other) == 1 and ord(other) != code:
                    made.append((ord(other), ord(other)))
    return made


#: scripts that are told by how the names of their characters begin: the standard library knows no scripts
_SCRIPTS = {
    "Latin": ("LATIN ",), "Greek": ("GREEK ",), "Cyrillic": ("CYRILLIC ",), "Han": ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH"),
    "Hebrew": ("HEBREW ",), "Arabic": ("ARABIC ",), "Hiragana": ("HIRAGANA ",), "Katakana": ("KATAKANA ",), "Hangul": ("HANGUL ",),
    "Thai": ("THAI ",), "Devanagari": ("DEVANAGARI ",), "Armenian": ("ARMENIAN ",), "Georgian": ("GEORGIAN ",),
}  # fmt: skip
_CATEGORIES = frozenset(
    (
        "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk",
        "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "L", "M", "N", "P", "S", "Z", "C",
    )
)  # fmt: skip


@lru_cache(maxsize=32)
def unicode_class(name: str) -> Ranges | None:
    """The characters of a general category or script; None when there is none of that name. Takes a while the first time."""
    if name == "Any":
        return ((0, LAST),)
    if name in _CATEGORIES:
        return _ranges_where(lambda c: unicodedata.category(c).startswith(name) and unicodedata.category(c) != "Cn")
    prefixes = _SCRIPTS.get(name)
    return None if prefixes is None else _ranges_where(lambda c: unicodedata.name(c, "").startswith(prefixes))


def _ranges_where(holds: object) -> Ranges:
    assert callable(holds)
    made: list[tuple[int, int]] = []
    start = -1
    for code in range(LAST + 1):
        if holds(chr(code)):
            if start < 0:
                start = code
        elif start >= 0:
            made.append((start, code - 1))
            start = -1
    return (*made, (start, LAST)) if start >= 0 else tuple(made)
