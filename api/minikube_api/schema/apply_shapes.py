"""A `Schema` as server-side apply sees it: what is a leaf, what is walked, and how list items are told apart.

Compiled once a schema node and kept, because every write walks it. Source: how apimachinery's managedfields converts OpenAPI to
structured-merge-diff's schema (atomic by default for lists, granular for maps; merge keys where list types are not declared).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from minikube_api.schema import apply_sets, builtin
from minikube_api.schema.model import Schema

Kind = Literal["scalar", "atomic", "struct", "map", "keyed", "set", "any"]

_MISSING = object()
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SCALAR = Schema("string")


_ANY_SCALAR = frozenset((str, int, float, bool))
_SCALARS: dict[str, frozenset[type]] = {
    "integer": frozenset((int, float)),
    "number": frozenset((int, float)),
    "string": frozenset((str,)),
    "bytes": frozenset((str,)),
    "boolean": frozenset((bool,)),
}


class ItemError(ValueError):
    """A list item that has no path element; the text is structured-merge-diff's."""


class Shape:
    """One node. `walked` says whether anything below it can be owned on its own."""

    __slots__ = ("_fields", "_items", "_values", "container", "defaults", "keys", "kind", "open", "scalars", "schema", "walked")

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.kind: Kind = _kind(schema)
        #: "map" or "list" where JSON must have one, "" for scalars and what may be anything
        self.container = {"object": "map", "map": "map", "array": "list"}.get(schema.type, "")
        self.walked = self.kind not in ("scalar", "atomic")
        #: the Python types of a scalar's values; None for containers and what may be anything
        self.scalars = _SCALARS.get(schema.type, _ANY_SCALAR) if self.kind == "scalar" else None
        #: whether names that are not fields are allowed
        self.open = schema.type == "map" or (schema.type == "object" and (schema.preserve_unknown or schema.values is not None))
        self.keys: tuple[str, ...] = ()
        self.defaults: dict[str, Any] = {}
        self._fields: dict[str, tuple[str, Shape]] = {}
        self._items: Shape | None = None
        self._values: Shape | None = None
        if self.kind == "keyed":
            self.keys = tuple(sorted(schema.list_map_keys or (schema.patch_merge_key,)))
            self.defaults = _key_defaults(schema.items, self.keys)

    @property
    def items(self) -> Shape:
        if self._items is None:
            self._items = shape_of(self.schema.items) if self.schema.items is not None else ANY
        return self._items

    @property
    def values(self) -> Shape:
        """What stands under a name that is not a field."""
        if self._values is None:
            self._values = shape_of(self.schema.values) if self.schema.values is not None else ANY
        return self._values

    def is_field(self, name: str) -> bool:
        return name in self.schema.fields or (self.schema.embedded_resource and name in ("apiVersion", "kind", "metadata"))

    def child(self, name: str) -> tuple[str, Shape]:
        """The path element and the shape of what stands under `name`."""
        found = self._fields.get(name)
        if found is None:
            node = self.schema.fields.get(name)
            if node is None and self.schema.embedded_resource:
                node = _embedded(name)
            if node is None:
                # not kept: the names of maps are without end
                return "f:" + name, self.values
            found = self._fields[name] = ("f:" + name, shape_of(node))
        return found

    def item_element(self, item: Any) -> str:
        """The path element of an item of a keyed list or a set. Raises ItemError."""
        if self.kind == "set":
            return _set_element(item)
        if not isinstance(item, dict):
            raise ItemError(
                "associative list with keys may not have " + ("a null element" if item is None else "non-map elements")
            )
        keys = self.keys
        if len(keys) == 1:
            value = item.get(keys[0], _MISSING)
            if type(value) is str:
                return apply_sets.key_element(keys, value)
        values = {name: self._key(item, name) for name in keys}
        known = tuple(name for name in keys if values[name] is not _MISSING)
        if not known:
            listed = " ".join(f'"{name}"' for name in keys)
            raise ItemError(
                f"associative list with keys has an element that omits all key fields [{listed}] "
                "(and doesn't have default values for any key fields)"
            )
        return apply_sets.key_element(known, *(values[name] for name in known))

    def _key(self, item: dict[str, Any], name: str) -> Any:
        value = item.get(name, _MISSING)
        if value is _MISSING:
            value = self.defaults.get(name, _MISSING)
        if isinstance(value, dict | list):
            raise ItemError(f'associative list with keys has an element whose key field "{name}" is no scalar')
        return value


def _set_element(item: Any) -> str:
    if isinstance(item, dict):
        raise ItemError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise ItemError("not supported: associative list with lists as elements")
    if item is None:
        raise ItemError("associative list without keys has an element that's an explicit null")
    return apply_sets.value_element(item)


def _kind(schema: Schema) -> Kind:
    match schema.type:
        case "any":
            return "any"
        case "object" | "map":
            if schema.map_type == "atomic":
                return "atomic"
            return "map" if schema.type == "map" else "struct"
        case "array":
            if schema.list_type == "map":
                return "keyed"
            if schema.list_type == "set":
                return "set"
            if not schema.list_type and "merge" in schema.patch_strategy:
                return "keyed" if schema.patch_merge_key else "set"
            return "atomic"
    return "scalar"


def _key_defaults(items: Schema | None, keys: tuple[str, ...]) -> dict[str, Any]:
    """Defaults of key fields: declared ones, and the zero value of fields that Go always writes."""
    defaults: dict[str, Any] = {}
    for name in keys:
        node = items.fields.get(name) if items is not None else None
        if node is not None and node.default is not None:
            defaults[name] = node.default
        elif items is not None and items.always.get(name) is not None:
            defaults[name] = items.always[name]
    return defaults


def _embedded(name: str) -> Schema | None:
    if name == "metadata":
        return builtin.definition(_OBJECT_META)
    return _SCALAR if name in ("apiVersion", "kind") else None


@lru_cache(maxsize=4096)
def shape_of(schema: Schema) -> Shape:
    return Shape(schema)


@lru_cache(maxsize=1024)
def root_shape(schema: Schema) -> Shape:
    """The shape of a whole object: custom resources' schemas need not say what apiVersion, kind and metadata are."""
    if schema.type == "object" and not {"apiVersion", "kind", "metadata"} <= schema.fields.keys():
        fields = dict(schema.fields)
        for name in ("apiVersion", "kind", "metadata"):
            node = _embedded(name)
            if node is not None and (name not in fields or not fields[name].fields):
                fields[name] = node
        schema = Schema(
            "object", fields=fields, values=schema.values, map_type=schema.map_type, preserve_unknown=schema.preserve_unknown
        )
    return Shape(schema)


ANY = Shape(Schema("any"))
