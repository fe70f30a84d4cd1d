"""The expressions of an admission policy, compiled: variables, match conditions, and what a policy does with a request.

Variables are evaluated when first used, each once a request. Source: pkg/admission/plugin/cel (composition.go, condition.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minikube_api.cel import types
from minikube_api.cel.compiling import CompileError, Environment, Program, compile
from minikube_api.cel.costs import Cost
from minikube_api.cel.types import Field, Type
from minikube_api.cel.values import EvaluationError
from minikube_api.server.admission import expressions
from minikube_api.server.context import Object

_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class OutOfBudget(EvaluationError):
    """All expressions of a policy together cost too much: none is run any more."""


@dataclass(slots=True)
class Expression:
    """A compiled expression; `problem` when it does not compile."""

    text: str
    program: Program | None
    problem: str = ""

    def run(self, values: dict[str, Any], cost: Cost) -> Any:
        """Raises EvaluationError in the words of the policy."""
        if self.program is None:
            raise EvaluationError(f"compilation error: compilation failed: {self.problem}")
        one = Cost(expressions.PER_CALL)
        failed: EvaluationError | None = None
        result: Any = None
        try:
            result = self.program.run(values, one)
        except EvaluationError as error:
            failed = error
        cost.left -= expressions.PER_CALL - one.left
        if cost.left < 0:
            raise OutOfBudget(_OUT_OF_BUDGET)
        if failed is not None:
            raise EvaluationError(expressions.failed(self.text, failed)) from failed
        return result


class Composed:
    """`variables`: a map whose entries are evaluated when they are asked for."""

    cel_type = "kubernetes.variables"

    def __init__(self, definitions: dict[str, Expression], values: dict[str, Any], cost: Cost) -> None:
        self._definitions = definitions
        self._values = values
        self._cost = cost
        self._known: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        return name in self._definitions

    def select(self, name: str) -> Any:
        if name not in self._known:
            definition = self._definitions[name]
            try:
                if definition.program is None:
                    raise EvaluationError(f"compilation failed: {definition.problem}")
                self._known[name] = self._run(definition.program)
            except EvaluationError as error:
                self._known[name] = error
                raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error
        value = self._known[name]
        if isinstance(value, EvaluationError):
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {value}')
        return value

    def _run(self, program: Program) -> Any:
        """The budget is looked at when the expression that asks has ended: here it would be taken for an error of its own."""
        one = Cost(expressions.PER_CALL)
        try:
            return program.run({**self._values, "variables": self}, one)
        finally:
            self._cost.left -= expressions.PER_CALL - one.left


class CompiledPolicy:
    """Variables and match conditions; plug-ins compile the rest with `expression`."""

    def __init__(self, spec: Object, *, mutating: bool = False) -> None:
        self._params = spec.get("paramKind") is not None
        self._mutating = mutating
        fields: dict[str, Field] = {}
        self._composed = Type("object", "kubernetes.variables", fields=fields)
        self.conditions = [self.expression(c["expression"], composed=False) for c in spec.get("matchConditions") or ()]
        self.variables: dict[str, Expression] = {}
        for variable in spec.get("variables") or ():
            made = self.expression(variable["expression"])
            self.variables[variable["name"]] = made
            kind = made.program.type if made.program is not None else types.DYN
            fields[variable["name"]] = Field(kind, variable["name"])

    def expression(self, text: str, *, composed: bool = True) -> Expression:
        known = expressions.variables(params=self._params, composed=self._composed if composed else None)
        environment = Environment(known, expressions.patch_structs if self._mutating else lambda name: None)
        try:
            return Expression(text, compile(text, environment))
        except CompileError as error:
            return Expression(text, None, str(error))

    def with_variables(self, values: dict[str, Any], cost: Cost) -> dict[str, Any]:
        return {**values, "variables": Composed(self.variables, values, cost)}

    def wants(self, values: dict[str, Any], cost: Cost) -> bool:
        """Whether all match conditions are true. One that is false decides before one that fails. Raises EvaluationError."""
        problems: list[str] = []
        for condition in self.conditions:
            try:
                if condition.run(values, cost) is not True:
                    return False
            except OutOfBudget:
                raise
            except EvaluationError as error:
                problems.append(str(error))
        if problems:
            raise EvaluationError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        return True
