"""Label and field selectors: parsing, matching, printing.

Source: k8s.io/apimachinery/pkg/labels and pkg/fields (grammar, error texts) and the LabelSelector type. A text that does not parse is
a `BadRequest` with apimachinery's message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from minikube_api.meta import field_errors, names
from minikube_api.meta.errors import BadRequest, FieldError

_int_re = re.compile(r"[+-]?[0-9]+")
_SPECIAL = "=!(),><"
_SPACE = " \t\r\n"
_TOKENS = frozenset((")", ",", "!", "==", "=", ">", "in", "<", "!=", "notin", "("))
_END = ""
_IDENTIFIER = "identifier"
_ERROR = "error"


def _int64(text: str) -> int | None:
    if not _int_re.fullmatch(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is one of `=`, `==`, `!=`, `in`, `notin`, `exists`, `!`, `gt`, `lt`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        number = _int64(value) if value is not None else None
        if number is None:
            return False
        bound = int(self.values[0])
        return number > bound if self.operator == "gt" else number < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return "!" + self.key
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
        return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Requirements that must all hold. Without any it matches everything, unless it is NOTHING."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        return all(r.matches(labels) for r in self.requirements)

    @property
    def everything(self) -> bool:
        return not self.requirements and not self.nothing

    def exact(self, key: str) -> str | None:
        """The value that `key` must have, when the selector says so: lets callers look up an index."""
        for r in self.requirements:
            if r.key == key and r.operator in ("=", "==", "in") and len(r.values) == 1:
                return r.values[0]
        return None

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


def check_requirement(requirement: Requirement, path: str = "") -> list[FieldError]:
    """What apimachinery's NewRequirement refuses."""
    key, operator, values = requirement.key, requirement.operator, requirement.values
    errors = _check_key(key, field_errors.child(path, "key"))
    values_path = field_errors.child(path, "values")
    listed = list(values)
    match operator:
        case "in" | "notin":
            if not values:
                errors.append(field_errors.invalid(values_path, listed, "for 'in', 'notin' operators, values set can't be empty"))
        case "=" | "==" | "!=":
            if len(values) != 1:
                errors.append(field_errors.invalid(values_path, listed, "exact-match compatibility requires one single value"))
        case "exists" | "!":
            if values:
                errors.append(field_errors.invalid(values_path, listed, "values set must be empty for exists and does not exist"))
        case "gt" | "lt":
            if len(values) != 1:
                errors.append(
                    field_errors.invalid(values_path, listed, "for 'Gt', 'Lt' operators, exactly one value is required")
                )
            errors += [
                field_errors.invalid(f"{values_path}[{i}]", v, "for 'Gt', 'Lt' operators, the value must be an integer")
                for i, v in enumerate(values)
                if _int64(v) is None
            ]
    for i, value in enumerate(values):
        if messages := names.label_value(value):
            errors.append(field_errors.invalid(f"{values_path}[{i}][{key}]", value, "; ".join(messages)))
    return errors


def _check_key(key: str, path: str) -> list[FieldError]:
    messages = names.qualified_name(key)
    return [field_errors.invalid(path, key, "; ".join(messages))] if messages else []


def _raise_if(errors: list[FieldError]) -> None:
    if errors:
        texts = list(dict.fromkeys(str(e) for e in errors))
        raise BadRequest("unable to parse requirement: " + (texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"))


def _lex(text: str) -> Iterator[tuple[str, str]]:
    """(token, literal) pairs; special characters join as long as the joined text is a token (`==`, `!=`)."""
    i = 0
    while i < len(text):
        start = i
        if text[i] in _SPACE:
            i += 1
            continue
        if text[i] in _SPECIAL:
            while i < len(text) and text[i] in _SPECIAL and text[start : i + 1] in _TOKENS:
                i += 1
            yield text[start:i], text[start:i]
            continue
        while i < len(text) and text[i] not in _SPECIAL and text[i] not in _SPACE:
            i += 1
        literal = text[start:i]
        yield (literal if literal in _TOKENS else _IDENTIFIER), literal
    yield _END, ""


class _Parser:
    """Recursive descent over the tokens. In places where a value or key stands, `in` and `notin` are plain identifiers."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_lex(text))
        self.at = 0

    def peek(self, *, operator: bool = False) -> tuple[str, str]:
        token, literal = self.tokens[min(self.at, len(self.tokens) - 1)]
        if not operator and token in ("in", "notin"):
            token = _IDENTIFIER
        return token, literal

    def take(self, *, operator: bool = False) -> tuple[str, str]:
        item = self.peek(operator=operator)
        self.at += 1
        return item

    def selector(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            token, literal = self.peek()
            if token == _END:
                return requirements
            if token not in (_IDENTIFIER, "!"):
                raise BadRequest(f"found '{literal}', expected: !, identifier, or 'end of string'")
            requirements.append(self.requirement())
            token, literal = self.take()
            if token == _END:
                return requirements
            if token != ",":
                raise BadRequest(f"found '{literal}', expected: ',' or 'end of string'")
            token, literal = self.peek()
            if token not in (_IDENTIFIER, "!"):
                raise BadRequest(f"found '{literal}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        token, key = self.take()
        negated = token == "!"
        if negated:
            token, key = self.take()
        if token != _IDENTIFIER:
            raise self.wrong(f"found '{key}', expected: identifier")
        # apimachinery gives no path here, and prints that as <nil>
        _raise_if(_check_key(key, "<nil>"))
        if negated:
            return Requirement(key, "!")
        if self.peek()[0] in (_END, ","):
            return Requirement(key, "exists")
        operator = self.operator()
        values = self.values() if operator in ("in", "notin") else self.exact_value()
        requirement = Requirement(key, operator, tuple(sorted(values)))
        _raise_if(check_requirement(requirement))
        return requirement

    def operator(self) -> str:
        token, literal = self.take(operator=True)
        if token in ("=", "==", "!=", "in", "notin"):
            return token
        if token in (">", "<"):
            return "gt" if token == ">" else "lt"
        raise self.wrong(f"found '{literal}', expected: in, notin, =, ==, !=, gt, lt")

    def values(self) -> set[str]:
        token, literal = self.take()
        if token != "(":
            raise self.wrong(f"found '{literal}' expected: '('")
        token, literal = self.peek()
        if token == ")":
            # `()` is a set of one empty value, as in apimachinery
            self.take()
            return {""}
        if token not in (_IDENTIFIER, ","):
            raise self.wrong(f"found '{literal}', expected: ',', ')' or identifier")
        values = self.listed()
        self.take()
        return values

    def listed(self) -> set[str]:
        """Up to the closing parenthesis, which is left; empty places (`(,a`, `a,,b`, `a,)`) are the empty value."""
        values: set[str] = set()
        while True:
            token, literal = self.take()
            if token == _IDENTIFIER:
                values.add(literal)
                token, literal = self.peek()
                if token == ")":
                    return values
                if token != ",":
                    raise self.wrong(f"found '{literal}', expected: ',' or ')'")
            elif token == ",":
                if not values:
                    values.add("")
                following = self.peek()[0]
                if following == ")":
                    return values | {""}
                if following == ",":
                    self.take()
                    values.add("")
            else:
                raise self.wrong(f"found '{literal}', expected: ',', or identifier")

    def exact_value(self) -> set[str]:
        if self.peek()[0] in (_END, ","):
            return {""}
        token, literal = self.take()
        if token != _IDENTIFIER:
            raise self.wrong(f"found '{literal}', expected: identifier")
        return {literal}

    @staticmethod
    def wrong(message: str) -> BadRequest:
        return BadRequest("unable to parse requirement: " + message)


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> LabelSelector:
    """`a=b,c!=d,e in (f,g),h,!i,j>1`. Requirements are kept sorted by key. Raises BadRequest."""
    requirements = _Parser(text).selector()
    return LabelSelector(tuple(sorted(requirements, key=lambda r: r.key)))


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_label_selector(tree: Mapping[str, Any] | None) -> LabelSelector:
    """A LabelSelector object: absent matches nothing, empty matches everything. Raises BadRequest for what cannot be evaluated."""
    if tree is None:
        return NOTHING
    requirements = [Requirement(k, "=", (v,)) for k, v in (tree.get("matchLabels") or {}).items()]
    for expression in tree.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            quoted = field_errors.quote(str(expression.get("operator", "")))
            raise BadRequest(f"{quoted} is not a valid label selector operator")
        requirements.append(Requirement(expression.get("key", ""), operator, tuple(sorted(expression.get("values") or ()))))
    for requirement in requirements:
        if errors := check_requirement(requirement):
            texts = [str(e) for e in errors]
            raise BadRequest(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return LabelSelector(tuple(sorted(requirements, key=lambda r: r.key)))


def from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a plain map (Service.spec.selector, ReplicationController.spec.selector): all pairs, none = everything."""
    return LabelSelector(tuple(Requirement(k, "=", (v,)) for k, v in sorted((labels or {}).items())))


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """`operator` is `=` or `!=`."""

    field: str
    operator: str
    value: str

    def matches(self, fields: Mapping[str, str]) -> bool:
        return (fields.get(self.field, "") == self.value) == (self.operator == "=")

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{escape(self.value)}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all(r.matches(fields) for r in self.requirements)

    @property
    def everything(self) -> bool:
        return not self.requirements

    def exact(self, field: str) -> str | None:
        """The value that `field` must have, when the selector says so."""
        for r in self.requirements:
            if r.field == field and r.operator == "=":
                return r.value
        return None

    def check_supported(self, supported: Iterable[str]) -> None:
        """Raises BadRequest for the first field that is not among `supported`."""
        known = frozenset(supported)
        for r in self.requirements:
            if r.field not in known:
                raise BadRequest(f"field label not supported: {r.field}")

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)


def escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(value: str) -> str:
    if not ("\\" in value or "," in value or "=" in value):
        return value
    out: list[str] = []
    characters = iter(value)
    for c in characters:
        if c == "\\":
            escaped = next(characters, "")
            if escaped not in ("\\", ",", "=") or not escaped:
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{escaped}")
            out.append(escaped)
        elif c in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {ord(c)}")
        else:
            out.append(c)
    return "".join(out)


def _terms(text: str) -> list[str]:
    """Split on commas that no backslash escapes."""
    terms: list[str] = []
    start = 0
    escaped = False
    for i, c in enumerate(text):
        if escaped:
            escaped = False
        elif c == "\\":
            escaped = True
        elif c == ",":
            terms.append(text[start:i])
            start = i + 1
    terms.append(text[start:])
    return terms


_term_operator_re = re.compile(r"!=|==|=")


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """`metadata.name=a,spec.nodeName!=b`. Raises BadRequest; which fields a kind supports is its resource's matter."""
    requirements: list[FieldRequirement] = []
    for term in sorted(_terms(text)):
        if not term:
            continue
        operator = _term_operator_re.search(term)
        if operator is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        value = _unescape(term[operator.end() :])
        requirements.append(FieldRequirement(term[: operator.start()], "!=" if operator[0] == "!=" else "=", value))
    return FieldSelector(tuple(requirements))
