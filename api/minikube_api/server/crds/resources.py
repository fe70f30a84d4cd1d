"""From a CustomResourceDefinition to the `Resource` records of its served versions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from minikube_api.meta import durations, times
from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.resources.resource import Column, Object, Resource, Subresource
from minikube_api.schema import builtin, custom, custom_pruning, jsonpaths
from minikube_api.schema.custom import Structural, structural
from minikube_api.schema.model import Schema
from minikube_api.server.crds.strategy import CustomStrategy, Rules
from minikube_api.server.discovery import version_priority

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")

#: makes an object of another version: (objects' tree, api version) -> tree, perhaps awaitable (webhook)
Converter = Callable[[Object, str], Any]


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where replicas and selector stand, as JSON paths without the leading dot."""

    spec: str
    status: str
    selector: str = ""


@dataclass(frozen=True, kw_only=True)
class CustomResource(Resource):
    """A served version of a custom resource. `custom` tells the server's other rooms that objects are unstructured."""

    root: Structural
    #: stored trees to this version's, in one request of a webhook; None when each is converted by itself
    from_storage_many: Callable[[Sequence[Object]], Awaitable[list[Object]]] | None = None

    @cached_property
    def compiled(self) -> Schema:
        return custom.schema_of(self.root)


def custom_resources(definition: Object, convert: Converter, load_rules: Callable[[Structural], Rules]) -> list[CustomResource]:
    """The records of all served versions."""
    spec = definition["spec"]
    accepted = {**spec["names"], **{k: v for k, v in (definition.get("status") or {}).get("acceptedNames", {}).items() if v}}
    versions = spec.get("versions") or []
    storage = next(v for v in versions if v.get("storage"))
    roots = {v["name"]: structural((v.get("schema") or {}).get("openAPIV3Schema")) for v in versions}
    made = []
    for version in versions:
        if version.get("served"):
            made.append(_resource(definition, spec, accepted, version, storage, roots, convert, load_rules))
    lookup = {r.api_version: _compiler(r) for r in made}
    return [replace(r, schemas=lookup) for r in made]


def _compiler(resource: CustomResource) -> Callable[[], Schema]:
    return lambda: resource.compiled


def _resource(
    definition: Object,
    spec: Object,
    accepted: Object,
    version: Object,
    storage: Object,
    roots: dict[str, Structural],
    convert: Converter,
    load_rules: Callable[[Structural], Rules],
) -> CustomResource:
    group, name, kind = spec["group"], version["name"], accepted["kind"]
    api_version = f"{group}/{name}"
    root, stored_root = roots[name], roots[storage["name"]]
    subresources = version.get("subresources") or {}
    scale = _scale(subresources.get("scale"))
    namespaced = spec["scope"] == "Namespaced"
    columns, cells = _columns(version.get("additionalPrinterColumns"))
    selected = _selectable([v for v in spec["versions"] if v.get("selectableFields")])
    own = [f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()]
    made: list[CustomResource] = []

    def load_schema() -> Schema:
        return made[0].compiled if made else custom.schema_of(root)

    served = [v for v in spec["versions"] if v.get("served")]
    as_stored = name == storage["name"] and definition["metadata"].get("generation") == 1 and len(served) == 1
    written = {f"{group}/{known}": known_root for known, known_root in roots.items()}
    reading = None if as_stored else _reader(written, stored_root, api_version, root, convert)
    reading_many = None if as_stored else _reader_of_many(written, stored_root, api_version, root, convert)
    writing = None if as_stored else _converter(f"{group}/{storage['name']}", stored_root, convert)
    resource = CustomResource(
        group=group,
        version=name,
        kind=kind,
        plural=accepted["plural"],
        singular=accepted.get("singular") or kind.lower(),
        list_kind=accepted.get("listKind") or f"{kind}List",
        custom=True,
        namespaced=namespaced,
        verbs=VERBS,
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        subresources=_subresources(group, name, kind, subresources),
        strategy=CustomStrategy(
            root,
            kind=kind,
            api_version=api_version,
            namespaced=namespaced,
            has_status="status" in subresources,
            load_rules=(lambda: load_rules(root)) if root.ruled else None,
            scale_problems=_scale_problems(scale),
        ),
        columns=columns,
        cells=cells,
        selectable_fields=selected,
        selectable_names=frozenset(own),
        field_label_message=_label_message(own),
        deprecation_warning=_deprecation(spec, version, kind),
        storage_prefix=f"/registry/{spec['names']['plural']}.{group}/",
        storage_version=(group, storage["name"]),
        to_storage=writing,
        from_storage=reading,
        from_storage_many=reading_many,
        load_schema=load_schema,
        root=root,
        terminating=bool(definition["metadata"].get("deletionTimestamp")),
        scale_paths=scale,
    )
    made.append(resource)
    return resource


def _label_message(own: list[str]) -> str:
    if not own:
        return ""
    listed = ", ".join(f'"{name}"' for name in ["metadata.name", "metadata.namespace", *own])
    return f'"{{}}" is not a known field selector: only {listed}'


def _reader(
    written: dict[str, Structural], stored_root: Structural, api_version: str, root: Structural, convert: Converter
) -> Converter:
    """What a read does: prune and default by the version it was written in, convert, prune by the version asked for."""

    def read(tree: Object) -> Any:
        own = written.get(tree["apiVersion"], stored_root)
        custom_pruning.prune(tree, own)
        custom_pruning.fill(tree, own)
        if tree["apiVersion"] == api_version:
            return tree
        converted = convert(tree, api_version)
        if isinstance(converted, dict):
            custom_pruning.prune(converted, root)
            return converted

        async def finish() -> Object:
            made: Object = await converted
            custom_pruning.prune(made, root)
            return made

        return finish()

    return read  # type: ignore[return-value]


def _reader_of_many(
    written: dict[str, Structural], stored_root: Structural, api_version: str, root: Structural, convert: Converter
) -> Callable[[Sequence[Object]], Awaitable[list[Object]]] | None:
    many = getattr(convert, "many", None)
    if many is None:
        return None

    async def read(trees: Sequence[Object]) -> list[Object]:
        for tree in trees:
            own = written.get(tree["apiVersion"], stored_root)
            custom_pruning.prune(tree, own)
            custom_pruning.fill(tree, own)
        made: list[Object] = await many(trees, api_version)
        for tree in made:
            custom_pruning.prune(tree, root)
        return made

    return read


def _converter(stored_as: str, stored_root: Structural, convert: Converter) -> Any:
    def write(tree: Object) -> Any:
        if tree["apiVersion"] == stored_as:
            return tree
        converted = convert(tree, stored_as)
        if isinstance(converted, dict):
            custom_pruning.prune(converted, stored_root)
            return converted

        async def finish() -> Object:
            made: Object = await converted
            custom_pruning.prune(made, stored_root)
            return made

        return finish()

    return write


def _subresources(group: str, version: str, kind: str, given: Object) -> dict[str, Subresource]:
    found: dict[str, Subresource] = {}
    if "status" in given:
        found["status"] = Subresource(name="status", kind=kind, group=group, version=version, verbs=STATUS_VERBS)
    if given.get("scale"):
        found["scale"] = Subresource(name="scale", kind="Scale", group="autoscaling", version="v1", verbs=STATUS_VERBS)
    return found


def _scale(given: Object | None) -> ScalePaths | None:
    if not given:
        return None
    selector = (given.get("labelSelectorPath") or "").lstrip(".")
    return ScalePaths(given["specReplicasPath"].lstrip("."), given["statusReplicasPath"].lstrip("."), selector)


_MAX_INT32 = 2**31 - 1


def _scale_problems(scale: ScalePaths | None) -> Callable[[Object], list[FieldError]]:
    if scale is None:
        return lambda obj: []

    def check(obj: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        for path in (scale.spec, scale.status):
            value, why = accessed(obj, path, "int64")
            if why:
                errors.append(err.invalid(f".{path}", 0, why))
            elif value is None:
                continue
            elif value < 0:
                errors.append(err.invalid(f".{path}", value, "should be a non-negative integer"))
            elif value > _MAX_INT32:
                errors.append(err.invalid(f".{path}", value, f"should be less than or equal to {_MAX_INT32}"))
        if scale.selector:
            _, why = accessed(obj, scale.selector, "string")
            if why:
                errors.append(err.invalid(f".{scale.selector}", "", why))
        return errors

    return check


_GO_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"), (list, "[]interface {}"), (dict, "map[string]interface {}"),
)  # fmt: skip


def accessed(obj: Any, path: str, wanted: str) -> tuple[Any, str]:
    """(value at a dotted path, why it can't be had), the value None when it is not there (unstructured.NestedInt64, NestedString)."""
    parts = path.split(".")
    value = obj
    for i, part in enumerate(parts):
        if value is None:
            return None, ""
        if not isinstance(value, dict):
            return None, _accessor_problem(parts[: i + 1], value, "map[string]interface{}")
        if part not in value:
            return None, ""
        value = value[part]
    if _go_type(value) != wanted:
        return None, _accessor_problem(parts, value, wanted)
    return value, ""


def _go_type(value: Any) -> str:
    return next((name for python, name in _GO_TYPES if isinstance(value, python)), "<nil>")


def _accessor_problem(parts: list[str], value: Any, wanted: str) -> str:
    text = "<nil>" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f".{'.'.join(parts)} accessor error: {text} is of the type {_go_type(value)}, expected {wanted}"


def _deprecation(spec: Object, version: Object, kind: str) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning") is not None:
        return str(version["deprecationWarning"])
    text = f"{spec['group']}/{version['name']} {kind} is deprecated"
    better = [
        v["name"]
        for v in spec["versions"]
        if v.get("served") and not v.get("deprecated") and version_priority(v["name"]) < version_priority(version["name"])
    ]
    if better:
        text += f"; use {spec['group']}/{min(better, key=version_priority)} {kind}"
    return text


def _selectable(versions: list[Object]) -> Callable[[Object], dict[str, str]]:
    paths = {f["jsonPath"].lstrip("."): jsonpaths.parse(f["jsonPath"]) for v in versions for f in v["selectableFields"]}
    if not paths:
        return lambda obj: {}
    return lambda obj: {name: _selected(find(obj)) for name, find in paths.items()}


def _selected(found: list[Any]) -> str:
    if not found or found[0] is None:
        return ""
    value = found[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# ---- Tables


def _meta_text(name: str) -> str:
    return str(builtin.descriptions("io.k8s." + custom.OBJECT_META).get(name, ""))


def _columns(given: list[Object] | None) -> tuple[tuple[Column, ...], Callable[[Object, float], list[Any]]]:
    """Columns and cells: the name, then the definition's columns, or the age when it names none."""
    listed: list[Object] = given or [
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": None}
    ]
    columns = [Column("Name", "string", "name", 0, lambda: _meta_text("name"))]
    finders: list[tuple[jsonpaths.Path, str]] = []
    for column in listed:
        where = column["jsonPath"]
        try:
            find = jsonpaths.parse(where)
        except jsonpaths.PathProblem:
            # as the real one: what stands before a path that can't be read is shown
            break
        text: Any = column.get("description") or f"Custom resource definition column (in JSONPath format): {where}"
        if not given:
            text = lambda: _meta_text("creationTimestamp")  # noqa: E731
        columns.append(Column(column["name"], column["type"], column.get("format") or "", column.get("priority") or 0, text))
        finders.append((find, column["type"]))

    def cells(obj: Object, now: float) -> list[Any]:
        row: list[Any] = [obj["metadata"].get("name", "")]
        for find, kind in finders:
            found = find(obj)
            row.append(cell(kind, found[0], now) if found else None)
        return row

    return tuple(columns), cells


def cell(kind: str, value: Any, now: float) -> Any:
    """A value as a cell of a column's type; None when it is of another."""
    if value is None:
        return None
    if kind == "integer":
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        if not isinstance(value, str):
            return None
        if value in ("", "null"):
            return "<unknown>"
        try:
            return durations.human(now - times.parse(value))
        except ValueError:
            return "<invalid>"
    return text_of(value)


def text_of(value: Any) -> str:
    """A value as client-go's JSON path printer writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return err.go_json(value)
    return str(value)
