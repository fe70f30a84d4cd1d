"""Whether the x-kubernetes-validations of a schema compile and make sense.

Source: apiextensions-apiserver's pkg/apis/apiextensions/validation (CEL part).
"""

from __future__ import annotations

from typing import Any

from minikube_api.cel.compiling import CompileError, compile
from minikube_api.cel.types import Type
from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.schema import custom, custom_rules, custom_types

Tree = dict[str, Any]
Errors = list[FieldError]

_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def rule_problems(schema: Tree, path: str) -> Errors:
    return _node(schema, path, is_root=True, correlatable=True)


def _node(schema: Tree, path: str, *, is_root: bool, correlatable: bool) -> Errors:
    errors: Errors = []
    given = schema.get("x-kubernetes-validations") or ()
    if given:
        node = custom.structural(schema)
        kind = custom_types.type_of(node, is_root=is_root)
        for i, rule in enumerate(given):
            errors += _rule(rule, kind, node, f"{path}.x-kubernetes-validations[{i}]", correlatable)
    for name, part in (schema.get("properties") or {}).items():
        errors += _node(part, f"{path}.properties[{name}]", is_root=False, correlatable=correlatable)
    if isinstance(schema.get("additionalProperties"), dict):
        part = schema["additionalProperties"]
        errors += _node(part, f"{path}.additionalProperties", is_root=False, correlatable=correlatable)
    if isinstance(schema.get("items"), dict):
        keyed = correlatable and schema.get("x-kubernetes-list-type") == "map"
        errors += _node(schema["items"], f"{path}.items", is_root=False, correlatable=keyed)
    return errors


def _rule(rule: Tree, kind: Type | None, node: custom.Structural, path: str, correlatable: bool) -> Errors:
    text = (rule.get("rule") or "").strip()
    if not text:
        return [err.required(f"{path}.rule", "rule is not specified")]
    errors = _words(rule, text, path)
    if field_path := rule.get("fieldPath"):
        errors += _field_path(field_path, node, f"{path}.fieldPath")
    if kind is None:
        return errors
    known = custom_rules.environment(kind, optional_old=bool(rule.get("optionalOldSelf")))
    shown = internal_rule(rule)
    try:
        program = compile(rule["rule"], known)
    except CompileError as error:
        return [*errors, err.invalid(f"{path}.rule", shown, f"compilation failed: {error}")]
    if program.type.kind != "bool":
        errors.append(err.invalid(f"{path}.rule", shown, "cel expression must evaluate to a bool"))
    if "oldSelf" in program.uses and not correlatable:
        detail = "oldSelf cannot be used on the uncorrelatable portion of the schema within " + path.rpartition(".x-")[0]
        errors.append(err.invalid(f"{path}.rule", rule["rule"], detail))
    if rule.get("optionalOldSelf") is not None and "oldSelf" not in program.uses:
        detail = "may not be set if oldSelf is not used in rule"
        errors.append(err.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], detail))
    if rule.get("messageExpression"):
        errors += _message_expression(rule, known, shown, f"{path}.messageExpression")
    return errors


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


def _words(rule: Tree, text: str, path: str) -> Errors:
    errors: Errors = []
    message = rule.get("message") or ""
    if message and not message.strip():
        errors.append(err.invalid(f"{path}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip():
        errors.append(err.invalid(f"{path}.message", message, "message must not contain line breaks"))
    elif "\n" in text and not message.strip():
        errors.append(err.required(f"{path}.message", "message must be specified if rule contains line breaks"))
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        errors.append(err.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified"))
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.append(err.not_supported(f"{path}.reason", reason, _REASONS))
    return errors


def _message_expression(rule: Tree, known: Any, shown: Tree, path: str) -> Errors:
    try:
        program = compile(rule["messageExpression"], known)
    except CompileError as error:
        return [err.invalid(path, shown, f"messageExpression compilation failed: {error}")]
    if program.type.kind != "string":
        return [err.invalid(path, shown, "messageExpression must evaluate to a string")]
    return []


def _field_path(text: str, node: custom.Structural, path: str) -> Errors:
    try:
        parts = list(custom_rules.path_parts(text))
    except ValueError:
        return [err.invalid(path, text, f"fieldPath must be a valid path: unexpected token in {text}")]
    current: custom.Structural | None = node
    for name, _ in parts:
        below = current.properties.get(name) if current is not None else None
        if below is None and current is not None:
            below = current.values
        if below is None:
            return [err.invalid(path, text, f"fieldPath must be a valid path: does not refer to a valid field: {name}")]
        current = below
    return []
