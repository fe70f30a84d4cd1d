"""matchConditions: CEL expressions that all must be true before a webhook is called (KEP-3716).

CEL is loaded with the first webhook that has conditions. An expression that is false decides before one that fails.
"""

from __future__ import annotations

from typing import Protocol

from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Authorizer
from minikube_api.server.webhooks.hooks import Hook


class ConditionFailed(Exception):
    """A condition could not be evaluated; the text is for the client."""


class Evaluator(Protocol):
    """The CEL room's side: evaluates one boolean expression over an admission request."""

    async def __call__(
        self,
        expression: str,
        attributes: AdmissionAttributes,
        kind: tuple[str, str, str],
        obj: Object | None,
        old: Object | None,
        authorizer: Authorizer,
    ) -> bool:
        """Raises ValueError with CEL's message."""
        ...


async def all_true(
    evaluator: Evaluator,
    hook: Hook,
    attributes: AdmissionAttributes,
    kind: tuple[str, str, str],
    obj: Object | None,
    old: Object | None,
    authorizer: Authorizer,
) -> bool:
    """Whether the webhook is to be called. Raises ConditionFailed when it can't be known and the webhook may not be skipped."""
    problems: list[str] = []
    for condition in hook.conditions:
        try:
            if not await evaluator(condition["expression"], attributes, kind, obj, old, authorizer):
                return False
        except ValueError as error:
            problems.append(str(error))
    if not problems:
        return True
    if hook.ignores_failure:
        return False
    raise ConditionFailed(problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")


def evaluator() -> Evaluator:
    """CEL's evaluator of admission expressions, imported with the first condition."""
    from minikube_api.server.admission import expressions

    return expressions.evaluate
