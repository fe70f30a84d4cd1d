"""The common part of every kind's strategy: metadata, generation, the split between spec and status.

A kind's own module overrides the small hooks (`defaults`, `validate`, `validate_change`, `validate_status`...) and states its
rules as class attributes. Everything works in place on JSON trees of the storage version; `old` is never modified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minikube_api.meta import names
from minikube_api.meta.errors import FieldError
from minikube_api.resources import objectmeta
from minikube_api.resources.resource import Object, Strategy, WriteContext


class KindStrategy(Strategy):
    """A kind without rules of its own beyond metadata; subclasses say what more there is."""

    name_problems = staticmethod(names.is_dns_subdomain)
    namespaced = True
    #: metadata.generation is 1 on create and grows with each change of `spec_fields`
    tracks_generation = False
    #: top-level fields that are the desired state
    spec_fields: tuple[str, ...] = ("spec",)
    #: what `status` is on a new object; None: the kind has no status of its own to drop
    empty_status: Mapping[str, Any] | None = None
    #: what happens to metadata on /status: "keep" the request's, or "reset" labels, annotations, finalizers and owners to the old ones
    status_metadata = "keep"
    #: fields beside `spec_fields` that a manager never comes to own through /status, as fieldsV1 (GetResetFields)
    status_reset_fields: Mapping[str, Any] = {}
    #: by subresource, where a manager never comes to own other fields than status ("") or `spec_fields` ("status")
    reset_fields: Mapping[str, Mapping[str, Any]] = {}

    #: how often an update checks metadata as a change, metadata as a whole, and the object: findings are causes as often
    change_checks = 2
    whole_checks = 0
    object_checks = 1

    # hooks

    def defaults(self, obj: Object) -> None:
        """Kubernetes' defaults of the kind; must be idempotent."""

    def validate(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        """What must hold of the object as it is, on create and update."""
        return []

    def validate_new(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        """What must hold on create only."""
        return []

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """What an update may not change."""
        return []

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        """What must hold of status on /status."""
        return []

    # the Strategy

    def default(self, obj: Object) -> None:
        self.defaults(obj)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        if self.empty_status is not None:
            obj["status"] = _copied(self.empty_status)
        if self.tracks_generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        if ctx.subresource == "status":
            self.keep_all_but_status(obj, old)
            return
        if self.empty_status is not None:
            keep(obj, old, "status")
        self.bump_generation(obj, old)

    def keep_all_but_status(self, obj: Object, old: Object) -> None:
        """/status may change status alone, and metadata as `status_metadata` says."""
        for field in self.spec_fields:
            keep(obj, old, field)
        keep(obj["metadata"], old["metadata"], "generation")
        if self.status_metadata == "reset":
            for field in ("labels", "annotations", "finalizers", "ownerReferences"):
                keep(obj["metadata"], old["metadata"], field)

    def bump_generation(self, obj: Object, old: Object) -> None:
        keep(obj["metadata"], old["metadata"], "generation")
        if self.tracks_generation and self.desired_state_changed(obj, old):
            obj["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1

    def desired_state_changed(self, obj: Object, old: Object) -> bool:
        return any(not same(obj.get(field), old.get(field)) for field in self.spec_fields)

    def validate_create(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        errors = objectmeta.meta_problems(obj, self.namespaced, self.name_problems)
        errors += self.validate(ctx, obj)
        return errors + self.validate_new(ctx, obj)

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        if ctx.subresource == "status":
            return objectmeta.update_problems(obj, old) + self.validate_status(ctx, obj, old)
        errors = objectmeta.update_problems(obj, old, changes=self.change_checks, wholes=self.whole_checks, rules=self)
        errors += self.validate(ctx, obj) * self.object_checks
        return errors + self.validate_change(ctx, obj, old)


def keep(obj: Object, old: Object, field: str) -> None:
    """Give a field its old value again, or take it away. The old value is shared, not copied: trees are not modified after this."""
    if field in old:
        obj[field] = old[field]
    else:
        obj.pop(field, None)


def _copied(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _copied(value) for key, value in tree.items()}
    return tree


def same(new: Any, old: Any) -> bool:
    """Go's semantic equality (apiequality.Semantic): an empty list is none, and null is absent."""
    if new == old:
        return True
    if isinstance(new, dict) and isinstance(old, dict):
        return all(same(new.get(key), old.get(key)) for key in new.keys() | old.keys())
    if new and old and isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(same(one, other) for one, other in zip(new, old, strict=True))
    return new in (None, []) and old in (None, [])


def set_default(tree: Object, field: str, value: Any) -> None:
    """Give an absent (or null) field its default."""
    if tree.get(field) is None:
        tree[field] = value
