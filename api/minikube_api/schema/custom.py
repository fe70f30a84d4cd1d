"""The schema of a custom resource: a version's openAPIV3Schema compiled into nodes that pruning, defaulting and validation walk.

Neighbours: `custom_pruning`, `custom_defaulting`, `custom_values`, `custom_lists`, `custom_rules` walk `Structural` nodes;
`schema_of` gives the `Schema` that apply and managed fields work with. Sources: the documentation's "Specifying a structural
schema" and apiextensions-apiserver's schema package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minikube_api.schema import builtin
from minikube_api.schema.model import Schema

Tree = dict[str, Any]

OBJECT_META = "apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(slots=True, eq=False)
class Structural:
    """One node. `raw` is the schema as the CRD holds it: value validation reads its keywords."""

    raw: Tree
    type: str = ""
    properties: dict[str, Structural] = field(default_factory=dict)
    items: Structural | None = None
    #: additionalProperties with a schema; `open_map` is `additionalProperties: true`
    values: Structural | None = None
    open_map: bool = False
    preserve: bool = False
    embedded: bool = False
    int_or_string: bool = False
    nullable: bool = False
    has_default: bool = False
    default: Any = None
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    rules: tuple[Tree, ...] = ()
    #: whether the node or something below it has defaults, list invariants, embedded objects, rules: walks skip what has none
    fills: bool = False
    unique: bool = False
    embeds: bool = False
    ruled: bool = False

    @property
    def correlates(self) -> bool:
        """Whether items of this list have an identity across versions of the object."""
        return self.list_type == "map"


def structural(raw: Mapping[str, Any] | None) -> Structural:
    """Compile an openAPIV3Schema (with the form that validation of the CRD let through)."""
    tree: Tree = dict(raw or {})
    node = Structural(tree, tree.get("type") or "")
    node.preserve = bool(tree.get("x-kubernetes-preserve-unknown-fields"))
    node.embedded = bool(tree.get("x-kubernetes-embedded-resource"))
    node.int_or_string = bool(tree.get("x-kubernetes-int-or-string"))
    node.nullable = bool(tree.get("nullable"))
    node.has_default = tree.get("default") is not None
    node.default = tree.get("default")
    node.list_type = tree.get("x-kubernetes-list-type") or ""
    node.list_keys = tuple(tree.get("x-kubernetes-list-map-keys") or ())
    node.map_type = tree.get("x-kubernetes-map-type") or ""
    node.rules = tuple(tree.get("x-kubernetes-validations") or ())
    node.properties = {name: structural(part) for name, part in (tree.get("properties") or {}).items()}
    items = tree.get("items")
    if isinstance(items, dict):
        node.items = structural(items)
    more = tree.get("additionalProperties")
    if isinstance(more, dict):
        node.values = structural(more)
    else:
        node.open_map = more is True
    below = [*node.properties.values(), *(part for part in (node.items, node.values) if part is not None)]
    node.fills = any(part.has_default or part.fills or not part.nullable for part in below)
    node.unique = node.list_type in ("set", "map") or any(part.unique for part in below)
    node.embeds = node.embedded or any(part.embeds for part in below)
    node.ruled = bool(node.rules) or any(part.ruled for part in below)
    return node


def schema_of(root: Structural) -> Schema:
    """The `Schema` of a whole custom resource: what apply, managed fields and typed comparison walk."""
    schema = _schema(root)
    schema.type = "object"
    schema.fields = {
        **schema.fields,
        "apiVersion": Schema("string"),
        "kind": Schema("string"),
        "metadata": builtin.definition(OBJECT_META),
    }
    return schema


def _schema(node: Structural) -> Schema:
    kind: Any = node.type
    if node.int_or_string:
        kind = "int-or-string"
    elif node.type == "object" and not node.properties and (node.values is not None or node.open_map):
        kind = "map"
    elif not node.type:
        kind = "object" if node.embedded or node.properties else "any"
    schema = Schema(kind)
    schema.fields = {name: _schema(part) for name, part in node.properties.items()}
    schema.items = _schema(node.items) if node.items is not None else (Schema("any") if kind == "array" else None)
    schema.values = _schema(node.values) if node.values is not None else (Schema("any") if kind == "map" else None)
    schema.required = frozenset(node.raw.get("required") or ())
    schema.format = node.raw.get("format") or ""
    schema.default = node.default
    schema.nullable = node.nullable
    schema.list_type = node.list_type  # type: ignore[assignment]
    schema.list_map_keys = node.list_keys
    schema.map_type = node.map_type  # type: ignore[assignment]
    schema.preserve_unknown = node.preserve
    schema.embedded_resource = node.embedded
    schema.description = node.raw.get("description") or ""
    return schema


def child_path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def correlated_item(node: Structural, item: Any, old: Any) -> Any:
    """The item of the old list with the same keys; None when there is none or items have no identity."""
    if not node.correlates or not isinstance(old, list) or not isinstance(item, dict):
        return None
    key = tuple(item.get(name) for name in node.list_keys)
    for candidate in old:
        if isinstance(candidate, dict) and tuple(candidate.get(name) for name in node.list_keys) == key:
            return candidate
    return None
