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
from minikube_api.resources.apiextensions import internal_form, version_parts
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep

Errors = list[FieldError]

APPROVAL = "api-approved.kubernetes.io"
_APPROVAL_HELP = "see https://github.com/kubernetes/enhancements/pull/1111"
_PER_VERSION = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}


class DefinitionStrategy(KindStrategy):
    tracks_generation = True
    status_reset_fields = {"f:metadata": {}}

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
            return errors + name_problems(
                (obj.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames", needed=False
            )
        errors += spec_problems(obj["spec"], "spec", missing_schemas=not _lacks_schema(old["spec"]), old=old["spec"])
        errors += self._immutable(obj, old)
        errors += stored_version_problems(obj)
        if approval(obj)[0] != approval(old)[0]:
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


def parts_of_versions(spec: Object, field: str, path: str) -> Iterator[tuple[Any, str]]:
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
    before = (old or {}).get("conversion") or {}
    errors += version_parts.conversion_problems(
        spec.get("conversion") or {},
        f"{path}.conversion",
        any_review=not version_parts.known_reviews(before),
        any_bundle=_bad_bundle(before),
    )
    if missing_schemas:
        errors += [
            err.required(f"{path}.versions[{i}].schema.openAPIV3Schema")
            for i, version in enumerate(spec.get("versions") or ())
            if not (version.get("schema") or {}).get("openAPIV3Schema")
        ]
    errors += _schemas(spec, path, old)
    for subresources, at in parts_of_versions(spec, "subresources", path):
        errors += version_parts.subresource_problems(subresources, at)
    for columns, at in parts_of_versions(spec, "additionalPrinterColumns", path):
        for i, column in enumerate(columns):
            errors += version_parts.column_problems(column, f"{at}[{i}]")
    return errors + _selectable(spec, path)


def _bad_bundle(conversion: Object) -> bool:
    bundle = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("caBundle")
    return bool(bundle) and not version_parts.holds_certificates(bundle)


def _selectable(spec: Object, path: str) -> Errors:
    """Shared fields must be in every version's schema, those of a version in its own."""
    versions = spec.get("versions") or []
    if not versions:
        return []
    schemas = [(v.get("schema") or {}).get("openAPIV3Schema") for v in versions]
    if shared(spec, "selectableFields"):
        fields = versions[0].get("selectableFields") or []
        found: Errors = []
        for schema in schemas[:1] if shared(spec, "schema") else schemas:
            problems = version_parts.selectable_problems(fields, schema, f"{path}.selectableFields", at_top=True)
            found += [problem for problem in problems if problem not in found]
        return found
    return [
        error
        for i, version in enumerate(versions)
        for error in version_parts.selectable_problems(
            version.get("selectableFields") or [], schemas[i], f"{path}.versions[{i}].selectableFields", at_top=False
        )
    ]


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
    found: list[str] = []
    if len(warning.encode()) > 256:
        found.append("must be <= 256 characters long")
    if not warning:
        found.append("must not be an empty string")
    strange = next((i for i, c in enumerate(warning) if not c.isprintable()), None)
    if strange is not None:
        place = len(warning[:strange].encode())
        found.append(f"must only contain printable UTF-8 characters; non-printable character found at index {place}")
    return [err.invalid(path, warning, why) for why in found]


def name_problems(given: Object, path: str, *, needed: bool = True) -> Errors:
    """`needed`: names may not be missing (in spec; the status has them once they are accepted)."""
    errors: Errors = []
    mixed = "may have mixed case, but should otherwise match: "
    for field, prefix in (("plural", ""), ("singular", ""), ("kind", mixed), ("listKind", mixed)):
        value = given.get(field) or ""
        if not value:
            errors += [err.required(f"{path}.{field}")] if needed else []
        elif why := names.dns1035_label(value.lower() if prefix else value):
            errors.append(err.invalid(f"{path}.{field}", value, prefix + ",".join(why)))
    for field in ("shortNames", "categories"):
        for i, value in enumerate(given.get(field) or ()):
            if why := names.dns1035_label(value):
                errors.append(err.invalid(f"{path}.{field}[{i}]", value, ",".join(why)))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(err.invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    return errors


def _schemas(spec: Object, path: str, old: Object | None) -> Errors:
    from minikube_api.resources.apiextensions import structural

    before = [v.get("schema") for v in (old or {}).get("versions") or ()]
    errors: Errors = []
    for part, at in parts_of_versions(spec, "schema", path):
        schema = part.get("openAPIV3Schema")
        if not schema or part in before:
            continue
        at = f"{at}.openAPIV3Schema"
        users = [v for v in spec.get("versions") or () if v.get("schema") == part]
        has_status = any((v.get("subresources") or {}).get("status") is not None for v in users)
        nodes, form = structural.findings(schema, at, has_status=has_status)
        errors += nodes
        errors += _deeper(schema, at, nodes) if form == [] else form or []
    return errors


def _deeper(schema: Object, path: str, nodes: Errors) -> Errors:
    """What can be looked at once the schema is structural: defaults, then rules. CEL is imported with the first rule."""
    from minikube_api.resources.apiextensions import defaults

    errors = defaults.default_problems(schema, path)
    if not errors and has_rules(schema):
        from minikube_api.resources.apiextensions import rules

        errors += rules.rule_problems(schema, path, [problem.path for problem in nodes])
    return errors


def has_rules(schema: Object) -> bool:
    from minikube_api.resources.apiextensions import structural

    if schema.get("x-kubernetes-validations"):
        return True
    return any(has_rules(part) for part, _ in structural.parts(schema, ""))


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
