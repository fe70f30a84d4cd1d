"""Webhook configurations and admission policies. Source: pkg/apis/admissionregistration/v1/defaults.go and validation.

CEL expressions are compiled by the server's CEL engine, not here: these are the rules of the fields round them.
"""

from __future__ import annotations

import re
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import admission_expressions, checks
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default
from minikube_api.resources.webhook_clients import client_config

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_FAILURE = ("Fail", "Ignore")
_MATCH = ("Equivalent", "Exact")


def _rule_scopes(rules: Any) -> None:
    for rule in rules or ():
        if rule.get("scope") is None:
            rule["scope"] = "*"


class WebhooksStrategy(KindStrategy):
    tracks_generation = True
    spec_fields = ("webhooks",)
    mutating = False

    def defaults(self, obj: Object) -> None:
        for hook in obj.get("webhooks") or ():
            set_default(hook, "failurePolicy", "Fail")
            set_default(hook, "matchPolicy", "Equivalent")
            set_default(hook, "namespaceSelector", {})
            set_default(hook, "objectSelector", {})
            set_default(hook, "timeoutSeconds", 10)
            if self.mutating:
                set_default(hook, "reinvocationPolicy", "Never")
            service = (hook.get("clientConfig") or {}).get("service")
            if service is not None:
                set_default(service, "port", 443)
            _rule_scopes(hook.get("rules"))

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        seen: set[str] = set()
        for i, hook in enumerate(obj.get("webhooks") or ()):
            at = f"webhooks[{i}]"
            errors += _webhook(hook, at)
            if self.mutating:
                errors += one_of(hook.get("reinvocationPolicy"), f"{at}.reinvocationPolicy", ("IfNeeded", "Never"))
            name = hook.get("name") or ""
            if name and name in seen:
                errors.append(err.duplicate(f"{at}.name", name))
            seen.add(name)
        return errors


class MutatingWebhooksStrategy(WebhooksStrategy):
    mutating = True


def _webhook(hook: Object, path: str) -> Errors:
    errors = _qualified_domain(hook.get("name") or "", f"{path}.name")
    for i, rule in enumerate(hook.get("rules") or ()):
        errors += rule_problems(rule, f"{path}.rules[{i}]")
    if hook.get("failurePolicy") is not None:
        errors += one_of(hook["failurePolicy"], f"{path}.failurePolicy", _FAILURE)
    if hook.get("matchPolicy") is not None:
        errors += one_of(hook["matchPolicy"], f"{path}.matchPolicy", _MATCH)
    effects = hook.get("sideEffects")
    at = f"{path}.sideEffects"
    errors += (
        [err.required(at, "must specify one of None, NoneOnDryRun")]
        if effects is None
        else one_of(effects, at, ("None", "NoneOnDryRun"))
    )
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        errors.append(err.invalid(f"{path}.timeoutSeconds", timeout, detail))
    errors += checks.label_selector(hook.get("namespaceSelector"), f"{path}.namespaceSelector")
    errors += checks.label_selector(hook.get("objectSelector"), f"{path}.objectSelector")
    errors += client_config(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    errors += _review_versions(hook.get("admissionReviewVersions") or (), f"{path}.admissionReviewVersions")
    return errors + match_conditions(hook.get("matchConditions") or (), f"{path}.matchConditions")


def _review_versions(versions: Any, path: str) -> Errors:
    if not versions:
        return [err.required(path, "must specify one of v1, v1beta1")]
    errors: Errors = []
    for i, version in enumerate(versions):
        if version in versions[:i]:
            errors.append(err.invalid(f"{path}[{i}]", version, "duplicate version"))
            continue
        errors += checks.named(version, f"{path}[{i}]", names.dns1035_label)
    if not set(versions) & {"v1", "v1beta1"}:
        errors.append(err.invalid(path, versions, "must include at least one of v1, v1beta1"))
    return errors


def _qualified_domain(name: str, path: str) -> Errors:
    """IsFullyQualifiedName: a subdomain of three parts and more."""
    if not name:
        return [err.required(path)]
    if problems := names.dns1123_subdomain(name):
        return [err.invalid(path, name, ",".join(problems))]
    detail = "should be a domain with at least three segments separated by dots"
    return [err.invalid(path, name, detail)] if name.count(".") < 2 else []


def rule_problems(rule: Object, path: str) -> Errors:
    errors: Errors = []
    operations = rule.get("operations") or ()
    if not operations:
        errors.append(err.required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        detail = "if '*' is present, must not specify other operations"
        errors.append(err.invalid(f"{path}.operations", operations, detail))
    for i, operation in enumerate(operations):
        errors += one_of(operation, f"{path}.operations[{i}]", _OPERATIONS)
    for field, noun in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        listed = rule.get(field) or ()
        if not listed:
            errors.append(err.required(f"{path}.{field}"))
        if len(listed) > 1 and "*" in listed:
            errors.append(err.invalid(f"{path}.{field}", listed, f"if '*' is present, must not specify other {noun}"))
        if field == "apiVersions":
            errors += [err.required(f"{path}.{field}[{i}]") for i, value in enumerate(listed) if not value]
    errors += _resources(rule.get("resources") or (), f"{path}.resources")
    if rule.get("scope") is not None:
        errors += one_of(rule["scope"], f"{path}.scope", _SCOPES)
    return errors


def _resources(listed: Any, path: str) -> Errors:
    if not listed:
        return [err.required(path)]
    errors: Errors = []
    whole: set[str] = set()
    everywhere: set[str] = set()
    for i, one in enumerate(listed):
        at = f"{path}[{i}]"
        if not one:
            errors.append(err.required(at))
        resource, slash, subresource = one.partition("/")
        if not slash:
            continue
        if resource in whole:
            errors.append(err.invalid(at, one, f"if '{resource}/*' is present, must not specify {one}"))
        if subresource in everywhere:
            errors.append(err.invalid(at, one, f"if '*/{subresource}' is present, must not specify {one}"))
        if subresource == "*":
            whole.add(resource)
        if resource == "*":
            everywhere.add(subresource)
    if "*/*" in listed and len(listed) > 1:
        errors.append(err.invalid(path, listed, "if '*/*' is present, must not specify other resources"))
    plain = [one for one in listed if one and "/" not in one]
    # the last plain resource counts, as in Kubernetes
    if "*" in plain and plain[-1] != "*":
        detail = "if '*' is present, must not specify other resources without subresources"
        errors.append(err.invalid(path, listed, detail))
    return errors


def match_conditions(listed: Any, path: str, *, params: bool = False) -> Errors:
    errors: Errors = [err.too_many(path, len(listed), 64)] if len(listed) > 64 else []
    seen: set[str] = set()
    for i, one in enumerate(listed):
        at, name = f"{path}[{i}]", one.get("name") or ""
        if not (one.get("expression") or "").strip():
            errors.append(err.required(f"{at}.expression"))
        if not name:
            errors.append(err.required(f"{at}.name"))
        else:
            errors += checks.label_name(name, f"{at}.name")
            if name in seen:
                errors.append(err.duplicate(f"{at}.name", name))
        seen.add(name)
    return errors + admission_expressions.condition_problems(listed, path, params=params)


class PolicyStrategy(KindStrategy):
    """What validating and mutating admission policies share."""

    tracks_generation = True
    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        set_default(spec, "failurePolicy", "Fail")
        constraints = spec.get("matchConstraints")
        if constraints is not None:
            match_defaults(constraints)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors: Errors = []
        if spec.get("failurePolicy"):
            errors += one_of(spec["failurePolicy"], "spec.failurePolicy", _FAILURE)
        if spec.get("paramKind") is not None:
            errors += _param_kind(spec["paramKind"], "spec.paramKind")
        if spec.get("matchConstraints") is None:
            errors.append(err.required("spec.matchConstraints"))
        else:
            errors += match_resources(spec["matchConstraints"], "spec.matchConstraints")
            if not spec["matchConstraints"].get("resourceRules"):
                errors.append(err.required("spec.matchConstraints.resourceRules"))
        errors += _variables(spec.get("variables") or (), "spec.variables")
        return errors + match_conditions(
            spec.get("matchConditions") or (), "spec.matchConditions", params=spec.get("paramKind") is not None
        )


def match_defaults(constraints: Object) -> None:
    set_default(constraints, "matchPolicy", "Equivalent")
    set_default(constraints, "namespaceSelector", {})
    set_default(constraints, "objectSelector", {})
    _rule_scopes(constraints.get("resourceRules"))
    _rule_scopes(constraints.get("excludeResourceRules"))


def match_resources(constraints: Object, path: str) -> Errors:
    at = f"{path}.matchPolicy"
    policy = constraints.get("matchPolicy")
    errors = one_of(policy, at, _MATCH) if policy else [err.required(at)]
    for field in ("namespaceSelector", "objectSelector"):
        if constraints.get(field) is None:
            errors.append(err.required(f"{path}.{field}"))
        else:
            errors += checks.label_selector(constraints[field], f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(constraints.get(field) or ()):
            errors += rule_problems(rule, f"{path}.{field}[{i}]")
            errors += _resource_names(rule.get("resourceNames") or (), f"{path}.{field}[{i}].resourceNames")
    return errors


def _resource_names(listed: Any, path: str) -> Errors:
    errors: Errors = []
    for i, name in enumerate(listed):
        errors += checks.named(name, f"{path}[{i}]", names.path_segment)
        if name in listed[:i]:
            errors.append(err.duplicate(f"{path}[{i}]", name))
    return errors


def _param_kind(kind: Object, path: str) -> Errors:
    errors: Errors = []
    version = kind.get("apiVersion") or ""
    if not version:
        errors.append(err.required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        errors.append(err.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, plain = version.rpartition("/")
        if group and (problems := names.dns1123_subdomain(group)):
            errors.append(err.invalid(f"{path}.apiVersion", group, ",".join(problems)))
        if not plain:
            errors.append(err.invalid(f"{path}.apiVersion", version, "version must be specified"))
        elif problems := names.dns1035_label(plain):
            errors.append(err.invalid(f"{path}.apiVersion", plain, ",".join(problems)))
    if not kind.get("kind"):
        errors.append(err.required(f"{path}.kind"))
    else:
        detail = "may have mixed case, but should otherwise match: "
        if problems := names.dns1035_label(kind["kind"].lower()):
            errors.append(err.invalid(f"{path}.kind", kind["kind"], detail + ",".join(problems)))
    return errors


_cel_name_re = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_CEL_RESERVED = frozenset(
    ["true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
     "namespace", "return", "var", "void", "while"]
)  # fmt: skip


def _variables(listed: Any, path: str) -> Errors:
    errors: Errors = []
    for i, one in enumerate(listed):
        at, name = f"{path}[{i}]", one.get("name") or ""
        if not name:
            errors.append(err.required(f"{at}.name", "name is not specified"))
        elif not _cel_name_re.fullmatch(name) or name in _CEL_RESERVED:
            errors.append(err.invalid(f"{at}.name", name, "name is not a valid CEL identifier"))
        elif any(other.get("name") == name for other in listed[:i]):
            errors.append(err.duplicate(f"{at}.name", name))
        if not (one.get("expression") or "").strip():
            errors.append(err.required(f"{at}.expression", "expression is not specified"))
    return errors


_AUDIT_ANNOTATIONS_MAX = 20
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")


class ValidatingPolicyStrategy(PolicyStrategy):
    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors = super().validate(ctx, obj)
        validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
        if not validations and not annotations:
            detail = "validations or auditAnnotations must contain at least one item"
            errors += [err.required("spec.validations", detail), err.required("spec.auditAnnotations", detail)]
        for i, one in enumerate(validations):
            at, message = f"spec.validations[{i}]", one.get("message") or ""
            expression = (one.get("expression") or "").strip()
            if not expression:
                errors.append(err.required(f"{at}.expression", "expression is not specified"))
            if one.get("messageExpression") and not one["messageExpression"].strip():
                errors.append(err.invalid(f"{at}.messageExpression", one["messageExpression"], "must be non-empty if specified"))
            if message and not message.strip():
                errors.append(err.invalid(f"{at}.message", message, "message must be non-empty if specified"))
            elif "\n" in message.strip():
                errors.append(err.invalid(f"{at}.message", message, "message must not contain line breaks"))
            elif "\n" in expression and not message:
                detail = "message must be specified if expression contains line breaks"
                errors.append(err.required(f"{at}.message", detail))
            if one.get("reason") is not None:
                errors += one_of(one["reason"], f"{at}.reason", _REASONS)
        errors += admission_expressions.validating_problems(spec)
        return errors + _audit_annotations(annotations, obj["metadata"].get("name") or "")


def _audit_annotations(listed: Any, policy: str) -> Errors:
    errors: Errors = []
    if len(listed) > _AUDIT_ANNOTATIONS_MAX:
        detail = f"must not have more than {_AUDIT_ANNOTATIONS_MAX} auditAnnotations"
        errors.append(err.invalid("spec.auditAnnotations", listed, detail))
    for i, one in enumerate(listed):
        at, key = f"spec.auditAnnotations[{i}]", one.get("key") or ""
        # the annotation is called so in the audit log
        errors += checks.label_name(f"{policy}/{key}", f"{at}.key")
        if any(other.get("key") == key for other in listed[:i]):
            errors.append(err.duplicate(f"{at}.key", key))
        if not (one.get("valueExpression") or "").strip():
            errors.append(err.required(f"{at}.valueExpression", "valueExpression is not specified"))
    return errors


_PATCH_TYPES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


class MutatingPolicyStrategy(PolicyStrategy):
    empty_status = None

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors = super().validate(ctx, obj)
        mutations = spec.get("mutations") or ()
        if not mutations:
            errors.append(err.required("spec.mutations", "mutations must contain at least one item"))
        for i, one in enumerate(mutations):
            errors += _mutation(one, f"spec.mutations[{i}]")
        errors += admission_expressions.mutating_problems(spec)
        policy = spec.get("reinvocationPolicy")
        at = "spec.reinvocationPolicy"
        return errors + (one_of(policy, at, ("IfNeeded", "Never")) if policy else [err.required(at)])


def _mutation(one: Object, path: str) -> Errors:
    kind = one.get("patchType")
    if not kind:
        return [err.required(f"{path}.patchType")]
    if kind not in _PATCH_TYPES:
        return [err.not_supported(f"{path}.patchType", kind, tuple(_PATCH_TYPES))]
    errors: Errors = []
    for other, field in _PATCH_TYPES.items():
        tree = one.get(field)
        if other != kind:
            if tree is not None:
                detail = f"must not be specified when patchType is {kind}"
                errors.append(err.invalid(f"{path}.{field}", f"{{{field}}}", detail))
        elif tree is None:
            errors.append(err.required(f"{path}.{field}", f"must be specified when patchType is {kind}"))
        elif not (tree.get("expression") or "").strip():
            errors.append(err.required(f"{path}.{field}.expression", "expression is not specified"))
    return errors


class PolicyBindingStrategy(KindStrategy):
    tracks_generation = True
    validating = True

    def defaults(self, obj: Object) -> None:
        constraints = obj.setdefault("spec", {}).get("matchResources")
        if constraints is not None:
            match_defaults(constraints)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        name = spec.get("policyName")
        errors = checks.named(name, "spec.policyName", names.dns1123_subdomain) if name else [err.required("spec.policyName")]
        if spec.get("paramRef") is not None:
            errors += _param_ref(spec["paramRef"], "spec.paramRef")
        if spec.get("matchResources") is not None:
            # Kubernetes names the field so
            errors += match_resources(spec["matchResources"], "spec.matchResouces")
        if self.validating:
            errors += _actions(spec.get("validationActions") or (), "spec.validationActions")
        return errors


class MutatingBindingStrategy(PolicyBindingStrategy):
    validating = False


def _param_ref(ref: Object, path: str) -> Errors:
    errors: Errors = []
    name, selector = ref.get("name") or "", ref.get("selector")
    if name:
        errors += checks.named(name, f"{path}.name", names.path_segment)
    if selector is not None:
        errors += checks.label_selector(selector, f"{path}.selector")
    if name and selector is not None:
        errors += [err.forbidden(f"{path}.{field}", "name and selector are mutually exclusive") for field in ("name", "selector")]
    if not name and selector is None:
        errors.append(err.required(path, "one of name or selector must be specified"))
    action, at = ref.get("parameterNotFoundAction"), f"{path}.parameterNotFoundAction"
    return errors + (one_of(action, at, ("Deny", "Allow")) if action else [err.required(at)])


def _actions(actions: Any, path: str) -> Errors:
    if not actions:
        return [err.required(path, "at least one validation action is required")]
    errors: Errors = []
    for i, action in enumerate(actions):
        errors += one_of(action, f"{path}[{i}]", ("Audit", "Deny", "Warn"))
        if action in actions[:i]:
            errors.append(err.duplicate(f"{path}[{i}]", action))
    if {"Deny", "Warn"} <= set(actions):
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
            "headers serves no purpose)"
        )
        errors.append(err.invalid(path, list(actions), detail))
    return errors
