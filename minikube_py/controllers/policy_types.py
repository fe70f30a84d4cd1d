"""CEL types of what a policy is about, from the OpenAPI v3 documents of the server: for type checking, never for judging requests.

Source: k8s.io/apiserver's pkg/cel/openapi (resolver, SchemaDeclType).
"""

from __future__ import annotations

from typing import Any

from minikube_api.cel import types
from minikube_api.cel.types import Field, Type
from minikube_api.schema.custom_types import escaped

Tree = dict[str, Any]

_SCALARS = {"boolean": types.BOOL, "integer": types.INT, "number": types.DOUBLE, "string": types.STRING}
_FORMATS = {
    "int-or-string": types.DYN, "date-time": types.TIMESTAMP, "date": types.TIMESTAMP, "duration": types.DURATION, "byte": types.BYTES,
}  # fmt: skip


class Document:
    """The schemas of one group version."""

    def __init__(self, document: Tree) -> None:
        self._schemas: Tree = (document.get("components") or {}).get("schemas") or {}
        self._made: dict[str, Type] = {}

    def kind(self, group: str, version: str, kind: str) -> Type | None:
        """The type of a kind's objects; None when the document does not know it."""
        wanted = {"group": group, "version": version, "kind": kind}
        for name, schema in self._schemas.items():
            if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
                return self._named(name)
        return None

    def _named(self, name: str) -> Type:
        known = self._made.get(name)
        if known is not None:
            return known
        schema = self._schemas.get(name)
        if schema is None:
            return types.DYN
        if schema.get("properties") is None:
            made = self._made[name] = self._type(schema)
            return made
        # schemas may hold themselves: the type is known before its fields are
        fields: dict[str, Field] = {}
        made = self._made[name] = Type("object", name, fields=fields)
        self._fill(fields, schema)
        return made

    def _fill(self, fields: dict[str, Field], schema: Tree) -> None:
        for name, part in (schema.get("properties") or {}).items():
            if (plain := escaped(name)) is not None:
                fields[plain] = Field(self._type(part), name)

    def _type(self, schema: Tree) -> Type:
        if (together := schema.get("allOf")) and len(together) == 1:
            return self._type(together[0])
        if "$ref" in schema:
            return self._named(schema["$ref"].rpartition("/")[2])
        if schema.get("x-kubernetes-int-or-string"):
            return types.DYN
        kind = schema.get("type")
        if kind == "array":
            return types.list_of(self._type(schema.get("items") or {}))
        if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            return types.map_of(types.STRING, self._type(schema["additionalProperties"]))
        if kind == "object" and schema.get("properties"):
            fields: dict[str, Field] = {}
            self._fill(fields, schema)
            return Type("object", "object", fields=fields)
        if kind == "string" and schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        return _SCALARS.get(kind or "", types.DYN)
