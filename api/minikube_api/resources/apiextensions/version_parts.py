"""What stands beside the schema in a version, and how versions are converted: subresources, printer columns, selectable fields, webhooks.

Source: apiextensions-apiserver's pkg/apis/apiextensions/validation, ValidFieldPath of pkg/apiserver/schema/cel.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import webhook_clients
from minikube_api.resources.apiextensions import field_paths
from minikube_api.resources.checks import Errors

Object = dict[str, Any]

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_SELECTABLE = 8
_REVIEWS = ("v1", "v1beta1")


# ---- conversion


def conversion_problems(conversion: Object, path: str, *, any_review: bool = False, any_bundle: bool = False) -> Errors:
    """`any_review` and `any_bundle`: the definition had unknown review versions, or a bad CA bundle, before."""
    strategy = conversion.get("strategy") or ""
    webhook = conversion.get("webhook")
    errors: Errors = []
    if strategy not in ("None", "Webhook"):
        errors.append(err.not_supported(f"{path}.strategy", strategy, ("None", "Webhook")))
    config, reviews = (webhook or {}).get("clientConfig"), (webhook or {}).get("conversionReviewVersions") or []
    told = "should not be set when strategy is not set to Webhook"
    if strategy == "Webhook":
        errors += _webhook(config, f"{path}.webhookClientConfig", any_bundle)
        return errors + _reviews(reviews, f"{path}.conversionReviewVersions", any_review)
    if config is not None:
        errors.append(err.forbidden(f"{path}.webhookClientConfig", told))
    if reviews:
        errors.append(err.forbidden(f"{path}.conversionReviewVersions", told))
    return errors


def _webhook(config: Object | None, path: str, any_bundle: bool) -> Errors:
    if config is None:
        return [err.required(path, "required when strategy is set to Webhook")]
    errors = webhook_clients.client_config(config, path)
    bundle = config.get("caBundle")
    if bundle and not any_bundle and not holds_certificates(bundle):
        why = "unable to load root certificates: data does not contain any valid RSA or ECDSA certificates"
        errors.append(err.invalid(f"{path}.caBundle", bundle, why))
    return errors


def holds_certificates(bundle: str) -> bool:
    """Whether a caBundle (base64 of PEM) has at least one certificate."""
    try:
        return b"-----BEGIN CERTIFICATE-----" in base64.b64decode(bundle)
    except (binascii.Error, ValueError):
        return False


def known_reviews(conversion: Object) -> bool:
    """Whether the review versions of a stored definition hold one that is known, or none at all."""
    reviews = (conversion.get("webhook") or {}).get("conversionReviewVersions") or []
    return not reviews or bool(set(reviews) & set(_REVIEWS))


def _reviews(versions: list[str], path: str, any_review: bool) -> Errors:
    if not versions:
        return [err.required(path)]
    errors: Errors = []
    for i, version in enumerate(versions):
        if version in versions[:i]:
            errors.append(err.invalid(f"{path}[{i}]", version, "duplicate version"))
            continue
        errors += [err.invalid(f"{path}[{i}]", version, why) for why in names.dns1035_label(version)]
    if not any_review and not set(versions) & set(_REVIEWS):
        errors.append(err.invalid(path, versions, f"must include at least one of {', '.join(_REVIEWS)}"))
    return errors


# ---- subresources and columns


def _simple_path(text: str, path: str) -> Errors:
    """A JSON path is only looked at where it starts; what can't be read later is left out of Tables."""
    return [] if text.startswith(".") else [err.invalid(path, text, "must be a simple json path starting with .")]


def subresource_problems(subresources: Object, path: str) -> Errors:
    scale = subresources.get("scale")
    if scale is None:
        return []
    errors: Errors = []
    for field, roots, told in (
        ("specReplicasPath", (".spec.",), ".spec"),
        ("statusReplicasPath", (".status.",), ".status"),
        ("labelSelectorPath", (".spec.", ".status."), "either .spec or .status"),
    ):
        value, at = scale.get(field) or "", f"{path}.scale.{field}"
        if not value:
            errors += [] if field == "labelSelectorPath" else [err.required(at)]
            continue
        wrong = _simple_path(value, at)
        errors += wrong
        if not wrong and not value.startswith(roots):
            errors.append(err.invalid(at, value, f"should be a json path under {told}"))
    return errors


def column_problems(column: Object, path: str) -> Errors:
    errors: Errors = []
    if not column.get("name"):
        errors.append(err.required(f"{path}.name"))
    kind, form, where = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
    if not kind:
        errors.append(err.required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
    elif kind not in _COLUMN_TYPES:
        errors.append(err.invalid(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}"))
    if form and form not in _COLUMN_FORMATS:
        errors.append(err.invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    return errors + (_simple_path(where, f"{path}.JSONPath") if where else [err.required(f"{path}.JSONPath")])


# ---- selectable fields

_SELECTABLE = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."


def selectable_problems(fields: list[Object], schema: Object | None, path: str, *, at_top: bool) -> Errors:
    """`schema` is the one that all users of the fields share; None without one."""
    if not fields:
        return []
    if schema is None:
        needed = (
            "may only be set when validations.schema is included"
            if at_top
            else "may only be set if version.schema.openAPIV3Schema is not included"
        )
        return [err.invalid(path, "", needed)]
    errors: Errors = []
    seen: set[str] = set()
    for i, field in enumerate(fields):
        where, at = field.get("jsonPath") or "", f"{path}[{i}].jsonPath"
        if not where:
            errors.append(err.required(at))
            continue
        try:
            found = field_paths.resolve(where, schema, brackets=False)
        except field_paths.NoField as problem:
            errors.append(err.invalid(at, where, f"is an invalid path: {problem}"))
            continue
        if found.path.split(".")[0] == "metadata":
            errors.append(err.invalid(at, where, "must not point to fields in metadata"))
        if found.schema.get("type") not in ("string", "boolean", "integer"):
            errors.append(err.invalid(at, where, _SELECTABLE))
        if found.path in seen:
            errors.append(err.duplicate(at, where))
        seen.add(found.path)
    if len(seen) > _MAX_SELECTABLE:
        errors.append(err.too_many(path, len(seen), _MAX_SELECTABLE))
    return errors
