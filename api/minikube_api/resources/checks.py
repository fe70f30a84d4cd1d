"""Small checks that many kinds share: ranges, enums, label selectors, percentages, names.

Each takes a value and its field path and gives the findings. Source: apimachinery's and core's validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.resources.objectmeta import label_problems, label_value_problems, qualified_problems

Object = dict[str, Any]
Errors = list[FieldError]

NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
MAX_INT32 = 2**31 - 1


def nonnegative(value: int | None, path: str) -> Errors:
    return [err.invalid(path, value, NEGATIVE)] if value is not None and value < 0 else []


def positive(value: int, path: str) -> Errors:
    return [] if value > 0 else [err.invalid(path, value, NOT_POSITIVE)]


def nonnegative_fields(tree: Mapping[str, Any], path: str, *fields: str) -> Errors:
    return [err.invalid(f"{path}.{f}", tree[f], NEGATIVE) for f in fields if tree.get(f) is not None and tree[f] < 0]


def one_of(value: str | None, path: str, supported: Iterable[str]) -> Errors:
    return [] if (value or "") in supported else [err.not_supported(path, value or "", supported)]


def named(value: str, path: str, problems: Callable[[str], list[str]]) -> Errors:
    return [err.invalid(path, value, m) for m in problems(value)]


def required_name(value: str | None, path: str, problems: Callable[[str], list[str]]) -> Errors:
    return named(value, path, problems) if value else [err.required(path)]


def port(value: int, path: str) -> Errors:
    return [] if 1 <= value <= 65535 else [err.invalid(path, value, names.inclusive_range_message(1, 65535))]


def port_or_name(value: int | str | None, path: str) -> Errors:
    if isinstance(value, str):
        return named(value, path, names.port_name)
    return port(value or 0, path)


def ip(value: str, path: str) -> Errors:
    return named(value, path, names.ip)


def domain_prefixed_path(value: str, path: str) -> Errors:
    """IsDomainPrefixedPath; a finding shows the part that is wrong."""
    if not value:
        return [err.required(path)]
    domain, _, rest = value.partition("/")
    if not domain or not rest:
        return named(value, path, names.domain_prefixed_path)
    return named(domain, path, names.dns1123_subdomain) + named(rest, path, names.http_path)


def conditions(listed: Iterable[Mapping[str, Any]] | None, path: str) -> Errors:
    """ValidateConditions of metav1: the form of a list of metav1.Condition."""
    errors: Errors = []
    seen: set[str] = set()
    for i, one in enumerate(listed or ()):
        at, kind = f"{path}[{i}]", one.get("type") or ""
        if kind in seen:
            errors.append(err.duplicate(f"{at}.type", kind))
        seen.add(kind)
        errors += _condition(one, at)
    return errors


_REASON_MAX, _MESSAGE_MAX = 1024, 32 * 1024


def _condition(one: Mapping[str, Any], path: str) -> Errors:
    errors = label_name(one.get("type") or "", f"{path}.type")
    errors += one_of(one.get("status"), f"{path}.status", ("False", "True", "Unknown"))
    if (one.get("observedGeneration") or 0) < 0:
        detail = "must be greater than or equal to zero"
        errors.append(err.invalid(f"{path}.observedGeneration", one["observedGeneration"], detail))
    if not one.get("lastTransitionTime"):
        errors.append(err.required(f"{path}.lastTransitionTime", "must be set"))
    reason, message = one.get("reason") or "", one.get("message") or ""
    if not reason:
        errors.append(err.required(f"{path}.reason", "must be set"))
    else:
        errors += named(reason, f"{path}.reason", names.condition_reason)
        if len(reason.encode()) > _REASON_MAX:
            errors.append(err.too_long(f"{path}.reason", reason, _REASON_MAX))
    if len(message.encode()) > _MESSAGE_MAX:
        errors.append(err.too_long(f"{path}.message", message, _MESSAGE_MAX))
    return errors


def label_name(value: str, path: str) -> Errors:
    return named(value, path, qualified_problems)


_VALUES_NEEDED = frozenset({"In", "NotIn"})
_VALUES_REFUSED = frozenset({"Exists", "DoesNotExist"})


def label_selector(tree: Mapping[str, Any] | None, path: str) -> Errors:
    """ValidateLabelSelector."""
    if not tree:
        return []
    errors = label_problems(tree.get("matchLabels"), f"{path}.matchLabels")
    for i, term in enumerate(tree.get("matchExpressions") or ()):
        errors += _selector_term(term, f"{path}.matchExpressions[{i}]")
    return errors


def _selector_term(term: Mapping[str, Any], path: str) -> Errors:
    operator, values = term.get("operator", ""), term.get("values") or ()
    errors = selector_values(operator, values, path)
    errors += label_name(term.get("key", ""), f"{path}.key")
    for i, value in enumerate(values):
        errors += [err.invalid(f"{path}.values[{i}]", value, m) for m in label_value_problems(value)]
    return errors


def selector_values(operator: str, values: Any, path: str) -> Errors:
    """The number of values an operator takes, and that there is such an operator."""
    if operator in _VALUES_NEEDED:
        return [] if values else [err.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
    if operator in _VALUES_REFUSED:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [err.forbidden(f"{path}.values", detail)] if values else []
    return [err.invalid(f"{path}.operator", operator, "not a valid selector operator")]


def shown_labels(labels: Mapping[str, str] | None) -> Object | None:
    """A map as messages print it: Go sorts keys."""
    return labels if labels is None else dict(sorted(labels.items()))


def shown_selector(tree: Mapping[str, Any] | None) -> Object | None:
    """A label selector as messages print it."""
    if tree is None:
        return None
    shown: Object = {}
    if tree.get("matchLabels"):
        shown["matchLabels"] = shown_labels(tree["matchLabels"])
    if tree.get("matchExpressions"):
        shown["matchExpressions"] = [
            {"key": term.get("key") or "", "operator": term.get("operator") or ""}
            | ({"values": term["values"]} if term.get("values") else {})
            for term in tree["matchExpressions"]
        ]
    return shown


def empty_selector(tree: Mapping[str, Any] | None) -> bool:
    return not tree or not (tree.get("matchLabels") or tree.get("matchExpressions"))


_percent_re = re.compile(r"[0-9]+%")
_integer_re = re.compile(r"[+-]?[0-9]{1,18}")


def int_or_percent(value: int | str, path: str) -> Errors:
    """ValidatePositiveIntOrPercent: a number from 0 or a percentage."""
    if isinstance(value, str):
        return named(value, path, names.percent)
    return nonnegative(value, path)


def percentage(value: int | str | None) -> int | None:
    """The number of a percentage; None when it is none."""
    if isinstance(value, str) and _percent_re.fullmatch(value):
        return int(value[:-1])
    return None


def at_most_100_percent(value: int | str | None, path: str) -> Errors:
    found = percentage(value)
    return [err.invalid(path, value, "must not be greater than 100%")] if found is not None and found > 100 else []


def int_value(value: int | str | None) -> int:
    """The value of an int-or-string as validation compares it with 0."""
    if isinstance(value, str):
        found = percentage(value)
        return found if found is not None else int(value) if _integer_re.fullmatch(value) else 0
    return value or 0


def unchanged(new: Object, old: Object, *fields: str, path: str = "") -> Errors:
    """ValidateImmutableField of each of these fields of two trees; absent and empty are equal."""
    errors: Errors = []
    for field in fields:
        value, was = new.get(field), old.get(field)
        if value != was and (value or was or value is False or was is False):
            errors.append(err.invalid(f"{path}.{field}" if path else field, value, "field is immutable"))
    return errors
