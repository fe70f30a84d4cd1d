"""The expressions of an admission policy, compiled: variables, match conditions, and what a policy does with a request.

Variables are evaluated when first used, each once a request. Source: pkg/admission/plugin/cel (composition.go, condition.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minikube_api.cel import types
from minikube_api.cel.compiling import CompileError, Cost, Environment, Program, compile
from minikube_api.cel.types import Field, Type
from minikube_api.cel.values import EvaluationError
from minikube_api.server.admission import expressions
from minikube_api.server.context import Object


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
        one = Cost(min(expressions.PER_CALL, cost.left))
        before = one.left
        try:
            result = self.program.run(values, one)
        except EvaluationError as error:
            raise EvaluationError(expressions.failed(self.text, error)) from error
        cost.spend(before - one.left)
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
                self._known[name] = definition.program.run({**self._values, "variables": self}, self._cost)
            except EvaluationError as error:
                self._known[name] = error
                raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error
        value = self._known[name]
        if isinstance(value, EvaluationError):
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {value}')
        return value


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
            except EvaluationError as error:
                problems.append(str(error))
        if problems:
            raise EvaluationError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        return True
