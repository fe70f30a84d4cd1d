"""Schemas of an OpenAPI document: the built-in definitions from the table, those of custom resources from their CRDs.

Two dialects: `v3` (components/schemas: references in allOf, defaults) and `v2` (definitions: a reference with siblings, no
defaults, no nullable, no oneOf). kubectl reads merge keys, patch strategies, GVKs and descriptions out of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from minikube_api.schema import builtin

Dialect = Literal["v2", "v3"]
Tree = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SELF_DESCRIBED: dict[str, dict[Dialect, Tree]] = {
    "quantity": {"v2": {"type": "string"}, "v3": {"oneOf": [{"type": "string"}, {"type": "number"}]}},
    "int-or-string": {
        "v2": {"type": "string", "format": "int-or-string"},
        "v3": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    },
    "time": {"v2": {"type": "string", "format": "date-time"}, "v3": {"type": "string", "format": "date-time"}},
    "microtime": {"v2": {"type": "string", "format": "date-time"}, "v3": {"type": "string", "format": "date-time"}},
    "any": {"v2": {"type": "object"}, "v3": {"type": "object"}},
}
#: definitions of any JSON value: no type at all
_ANY_VALUE = frozenset(
    _APIEXTENSIONS + name for name in ("JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray")
)
#: keywords of a CRD's schema that OpenAPI v2 cannot say
_NOT_IN_V2 = ("oneOf", "anyOf", "allOf", "not", "nullable", "default", "x-kubernetes-validations")
#: what an OpenAPI v2 reader takes for all there may be
_CHILDREN = ("properties", "items")
#: what an OpenAPI v2 reader would hold against values of an undecided type
_TYPE_KEYWORDS = ("type", "properties", "items", "additionalProperties", "required")


def reference(name: str, dialect: Dialect) -> Tree:
    return {"$ref": f"#/{'definitions' if dialect == 'v2' else 'components/schemas'}/{name}"}


def definitions(roots: Iterable[str], dialect: Dialect) -> dict[str, Tree]:
    """The built-in definitions `roots` and all that they reach, by name."""
    found: dict[str, Tree] = {}
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name in found:
            continue
        facts = builtin.facts(name)
        found[name] = _definition(name, facts, dialect)
        queue.extend(_targets(facts))
    return dict(sorted(found.items()))


def _targets(facts: Tree) -> Iterable[str]:
    for spec in facts.get("f", {}).values():
        while isinstance(spec, dict) and ("i" in spec or "v" in spec):
            spec = spec.get("i", spec.get("v"))
        kind = spec if isinstance(spec, str) else spec["t"]
        if kind[0] == "@":
            yield "io.k8s." + kind[1:]


def _definition(name: str, facts: Tree, dialect: Dialect) -> Tree:
    texts = builtin.descriptions(name)
    schema: Tree = {"description": texts[""]} if texts.get("") else {}
    if "t" in facts:
        return schema if name in _ANY_VALUE else schema | _SELF_DESCRIBED[facts["t"]][dialect]
    schema["type"] = "object"
    if required := facts.get("q"):
        schema["required"] = required
    zeros = facts.get("a", {})
    properties: Tree = {}
    for field, spec in facts["f"].items():
        part = _field(spec, dialect, zeros.get(field))
        text = texts.get(field)
        properties[field] = part | {"description": text} if text else _only_reference(part)
    if properties:
        schema["properties"] = dict(sorted(properties.items()))
    if gvks := facts.get("k"):
        schema["x-kubernetes-group-version-kind"] = [gvk_tree(*gvk) for gvk in gvks]
    if map_type := facts.get("mt"):
        schema["x-kubernetes-map-type"] = map_type
    if unions := facts.get("un"):
        schema["x-kubernetes-unions"] = unions
    return schema


def gvk_tree(group: str, version: str, kind: str) -> Tree:
    return {"group": group, "kind": kind, "version": version}


_EXTENSIONS = {
    "lt": "x-kubernetes-list-type",
    "lk": "x-kubernetes-list-map-keys",
    "mt": "x-kubernetes-map-type",
    "ps": "x-kubernetes-patch-strategy",
    "pk": "x-kubernetes-patch-merge-key",
}


def _field(spec: str | Tree, dialect: Dialect, zero: Any, *, element: bool = False) -> Tree:
    """`zero` is what Go writes for an absent field: OpenAPI v3 calls it the default."""
    facts: Tree = {"t": spec} if isinstance(spec, str) else spec
    kind: str = facts["t"]
    if kind[0] == "@":
        target = reference("io.k8s." + kind[1:], dialect)
        part: Tree = dict(target) if dialect == "v2" else {"allOf": [target]}
        if element or isinstance(zero, dict):
            zero = {} if "f" in builtin.facts("io.k8s." + kind[1:]) else None
    else:
        part = _inline(kind)
        zero = _ELEMENT_ZERO.get(part.get("type", "")) if element else zero
    if "i" in facts:
        part["items"] = _only_reference(_field(facts["i"], dialect, None, element=True))
    if "v" in facts:
        part["additionalProperties"] = _only_reference(_field(facts["v"], dialect, None, element=True))
    for key, extension in _EXTENSIONS.items():
        if key in facts:
            part[extension] = facts[key]
    if dialect == "v3":
        if "e" in facts:
            part["enum"] = facts["e"]
        default = facts.get("d", zero)
        if default is not None:
            part["default"] = {} if isinstance(default, dict) else default
    return part


_ELEMENT_ZERO = {"string": "", "integer": 0, "number": 0, "boolean": False}


def _only_reference(part: Tree) -> Tree:
    return part["allOf"][0] if len(part) == 1 and "allOf" in part else part


def _inline(kind: str) -> Tree:
    if kind == "bytes":
        return {"type": "string", "format": "byte"}
    if kind in ("map", "any"):
        return {"type": "object"}
    base, _, form = kind.partition("/")
    return {"type": base, "format": form} if form else {"type": base}


# ---- custom resources


def custom_name(group: str, version: str, kind: str) -> str:
    """`stable.example.com`, `v1`, `CronTab` -> `com.example.stable.v1.CronTab`."""
    return ".".join([*reversed(group.split(".")), version, kind])


def custom_definitions(group: str, version: str, kind: str, schema: Tree, dialect: Dialect) -> dict[str, Tree]:
    """The definitions of a custom resource and its list; `schema` is the version's openAPIV3Schema as the CRD holds it."""
    name = custom_name(group, version, kind)
    own = _custom(schema, dialect)
    meta_texts = builtin.descriptions(META + "Status")
    if dialect == "v2" and own.get("x-kubernetes-preserve-unknown-fields"):
        own = {}  # properties beside open ones would make readers of v2 take those for all
    else:
        properties = dict(own.get("properties", {}))
        properties["apiVersion"] = {"type": "string", "description": meta_texts["apiVersion"]}
        properties["kind"] = {"type": "string", "description": meta_texts["kind"]}
        properties["metadata"] = _described(reference(META + "ObjectMeta", dialect), dialect, _METADATA_TEXT)
        own["properties"] = properties
    own.setdefault("type", "object")
    own["x-kubernetes-group-version-kind"] = [gvk_tree(group, version, kind)]
    many = {
        "description": f"{kind}List is a list of {kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": meta_texts["apiVersion"]},
            "kind": {"type": "string", "description": meta_texts["kind"]},
            "metadata": _described(reference(META + "ListMeta", dialect), dialect, "Standard list metadata."),
            "items": {"type": "array", "description": f"List of {name}.", "items": reference(name, dialect)},
        },
        "x-kubernetes-group-version-kind": [gvk_tree(group, version, f"{kind}List")],
    }
    return {name: own, f"{name}List": many}


_METADATA_TEXT = (
    "Standard object's metadata. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


def _described(target: Tree, dialect: Dialect, text: str) -> Tree:
    return {**target, "description": text} if dialect == "v2" else {"allOf": [target], "description": text}


def _custom(schema: Any, dialect: Dialect) -> Any:
    """A copy of a CRD's schema in the dialect."""
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    if dialect == "v2":
        is_untyped = out.get("x-kubernetes-int-or-string") or out.get("nullable")
        is_open = out.get("x-kubernetes-preserve-unknown-fields")
        left_out = _TYPE_KEYWORDS if is_untyped else _CHILDREN if is_open else ()
        for keyword in (*_NOT_IN_V2, *left_out):
            out.pop(keyword, None)
    if isinstance(out.get("properties"), dict):
        out["properties"] = {field: _custom(part, dialect) for field, part in out["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in out:
            out[keyword] = _custom(out[keyword], dialect)
    return out
