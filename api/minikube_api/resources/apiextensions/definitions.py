"""The strategy of CustomResourceDefinitions. Findings name fields of Kubernetes' internal type: what all versions share stands in spec.

Source: apiextensions-apiserver's registry and validation of customresourcedefinitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.resources import checks, objectmeta
from minikube_api.resources.apiextensions import internal_form
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep

Errors = list[FieldError]

APPROVAL = "api-approved.kubernetes.io"
_APPROVAL_HELP = "see https://github.com/kubernetes/enhancements/pull/1111"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_PER_VERSION = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
_MAX_SELECTABLE = 8


class DefinitionStrategy(KindStrategy):
    tracks_generation = True

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        given = spec.setdefault("names", {})
        if not given.get("singular") and given.get("kind"):
            given["singular"] = given["kind"].lower()
        if not given.get("listKind") and given.get("kind"):
            given["listKind"] = given["kind"] + "List"
        conversion = spec.get("conversion") or {}
        if not conversion.get("strategy"):
            conversion["strategy"] = "None"
        spec["conversion"] = conversion
        service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None}
        obj["metadata"]["generation"] = 1
        self._note_storage_version(obj)

    def _note_storage_version(self, obj: Object) -> None:
        status = obj["status"]
        for version in obj["spec"].get("versions") or ():
            if version.get("storage"):
                stored = status.get("storedVersions") or []
                if version.get("name") not in stored:
                    status["storedVersions"] = [*stored, version.get("name")]
                break

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        if ctx.subresource == "status":
            keep(obj, old, "spec")
            meta = obj["metadata"]
            managed = meta.get("managedFields")
            obj["metadata"] = {**old["metadata"], **({"managedFields": managed} if managed else {})}
            obj["metadata"].pop("resourceVersion", None)
            if not managed:
                obj["metadata"].pop("managedFields", None)
            return
        keep(obj, old, "status")
        obj["status"] = dict(obj.get("status") or {})
        self.bump_generation(obj, old)
        self._note_storage_version(obj)

    def validate_create(self, ctx: WriteContext, obj: Object) -> Errors:
        errors = self._meta(obj)
        errors += spec_problems(obj["spec"], "spec", missing_schemas=True)
        errors += stored_version_problems(obj)
        return errors + approval_problems(obj) + _open_root(obj["spec"])

    def _meta(self, obj: Object) -> Errors:
        spec = obj["spec"]
        expected = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"

        def name_problems(name: str, prefix: bool) -> list[str]:
            return [] if name == expected else ['must be spec.names.plural+"."+spec.group']

        return objectmeta.meta_problems(obj, False, name_problems)

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = objectmeta.meta_update_problems(obj, old)
        errors = errors + errors
        if ctx.subresource == "status":
            return errors + self.validate_status(ctx, obj, old)
        errors += spec_problems(obj["spec"], "spec", missing_schemas=not _lacks_schema(old["spec"]), old=old["spec"])
        errors += self._immutable(obj, old)
        errors += stored_version_problems(obj)
        if (obj["metadata"].get("annotations") or {}).get(APPROVAL) != (old["metadata"].get("annotations") or {}).get(APPROVAL):
            errors += approval_problems(obj)
        return errors if old["spec"].get("preserveUnknownFields") else errors + _open_root(obj["spec"])

    def _immutable(self, obj: Object, old: Object) -> Errors:
        new, was = obj["spec"], old["spec"]
        fields: list[tuple[str, Any, Any]] = [
            ("spec.group", new.get("group"), was.get("group")),
            ("spec.names.plural", new["names"].get("plural"), was["names"].get("plural")),
        ]
        if condition_true(old, "Established"):
            fields += [
                ("spec.scope", new.get("scope"), was.get("scope")),
                ("spec.names.kind", new["names"].get("kind"), was["names"].get("kind")),
            ]
        return [error for path, value, before in fields for error in objectmeta.immutable(value, before, path)]


def condition_true(definition: Object, kind: str) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def _lacks_schema(spec: Object) -> bool:
    return any(not (v.get("schema") or {}).get("openAPIV3Schema") for v in spec.get("versions") or ())


# ---- spec


def shared(spec: Object, field: str) -> bool:
    """Whether all versions agree in a per-version field: then findings of it stand in spec."""
    versions = spec.get("versions") or []
    return all(v.get(field) == versions[0].get(field) for v in versions)


def version_parts(spec: Object, field: str, path: str) -> Iterator[tuple[Any, str]]:
    """(value, path) of a per-version field, once when the versions share it."""
    versions = spec.get("versions") or []
    if versions and shared(spec, field):
        if versions[0].get(field) is not None:
            yield versions[0][field], f"{path}.{_PER_VERSION[field]}"
        return
    for i, version in enumerate(versions):
        if version.get(field) is not None:
            yield version[field], f"{path}.versions[{i}].{field}"


def spec_problems(spec: Object, path: str, *, missing_schemas: bool, old: Object | None = None) -> Errors:
    errors: Errors = []
    group = spec.get("group") or ""
    if not group:
        errors.append(err.required(f"{path}.group"))
    elif why := names.dns1123_subdomain(group):
        errors.append(err.invalid(f"{path}.group", group, ",".join(why)))
    elif "." not in group:
        errors.append(err.invalid(f"{path}.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(err.required(f"{path}.scope"))
    else:
        errors += checks.one_of(scope, f"{path}.scope", ("Cluster", "Namespaced"))
    errors += _versions(spec, path)
    errors += name_problems(spec.get("names") or {}, f"{path}.names")
    errors += _conversion(spec, f"{path}.conversion")
    if missing_schemas:
        errors += [
            err.required(f"{path}.versions[{i}].schema.openAPIV3Schema")
            for i, version in enumerate(spec.get("versions") or ())
            if not (version.get("schema") or {}).get("openAPIV3Schema")
        ]
    errors += _schemas(spec, path, old)
    for subresources, at in version_parts(spec, "subresources", path):
        errors += _subresources(subresources, at)
    for columns, at in version_parts(spec, "additionalPrinterColumns", path):
        for i, column in enumerate(columns):
            errors += _column(column, f"{at}[{i}]")
    for fields, at in version_parts(spec, "selectableFields", path):
        errors += _selectable(fields, at, spec)
    return errors


def _versions(spec: Object, path: str) -> Errors:
    errors: Errors = []
    versions = spec.get("versions") or []
    for i, version in enumerate(versions):
        name = version.get("name") or ""
        if why := names.dns1035_label(name):
            errors.append(err.invalid(f"{path}.versions[{i}].name", name, ",".join(why)))
        warning = version.get("deprecationWarning")
        if warning is not None:
            errors += _deprecation(version, warning, f"{path}.versions[{i}].deprecationWarning")
    shown = internal_form.shown_versions(versions)
    if len({v.get("name") for v in versions}) != len(versions):
        errors.append(err.invalid(f"{path}.versions", shown, "must contain unique version names"))
    if sum(bool(v.get("storage")) for v in versions) != 1:
        errors.append(err.invalid(f"{path}.versions", shown, "must have exactly one version marked as storage version"))
    return errors


def _deprecation(version: Object, warning: str, path: str) -> Errors:
    if not version.get("deprecated"):
        return [err.invalid(path, warning, "can only be set for deprecated versions")]
    if not warning:
        return [err.invalid(path, warning, "must not be an empty string")]
    if len(warning) > 256:
        return [err.too_long(path, warning, 256)]
    for c in warning:
        if not c.isprintable():
            return [
                err.invalid(
                    path,
                    warning,
                    f"must only contain printable UTF-8 characters; non-printable character found at index {warning.index(c)}",
                )
            ]
    return []


def name_problems(given: Object, path: str) -> Errors:
    errors: Errors = []
    mixed = "may have mixed case, but should otherwise match: "
    for field, prefix in (("plural", ""), ("singular", ""), ("kind", mixed), ("listKind", mixed)):
        value = given.get(field) or ""
        if not value:
            errors.append(err.required(f"{path}.{field}"))
        elif why := names.dns1035_label(value.lower() if prefix else value):
            errors.append(err.invalid(f"{path}.{field}", value, prefix + ",".join(why)))
    for field in ("shortNames", "categories"):
        for i, value in enumerate(given.get(field) or ()):
            if why := names.dns1035_label(value):
                errors.append(err.invalid(f"{path}.{field}[{i}]", value, ",".join(why)))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(err.invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    return errors


def _conversion(spec: Object, path: str) -> Errors:
    conversion = spec.get("conversion") or {}
    strategy = conversion.get("strategy") or ""
    webhook = conversion.get("webhook")
    if strategy not in ("None", "Webhook"):
        return [err.not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))]
    if strategy == "None":
        if webhook is not None:
            return [err.forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")]
        return []
    if webhook is None:
        detail = "required when strategy is set to Webhook"
        return [
            err.required(f"{path}.webhookClientConfig", detail),
            err.invalid(f"{path}.conversionReviewVersions", None, "must include at least one of v1, v1beta1"),
        ][:1]
    errors: Errors = []
    client = webhook.get("clientConfig")
    if client is None:
        errors.append(err.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook"))
    elif bool(client.get("url")) == bool(client.get("service")):
        errors.append(err.required(f"{path}.webhookClientConfig", "exactly one of url or service is required"))
    reviews = webhook.get("conversionReviewVersions") or []
    if not reviews:
        errors.append(err.required(f"{path}.conversionReviewVersions"))
    elif not {"v1", "v1beta1"} & set(reviews):
        errors.append(err.invalid(f"{path}.conversionReviewVersions", reviews, "must include at least one of v1, v1beta1"))
    return errors


def _schemas(spec: Object, path: str, old: Object | None) -> Errors:
    from minikube_api.resources.apiextensions import structural

    before = [v.get("schema") for v in (old or {}).get("versions") or ()]
    errors: Errors = []
    for part, at in version_parts(spec, "schema", path):
        schema = part.get("openAPIV3Schema")
        if not schema or part in before:
            continue
        at = f"{at}.openAPIV3Schema"
        users = [v for v in spec.get("versions") or () if v.get("schema") == part]
        has_status = any((v.get("subresources") or {}).get("status") is not None for v in users)
        found = structural.schema_problems(schema, at, has_status=has_status)
        errors += found
        if not found:
            errors += _deeper(schema, at)
    return errors


def _deeper(schema: Object, path: str) -> Errors:
    """What can be looked at once the schema's form is right: defaults and rules. CEL is imported with the first rule."""
    from minikube_api.resources.apiextensions import defaults

    errors = defaults.default_problems(schema, path)
    if has_rules(schema):
        from minikube_api.resources.apiextensions import rules

        errors += rules.rule_problems(schema, path)
    return errors


def has_rules(schema: Object) -> bool:
    from minikube_api.resources.apiextensions import structural

    if schema.get("x-kubernetes-validations"):
        return True
    return any(has_rules(part) for part, _ in structural.parts(schema, ""))


def _under(text: str, *roots: str) -> bool:
    return text.startswith(tuple(f".{root}." for root in roots))


def _simple(text: str) -> bool:
    if "[" in text and text != "":
        return not any(mark in text for mark in ("[*", "[?", ".."))
    return True


def _path_problem(text: str, path: str, detail: str, *roots: str) -> Errors:
    if not _is_path(text):
        return [err.invalid(path, text, "should be a json path")] if text else []
    if not _under(text, *roots):
        return [err.invalid(path, text, detail)]
    return []


def _is_path(text: str) -> bool:
    from minikube_api.schema import jsonpaths

    try:
        jsonpaths.parse(text)
    except jsonpaths.PathProblem:
        return False
    return text.startswith(".")


def _subresources(subresources: Object, path: str) -> Errors:
    scale = subresources.get("scale")
    if scale is None:
        return []
    errors: Errors = []
    for field, root in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
        value = scale.get(field) or ""
        at = f"{path}.scale.{field}"
        if not value:
            errors.append(err.required(at))
        elif not _is_path(value):
            errors.append(err.invalid(at, value, "must be a simple json path starting with ."))
        elif not _under(value, root):
            errors.append(err.invalid(at, value, f"should be a json path under .{root}"))
    selector = scale.get("labelSelectorPath")
    if selector:
        at = f"{path}.scale.labelSelectorPath"
        if not _is_path(selector):
            errors.append(err.invalid(at, selector, "must be a simple json path starting with ."))
        elif not _under(selector, "spec", "status"):
            errors.append(err.invalid(at, selector, "should be a json path under either .spec or .status"))
    return errors


def _column(column: Object, path: str) -> Errors:
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
    if not where:
        errors.append(err.required(f"{path}.JSONPath"))
    elif not _is_path(where):
        errors.append(err.invalid(f"{path}.JSONPath", where, "must be a simple json path starting with ."))
    return errors


def _selectable(fields: list[Object], path: str, spec: Object) -> Errors:
    errors: Errors = []
    if len(fields) > _MAX_SELECTABLE:
        errors.append(err.too_many(path, len(fields), _MAX_SELECTABLE))
    seen: set[str] = set()
    for i, field in enumerate(fields):
        where = field.get("jsonPath") or ""
        at = f"{path}[{i}].jsonPath"
        if not where:
            errors.append(err.required(at))
            continue
        if not _is_path(where) or "[" in where:
            errors.append(err.invalid(at, where, "is an invalid path: must be a simple json path starting with ."))
            continue
        if _under(where, "metadata") or where == ".metadata":
            errors.append(err.invalid(at, where, "must not point to fields in metadata"))
        errors += [
            e for v in spec.get("versions") or () for e in _selectable_type(v, where, at) if fields == v.get("selectableFields")
        ][:1]
        if where in seen:
            errors.append(err.duplicate(at, where))
        seen.add(where)
    return errors


def _selectable_type(version: Object, where: str, path: str) -> Errors:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    for part in where[1:].split("."):
        schema = (schema.get("properties") or {}).get(part)
        if schema is None:
            detail = "is an invalid path: does not refer to a valid field"
            return [err.invalid(path, where, detail)]
    if schema.get("type") not in ("string", "boolean", "integer"):
        return [
            err.invalid(
                path,
                where,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            )
        ]
    return []


# ---- beyond spec


def stored_version_problems(obj: Object) -> Errors:
    path = "status.storedVersions"
    stored = (obj.get("status") or {}).get("storedVersions") or []
    if not stored:
        return [err.invalid(path, None, "must have at least one stored version")]
    versions = obj["spec"].get("versions") or []
    known = [v.get("name") for v in versions]
    errors = [err.invalid(f"{path}[{i}]", v, "must appear in spec.versions") for i, v in enumerate(stored) if v not in known]
    storage = [v.get("name") for v in versions if v.get("storage")]
    if storage and storage[-1] not in stored:
        errors.append(err.invalid(path, stored, f"must have the storage version {storage[-1]}"))
    return errors


def protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(obj: Object) -> tuple[str, str]:
    """(state, text) of the approval annotation: missing, invalid, bypassed or approved."""
    text = (obj["metadata"].get("annotations") or {}).get(APPROVAL, "")
    if not text:
        return "missing", f'protected groups must have approval annotation "{APPROVAL}", {_APPROVAL_HELP}'
    if text.startswith("unapproved"):
        return "bypassed", f'not approved: "{text}"'
    if "://" in text and text.split("://", 1)[1]:
        return "approved", f"approved in {text}"
    detail = f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with "unapproved", {_APPROVAL_HELP}'
    return "invalid", detail


def approval_problems(obj: Object) -> Errors:
    if not protected(obj["spec"].get("group") or ""):
        return []
    state, text = approval(obj)
    path = f"metadata.annotations[{APPROVAL}]"
    if state == "missing":
        return [err.required(path, text)]
    if state == "invalid":
        return [err.invalid(path, obj["metadata"]["annotations"][APPROVAL], text)]
    return []


def _open_root(spec: Object) -> Errors:
    if not spec.get("preserveUnknownFields"):
        return []
    detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [err.invalid("spec.preserveUnknownFields", True, detail)]
