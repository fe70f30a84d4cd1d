"""x-kubernetes-validations of custom resources: compiled once a schema, run on objects with their old state.

A rule that uses oldSelf is a transition rule: it runs where there is an old value, or always with optionalOldSelf. Rules on a value
that did not change are ratcheted. Source: apiextensions-apiserver's pkg/apiserver/schema/cel (validation.go, compilation.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import minikube_api.cel.library
import minikube_api.cel.strings  # noqa: F401  both fill the table of functions
from minikube_api.cel import types
from minikube_api.cel.compiling import Cost, CostExceeded, Environment, Program, compile
from minikube_api.cel.types import Type
from minikube_api.cel.values import NONE, EvaluationError, Optional
from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.schema import custom_types
from minikube_api.schema.custom import Structural, correlated_item
from minikube_api.schema.custom_values import NO_PATH

#: cel-go cost units: of one rule, of one message, of all rules on one object
PER_CALL, PER_MESSAGE, PER_OBJECT = 1_000_000, 1_000_000, 10_000_000
_MESSAGE_MAX = 5120
_MISSING = object()


@dataclass(slots=True)
class Rule:
    """One compiled rule of a node."""

    text: str
    program: Program
    message: str
    message_program: Program | None
    reason: str
    field_path: str
    optional_old: bool

    @property
    def transition(self) -> bool:
        return "oldSelf" in self.program.uses

    @property
    def shown(self) -> str:
        return self.message.strip() or self.text.strip()


class NodeRules:
    """The rules at and below a schema node."""

    __slots__ = ("convert", "items", "node", "properties", "rules", "values")

    def __init__(self, node: Structural, *, is_root: bool = False) -> None:
        self.node = node
        kind = custom_types.type_of(node, is_root=is_root)
        self.convert = kind.convert if kind is not None else None
        self.rules = [] if kind is None else [compile_rule(rule, kind) for rule in node.rules]
        self.properties = {name: NodeRules(part) for name, part in node.properties.items() if part.ruled}
        self.items = NodeRules(node.items) if node.items is not None and node.items.ruled else None
        self.values = NodeRules(node.values) if node.values is not None and node.values.ruled else None


def environment(kind: Type, *, optional_old: bool = False) -> Environment:
    return Environment({"self": kind, "oldSelf": types.optional_of(kind) if optional_old else kind})


def compile_rule(rule: dict[str, Any], kind: Type) -> Rule:
    """Raises CompileError (a definition with such a rule is refused; stored ones may be older)."""
    optional_old = bool(rule.get("optionalOldSelf"))
    known = environment(kind, optional_old=optional_old)
    program = compile(rule["rule"], known)
    message = compile(rule["messageExpression"], known) if rule.get("messageExpression") else None
    return Rule(
        rule["rule"],
        program,
        rule.get("message") or "",
        message,
        rule.get("reason") or "",
        rule.get("fieldPath") or "",
        optional_old,
    )


class CompiledRules:
    """All rules of a schema version."""

    def __init__(self, root: Structural) -> None:
        self._root = NodeRules(root, is_root=True)

    def problems(self, obj: dict[str, Any], old: dict[str, Any] | None) -> list[FieldError]:
        run = _Run()
        run.node(obj, self._root, "", _MISSING if old is None else old)
        return run.found


def compiled(root: Structural) -> CompiledRules:
    return CompiledRules(root)


class _Run:
    """One walk over one object."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []
        self.budget = PER_OBJECT
        self.spent = False

    def node(self, value: Any, rules: NodeRules, path: str, old: Any) -> None:
        if self.spent:
            return
        if rules.rules and (value is not None or rules.node.nullable):
            self._rules(value, rules, path, old)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, below in rules.properties.items():
                if name in value:
                    self.node(value[name], below, f"{path}.{name}" if path else name, before.get(name, _MISSING))
            if rules.values is not None:
                for key in sorted(value):
                    if key not in rules.node.properties:
                        self.node(value[key], rules.values, f"{path}[{key}]", before.get(key, _MISSING))
        elif isinstance(value, list) and rules.items is not None:
            for i, item in enumerate(value):
                match = correlated_item(rules.node, item, old) if old is not _MISSING else None
                self.node(item, rules.items, f"{path}[{i}]", _MISSING if match is None else match)

    def _rules(self, value: Any, rules: NodeRules, path: str, old: Any) -> None:
        convert = rules.convert
        try:
            own = value if convert is None or value is None else convert(value)
            before = old if old is _MISSING or convert is None or old is None else convert(old)
        except (EvaluationError, ValueError) as error:
            self.found.append(err.invalid(path or NO_PATH, _shown(value), f"{error} evaluating rules"))
            return
        unchanged = old is not _MISSING and type(old) is type(value) and old == value
        for rule in rules.rules:
            if rule.transition and old is _MISSING and not rule.optional_old:
                continue
            if unchanged and not rule.transition:
                # ratcheting: what did not change is not judged anew
                continue
            variables: dict[str, Any] = {"self": own}
            if rule.optional_old:
                variables["oldSelf"] = NONE if before is _MISSING else Optional(True, before)
            elif before is not _MISSING:
                variables["oldSelf"] = before
            if not self._rule(rule, variables, value, path):
                return

    def _rule(self, rule: Rule, variables: dict[str, Any], value: Any, path: str) -> bool:
        """False: the budget is spent, nothing more is run."""
        cost = Cost(min(PER_CALL, self.budget))
        at = path or NO_PATH
        try:
            passed = rule.program.run(variables, cost)
        except CostExceeded as error:
            detail = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.shown}"
            self.found.append(err.invalid(at, _shown(value), detail))
            self.spent = True
            return False
        except EvaluationError as error:
            if str(error).startswith("no such overload"):
                why = "call arguments did not match a supported operator, function or macro signature for rule"
                detail = f"'{error}': {why}: {rule.shown}"
            else:
                detail = f"{error} evaluating rule: {rule.shown}"
            self.found.append(err.invalid(at, _shown(value), detail))
            return True
        self.budget -= PER_CALL - cost.left if self.budget >= PER_CALL else 0
        if passed is not True:
            self._failed(rule, variables, value, path)
        return True

    def _failed(self, rule: Rule, variables: dict[str, Any], value: Any, path: str) -> None:
        detail = _message(rule, variables) or rule.message.strip() or f"failed rule: {rule.text.strip()}"
        at = _joined(path, rule.field_path) or NO_PATH
        if rule.reason == "FieldValueForbidden":
            self.found.append(err.forbidden(at, detail))
        elif rule.reason == "FieldValueRequired":
            self.found.append(err.required(at, detail))
        elif rule.reason == "FieldValueDuplicate":
            self.found.append(err.duplicate(at, _shown(value)))
        else:
            self.found.append(err.invalid(at, _shown(value), detail))


def _shown(value: Any) -> Any:
    """Objects and lists are not repeated in messages."""
    return err.OMIT if isinstance(value, dict | list) else value


def _message(rule: Rule, variables: dict[str, Any]) -> str:
    """What messageExpression says; "" when it says nothing of use (then the static message counts)."""
    if rule.message_program is None:
        return ""
    try:
        text = rule.message_program.run(variables, PER_MESSAGE)
    except EvaluationError:
        return ""
    if not isinstance(text, str) or "\n" in text or len(text) > _MESSAGE_MAX:
        return ""
    return text.strip()


_member = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


def path_parts(text: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it was written in brackets) of a rule's fieldPath. Raises ValueError."""
    at = 0
    while at < len(text):
        match = _member.match(text, at)
        if match is None:
            raise ValueError(text)
        yield (match[1], False) if match[1] is not None else (re.sub(r"\\(.)", r"\1", match[2]), True)
        at = match.end()


def _joined(path: str, field_path: str) -> str:
    for name, bracketed in path_parts(field_path):
        path = f"{path}[{name}]" if bracketed else (f"{path}.{name}" if path else name)
    return path
