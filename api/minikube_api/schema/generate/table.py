"""Writes `builtin.jsonl` (fields and facts) and `descriptions.jsonl` (texts), which `minikube_api.schema.builtin` reads.

One definition a line, `NAME<tab>JSON`, names without the leading `io.k8s.`; the first line holds the release, the kinds and their
resources. A field is written as short as its facts allow: `"string"`, `"integer/int32"`, `"@api.core.v1.PodSpec"`, or an object
with the keys of `minikube_api.schema.builtin`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minikube_api.schema.generate.enums import ENUMS
from minikube_api.schema.generate.exceptions import DEFAULTS
from minikube_api.schema.generate.gofacts import Structs, fields_of, messages
from minikube_api.schema.generate.gotypes import GoType
from minikube_api.schema.generate.sources import RELEASE, ResourceLine, kind_definitions, reference

#: definitions that are a node type of their own
LEAVES = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "any",
}
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
#: what is only ever answered: messages that no published schema names
ANSWERS = (
    "apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList",
    "apimachinery.pkg.apis.meta.v1beta1.PartialObjectMetadataList",
    "api.apidiscovery.v2.APIGroupDiscoveryList",
)


def write(
    directory: Path,
    schemas: dict[str, dict[str, Any]],
    lines: list[ResourceLine],
    columns: dict[str, list[list[Any]]],
    structs: Structs,
) -> list[str]:
    """Write the tables; returns what no source knew, for the person who runs this."""
    kinds = kind_definitions(schemas)
    served = {line.body: kinds[line.body] for line in lines if line.body in kinds}
    for group, version, kind in list(served):
        name = kinds.get((group, version, f"{kind}List"))
        if name:
            served[group, version, f"{kind}List"] = name
    wanted = reachable(schemas, [*served.values(), *(name for name in schemas if name.startswith(META))])
    header = {
        "release": RELEASE.lstrip("v"),
        "kinds": [[*gvk, short(name)] for gvk, name in sorted(served.items())],
        "resources": [_resource(line, columns) for line in lines],
    }
    facts = [_dump(header)]
    texts: list[str] = []
    unknown: list[str] = []
    for name in sorted(wanted):
        facts.append(f"{short(name)}\t{_dump(_definition(name, schemas[name], structs, unknown))}")
        texts.append(f"{short(name)}\t{_dump(_descriptions(schemas[name]))}")
    (directory / "builtin.jsonl").write_text("\n".join(facts) + "\n")
    (directory / "descriptions.jsonl").write_text("\n".join(texts) + "\n")
    wire = [f"{name}\t{_dump(fields)}" for name, fields in sorted(messages([*wanted, *ANSWERS], structs).items())]
    (directory / "protobuf.jsonl").write_text("\n".join(wire) + "\n")
    return unknown


def short(name: str) -> str:
    return name.removeprefix("io.k8s.")


def reachable(schemas: dict[str, dict[str, Any]], roots: list[str]) -> set[str]:
    seen: set[str] = set()
    queue = list(roots)
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        for schema in schemas[name].get("properties", {}).values():
            parts = (schema, schema.get("items", {}), schema.get("additionalProperties", {}))
            queue.extend(reference(part) for part in parts if reference(part))
    return seen


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _resource(line: ResourceLine, columns: dict[str, list[list[Any]]]) -> list[Any]:
    key = f"{line.resource}.{line.version}" + (f".{line.group}" if line.group else "")
    return [
        line.group, line.version, list(line.body), line.resource, line.singular, line.scope == "Namespaced",
        list(line.verbs), list(line.short_names), list(line.categories), columns.get(key, []),
    ]  # fmt: skip


def _definition(name: str, schema: dict[str, Any], structs: Structs, unknown: list[str]) -> dict[str, Any]:
    if name in LEAVES:
        return {"t": LEAVES[name]}
    properties = schema.get("properties", {})
    go = fields_of(name, structs)
    unknown.extend([name] if go is None else [f"{name}.{field}" for field in properties if field not in go])
    # a schema keeps Go's order only when it is known; errors and zero values are found in it
    order = [field for field in go or {} if field in properties]
    order += [field for field in properties if field not in order]
    types = {field: about.type for field, about in (go or {}).items()}
    facts: dict[str, Any] = {}
    facts["f"] = {field: _field(properties[field], DEFAULTS.get(f"{name}.{field}"), types.get(field)) for field in order}
    if go is None:
        required = schema.get("required", ())
        facts["o"] = [field for field in order if field not in required and "$ref" not in properties[field]]
    else:
        known = {field: facts for field, facts in go.items() if field in properties}
        facts["o"] = [field for field, about in known.items() if about.omit_zero]
        facts["a"] = {field: about.zero for field, about in known.items() if about.always}
    if required := schema.get("required"):
        facts["q"] = required
    if map_type := schema.get("x-kubernetes-map-type"):
        facts["mt"] = map_type
    if gvks := schema.get("x-kubernetes-group-version-kind"):
        facts["k"] = [[gvk["group"], gvk["version"], gvk["kind"]] for gvk in gvks]
    if unions := schema.get("x-kubernetes-unions"):
        facts["un"] = unions
    return facts


def _field(schema: dict[str, Any], default: Any = None, go: GoType | None = None) -> str | dict[str, Any]:
    while go is not None and go.kind == "pointer":
        go = go.elem
    target = reference(schema)
    kinds = schema.get("type", "object")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    facts: dict[str, Any] = {}
    if target:
        facts["t"] = "@" + short(target)
    elif kind == "array":
        facts["t"] = "array"
        facts["i"] = _field(schema["items"], go=go.elem if go else None)
    elif kind == "object":
        values = schema.get("additionalProperties")
        facts["t"] = "map" if values else "any"
        if values:
            facts["v"] = _field(values, go=go.elem if go else None)
    elif schema.get("format") == "byte":
        facts["t"] = "bytes"
    else:
        facts["t"] = kind + (f"/{schema['format']}" if "format" in schema else "")
    if go is not None and not target and "." in go.name and not go.name.startswith(("[]", "map[")):
        facts["g"] = go.name
        if values := ENUMS.get(f"{go.package}.{go.name.rsplit('.', 1)[-1]}"):
            facts["e"] = values
    for key, source in (
        ("lt", "x-kubernetes-list-type"),
        ("lk", "x-kubernetes-list-map-keys"),
        ("mt", "x-kubernetes-map-type"),
        ("ps", "x-kubernetes-patch-strategy"),
        ("pk", "x-kubernetes-patch-merge-key"),
    ):
        if source in schema:
            facts[key] = schema[source]
    if default is not None:
        facts["d"] = default
    return facts["t"] if len(facts) == 1 else facts


def _descriptions(schema: dict[str, Any]) -> dict[str, str]:
    """Field -> text; "" -> the definition's own text."""
    texts = {"": schema.get("description", "")}
    for field, part in schema.get("properties", {}).items():
        if "description" in part:
            texts[field] = part["description"]
    return texts
