"""MutatingAdmissionPolicy: changes objects by apply configurations and JSON patches that CEL makes.

Source: pkg/admission/plugin/policy/mutating (dispatcher.go, patch/). Mutations of one policy run in order, each on what the one before
made; reinvocationPolicy IfNeeded asks for the chain's second round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from minikube_api.cel.costs import Cost
from minikube_api.cel.library import Opaque
from minikube_api.cel.values import Duration, EvaluationError, Timestamp
from minikube_api.meta import patches
from minikube_api.meta.errors import StatusError
from minikube_api.resources.resource import Resource
from minikube_api.schema import apply_merge, decoding
from minikube_api.schema.apply_shapes import ItemError, root_shape
from minikube_api.server.admission import expressions
from minikube_api.server.admission.policies import ParamsProblem, Policy, PolicyPlugin
from minikube_api.server.admission.policies_compiled import CompiledPolicy, Expression
from minikube_api.server.admission.reading import forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation, Reinvocation
from minikube_api.server.webhooks.versions import Versions


@dataclass(slots=True)
class Mutation:
    kind: str
    expression: Expression


class CompiledMutations(CompiledPolicy):
    def __init__(self, spec: Object) -> None:
        super().__init__(spec, mutating=True)
        self.mutations = [
            Mutation(
                m["patchType"],
                self.expression((m.get("applyConfiguration") or m.get("jsonPatch") or {}).get("expression") or ""),
            )
            for m in spec.get("mutations") or ()
        ]


class MutatingAdmissionPolicy(PolicyPlugin):
    name = "MutatingAdmissionPolicy"
    policies = "mutatingadmissionpolicies"
    bindings = "mutatingadmissionpolicybindings"

    def handles(self, operation: Operation) -> bool:
        return operation in ("CREATE", "UPDATE")

    async def admit(self, attributes: AdmissionAttributes) -> None:
        policies = await self.wanted(attributes)
        if not policies or attributes.obj is None:
            return
        again = attributes.reinvocation
        for policy in policies:
            if again is not None and again.second_round and policy.spec.get("reinvocationPolicy") != "IfNeeded":
                continue
            before = orjson.dumps(attributes.obj, option=orjson.OPT_SORT_KEYS)
            await self._policy(policy, attributes)
            if orjson.dumps(attributes.obj, option=orjson.OPT_SORT_KEYS) != before:
                if attributes.reinvocation is None:
                    attributes.reinvocation = Reinvocation()
                attributes.reinvocation.asked = attributes.reinvocation.asked or any(
                    other is not policy and other.spec.get("reinvocationPolicy") == "IfNeeded" for other in policies
                )

    async def _policy(self, policy: Policy, attributes: AdmissionAttributes) -> None:
        versions = Versions(attributes)
        binding_name = ""
        try:
            resource = await self.matches(policy.spec.get("matchConstraints"), attributes, versions)
            if resource is None:
                return
            if policy.compiled is None:
                policy.compiled = CompiledMutations(policy.spec)
            namespace = await self.namespace(attributes)
            for binding in policy.bindings:
                binding_name = binding["metadata"]["name"]
                if await self.matches(binding["spec"].get("matchResources"), attributes, versions) is None:
                    continue
                async for params in self.params(policy, binding, attributes):
                    await self._mutate(policy, resource, attributes, Versions(attributes), namespace, params)
        except (ParamsProblem, EvaluationError, StatusError, ItemError) as error:
            if policy.fails:
                where = f" with binding '{binding_name}'" if binding_name else ""
                raise forbidden(attributes, f"policy '{policy.name}'{where} denied request: {error}") from error

    async def _mutate(
        self,
        policy: Policy,
        resource: Resource,
        attributes: AdmissionAttributes,
        versions: Versions,
        namespace: Object | None,
        params: Object | None,
    ) -> None:
        compiled: CompiledMutations = policy.compiled
        cost = Cost(expressions.BUDGET)
        obj, old = await versions.of(resource)
        assert obj is not None

        def values() -> dict[str, Any]:
            given = expressions.activation(
                attributes, self._server.authorizer, obj=obj, old=old, namespace=namespace, params=params
            )
            return compiled.with_variables(given, cost)

        if not compiled.wants(values(), Cost(expressions.BUDGET // 4)):
            return
        for mutation in compiled.mutations:
            made = plain(mutation.expression.run(values(), cost))
            obj = applied(obj, made, resource) if mutation.kind == "ApplyConfiguration" else patched(obj, made)
        if not resource.custom:
            decoding.check(obj, resource.schema, kind=resource.kind, api_version=resource.api_version, validation="Ignore")
        await versions.set(resource, obj)


def plain(value: Any) -> Any:
    """A CEL value as JSON."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, Duration | Timestamp | Opaque):
        return str(value.value) if isinstance(value, Opaque) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


def applied(obj: Object, configuration: Any, resource: Resource) -> Object:
    """The object merged with an apply configuration. Raises EvaluationError for what a configuration may not say."""
    if not isinstance(configuration, dict):
        raise EvaluationError("invalid return type for ApplyConfiguration: it must be an Object")
    shape = root_shape(resource.schema)
    if problems := apply_merge.problems(configuration, shape):
        path, message = problems[0]
        raise EvaluationError(
            f"invalid ApplyConfiguration: {path}: {message}" if path else f"invalid ApplyConfiguration: {message}"
        )
    merged: Object = apply_merge.merge(obj, configuration, shape)
    return merged


def patched(obj: Object, operations: Any) -> Object:
    if not isinstance(operations, list):
        raise EvaluationError("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    document: Object = orjson.loads(orjson.dumps(obj))
    made: Object = patches.json_patch(document, operations)
    return made
