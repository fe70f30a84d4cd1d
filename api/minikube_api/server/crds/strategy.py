"""The strategy of custom resources: the same hooks as a built-in kind's, over a compiled schema.

Source: apiextensions-apiserver's registry/customresource (strategy.go, status_strategy.go, validator.go).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.resources import objectmeta
from minikube_api.resources.resource import Object, Strategy, WriteContext
from minikube_api.resources.strategies import keep
from minikube_api.schema import custom_lists, custom_pruning, custom_values
from minikube_api.schema.custom import Structural

#: findings after which rules are not run: they could meet values of wrong types, or cost too much
_BLOCKING = frozenset({"FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"})
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
)


class Rules(Protocol):
    """The compiled x-kubernetes-validations of a schema (`schema.custom_rules`)."""

    def problems(self, obj: Object, old: Object | None, warnings: list[str] | None = None) -> list[FieldError]: ...


class CustomStrategy(Strategy):
    """One version of one custom resource. `load_rules` compiles its rules on first use; None without rules."""

    name_problems = staticmethod(names.is_dns_subdomain)
    #: every top-level field but metadata and status is desired state
    spec_fields: tuple[str, ...] = ()

    def __init__(
        self,
        root: Structural,
        *,
        kind: str,
        api_version: str,
        namespaced: bool,
        has_status: bool,
        load_rules: Callable[[], Rules] | None,
        scale_problems: Callable[[Object], list[FieldError]],
    ) -> None:
        self.root = root
        self.kind = kind
        self.api_version = api_version
        self.namespaced = namespaced
        self.has_status = has_status
        self._load_rules = load_rules
        self._rules: Rules | None = None
        self._scale_problems = scale_problems

    def default(self, obj: Object) -> None:
        custom_pruning.fill(obj, self.root)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        if self.has_status:
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        if ctx.subresource == "status":
            _keep_all_but_status(obj, old)
            return
        if self.has_status:
            keep(obj, old, "status")
        keep(obj["metadata"], old["metadata"], "generation")
        if _desired(obj, self.has_status) != _desired(old, self.has_status):
            obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1

    def validate_create(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        errors = self._type_problems(obj)
        if not errors:
            errors = objectmeta.meta_problems(obj, self.namespaced, self.name_problems)
            errors = [e for e in errors if not _kube_finalizer(e)]
            errors += custom_values.problems(obj, self.root)
            errors += self._scale_problems(obj)
        errors += self._embedded(obj)
        errors += custom_lists.duplicates(obj, self.root)
        return errors + self._rule_problems(ctx, errors, obj, None)

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        meta = [e for e in objectmeta.meta_update_problems(obj, old) if not _kube_finalizer(e)]
        errors = self._type_problems(obj)
        if not errors:
            errors = list(meta)
            errors += custom_values.problems(obj, self.root, old)
            errors += self._scale_problems(obj)
        errors += self._embedded(obj)
        if self.root.unique and not custom_lists.duplicates(old, self.root):
            errors += custom_lists.duplicates(obj, self.root)
        return meta + errors + self._rule_problems(ctx, errors, obj, old)

    def _type_problems(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for field, expected in (("kind", self.kind), ("apiVersion", self.api_version)):
            if obj.get(field) != expected:
                errors.append(err.invalid(field, obj.get(field) or "", f"must be {expected}"))
        return errors

    def _embedded(self, obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for path, part in custom_lists.embedded_objects(obj, self.root):
            errors += custom_lists.type_problems(part, path)
            meta = part.get("metadata")
            if isinstance(meta, dict):
                given = {"metadata": {"name": "x", "namespace": "x", **meta}}
                errors += objectmeta.meta_problems(given, True, names.is_path_segment, f"{path}.metadata")
        return errors

    def _rule_problems(self, ctx: WriteContext, errors: list[FieldError], obj: Object, old: Object | None) -> list[FieldError]:
        if self._load_rules is None:
            return []
        if any(e.reason in _BLOCKING for e in errors):
            return [err.invalid(custom_values.NO_PATH, None, _NOT_CHECKED)]
        if self._rules is None:
            self._rules = self._load_rules()
        return self._rules.problems(obj, old, ctx.warnings)


def _kube_finalizer(error: FieldError) -> bool:
    """Custom resources may have finalizers that built-in kinds may not; the server warns instead."""
    return error.path.startswith("metadata.finalizers[")


def _desired(obj: Object, has_status: bool) -> dict[str, Any]:
    apart = ("metadata", "status") if has_status else ("metadata",)
    return {key: value for key, value in obj.items() if key not in apart}


def _keep_all_but_status(obj: Object, old: Object) -> None:
    """/status changes status and managedFields, and nothing else."""
    status, managed = obj.get("status"), obj["metadata"].get("managedFields")
    obj.clear()
    obj.update(old)
    obj["metadata"] = {k: v for k, v in old["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    if managed:
        obj["metadata"]["managedFields"] = managed
    if status is None:
        obj.pop("status", None)
    else:
        obj["status"] = status
