"""CEL text to a tree. Positions are those that cel-go reports: of operators, opening parentheses, names.

Source: the CEL grammar (cel-spec, langdef.md) with optional syntax (`a.?b`, `a[?b]`, `[?x]`, `{?k: v}`) and quoted fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from minikube_api.cel.values import INT_MAX, INT_MIN, UINT_MAX, UInt


class Problem(ValueError):
    """Something wrong at an offset of the text."""

    def __init__(self, offset: int, message: str, others: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        #: what else is wrong with the same text
        self.others = others


def report(text: str, problems: list[Problem]) -> str:
    """Problems as cel-go lists them: place, words, the line and a caret below."""
    return "\n".join(_report(text, problem) for problem in problems)


def _report(text: str, problem: Problem) -> str:
    before = text[: problem.offset]
    line = before.count("\n") + 1
    column = problem.offset - (before.rfind("\n") + 1)
    shown = text.split("\n")[line - 1].replace("\t", " ")
    return f"ERROR: <input>:{line}:{column + 1}: {problem.message}\n | {shown}\n | {'.' * column}^"


@dataclass(slots=True, eq=False)
class Node:
    """`kind`: literal, ident, select, call, index, list, map, struct. What `name`, `target`, `args` are depends on it.

    select: target, name, flag = optional, test = has(); call: target or None, name, args; list: args, flags = optional ones.
    """

    kind: str
    at: int
    name: str = ""
    value: Any = None
    target: Node | None = None
    args: tuple[Node, ...] = ()
    optional: bool = False
    test: bool = False
    flags: tuple[bool, ...] = ()


_token = re.compile(
    r"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
    |(?P<float>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?))
    |(?P<int>0x[0-9a-fA-F]+[uU]?|[0-9]+[uU]?)
    |(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n\r]|\\(?:[abfnrtv\\'"`?]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[xX][0-9a-fA-F]{2}|[0-3][0-7]{2}))*"|'(?:[^'\\\n\r]|\\(?:[abfnrtv\\'"`?]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[xX][0-9a-fA-F]{2}|[0-3][0-7]{2}))*'))
    |(?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
    |(?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)

_RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
        "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_EXPECTING = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"


class Token:
    __slots__ = ("at", "kind", "text")

    def __init__(self, kind: str, text: str, at: int) -> None:
        self.kind = kind
        self.text = text
        self.at = at


def tokens(text: str) -> tuple[list[Token], list[Problem]]:
    """Tokens, and what is none: that is reported and left out, as ANTLR does."""
    found: list[Token] = []
    problems: list[Problem] = []
    at = 0
    while at < len(text):
        if text[at] in "rR" and (raw := _raw.match(text, at)):
            found.append(Token("string", raw[0], at))
            at = raw.end()
            continue
        match = _token.match(text, at)
        if match is None:
            end = _unreadable(text, at)
            problems.append(Problem(at, f"Syntax error: token recognition error at: '{_visible(text[at:end])}'"))
            at = end
            continue
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match[0], at))
        at = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found, problems


def _unreadable(text: str, at: int) -> int:
    """Where a token that can't be read ends: behind the first character that could not go on with what stands before."""
    if text[at] in "=&|":
        return min(at + 2, len(text))
    if text[at] in "'\"":
        broken = _broken_string.match(text, at)
        assert broken is not None
        return min(broken.end() + 1, len(text))
    return at + 1


#: a string as far as it is one: up to its line's end, or to an escape that is none
_broken_string = re.compile(
    r"(['\"])(?:(?!\1)[^\\\n\r]|\\(?:[abfnrtv\\'\"`?]|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[xX][0-9a-fA-F]{2}|[0-3][0-7]{2}))*\\?"
)


def _visible(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


_raw = re.compile(r"[rR](?:\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n\r]*\"|'[^'\n\r]*')", re.DOTALL)
_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip


def _literal_text(token: Token) -> str | bytes:
    text = token.text
    prefix = text[: min(i for i in (text.find('"'), text.find("'")) if i >= 0)].lower()
    body = text[len(prefix) :]
    quotes = 3 if len(body) >= 6 and body[:3] in ('"""', "'''") else 1
    body = body[quotes:-quotes]
    is_bytes = "b" in prefix
    if "r" in prefix:
        return body.encode() if is_bytes else body

    def unescape(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            return chr(int(code, 16))
        if match[4]:
            return chr(int(match[4], 8))
        if match[5] not in _SIMPLE:
            raise Problem(token.at, f"Syntax error: token recognition error at: '{token.text}'")
        return _SIMPLE[match[5]]

    plain = _escape.sub(unescape, body)
    if not is_bytes:
        return plain
    return b"".join(c.encode("latin-1") if ord(c) < 256 and "\\" in body else c.encode() for c in plain)


class Parser:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens, self.unread = tokens(text)
        self.place = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def next(self) -> Token:
        token = self.tokens[self.place]
        self.place += 1
        return token

    def is_op(self, *ops: str) -> bool:
        return self.token.kind == "op" and self.token.text in ops

    def take(self, op: str) -> Token:
        if not self.is_op(op):
            raise self._unexpected(f"'{op}'")
        return self.next()

    def _unexpected(self, expecting: str = _EXPECTING) -> Problem:
        token = self.token
        if expecting == _EXPECTING:
            return Problem(token.at, f"Syntax error: mismatched input '{token.text}' expecting {expecting}")
        if token.kind == "end" or not expecting.startswith("{"):
            return Problem(token.at, f"Syntax error: missing {expecting} at '{token.text}'")
        return Problem(token.at, f"Syntax error: extraneous input '{token.text}' expecting {expecting}")

    def parse(self) -> Node:
        try:
            node = self._whole()
        except Problem as problem:
            if self.unread:
                raise Problem(problem.offset, problem.message, tuple(self.unread)) from None
            raise
        if self.unread:
            first, *others = self.unread
            raise Problem(first.offset, first.message, tuple(others))
        return node

    def _whole(self) -> Node:
        node = self.expression()
        if self.token.kind != "end":
            how = "extraneous" if len(self.tokens) - self.place == 2 else "mismatched"
            raise Problem(self.token.at, f"Syntax error: {how} input '{self.token.text}' expecting <EOF>")
        return node

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > 100:
            raise Problem(self.token.at, "expression recursion limit exceeded: 100")
        node = self._or()
        if self.is_op("?"):
            at = self.next().at
            yes = self._or()
            self.take(":")
            node = Node("call", at, "_?_:_", args=(node, yes, self.expression()))
        self.depth -= 1
        return node

    def _binary(self, operand: Any, *ops: str) -> Node:
        node: Node = operand()
        while self.is_op(*ops) or (self.token.kind == "ident" and self.token.text in ops):
            token = self.next()
            name = "@in" if token.text == "in" else f"_{token.text}_"
            node = Node("call", token.at, name, args=(node, operand()))
        return node

    def _or(self) -> Node:
        return self._binary(self._and, "||")

    def _and(self) -> Node:
        return self._binary(self._relation, "&&")

    def _relation(self) -> Node:
        return self._binary(self._sum, "<", "<=", ">=", ">", "==", "!=", "in")

    def _sum(self) -> Node:
        return self._binary(self._product, "+", "-")

    def _product(self) -> Node:
        return self._binary(self._unary, "*", "/", "%")

    def _unary(self) -> Node:
        if self.is_op("!", "-"):
            token = self.next()
            following = self.token
            if token.text == "-" and following.kind in ("int", "float") and not following.text.endswith(("u", "U")):
                return self._members(self._number(self.next(), token))
            return Node("call", token.at, "!_" if token.text == "!" else "-_", args=(self._unary(),))
        return self._members(self._primary())

    def _members(self, node: Node) -> Node:
        while True:
            if self.is_op("."):
                dot = self.next()
                optional = self.is_op("?") and bool(self.next())
                if self.token.kind not in ("ident", "quoted"):
                    # a field or a method: the parser gives up when it can be neither
                    after = "" if self.token.kind == "end" else self.token.text
                    raise Problem(self.token.at, f"Syntax error: no viable alternative at input '.{after}'")
                token = self.next()
                name = token.text.strip("`")
                if self.is_op("(") and not optional:
                    opening = self.next()
                    node = Node("call", opening.at, name, target=node, args=self._arguments(")"))
                else:
                    node = Node("select", dot.at, name, target=node, optional=optional)
            elif self.is_op("["):
                opening = self.next()
                optional = self.is_op("?") and bool(self.next())
                index = self.expression()
                self.take("]")
                node = Node("index", opening.at, args=(node, index), optional=optional)
            else:
                return node

    def _arguments(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.is_op(closing):
            found.append(self.expression())
            if not self.is_op(","):
                break
            self.next()
        self.take(closing)
        return tuple(found)

    def _primary(self) -> Node:
        token = self.token
        if token.kind in ("int", "float"):
            return self._number(self.next(), None)
        if token.kind == "string":
            return Node("literal", token.at, value=_literal_text(self.next()))
        if self.is_op("("):
            self.next()
            node = self.expression()
            self.take(")")
            return node
        if self.is_op("["):
            return self._list()
        if self.is_op("{"):
            opening = self.next()
            return self._entries(Node("map", opening.at))
        if self.is_op("."):
            self.next()
            token = self.token
        if token.kind != "ident":
            raise self._unexpected()
        return self._named(self.next())

    def _named(self, token: Token) -> Node:
        constants = {"true": True, "false": False, "null": None}
        if token.text in constants:
            return Node("literal", token.at, value=constants[token.text])
        if token.text == "in":
            raise Problem(token.at, f"Syntax error: mismatched input 'in' expecting {_EXPECTING}")
        if token.text in _RESERVED:
            raise Problem(token.at, f"reserved identifier: {token.text}")
        if self.is_op("("):
            opening = self.next()
            return Node("call", opening.at, token.text, args=self._arguments(")"))
        return self._struct(Node("ident", token.at, token.text))

    def _struct(self, node: Node) -> Node:
        """`Object.spec{...}`: a message literal, after the names of its type."""
        start, name = self.place, node.name
        while self.is_op(".") and self.tokens[self.place + 1].kind == "ident":
            self.next()
            name += "." + self.next().text
        if self.is_op("{") and name.split(".")[-1]:
            opening = self.next()
            return self._entries(Node("struct", opening.at, name))
        self.place = start
        return node

    def _list(self) -> Node:
        opening = self.next()
        items: list[Node] = []
        flags: list[bool] = []
        while not self.is_op("]"):
            flags.append(self.is_op("?") and bool(self.next()))
            items.append(self.expression())
            if not self.is_op(","):
                break
            self.next()
        self.take("]")
        return Node("list", opening.at, args=tuple(items), flags=tuple(flags))

    def _entries(self, node: Node) -> Node:
        found: list[Node] = []
        flags: list[bool] = []
        while not self.is_op("}"):
            flags.append(self.is_op("?") and bool(self.next()))
            if node.kind == "struct":
                if self.token.kind not in ("ident", "quoted"):
                    raise self._unexpected("IDENTIFIER")
                field = self.next()
                found.append(Node("literal", field.at, value=field.text.strip("`")))
            else:
                found.append(self.expression())
            colon = self.take(":")
            found.append(self.expression())
            found[-2].at = found[-2].at if node.kind == "map" else colon.at
            if not self.is_op(","):
                break
            self.next()
        self.take("}")
        node.args, node.flags = tuple(found), tuple(flags)
        return node

    def _number(self, token: Token, minus: Token | None) -> Node:
        at = token.at if minus is None else minus.at
        sign = -1 if minus is not None else 1
        text = token.text
        if token.kind == "float":
            return Node("literal", at, value=sign * float(text))
        unsigned = text[-1] in "uU" and not (text.startswith("0x") and text[-1] not in "uU")
        digits = text[:-1] if unsigned else text
        value = sign * (int(digits, 16) if digits.startswith("0x") else int(digits))
        if unsigned:
            if value > UINT_MAX:
                raise Problem(at, "invalid uint literal")
            return Node("literal", at, value=UInt(value))
        if not INT_MIN <= value <= INT_MAX:
            raise Problem(at, "invalid int literal")
        return Node("literal", at, value=value)


def parse(text: str) -> Node:
    """Raises Problem."""
    return Parser(text).parse()
