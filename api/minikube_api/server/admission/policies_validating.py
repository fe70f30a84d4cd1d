"""ValidatingAdmissionPolicy: refuses, warns and notes what its bindings ask for.

Source: pkg/admission/plugin/policy/validating (dispatcher.go, validator.go) and the documentation's page of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from minikube_api.cel.costs import Cost
from minikube_api.cel.values import EvaluationError
from minikube_api.meta.errors import StatusError
from minikube_api.server.admission import expressions
from minikube_api.server.admission.policies import ParamsProblem, Policy, PolicyPlugin
from minikube_api.server.admission.policies_compiled import CompiledPolicy, Expression, OutOfBudget
from minikube_api.server.admission.reading import forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes
from minikube_api.server.webhooks.versions import Versions

_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_MESSAGE_MAX = 5 * 1024
_VALUE_MAX = 10 * 1024
FAILURES = "validation.policy.admission.k8s.io/validation_failure"


@dataclass(slots=True)
class Validation:
    expression: Expression
    message: str
    message_expression: Expression | None
    reason: str


class CompiledValidations(CompiledPolicy):
    def __init__(self, spec: Object) -> None:
        super().__init__(spec)
        self.validations = [
            Validation(
                self.expression(v["expression"]),
                (v.get("message") or "").strip(),
                self.expression(v["messageExpression"]) if v.get("messageExpression") else None,
                v.get("reason") or "Invalid",
            )
            for v in spec.get("validations") or ()
        ]
        self.annotations = [(a["key"], self.expression(a["valueExpression"])) for a in spec.get("auditAnnotations") or ()]


@dataclass(frozen=True, slots=True)
class Decision:
    """One validation that did not pass, or could not be judged."""

    message: str
    reason: str = "Invalid"
    place: int = 0


@dataclass(frozen=True, slots=True)
class Denial:
    policy: str
    binding: str
    decision: Decision

    def __str__(self) -> str:
        binding = f" with binding '{self.binding}'" if self.binding else ""
        return f"ValidatingAdmissionPolicy '{self.policy}'{binding} denied request: {self.decision.message}"


class ValidatingAdmissionPolicy(PolicyPlugin):
    name = "ValidatingAdmissionPolicy"
    policies = "validatingadmissionpolicies"
    bindings = "validatingadmissionpolicybindings"

    async def validate(self, attributes: AdmissionAttributes) -> None:
        policies = await self.wanted(attributes)
        if not policies:
            return
        versions = Versions(attributes)
        denials: list[Denial] = []
        failures: list[Object] = []
        for policy in policies:
            denials += await self._policy(policy, attributes, versions, failures)
        if failures:
            attributes.audit_annotations[FAILURES] = orjson.dumps(failures).decode()
        if denials:
            raise refusal(attributes, denials[0])

    async def _policy(
        self, policy: Policy, attributes: AdmissionAttributes, versions: Versions, failures: list[Object]
    ) -> list[Denial]:
        try:
            resource = await self.matches(policy.spec.get("matchConstraints"), attributes, versions)
        except StatusError as error:
            return [Denial(policy.name, "", Decision(f"failed to configure policy: {error}"))] if policy.fails else []
        if resource is None:
            return []
        if policy.compiled is None:
            policy.compiled = CompiledValidations(policy.spec)
        denials: list[Denial] = []
        obj, old = await versions.of(resource)
        namespace = await self.namespace(attributes)
        for binding in policy.bindings:
            name = binding["metadata"]["name"]
            try:
                if await self.matches(binding["spec"].get("matchResources"), attributes, versions) is None:
                    continue
                found: list[Decision] = []
                async for params in self.params(policy, binding, attributes):
                    values = expressions.activation(
                        attributes, self._server.authorizer, obj=obj, old=old, namespace=namespace, params=params
                    )
                    found += self._judge(policy, values, attributes)
            except (ParamsProblem, StatusError) as error:
                if policy.fails:
                    text = f"failed to configure binding: {error}"
                    denials.append(Denial(policy.name, name, Decision(text)))
                continue
            denials += self._enforce(policy, binding, found, attributes, failures)
        return denials

    def _judge(self, policy: Policy, values: dict[str, Any], attributes: AdmissionAttributes) -> list[Decision]:
        compiled: CompiledValidations = policy.compiled
        cost = Cost(expressions.BUDGET)
        try:
            if not compiled.wants(values, Cost(expressions.BUDGET // 4)):
                return []
        except EvaluationError as error:
            return [Decision(str(error))] if policy.fails else []
        values = compiled.with_variables(values, cost)
        found: list[Decision] = []
        for place, validation in enumerate(compiled.validations):
            try:
                passed = validation.expression.run(values, cost) is True
            except OutOfBudget as error:
                return [Decision(str(error))] if policy.fails else []
            except EvaluationError as error:
                if policy.fails:
                    found.append(Decision(str(error), place=place))
                continue
            if not passed:
                found.append(Decision(_message(validation, values, cost), validation.reason, place))
        found += self._annotate(policy, compiled, values, Cost(expressions.BUDGET), attributes)
        return found

    def _annotate(
        self, policy: Policy, compiled: CompiledValidations, values: dict[str, Any], cost: Cost, attributes: AdmissionAttributes
    ) -> list[Decision]:
        """Audit annotations `POLICY/KEY`; values of several bindings are joined."""
        found: list[Decision] = []
        for key, expression in compiled.annotations:
            try:
                value = expression.run(values, cost)
            except EvaluationError as error:
                if policy.fails:
                    found.append(Decision(str(error)))
                continue
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                if policy.fails:
                    text = f"valueExpression '{expression.text}' resulted in unsupported return type: {type(value).__name__}. "
                    found.append(Decision(text + "Return type must be either string or null."))
                continue
            name, text = f"{policy.name}/{key}", value[:_VALUE_MAX].strip()
            before = attributes.audit_annotations.get(name)
            if before is None:
                attributes.audit_annotations[name] = text
            elif text not in before.split(", "):
                attributes.audit_annotations[name] = f"{before}, {text}"
        return found

    def _enforce(
        self, policy: Policy, binding: Object, found: list[Decision], attributes: AdmissionAttributes, failures: list[Object]
    ) -> list[Denial]:
        name, actions = binding["metadata"]["name"], binding["spec"].get("validationActions") or ()
        denials: list[Denial] = []
        for decision in found:
            if "Deny" in actions:
                denials.append(Denial(policy.name, name, decision))
            if "Audit" in actions:
                failures.append(
                    {
                        "message": decision.message,
                        "policy": policy.name,
                        "binding": name,
                        "expressionIndex": decision.place,
                        "validationActions": list(actions),
                    }
                )
            if "Warn" in actions:
                text = (
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{name}': {decision.message}"
                )
                if text not in attributes.warnings:
                    attributes.warnings.append(text)
        return denials


def _message(validation: Validation, values: dict[str, Any], cost: Cost) -> str:
    text = ""
    if validation.message_expression is not None:
        try:
            made = validation.message_expression.run(values, cost)
        except EvaluationError:
            made = ""
        if isinstance(made, str) and "\n" not in made.strip() and len(made) <= _MESSAGE_MAX:
            text = made.strip()
    return text or validation.message or f"failed expression: {validation.expression.text.strip()}"


def refusal(attributes: AdmissionAttributes, denial: Denial) -> StatusError:
    error = forbidden(attributes, str(denial))
    reason = denial.decision.reason
    details = {**(error.details or {}), "causes": [{"message": str(denial)}]}
    return StatusError(error.message, details=details, reason=reason, code=_CODES.get(reason, 422))
