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
from minikube_api.cel.compiling import Environment, Program, compile
from minikube_api.cel.costs import Cost, CostExceeded
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

    @property
    def failure(self) -> str:
        """What is said without a messageExpression."""
        return self.message.strip() or f"failed rule: {self.text.strip()}"


class NodeRules:
    """The rules at and below a schema node."""

    __slots__ = ("convert", "items", "node", "properties", "rules", "values")

    def __init__(self, node: Structural, *, is_root: bool = False) -> None:
        self.node = node
        kind = custom_types.type_of(node, is_root=is_root)
        self.convert = kind.convert if kind is not None else None
        self.rules = [] if kind is None else [compile_rule(rule, kind, node) for rule in node.rules]
        self.properties = {name: NodeRules(part) for name, part in node.properties.items() if part.ruled}
        self.items = NodeRules(node.items) if node.items is not None and node.items.ruled else None
        self.values = NodeRules(node.values) if node.values is not None and node.values.ruled else None


def environment(kind: Type, *, optional_old: bool = False) -> Environment:
    return Environment({"self": kind, "oldSelf": types.optional_of(kind) if optional_old else kind})


def compile_rule(rule: dict[str, Any], kind: Type, node: Structural) -> Rule:
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
        _field_path(rule.get("fieldPath") or "", node),
        optional_old,
    )


def _field_path(text: str, node: Structural) -> str:
    """A rule's fieldPath as messages write it: what a map holds stands in brackets."""
    path, at = "", node
    for name in path_parts(text):
        if name in at.properties:
            path, at = f"{path}.{name}", at.properties[name]
        elif at.values is not None:
            path, at = f"{path}[{name}]", at.values
        else:
            return ""
    return path


class CompiledRules:
    """All rules of a schema version."""

    def __init__(self, root: Structural, *, is_root: bool = True) -> None:
        self._root = NodeRules(root, is_root=is_root)

    def problems(self, obj: dict[str, Any], old: dict[str, Any] | None, warnings: list[str] | None = None) -> list[FieldError]:
        """`warnings` takes what is wrong, but was before."""
        run = _Run([] if warnings is None else warnings)
        run.node(obj, self._root, "", _MISSING if old is None else old)
        return run.found

    def problems_at(self, value: Any, path: str) -> list[FieldError]:
        """Of a value that stands at `path`: a default, judged as if it did not change."""
        run = _Run([], ratchets=False)
        run.node(value, self._root, path, value)
        return run.found


def compiled(root: Structural, *, is_root: bool = True) -> CompiledRules:
    return CompiledRules(root, is_root=is_root)


class _Run:
    """One walk over one object."""

    def __init__(self, warnings: list[str], *, ratchets: bool = True) -> None:
        self.found: list[FieldError] = []
        self.warnings = warnings
        self.ratchets = ratchets
        self.budget = PER_OBJECT
        self.spent = False

    def node(self, value: Any, rules: NodeRules, path: str, old: Any) -> None:
        if self.spent or value is None:
            return
        if rules.rules:
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
        unchanged = self.ratchets and old is not _MISSING and type(old) is type(value) and old == value
        for rule in rules.rules:
            if rule.transition and old is _MISSING and not rule.optional_old:
                continue
            variables: dict[str, Any] = {"self": own}
            if rule.optional_old:
                variables["oldSelf"] = NONE if before is _MISSING else Optional(True, before)
            elif before is not _MISSING:
                variables["oldSelf"] = before
            # ratcheting: what did not change is only warned of
            ratcheted = unchanged and not rule.transition
            if self.budget <= 0:
                self._out_of_budget(value, path)
                return
            if not self._rule(rule, variables, value, path, ratcheted=ratcheted):
                return

    def _rule(self, rule: Rule, variables: dict[str, Any], value: Any, path: str, *, ratcheted: bool) -> bool:
        """False: the budget is spent, nothing more is run."""
        at, cost = path or NO_PATH, Cost(PER_CALL)
        failed: EvaluationError | None = None
        passed: Any = None
        try:
            passed = rule.program.run(variables, cost)
        except EvaluationError as error:
            failed = error
        self.budget -= PER_CALL - cost.left
        if self.budget < 0:
            return self._out_of_budget(value, path)
        if isinstance(failed, CostExceeded):
            why = f"'{failed}': no further validation rules will be run due to call cost exceeds limit for rule: {rule.shown}"
            self.found.append(err.invalid(at, _shown(value), why))
            self.spent = True
            return False
        if failed is not None:
            why = f"{failed} evaluating rule: {rule.shown}"
            if str(failed).startswith("no such overload"):
                signature = "call arguments did not match a supported operator, function or macro signature for rule"
                why = f"'{failed}': {signature}: {rule.shown}"
            self.found.append(err.invalid(at, _shown(value), why))
        elif passed is not True:
            return self._failed(rule, variables, value, path, ratcheted=ratcheted)
        return True

    def _out_of_budget(self, value: Any, path: str) -> bool:
        why = "validation failed due to running out of cost budget, no further validation rules will be run"
        self.found.append(err.invalid(path or NO_PATH, _shown(value), why))
        self.spent = True
        return False

    def _failed(self, rule: Rule, variables: dict[str, Any], value: Any, path: str, *, ratcheted: bool) -> bool:
        at = (path + rule.field_path if path else rule.field_path.lstrip(".")) or NO_PATH
        try:
            detail = self._message(rule, variables) or rule.failure
        except _NoMoreRules as stop:
            self._add(err.invalid(at, _shown(value), str(stop)), ratcheted)
            self.spent = True
            return False
        if rule.reason == "FieldValueForbidden":
            self._add(err.forbidden(at, detail), ratcheted)
        elif rule.reason == "FieldValueRequired":
            self._add(err.required(at, detail), ratcheted)
        elif rule.reason == "FieldValueDuplicate":
            self._add(err.duplicate(at, _shown(value)), ratcheted)
        else:
            self._add(err.invalid(at, _shown(value), detail), ratcheted)
        return True

    def _add(self, problem: FieldError, ratcheted: bool) -> None:
        if ratcheted:
            self.warnings.append(f"{problem.path}: {problem.message}")
        else:
            self.found.append(problem)

    def _message(self, rule: Rule, variables: dict[str, Any]) -> str:
        """What messageExpression says; "" when it says nothing of use (then the static message counts). Raises _NoMoreRules."""
        if rule.message_program is None:
            return ""
        cost = Cost(PER_MESSAGE)
        failed: EvaluationError | None = None
        text: Any = None
        try:
            text = rule.message_program.run(variables, cost)
        except EvaluationError as error:
            failed = error
        self.budget -= PER_MESSAGE - cost.left
        if self.budget < 0:
            raise _NoMoreRules(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
            )
        if isinstance(failed, CostExceeded):
            quoted = err.quote(rule.message_program.text)
            raise _NoMoreRules(
                f"no further validation rules will be run due to call cost exceeds limit for messageExpression: {quoted}"
            )
        if not isinstance(text, str):
            return ""
        text = text.strip()
        return "" if "\n" in text or len(text.encode()) > _MESSAGE_MAX else text


class _NoMoreRules(Exception):
    """A messageExpression cost too much; the text says it."""


def _shown(value: Any) -> Any:
    """Objects and lists are not repeated in messages."""
    return err.OMIT if isinstance(value, dict | list) else value


_member = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


def path_parts(text: str) -> Iterator[str]:
    """The names of a rule's fieldPath. (A definition whose paths can't be read is refused.)"""
    for match in _member.finditer(text):
        yield match[1] if match[1] is not None else re.sub(r"\\(.)", r"\1", match[2])
