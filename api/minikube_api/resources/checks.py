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


def empty_selector(tree: Mapping[str, Any] | None) -> bool:
    return not tree or not (tree.get("matchLabels") or tree.get("matchExpressions"))


_percent_re = re.compile(r"[0-9]+%")


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
        return percentage(value) or 0
    return value or 0


def unchanged(new: Object, old: Object, *fields: str, path: str = "") -> Errors:
    """ValidateImmutableField of each of these fields of two trees; absent and empty are equal."""
    errors: Errors = []
    for field in fields:
        value, was = new.get(field), old.get(field)
        if value != was and (value or was or value is False or was is False):
            errors.append(err.invalid(f"{path}.{field}" if path else field, value, "field is immutable"))
    return errors
