"""Admission requests as CEL sees them: `object`, `oldObject`, `request`, `params`, `namespaceObject`, `authorizer`, `variables`.

Policies and webhooks' matchConditions share this. Source: k8s.io/apiserver's pkg/admission/plugin/cel and pkg/cel/library/authz.go.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from functools import lru_cache
from typing import Any

from minikube_api.cel.admission import AUTHORIZER, DECISION, GROUP_CHECK, PATH_CHECK, RESOURCE_CHECK, patch_structs, variables
from minikube_api.cel.compiling import CompileError, Environment, Program, compile
from minikube_api.cel.library import Opaque
from minikube_api.cel.types import Type
from minikube_api.cel.values import EvaluationError
from minikube_api.meta.errors import StatusError
from minikube_api.server.context import Object, UserInfo
from minikube_api.server.contract import AdmissionAttributes, Attributes, Authorizer
from minikube_api.server.webhooks.reviews import namespace_of, user_tree
from minikube_api.server.webhooks.versions import kind_of

#: cost units of all expressions of one policy, and of the match conditions of one webhook
BUDGET = 10_000_000
PER_CALL = 1_000_000

# ---- the authorizer library


class Check(Opaque):
    """An authorizer, or a check in the making: whom is asked, and about what. `cel_type` says which."""

    def __init__(self, kind: Type, authorizer: Authorizer, attributes: Attributes) -> None:
        super().__init__((id(authorizer), attributes))
        self.cel_type = kind.name  # type: ignore[misc]
        self._authorizer = authorizer
        self._attributes = attributes

    def step(self, name: str, *given: str) -> Check | Decided:
        """One call of an expression: `group("")`, `check("get")`... Raises EvaluationError."""
        attributes = self._attributes
        if name == "check":
            return self._decide(given[0])
        if name == "serviceAccount":
            return Check(AUTHORIZER, self._authorizer, Attributes(service_account(*given), ""))
        if name == "path":
            return Check(PATH_CHECK, self._authorizer, replace(attributes, path=given[0], resource_request=False))
        if name == "group":
            return Check(GROUP_CHECK, self._authorizer, replace(attributes, group=given[0]))
        if name == "resource":
            return Check(RESOURCE_CHECK, self._authorizer, replace(attributes, resource=given[0], version="*"))
        changed: Any = {{"fieldSelector": "field_selector", "labelSelector": "label_selector"}.get(name, name): given[0]}
        return Check(RESOURCE_CHECK, self._authorizer, replace(attributes, **changed))

    def _decide(self, verb: str) -> Decided:
        try:
            decision = _at_once(self._authorizer.authorize(replace(self._attributes, verb=verb)))
        except StatusError as error:
            return Decided(False, "", str(error))
        return Decided(decision.allowed, decision.reason, "")


class Decided(Opaque):
    """An authorizer's decision."""

    cel_type = DECISION.name

    def __init__(self, allowed: bool, reason: str, error: str) -> None:
        super().__init__((allowed, reason, error))

    def step(self, name: str) -> bool | str:
        allowed, reason, error = self.value
        return {"allowed": allowed, "reason": reason, "errored": bool(error), "error": error}[name]


def authorizer_value(authorizer: Authorizer, user: UserInfo) -> Check:
    return Check(AUTHORIZER, authorizer, Attributes(user, ""))


def service_account(namespace: str, name: str) -> UserInfo:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)


def _at_once(question: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that needs not wait: authorizers answer from memory. Raises EvaluationError for one that waits."""
    try:
        question.send(None)
    except StopIteration as done:
        return done.value
    question.close()
    raise EvaluationError("the authorizer can't answer at once")


# ---- values


def request_tree(attributes: AdmissionAttributes, kind: tuple[str, str, str] | None = None) -> Object:
    own = attributes.resource
    kind = kind or kind_of(attributes)
    gvk = dict(zip(("group", "version", "kind"), kind, strict=True))
    gvr = {"group": own.group, "version": own.version, "resource": own.plural}
    tree: Object = {"kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr}
    if attributes.subresource:
        tree["subResource"] = tree["requestSubResource"] = attributes.subresource
    name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name", "")
    if name:
        tree["name"] = name
    if namespace := namespace_of(attributes):
        tree["namespace"] = namespace
    tree["operation"] = attributes.operation
    tree["userInfo"] = user_tree(attributes.user)
    tree["dryRun"] = attributes.dry_run
    tree["options"] = attributes.options or None
    return tree


def activation(
    attributes: AdmissionAttributes,
    authorizer: Authorizer,
    *,
    obj: Object | None,
    old: Object | None,
    namespace: Object | None = None,
    params: Any = None,
    kind: tuple[str, str, str] | None = None,
) -> dict[str, Any]:
    """The values behind `variables()`."""
    resource = attributes.resource
    asked = Attributes(
        attributes.user,
        "",
        namespace=attributes.namespace,
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        subresource=attributes.subresource,
        name=attributes.name,
    )
    return {
        "object": obj,
        "oldObject": old,
        "request": request_tree(attributes, kind),
        "namespaceObject": namespace,
        "params": params,
        "authorizer": authorizer_value(authorizer, attributes.user),
        "authorizer.requestResource": Check(RESOURCE_CHECK, authorizer, asked),
    }


def failed(expression: str, why: object) -> str:
    return f"expression '{expression}' resulted in error: {why}"


@lru_cache(maxsize=512)
def condition(expression: str) -> Program:
    """A matchCondition of a webhook, compiled. Raises CompileError."""
    return compile(expression, Environment(variables()))


async def evaluate(
    expression: str,
    attributes: AdmissionAttributes,
    kind: tuple[str, str, str],
    obj: Object | None,
    old: Object | None,
    authorizer: Authorizer,
) -> bool:
    """A matchCondition of a webhook. Raises ValueError with CEL's message."""
    try:
        program = condition(expression)
        return program.run(activation(attributes, authorizer, obj=obj, old=old, kind=kind), PER_CALL) is True
    except (CompileError, EvaluationError) as error:
        raise ValueError(failed(expression, error)) from error


__all__ = ["activation", "evaluate", "patch_structs", "variables"]
