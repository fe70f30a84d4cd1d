"""FlowSchema and PriorityLevelConfiguration. Source: pkg/apis/flowcontrol/v1/defaults.go, validation and internalbootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks, go_form
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default
from minikube_api.schema import builtin

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_PRECEDENCE_MAX = 10_000
_QUEUES_MAX = 10_000_000
#: bits of the hash that picks a flow's queues
_HASH_BITS = 60


def _everything(*groups: str) -> list[Object]:
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    subjects = [{"kind": "Group", "group": {"name": name}} for name in groups]
    return [
        {"subjects": subjects, "resourceRules": [resources], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}
    ]


#: objects that are as Kubernetes makes them, or not at all
_FIXED_SCHEMAS: dict[str, Object] = {
    "exempt": {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 1, "rules": _everything("system:masters")},
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": _PRECEDENCE_MAX,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _everything("system:unauthenticated", "system:authenticated"),
    },
}
_CATCH_ALL_LEVEL = {
    "type": "Limited",
    "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
}


def _fixed(kind: str, name: str, spec: Object, wanted: Object) -> Errors:
    if spec == wanted:
        return []
    # loaded here: nobody but the apiserver itself writes these objects
    schema = builtin.load("flowcontrol.apiserver.k8s.io", "v1", kind).fields["spec"]
    return [err.invalid("spec", go_form.struct(spec, schema), f"spec of '{name}' must equal the fixed value")]


class _Configuration(KindStrategy):
    """What both kinds share."""

    tracks_generation = True
    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors: Errors = []
        seen: set[str] = set()
        for i, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
            kind, at = condition.get("type") or "", f"status.conditions[{i}].type"
            if kind in seen:
                errors.append(err.duplicate(at, kind))
            seen.add(kind)
            if not kind:
                errors.append(err.required(at))
        return errors


class FlowSchemaStrategy(_Configuration):
    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
        errors = _precedence(spec.get("matchingPrecedence") or 0, name, "spec.matchingPrecedence")
        if (method := spec.get("distinguisherMethod")) is not None:
            errors += one_of(method.get("type"), "spec.distinguisherMethod.type", ("ByNamespace", "ByUser"))
        level, at = (spec.get("priorityLevelConfiguration") or {}).get("name"), "spec.priorityLevelConfiguration.name"
        if level:
            errors += checks.named(level, at, names.dns1123_subdomain)
        else:
            errors.append(err.required(at, "must reference a priority level"))
        for i, rule in enumerate(spec.get("rules") or ()):
            errors += _rule(rule, f"spec.rules[{i}]")
        return errors + (_fixed("FlowSchema", name, spec, _FIXED_SCHEMAS[name]) if name in _FIXED_SCHEMAS else [])


def _precedence(value: int, name: str, path: str) -> Errors:
    errors: Errors = []
    if value <= 0:
        errors.append(err.invalid(path, value, "must be a positive value"))
    if value > _PRECEDENCE_MAX:
        errors.append(err.invalid(path, value, f"must not be greater than {_PRECEDENCE_MAX}"))
    if value == 1 and name != "exempt":
        errors.append(err.invalid(path, value, "only the schema named 'exempt' may have matchingPrecedence 1"))
    return errors


def _rule(rule: Object, path: str) -> Errors:
    subjects, resources, urls = (rule.get(name) or () for name in ("subjects", "resourceRules", "nonResourceRules"))
    errors: Errors = [] if subjects else [err.required(f"{path}.subjects", "subjects must contain at least one value")]
    for i, subject in enumerate(subjects):
        errors += _subject(subject, f"{path}.subjects[{i}]")
    if not resources and not urls:
        errors.append(err.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for i, one in enumerate(resources):
        errors += _resource_rule(one, f"{path}.resourceRules[{i}]")
    for i, one in enumerate(urls):
        errors += _url_rule(one, f"{path}.nonResourceRules[{i}]")
    return errors


_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def _subject(subject: Object, path: str) -> Errors:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        return [err.not_supported(f"{path}.kind", kind, tuple(_SUBJECTS))]
    errors: Errors = []
    for other, field in _SUBJECTS.items():
        tree = subject.get(field)
        if other != kind:
            if tree is not None:
                detail = f"{field} is forbidden when subject kind is not '{other}'"
                errors.append(err.forbidden(f"{path}.{field}", detail))
        elif tree is None:
            errors.append(err.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'"))
        elif kind == "ServiceAccount":
            errors += _service_account(tree, f"{path}.{field}")
        elif not tree.get("name"):
            errors.append(err.required(f"{path}.{field}.name"))
    return errors


def _service_account(tree: Object, path: str) -> Errors:
    name, namespace = tree.get("name") or "", tree.get("namespace") or ""
    errors: Errors = [] if name else [err.required(f"{path}.name")]
    if name and name != "*":
        errors += checks.named(name, f"{path}.name", names.dns1123_subdomain)
    if not namespace:
        return [*errors, err.required(f"{path}.namespace", "must specify namespace for service account")]
    return errors + checks.named(namespace, f"{path}.namespace", names.dns1123_label)


def _listed(values: Any, path: str, *, missing: str, others: str, check: Callable[[Any, str], Errors]) -> Errors:
    """A list that must not be empty, and in which `*` stands alone."""
    if not values:
        return [err.required(path, missing)]
    if "*" in values:
        detail = f"if '*' is present, must not specify other {others}"
        return [err.invalid(path, values, detail)] if len(values) > 1 else []
    return check(values, path)


def _any(values: Any, path: str) -> Errors:
    return []


def _known_verbs(verbs: Any, path: str) -> Errors:
    return [] if set(verbs) <= set(_VERBS) else [err.not_supported(path, list(verbs), _VERBS)]


def _verbs(rule: Object, path: str) -> Errors:
    missing = "verbs must contain at least one value"
    return _listed(rule.get("verbs"), f"{path}.verbs", missing=missing, others="verbs", check=_known_verbs)


def _resource_rule(rule: Object, path: str) -> Errors:
    errors = _verbs(rule, path)
    for field, noun in (("apiGroups", "api group"), ("resources", "resource")):
        missing = f"resource rules must supply at least one {noun}"
        errors += _listed(rule.get(field), f"{path}.{field}", missing=missing, others=f"{noun}s", check=_any)
    if not rule.get("namespaces") and rule.get("clusterScope"):
        return errors
    missing = "resource rules that are not cluster scoped must supply at least one namespace"
    at = f"{path}.namespaces"
    return errors + _listed(rule.get("namespaces"), at, missing=missing, others="namespaces", check=_namespaces)


def _namespaces(values: Any, path: str) -> Errors:
    return [error for i, name in enumerate(values) for error in checks.named(name, f"{path}[{i}]", names.dns1123_label)]


def _url_rule(rule: Object, path: str) -> Errors:
    missing, at = "nonResourceURLs must contain at least one value", f"{path}.nonResourceURLs"
    urls = _listed(rule.get("nonResourceURLs"), at, missing=missing, others="non-resource URLs", check=_urls)
    return _verbs(rule, path) + urls


def _urls(values: Any, path: str) -> Errors:
    return [err.invalid(f"{path}[{i}]", url, text) for i, url in enumerate(values) if (text := _url_problem(url))]


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    return "wildcard can only do suffix matching" if url.count("*") > 1 or ("*" in url and not url.endswith("/*")) else ""


class PriorityLevelStrategy(_Configuration):
    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt":
            exempt = spec.setdefault("exempt", {})
            set_default(exempt, "nominalConcurrencyShares", 0)
            set_default(exempt, "lendablePercent", 0)
        limited = spec.get("limited")
        if limited is None:
            return
        set_default(limited, "nominalConcurrencyShares", 30)
        set_default(limited, "lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for field, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not queuing.get(field):
                    queuing[field] = value

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
        kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
        errors: Errors = []
        if (name == "exempt") != (kind == "Exempt"):
            errors.append(err.invalid("spec.type", kind, "type must be 'Exempt' if and only if `name` is 'exempt'"))
        if kind == "Limited":
            if exempt is not None:
                errors.append(err.forbidden("spec.exempt", "must be nil if the type is Limited"))
            if limited is None:
                errors.append(err.required("spec.limited", "must not be empty when type is Limited"))
            else:
                errors += _shares(limited, "spec.limited") + _response(limited, "spec.limited.limitResponse")
        elif kind == "Exempt":
            if limited is not None:
                errors.append(err.forbidden("spec.limited", "must be nil if the type is not Limited"))
            errors += _shares(exempt or {}, "spec.exempt")
        else:
            errors.append(err.not_supported("spec.type", kind, ("Exempt", "Limited")))
        return errors + (_fixed("PriorityLevelConfiguration", name, spec, _CATCH_ALL_LEVEL) if name == "catch-all" else [])


def _shares(tree: Object, path: str) -> Errors:
    shares, lendable, borrowing = (tree.get(f) for f in ("nominalConcurrencyShares", "lendablePercent", "borrowingLimitPercent"))
    errors: Errors = []
    if shares is not None and shares < 0:
        errors.append(err.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(err.invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    if borrowing is not None and borrowing < 0:
        errors.append(err.invalid(f"{path}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer"))
    return errors


def _response(limited: Object, path: str) -> Errors:
    response = limited.get("limitResponse") or {}
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        detail = "must be nil if limited.limitResponse.type is not Limited"
        return [err.forbidden(f"{path}.queuing", detail)] if queuing is not None else []
    if kind != "Queue":
        return [err.not_supported(f"{path}.type", kind, ("Queue", "Reject"))]
    if queuing is None:
        return [err.required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")]
    return _queuing(queuing, f"{path}.queuing")


def _queuing(queuing: Object, path: str) -> Errors:
    length, queues, hand = (queuing.get(name) or 0 for name in ("queueLengthLimit", "queues", "handSize"))
    errors: Errors = [] if length > 0 else [err.invalid(f"{path}.queueLengthLimit", length, "must be positive")]
    if queues <= 0:
        errors.append(err.invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _QUEUES_MAX:
        errors.append(err.invalid(f"{path}.queues", queues, f"must not be greater than {_QUEUES_MAX}"))
    at = f"{path}.handSize"
    if hand <= 0:
        return [*errors, err.invalid(at, hand, "must be positive")]
    if hand > queues:
        return [*errors, err.invalid(at, hand, f"should not be greater than queues ({queues})")]
    if math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        detail = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        errors.append(err.invalid(at, hand, detail))
    return errors
