"""YAML request bodies, read as sigs.k8s.io/yaml reads them: one document, YAML 1.1 scalars, then JSON.

Differences from PyYAML: y and n are booleans, times stay text, sexagesimal numbers do not exist, `1e3` is a number, duplicate keys
are reported, and keys become strings as Go's converter makes them.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from minikube_api.schema import syntax

_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_float = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_integers = (
    (re.compile(r"[-+]?0b[01_]+"), 2),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), 16),
    (re.compile(r"[-+]?0o?[0-7_]+"), 8),
    (re.compile(r"[-+]?(?:0|[1-9][0-9_]*)"), 10),
)
#: numbers to go-yaml, strings to PyYAML: exponents without point or sign, 0o17, 08
_missed = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+|[-+]?0o[0-7_]+|[-+]?0[0-9]*[89][0-9]*")
_STR = "tag:yaml.org,2002:str"
#: containers within containers; libyaml and this module recurse, go-yaml stops at 10000
MAX_DEPTH = 250
_leading = re.compile(rb"^[ \t?:-]*", re.MULTILINE)


class YamlProblem(ValueError):
    """The body is no YAML that Kubernetes takes; `str()` is Go's message."""


def load(body: bytes) -> tuple[Any, list[str]]:
    """(tree with sorted keys, duplicate keys as Go words them: `line 3: key "k" already set in map`)."""
    tree = _plain_json(body)
    if tree is not None:
        return tree, []
    import yaml

    loader_type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(body, yaml, loader_type)
        loader = loader_type(body)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlProblem(_message(error)) from error
    duplicates: list[str] = []
    return (None if node is None else _Reader(duplicates).value(node)), duplicates


#: what JSON and YAML read differently: control characters and tabs, code units as escapes, what lies outside of ASCII
_not_yaml = re.compile(rb"[^\n\r -~]|\\u")
_BRACKETS = b"[]{}"
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in _BRACKETS)


def _plain_json(body: bytes) -> dict[str, Any] | None:
    """The tree, with sorted keys, of a body that is a JSON object: clients mostly send that as YAML. None when it must be read as YAML."""
    if body[:1] != b"{" or _not_yaml.search(body):
        return None
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if syntax.may_repeat_keys(body, tree) or _deep(body):
        return None
    return orjson.loads(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS))


def _deep(body: bytes) -> bool:
    """Whether the brackets may nest deeper than MAX_DEPTH; those in strings count too."""
    brackets = body.translate(None, _ALL_BUT_BRACKETS)
    if len(brackets) <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def _check_depth(body: bytes, yaml: Any, loader_type: Any) -> None:
    """Refuse what is nested so deeply that composing it would exhaust the C stack. Most bodies can't be, by their signs alone."""
    deepest_block = max(len(match) for match in _leading.findall(body))
    if body.count(b"[") + body.count(b"{") + deepest_block <= MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(body, Loader=loader_type):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise YamlProblem(f"yaml: exceeded max depth of {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def duplicate_finding(duplicates: list[str]) -> str:
    """The strict finding for duplicate keys."""
    return "yaml: unmarshal errors:\n  " + "\n  ".join(duplicates)


def _message(error: Exception) -> str:
    problem = getattr(error, "problem", None) or "unknown problem parsing YAML content"
    mark, context = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    line = 0
    if mark is not None and mark.line:
        line = mark.line + (1 if type(error).__name__ == "ScannerError" else 0)
    elif context is not None:
        line = context.line
    return f"yaml: line {line}: {problem}" if line else f"yaml: {problem}"


class _Reader:
    def __init__(self, duplicates: list[str]) -> None:
        self._duplicates = duplicates
        self._open: set[int] = set()
        self._read: set[int] = set()
        self._values = self._aliased = self._alias_depth = 0

    def value(self, node: Any) -> Any:
        """An alias gives the node of its anchor again: go-yaml's bound on how much of a document may be that is kept here."""
        again = id(node) in self._read
        self._alias_depth += again
        self._values += 1
        self._aliased += self._alias_depth > 0
        if self._aliased > 100 and self._values > 1000 and self._aliased > self._values * _allowed_aliases(self._values):
            raise YamlProblem("yaml: document contains excessive aliasing")
        try:
            return self._value(node)
        finally:
            self._alias_depth -= again
            self._read.add(id(node))

    def _value(self, node: Any) -> Any:
        if node.id == "scalar":
            return scalar(node.value, node.tag, plain=not node.style)
        if id(node) in self._open:
            raise YamlProblem(f"yaml: anchor '{getattr(node, 'anchor', '') or ''}' value contains itself")
        self._open.add(id(node))
        try:
            if node.id == "sequence":
                return [self.value(part) for part in node.value]
            return self._mapping(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id == "scalar" and key_node.value == "<<" and not key_node.style:
                parts = value_node.value if value_node.id == "sequence" else [value_node]
                for part in parts:
                    if part.id != "mapping":
                        raise YamlProblem("yaml: map merge requires map or sequence of maps as the value")
                    merged = self._mapping(part) | merged
                continue
            key = self._key(key_node)
            if key in found:
                line = key_node.start_mark.line + 1
                self._duplicates.append(f'line {line}: key "{key}" already set in map')
            found[key] = self.value(value_node)
        return dict(sorted((merged | found).items()))

    def _key(self, node: Any) -> str:
        if node.id != "scalar":
            raise YamlProblem("yaml: invalid map key")
        value = scalar(node.value, node.tag, plain=not node.style)
        if isinstance(value, bool):
            return "true" if value else "false"
        return "null" if value is None else str(value)


def _allowed_aliases(values: int) -> float:
    """The share of values that may come out of aliases (go-yaml's allowedAliasRatio): 0.99 up to 400,000 values, 0.1 from 4,000,000."""
    low, high = 400_000, 4_000_000
    if values <= low:
        return 0.99
    return max(0.10, 0.99 - 0.89 * (values - low) / (high - low))


def scalar(text: str, tag: str, *, plain: bool) -> Any:
    """A scalar as go-yaml resolves it into an interface value."""
    if tag == "tag:yaml.org,2002:binary":
        return text.replace("\n", "").replace(" ", "")
    if not plain or tag == "!":
        return text
    if tag == _STR and not _resolves(text):
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NULLS:
        return None
    return _number(text)


def _resolves(text: str) -> bool:
    """Whether plain text that PyYAML takes for a string is something else to go-yaml (other text tagged so is `!!str`)."""
    return text in ("y", "Y", "n", "N") or _missed.fullmatch(text) is not None


def _number(text: str) -> Any:
    for pattern, base in _integers:
        if pattern.fullmatch(text):
            digits = text.replace("_", "").replace("0o", "0", 1)
            return int(digits, base) if base != 8 or digits.lstrip("+-") != "0" else 0
    if _float.fullmatch(text):
        return float(text)
    if text.lstrip("+-") in (".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"):
        raise YamlProblem(f"json: unsupported value: {text}")
    return text
