"""Type checking of ValidatingAdmissionPolicies: expressions against every kind that the policy matches by name. Pure.

Warnings never change what a policy does. Source: k8s.io/apiserver's pkg/admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minikube_api.cel import admission
from minikube_api.cel.compiling import CompileError, Environment, compile
from minikube_api.cel.types import DYN, Field, Type
from minikube_api.schema.typed.admissionregistration_v1 import ExpressionWarning, ValidatingAdmissionPolicySpec

#: kinds that one rule is checked against at most
MOST_KINDS = 10


@dataclass(frozen=True, slots=True)
class Checked:
    """A kind with its type."""

    api_version: str
    kind: str
    type: Type

    def __str__(self) -> str:
        return f"{self.api_version}, Kind={self.kind}"


def named_resources(spec: ValidatingAdmissionPolicySpec) -> Iterator[list[tuple[str, str, str]]]:
    """(group, version, resource) of each rule that names all three; wildcards and subresources are not looked at."""
    for rule in (spec.matchConstraints.resourceRules if spec.matchConstraints is not None else None) or ():
        groups, versions, resources = (sorted(set(part or ())) for part in (rule.apiGroups, rule.apiVersions, rule.resources))
        if "*" in groups or "*" in versions:
            continue
        plain = [resource for resource in resources if "*" not in resource and "/" not in resource]
        yield [(group, version, resource) for group in groups for version in versions for resource in plain]


def warnings(spec: ValidatingAdmissionPolicySpec, kinds: Sequence[Checked], params: Type | None) -> list[ExpressionWarning]:
    found: list[ExpressionWarning] = []
    for i, validation in enumerate(spec.validations):
        for field, text in (("expression", validation.expression), ("messageExpression", validation.messageExpression)):
            if text and (told := [told for kind in kinds if (told := _problem(text, spec, kind, params))]):
                found.append(ExpressionWarning(fieldRef=f"spec.validations[{i}].{field}", warning="\n".join(told)))
    return found


def _problem(text: str, spec: ValidatingAdmissionPolicySpec, kind: Checked, params: Type | None) -> str:
    fields: dict[str, Field] = {}
    composed = Type("object", "kubernetes.variables", fields=fields)
    own = {"object": kind.type, "oldObject": kind.type, **({"params": params} if params is not None else {})}
    environment = Environment(admission.variables(params=params is not None, extra=own, composed=composed))
    for variable in spec.variables:
        try:
            fields[variable.name] = Field(compile(variable.expression, environment).type, variable.name)
        except CompileError:
            fields[variable.name] = Field(DYN, variable.name)
    try:
        compile(text, environment)
    except CompileError as error:
        return f"{kind}: {error}\n"
    return ""
