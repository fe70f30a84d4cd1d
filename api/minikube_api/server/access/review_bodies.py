"""What a review may say (pkg/apis/authorization/validation): one kind of attributes, sound selectors, no metadata. Pure."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors, names
from minikube_api.meta.errors import BadRequest, FieldError, Invalid
from minikube_api.meta.selectors import parse_fields, parse_labels
from minikube_api.resources import checks
from minikube_api.server.context import Object

AUTHORIZATION = "authorization.k8s.io"


def spec_problems(spec: Object, *, subject: bool = False) -> list[FieldError]:
    """`subject`: the review is about somebody, who must be named."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    problems: list[FieldError] = []
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        problems.append(field_errors.invalid("spec.nonResourceAttributes", path_attributes(path), why))
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problems.append(field_errors.invalid("spec.resourceAttributes", None, why))
    if subject and not spec.get("user") and not spec.get("groups"):
        problems.append(
            field_errors.invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified")
        )
    return problems + (selector_problems(resource, "spec.resourceAttributes") if resource is not None else [])


def local_problems(review: Object) -> list[FieldError]:
    """Those of a LocalSubjectAccessReview, whose namespace is set."""
    spec, meta = review.get("spec") or {}, review["metadata"]
    problems = spec_problems(spec, subject=True) + meta_problems(meta, but="namespace")
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and resource.get("namespace", "") != meta["namespace"]:
        at = "spec.resourceAttributes.namespace"
        problems.append(field_errors.invalid(at, resource.get("namespace", ""), "must match metadata.namespace"))
    if path is not None:
        why = "disallowed on this kind of request"
        problems.append(field_errors.invalid("spec.nonResourceAttributes", path_attributes(path), why))
    return problems


_META_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "labels", "annotations",
    "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip


def meta_problems(meta: Object, *, but: str = "") -> list[FieldError]:
    """Reviews have no metadata (`but`: beside this field)."""
    if not any(value for key, value in meta.items() if key not in ("managedFields", but)):
        return []
    shown = {key: meta[key] for key in _META_ORDER if meta.get(key)}
    why = f"must be empty except for {but}" if but else "must be empty"
    return [field_errors.invalid("metadata", shown, why)]


def selector_problems(attributes: Object, path: str) -> list[FieldError]:
    """Selectors are raw or parsed; operators that are not known yet are let through (KEP-4601)."""
    problems: list[FieldError] = []
    for kind in ("fieldSelector", "labelSelector"):
        selector, at = attributes.get(kind), f"{path}.{kind}"
        if selector is None:
            continue
        raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or ()
        if raw and requirements:
            why = "may not specified at the same time as requirements"
            problems.append(field_errors.invalid(f"{at}.rawSelector", raw, why))
        if not raw and not requirements:
            why = f"when {at} is specified, requirements or rawSelector is required"
            problems.append(field_errors.required(f"{at}.requirements", why))
        for i, one in enumerate(requirements):
            problems += _requirement(one, f"{at}.requirements[{i}]", labels=kind == "labelSelector")
    return problems


def _requirement(one: Object, path: str, *, labels: bool) -> list[FieldError]:
    key, operator, values = one.get("key") or "", one.get("operator") or "", one.get("values") or ()
    problems: list[FieldError] = []
    if not labels and not key:
        problems.append(field_errors.required(f"{path}.key", "must be specified"))
    if operator in ("In", "NotIn") and not values:
        problems.append(field_errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in ("Exists", "DoesNotExist") and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        problems.append(field_errors.forbidden(f"{path}.values", why))
    if labels:
        problems += checks.label_name(key, f"{path}.key")
        problems += [
            field_errors.invalid(f"{path}.values[{i}]", value, why)
            for i, value in enumerate(values)
            for why in names.label_value(value)
        ]
    return problems


def selector_texts(attributes: Object) -> tuple[str, str, list[str]]:
    """(field selector, label selector, what of them is ignored) for the authorizers; requirements are written out.

    Operators that nobody knows yet, and sets where a selector has none, are left out: a selector only ever narrows a request.
    """
    ignored: list[str] = []
    found: list[str] = []
    for kind, parse in (("fieldSelector", parse_fields), ("labelSelector", parse_labels)):
        selector = attributes.get(kind) or {}
        raw = selector.get("rawSelector") or ""
        requirements = selector.get("requirements") or ()
        if raw:
            try:
                parse(raw)
            except BadRequest:
                ignored.append(f"spec.resourceAttributes.{kind} ignored due to parse error")
                raw = ""
        else:
            written = [_written(one, labels=kind == "labelSelector") for one in requirements]
            raw = ",".join(text for text in written if text)
            if not all(written):
                partially = "partially " if raw else ""
                ignored.append(f"spec.resourceAttributes.{kind} {partially}ignored due to parse error")
        found.append(raw)
    return found[0], found[1], ignored


def _written(one: Object, *, labels: bool) -> str:
    key, operator, values = one.get("key") or "", one.get("operator") or "", one.get("values") or ()
    if labels:
        listed = f"({','.join(values)})"
        return {"In": f"{key} in {listed}", "NotIn": f"{key} notin {listed}", "Exists": key, "DoesNotExist": f"!{key}"}.get(
            operator, ""
        )
    sign = {"In": "=", "NotIn": "!="}.get(operator)
    return f"{key}{sign}{escape(values[0])}" if sign and len(values) == 1 else ""


def escape(value: str) -> str:
    """A value as field selectors write it."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def path_attributes(tree: Object) -> dict[str, Any]:
    """As Go prints the internal type."""
    return {"Path": tree.get("path", ""), "Verb": tree.get("verb", "")}


def check(problems: list[FieldError]) -> None:
    """Raises Invalid as kube-apiserver words it here: with the group, but without a kind."""
    if problems:
        made = Invalid.object(AUTHORIZATION, "", "", problems)
        details = {key: value for key, value in (made.details or {}).items() if value != ""}
        raise Invalid(made.message, details=details)
