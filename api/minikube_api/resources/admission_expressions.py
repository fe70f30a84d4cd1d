"""Whether the CEL expressions of webhooks and admission policies compile and give what they must. CEL is imported with the first one.

Source: pkg/apis/admissionregistration/validation (validateCELCondition, checkers) and apiserver's pkg/admission/plugin/cel/compile.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError

Object = dict[str, Any]
Errors = list[FieldError]


def condition_problems(listed: Iterable[Object], path: str, *, params: bool = False) -> Errors:
    """matchConditions of webhooks, and of policies (which may have parameters)."""
    errors: Errors = []
    for i, one in enumerate(listed):
        if (one.get("expression") or "").strip():
            errors += _Checker(params=params).check(one["expression"], f"{path}[{i}].expression", "bool")
    return errors


def validating_problems(spec: Object) -> Errors:
    """Expressions of a ValidatingAdmissionPolicy, but for its matchConditions."""
    checker, errors = _with_variables(spec)
    for i, one in enumerate(spec.get("validations") or ()):
        at = f"spec.validations[{i}]"
        errors += checker.check(one.get("expression"), f"{at}.expression", "bool")
        errors += checker.check(one.get("messageExpression"), f"{at}.messageExpression", "string")
    for i, one in enumerate(spec.get("auditAnnotations") or ()):
        errors += checker.check(one.get("valueExpression"), f"spec.auditAnnotations[{i}].valueExpression", "string", "null_type")
    return errors


def mutating_problems(spec: Object) -> Errors:
    """Expressions of a MutatingAdmissionPolicy, but for its matchConditions."""
    checker, errors = _with_variables(spec, mutating=True)
    for i, one in enumerate(spec.get("mutations") or ()):
        for kind, field, result in (
            ("ApplyConfiguration", "applyConfiguration", "Object"),
            ("JSONPatch", "jsonPatch", "list(JSONPatch)"),
        ):
            if one.get("patchType") == kind and one.get(field):
                errors += checker.check(one[field].get("expression"), f"spec.mutations[{i}].{field}.expression", result)
    return errors


def _with_variables(spec: Object, *, mutating: bool = False) -> tuple[_Checker, Errors]:
    checker = _Checker(params=spec.get("paramKind") is not None, mutating=mutating)
    errors: Errors = []
    for i, one in enumerate(spec.get("variables") or ()):
        errors += checker.variable(one, f"spec.variables[{i}].expression")
    return checker, errors


class _Checker:
    """Compiles expressions of one policy; variables come to be known one after the other."""

    def __init__(self, *, params: bool = False, mutating: bool = False) -> None:
        self._params = params
        self._mutating = mutating
        self._fields: dict[str, Any] = {}

    def _compile(self, text: str) -> Any:
        from minikube_api.cel import admission
        from minikube_api.cel.compiling import Environment, compile
        from minikube_api.cel.types import Type

        composed = Type("object", "kubernetes.variables", fields=self._fields)
        structs = admission.patch_structs if self._mutating else lambda name: None
        return compile(text, Environment(admission.variables(params=self._params, composed=composed), structs))

    def check(self, text: str | None, path: str, *results: str) -> Errors:
        """Findings of one expression, which must give exactly one of these types; an empty one is somebody else's finding."""
        if not text or not text.strip():
            return []
        from minikube_api.cel.compiling import CompileError

        try:
            program = self._compile(text)
        except CompileError as error:
            return [err.invalid(path, text, f"compilation failed: {error}")]
        given = _exact(program.type)
        if given in results or (given == "list(_var0)" and results[0].startswith("list(")):
            return []
        if len(results) == 1:
            return [err.invalid(path, text, f"must evaluate to {results[0]} but got {given}")]
        return [err.invalid(path, text, f"must evaluate to one of [{' '.join(results)}]")]

    def variable(self, one: Object, path: str) -> Errors:
        from minikube_api.cel.compiling import CompileError
        from minikube_api.cel.types import DYN, Field

        name, text = one.get("name") or "", one.get("expression") or ""
        if not text.strip():
            return []
        try:
            kind = self._compile(text).type
        except CompileError as error:
            self._fields[name] = Field(DYN, name)
            return [err.invalid(path, text, f"compilation failed: {error}")]
        self._fields[name] = Field(kind, name)
        return []


def _exact(kind: Any) -> str:
    return "null_type" if kind.kind == "null" else str(kind)
