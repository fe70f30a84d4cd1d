"""Whether the x-kubernetes-validations of a schema compile and make sense.

Source: apiextensions-apiserver's pkg/apis/apiextensions/validation (CEL part).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minikube_api.cel import estimates
from minikube_api.cel.compiling import CompileError, Environment, compile
from minikube_api.cel.types import Type
from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.schema import custom, custom_rules, custom_types

Tree = dict[str, Any]
Errors = list[FieldError]

#: cel-go's units that a rule (times the places it may stand at), and all rules of a schema, may cost by estimate
PER_RULE, PER_SCHEMA = 10_000_000, 100_000_000
_REQUEST = 3 * 1024 * 1024
#: rules that a schema over its limit names, and what one must cost to be among them
_NAMED, _NAMED_FROM = 4, PER_SCHEMA // 100


def rule_problems(schema: Tree, path: str, faulty: Sequence[str] = ()) -> Errors:
    """`faulty`: paths of other findings; rules at and above them are not looked at."""
    walk = _Walk(faulty)
    walk.node(schema, path, is_root=True, loose="", places=1)
    return walk.found + walk.total(path)


class _Walk:
    """All rules of a schema, with what they cost together."""

    def __init__(self, faulty: Sequence[str]) -> None:
        self.found: Errors = []
        self.faulty = faulty
        self.costs: list[tuple[int, str]] = []

    def node(self, schema: Tree, path: str, *, is_root: bool, loose: str, places: int | None) -> None:
        """`loose`: where values stop being known by their old ones, "" = nowhere; `places`: how often the node may occur, None = no bound."""
        for name, part in (schema.get("properties") or {}).items():
            self.node(part, f"{path}.properties[{name}]", is_root=False, loose=loose, places=places)
        for keyword, most, correlates in (("additionalProperties", "maxProperties", True), ("items", "maxItems", False)):
            part = schema.get(keyword)
            if isinstance(part, dict):
                known = correlates or schema.get("x-kubernetes-list-type") == "map"
                bound = schema.get(most)
                inside = None if places is None or bound is None else estimates.times(places, max(bound, 0))
                self.node(part, f"{path}.{keyword}", is_root=False, loose=loose or ("" if known else path), places=inside)
        given = schema.get("x-kubernetes-validations") or ()
        if given and not any(_at_or_below(place, path) for place in self.faulty):
            node = custom.structural(schema)
            kind = custom_types.type_of(node, is_root=is_root or node.embedded)
            if kind is None:
                return
            for i, rule in enumerate(given):
                if (rule.get("rule") or "").strip():
                    self.rule(rule, kind, f"{path}.x-kubernetes-validations[{i}]", loose, places)

    def rule(self, rule: Tree, kind: Type, path: str, loose: str, places: int | None) -> None:
        known = custom_rules.environment(kind, optional_old=bool(rule.get("optionalOldSelf")))
        shown = internal_rule(rule)
        try:
            program = compile(rule["rule"], known, estimate=True)
        except CompileError as error:
            self.found.append(err.invalid(f"{path}.rule", shown, f"compilation failed: {error}"))
            return
        if program.type.kind != "bool":
            self.found.append(err.invalid(f"{path}.rule", shown, "cel expression must evaluate to a bool"))
            return
        occurs = places if places is not None else _REQUEST // (kind.floor + 1)
        self.cost(f"{path}.rule", "estimated rule cost", estimates.times(program.most or 0, occurs))
        if rule.get("messageExpression"):
            self.message(rule, known, shown, f"{path}.messageExpression")
        if "oldSelf" in program.uses:
            if loose:
                detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}"
                self.found.append(err.invalid(f"{path}.rule", rule["rule"], detail))
        elif rule.get("optionalOldSelf") is not None:
            detail = "may not be set if oldSelf is not used in rule"
            self.found.append(err.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], detail))

    def message(self, rule: Tree, known: Environment, shown: Tree, path: str) -> None:
        try:
            program = compile(rule["messageExpression"], known, estimate=True)
        except CompileError as error:
            self.found.append(err.invalid(path, shown, f"messageExpression compilation failed: {error}"))
            return
        if program.type.kind != "string":
            self.found.append(err.invalid(path, shown, "messageExpression must evaluate to a string"))
            return
        self.cost(path, "estimated messageExpression cost", program.most or 0)

    def cost(self, path: str, what: str, amount: int) -> None:
        if amount > PER_RULE:
            self.found.append(err.forbidden(path, over_budget(what, amount, PER_RULE)))
        self.costs.append((amount, path))

    def total(self, path: str) -> Errors:
        whole = estimates.plus(*(amount for amount, _ in self.costs))
        if whole <= PER_SCHEMA:
            return []
        dearest = sorted((c for c in self.costs if c[0] >= _NAMED_FROM), key=lambda cost: -cost[0])[:_NAMED]
        detail = "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema"
        what = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema"
        return [*(err.forbidden(at, detail) for _, at in dearest), err.forbidden(path, over_budget(what, whole, PER_SCHEMA))]


def over_budget(what: str, amount: int, limit: int) -> str:
    """How far a cost is over its limit: far off, only that it is far off."""
    factor = amount / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    hint = (
        "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared"
    )
    return f"{what} exceeds budget by factor of {shown} ({hint})"


def _at_or_below(place: str, path: str) -> bool:
    return place == path or place.startswith((f"{path}.", f"{path}["))


def internal_rule(rule: Tree) -> Tree:
    """A rule as Go prints it: the internal type."""
    return {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
