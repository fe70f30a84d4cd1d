"""CustomResourceDefinition: its names, scope, versions, columns and subresources.

Source: apiextensions-apiserver's defaults and ValidateCustomResourceDefinition. What a schema must be (structural, with which
extensions) belongs to the machinery that serves custom resources. Values that all versions share are named at the spec's top, where
the internal type holds them.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

_APPROVAL = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


class DefinitionStrategy(KindStrategy):
    tracks_generation = True
    empty_status = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec_names = spec.setdefault("names", {})
        kind = spec_names.get("kind") or ""
        if not spec_names.get("singular") and kind:
            spec_names["singular"] = kind.lower()
        if not spec_names.get("listKind") and kind:
            spec_names["listKind"] = f"{kind}List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}
        service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None:
            set_default(service, "port", 443)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        stored = [v.get("name") for v in (obj.get("spec") or {}).get("versions") or () if v.get("storage")]
        obj["status"]["storedVersions"] = stored[:1] or None

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        super().prepare_update(ctx, obj, old)
        status = obj.get("status")
        if ctx.subresource or status is None:
            return
        # a new storage version is one in which objects may be stored from now on
        for version in (obj.get("spec") or {}).get("versions") or ():
            if version.get("storage") and version.get("name") not in (status.get("storedVersions") or ()):
                obj["status"] = {**status, "storedVersions": [*(status.get("storedVersions") or ()), version.get("name")]}

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        spec_names, group = spec.get("names") or {}, spec.get("group") or ""
        errors: Errors = []
        expected, name = f"{spec_names.get('plural') or ''}.{group}", obj["metadata"].get("name") or ""
        if name and name != expected:
            errors.append(err.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
        if not group:
            errors.append(err.required("spec.group"))
        else:
            errors += checks.named(group, "spec.group", names.dns1123_subdomain)
            if "." not in group:
                errors.append(err.invalid("spec.group", group, "should be a domain with at least one dot"))
        scope = spec.get("scope")
        errors += one_of(scope, "spec.scope", ("Cluster", "Namespaced")) if scope else [err.required("spec.scope")]
        errors += _names(spec_names, "spec.names")
        versions = spec.get("versions") or []
        errors += _versions(versions, "spec.versions") + _stored(obj, versions)
        return errors + _served(versions)

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        spec, errors = obj.get("spec") or {}, []
        if spec.get("preserveUnknownFields"):
            detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
            errors.append(err.invalid("spec.preserveUnknownFields", True, detail))
        return errors + _approval(obj, spec.get("group") or "")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        established = any(
            c.get("type") == "Established" and c.get("status") == "True"
            for c in (old.get("status") or {}).get("conditions") or ()
        )
        new, was = obj["spec"], old["spec"]
        new_names, old_names = new.get("names") or {}, was.get("names") or {}
        errors: Errors = []
        if established:
            errors += checks.unchanged(new, was, "scope", path="spec")
            errors += checks.unchanged(new_names, old_names, "kind", path="spec.names")
        errors += checks.unchanged(new, was, "group", path="spec")
        return errors + checks.unchanged(new_names, old_names, "plural", path="spec.names")


def _approval(obj: Object, group: str) -> Errors:
    """Groups of the Kubernetes project need an approval annotation: a URL, or a reason that starts with `unapproved`."""
    if not (group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))):
        return []
    path = f"metadata.annotations[{_APPROVAL}]"
    value = (obj["metadata"].get("annotations") or {}).get(_APPROVAL) or ""
    text = f'protected groups must have approval annotation "{_APPROVAL}"'
    if not value:
        return [err.required(path, f"{text}, {_SEE}")]
    if value.startswith(("unapproved", "http://", "https://")):
        return []
    return [err.invalid(path, value, f'{text} with either a URL or a reason starting with "unapproved", {_SEE}')]


def _names(spec_names: Object, path: str) -> Errors:
    errors: Errors = []
    for field in ("plural", "singular", "kind", "listKind"):
        value = spec_names.get(field) or ""
        if not value:
            errors.append(err.required(f"{path}.{field}"))
        elif field in ("kind", "listKind"):
            detail = "may have mixed case, but should otherwise match: "
            errors += [err.invalid(f"{path}.{field}", value, detail + m) for m in names.dns1035_label(value.lower())]
        else:
            errors += checks.named(value, f"{path}.{field}", names.dns1035_label)
    if spec_names.get("kind") and spec_names.get("kind") == spec_names.get("listKind"):
        errors.append(err.invalid(f"{path}.listKind", spec_names["listKind"], "kind and listKind may not be the same"))
    for field in ("shortNames", "categories"):
        for i, value in enumerate(spec_names.get(field) or ()):
            errors += checks.named(value, f"{path}.{field}[{i}]", names.dns1035_label)
    return errors


def _versions(versions: list[Object], path: str) -> Errors:
    errors: Errors = []
    for i, version in enumerate(versions):
        name, at = version.get("name") or "", f"{path}[{i}]"
        errors += checks.named(name, f"{at}.name", names.dns1035_label) if name else [err.required(f"{at}.name")]
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            errors.append(err.required(f"{at}.schema.openAPIV3Schema"))
    listed = [version.get("name") for version in versions]
    shown = [_go_version(version) for version in versions] or None
    if len(set(listed)) != len(listed):
        errors.append(err.invalid(path, shown, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        errors.append(err.invalid(path, shown, "must have exactly one version marked as storage version"))
    return errors


def _go_version(version: Object) -> Object:
    """A version of the internal type, whose shared parts stand elsewhere."""
    shown: dict[str, Any] = {
        "Name": version.get("name") or "",
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
    }
    return shown | dict.fromkeys(("Schema", "Subresources", "AdditionalPrinterColumns", "SelectableFields"))


def _stored(obj: Object, versions: list[Object]) -> Errors:
    """status.storedVersions names the storage version, and only versions that there are."""
    stored: list[str] = (obj.get("status") or {}).get("storedVersions") or []
    path = "status.storedVersions"
    if not stored:
        return [err.invalid(path, None, "must have at least one stored version")]
    errors: Errors = []
    known = [version.get("name") for version in versions]
    storage = [version.get("name") for version in versions if version.get("storage")]
    errors += [err.invalid(f"{path}[{i}]", one, "missing from spec.versions") for i, one in enumerate(stored) if one not in known]
    if storage and storage[-1] not in stored:
        errors.append(err.invalid(path, stored, f"must have the storage version {storage[-1]}"))
    return errors


def _served(versions: list[Object]) -> Errors:
    """Columns and subresources, once when all versions agree."""
    errors: Errors = []
    for field, check in (("additionalPrinterColumns", _columns), ("subresources", _subresources)):
        values = [version.get(field) for version in versions]
        if values and all(value == values[0] for value in values):
            errors += check(values[0], f"spec.{field}")
        else:
            errors += [e for i, value in enumerate(values) for e in check(value, f"spec.versions[{i}].{field}")]
    return errors


def _columns(columns: list[Object] | None, path: str) -> Errors:
    errors: Errors = []
    for i, column in enumerate(columns or ()):
        at, kind, form, where = f"{path}[{i}]", column.get("type") or "", column.get("format"), column.get("jsonPath") or ""
        if not column.get("name"):
            errors.append(err.required(f"{at}.name"))
        if not kind:
            errors.append(err.required(f"{at}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
        elif kind not in _COLUMN_TYPES:
            errors.append(err.invalid(f"{at}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}"))
        if form and form not in _COLUMN_FORMATS:
            errors.append(err.invalid(f"{at}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        if not where:
            errors.append(err.required(f"{at}.JSONPath"))
        elif not where.startswith("."):
            errors.append(err.invalid(f"{at}.JSONPath", where, "must be a simple json path starting with ."))
    return errors


def _subresources(tree: Object | None, path: str) -> Errors:
    scale = (tree or {}).get("scale")
    if scale is None:
        return []
    errors: Errors = []
    for field, root in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        where, at = scale.get(field) or "", f"{path}.scale.{field}"
        if not where:
            errors.append(err.required(at))
        elif not where.startswith(f"{root}."):
            errors.append(err.invalid(at, where, f"should be a json path under {root}"))
    selector = scale.get("labelSelectorPath")
    if selector and not selector.startswith((".spec.", ".status.")):
        detail = "should be a json path under either .spec or .status"
        errors.append(err.invalid(f"{path}.scale.labelSelectorPath", selector, detail))
    return errors
