"""Managed fields of every write: the server's call into `schema.managed`, with the fields each endpoint does not write."""

from __future__ import annotations

from typing import Any

import orjson

from minikube_api.resources import conversions
from minikube_api.resources.resource import Resource
from minikube_api.schema import builtin, managed
from minikube_api.schema.apply_shapes import ItemError
from minikube_api.schema.model import Schema
from minikube_api.server.context import Object

_STATUS: dict[str, Any] = {"f:status": {}}
_ALL_BUT_STATUS: dict[str, Any] = {"f:metadata": {}, "f:spec": {}}


def writer(resource: Resource, manager: str, subresource: str, now: str) -> managed.Writer:
    return managed.Writer(
        manager=manager,
        api_version=resource.api_version,
        schema=resource.schema,
        now=now,
        subresource=subresource,
        reset=reset_fields(resource, subresource),
        versions=_versions(resource) if resource.custom else _built_in_versions(resource),
        kind=resource.kind,
    )


def _versions(resource: Any) -> managed.Versions:
    """Custom resources in the terms of another version: apiVersion renamed. What that version does not know can't be typed there."""

    def converted(obj: Object, version: str) -> tuple[Object, Schema] | None:
        load = resource.schemas.get(version)
        if load is None:
            return None
        schema = load()
        if unknown := [key for key in obj if key not in schema.fields and not schema.preserve_unknown]:
            raise ItemError(f".{unknown[0]}: field not declared in schema")
        return {**obj, "apiVersion": version}, schema

    return converted


def _built_in_versions(resource: Resource) -> managed.Versions:
    """Built-in kinds in the terms of another version: none when there is no such version."""

    def converted(obj: Object, version: str) -> tuple[Object, Schema] | None:
        group, _, name = version.rpartition("/")
        if not builtin.is_kind(group, name, resource.kind):
            return None
        made: Object = orjson.loads(orjson.dumps(obj))
        own_group, _, own_name = made["apiVersion"].rpartition("/")
        for conversion in (
            _conversion(own_group, own_name, resource).to_storage,
            _conversion(group, name, resource).from_storage,
        ):
            made = made if conversion is None else conversion(made)
        return {**made, "apiVersion": version}, builtin.load(group, name, resource.kind)

    return converted


def _conversion(group: str, version: str, resource: Resource) -> conversions.Conversion:
    return conversions.BY_RESOURCE.get((group, version, resource.plural), conversions.IDENTITY)


def reset_fields(resource: Resource, subresource: str) -> dict[str, Any]:
    """What the endpoint resets whatever the body says (the strategy's GetResetFields): nobody comes to own it there."""
    if "status" not in resource.subresources:
        return {}
    strategy: Any = resource.strategy
    if resource.custom:
        # top-level fields of other names are not written by /status either, but count as its writer's
        return _ALL_BUT_STATUS if subresource == "status" else _STATUS
    if (known := strategy.reset_fields.get(subresource)) is not None:
        return known
    if subresource == "status":
        return {**{f"f:{name}": {} for name in strategy.spec_fields}, **strategy.status_reset_fields}
    return _STATUS


def track(resource: Resource, obj: Object, old: Object | None, manager: str, subresource: str, now: str) -> None:
    """Note in `obj` which fields this write took. `old` is None on create."""
    managed.on_update(old, obj, writer(resource, manager, subresource, now))


def apply(
    live: Object | None, applied: Object, resource: Resource, manager: str, subresource: str, now: str, *, force: bool
) -> Object:
    """The object that applying makes, as a tree of its own: the merge shares parts with `live`, `applied` and even the schema."""
    merged = managed.on_apply(live, applied, writer(resource, manager, subresource, now), force=force)
    made: Object = orjson.loads(orjson.dumps(merged))
    return made


def changes_nothing(old: Object, new: Object) -> bool:
    """Whether a write would change nothing but times in managedFields; then `new` gets the old list back."""
    return managed.keep_timestamps(old, new)
