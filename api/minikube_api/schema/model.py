"""The compiled schema of a kind: what decoding, patching, apply, defaulting and validation walk over.

Built-in kinds come from the compact table (`minikube_api.schema.builtin`), custom resources from their OpenAPI v3 schema;
both give these nodes. Nodes are shared and may be recursive (JSONSchemaProps): never modify one after it was published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

NodeType = Literal[
    "object",  # known fields (`fields`)
    "map",  # arbitrary keys, values of `values`
    "array",  # items of `items`
    "string", "integer", "number", "boolean",
    "int-or-string", "quantity", "time", "microtime", "duration", "bytes",
    "any",  # RawExtension, JSON: kept as it is
]  # fmt: skip


@dataclass(slots=True, eq=False)
class Schema:
    """One node. `name` is the Go type of a struct (`DeploymentSpec`), as error messages and OpenAPI name it."""

    type: NodeType
    name: str = ""
    #: OpenAPI definition name of a struct: `io.k8s.api.apps.v1.DeploymentSpec`
    definition: str = ""
    fields: dict[str, Schema] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Schema | None = None
    values: Schema | None = None
    #: integer: int32, int64; string: date-time, byte...; as OpenAPI writes it
    format: str = ""
    #: the Go type where it has a name of its own (`v1.RestartPolicy`, `v1.ResourceList`), as decoding errors print it
    go_type: str = ""
    enum: tuple[str, ...] = ()
    default: Any = None
    nullable: bool = False
    list_type: Literal["", "atomic", "set", "map"] = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: Literal["", "atomic", "granular"] = ""
    #: x-kubernetes-patch-strategy split on commas: merge, replace, retainKeys
    patch_strategy: frozenset[str] = frozenset()
    patch_merge_key: str = ""
    #: fields whose zero value (0, "", false, empty list/map/struct) Go drops when it encodes (`omitempty` on a non-pointer)
    omit_zero: frozenset[str] = frozenset()
    #: fields that Go always writes, with their zero value, when absent (`status: {}`, `strategy: {}`, `containers: null`)
    always: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    preserve_unknown: bool = False
    embedded_resource: bool = False
    #: CRD validations that have no node of their own (pattern, minimum, anyOf, x-kubernetes-validations...), as written
    extra: dict[str, Any] = field(default_factory=dict)
