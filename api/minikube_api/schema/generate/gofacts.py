"""What the Go types say of a definition beyond its schema: zero values, omitempty, protobuf numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from minikube_api.schema.generate.exceptions import HAND_WRITTEN
from minikube_api.schema.generate.gotypes import GoField, GoType

#: Go structs that encode themselves: how their zero value reads in JSON
SELF_ENCODED: dict[str, Any] = {
    "Time": None,
    "MicroTime": None,
    "Quantity": "0",
    "IntOrString": 0,
    "Duration": "0s",
    "RawExtension": None,
    "FieldsV1": None,
    "JSON": None,
    "JSONSchemaPropsOrBool": None,
    "JSONSchemaPropsOrArray": None,
    "JSONSchemaPropsOrStringArray": None,
}
_ZERO = {"string": "", "bool": False, "slice": None, "bytes": None, "map": None, "pointer": None, "interface": None}
Structs = dict[tuple[str, str], GoType]


@dataclass(frozen=True)
class FieldFacts:
    """A JSON field of a Go struct: dropped when zero, or always written (then with `zero` when nobody set it)."""

    pointer: bool
    omit_zero: bool
    always: bool
    zero: Any
    is_list: bool
    is_value_struct: bool
    type: GoType | None = None


def go_name(definition: str) -> tuple[str, str]:
    """`io.k8s.api.core.v1.Pod` -> (`k8s.io/api/core/v1`, `Pod`)."""
    package, name = definition.removeprefix("io.k8s.").rsplit(".", 1)
    return "k8s.io/" + package.replace(".", "/"), name


def fields_of(definition: str, structs: Structs) -> dict[str, FieldFacts] | None:
    """JSON field -> facts; None when no program at hand knows the type."""
    if definition in HAND_WRITTEN:
        return {name: _hand_written(spec) for name, spec in HAND_WRITTEN[definition].items()}
    kind = structs.get(go_name(definition))
    if kind is None or _self_encoded(kind) is not _NOT:
        return None
    return {name: _facts(field) for name, field in json_fields(kind)}


def json_fields(kind: GoType) -> Iterator[tuple[str, GoField]]:
    """The fields as JSON sees them, inlined structs flattened."""
    for field in kind.fields:
        name = field.tags.get("json", "").split(",")[0]
        if field.embedded and not name:
            yield from json_fields(field.type.elem if field.type.kind == "pointer" else field.type)
        elif name and name != "-":
            yield name, field


def _facts(field: GoField) -> FieldFacts:
    options = field.tags["json"].split(",")[1:]
    kind = field.type.kind
    is_struct = kind == "struct"
    omit = "omitzero" in options or ("omitempty" in options and not is_struct)
    return FieldFacts(
        pointer=kind == "pointer",
        omit_zero=omit and kind != "pointer",
        always=not omit,
        zero=zero(field.type),
        is_list=kind == "slice" and field.type.elem.kind != "uint8",
        is_value_struct=is_struct and _self_encoded(field.type) is _NOT,
        type=field.type,
    )


def zero(kind: GoType) -> Any:
    """The JSON of a Go type's zero value."""
    if kind.kind != "struct":
        return _ZERO.get(kind.kind, 0)
    own = _self_encoded(kind)
    if own is not _NOT:
        return own
    return {name: facts.zero for name, field in json_fields(kind) if (facts := _facts(field)).always}


_NOT = object()


def _self_encoded(kind: GoType) -> Any:
    if "apimachinery" not in kind.package and "apiextensions" not in kind.package:
        return _NOT
    return SELF_ENCODED.get(kind.name.rsplit(".", 1)[-1], _NOT)


def _hand_written(spec: str) -> FieldFacts:
    """`KIND[,omitempty]`, KIND as in `_ZERO`, or struct, int, time."""
    kind, _, option = spec.split()[0].partition(",")
    is_struct = kind == "struct"
    omit = bool(option) and kind not in ("struct", "time")
    return FieldFacts(
        pointer=kind == "pointer",
        omit_zero=omit and kind != "pointer",
        always=not omit,
        zero={} if is_struct else None if kind == "time" else _ZERO.get(kind, 0),
        is_list=kind == "slice",
        is_value_struct=is_struct,
    )


def messages(roots: Iterable[str], structs: Structs) -> dict[str, dict[str, list[Any]]]:
    """Message -> protobuf number -> [JSON name, type], for every message that the definitions `roots` reach.

    The type is `string`, `bytes`, `bool`, `int`, `uint`, `double`, `@NAME` (message) or `@items` (a message that wraps a list
    of strings), with `[]` before a list, `{}` before a map's value and `^` before a message that JSON inlines.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    queue = [root.removeprefix("io.k8s.") for root in roots]
    while queue:
        name = queue.pop()
        if name in found or name == "items" or name.rsplit(".", 1)[-1] in SELF_ENCODED:
            continue
        if (fields := _message(name, structs)) is None:
            continue
        found[name] = fields
        queue.extend(kind.partition("@")[2] for _, kind in fields.values() if "@" in kind)
    return found


def _message(name: str, structs: Structs) -> dict[str, list[Any]] | None:
    if (written := HAND_WRITTEN.get("io.k8s." + name)) is not None:
        split = [(field, *spec.split()[1:]) for field, spec in written.items()]
        return {number: [field, kind] for field, number, kind in split if number != "-"}
    kind = structs.get(go_name(name))
    return None if kind is None else wire_fields(kind)


def wire_fields(kind: GoType) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for field in kind.fields:
        tag = field.tags.get("protobuf", "").split(",")
        if len(tag) < 3:
            continue
        name = field.tags.get("json", "").split(",")[0]
        if name == "-":
            continue
        found[tag[1]] = [name, ("" if name else "^") + wire_type(field.type)]
    return found


def wire_type(kind: GoType) -> str:
    match kind.kind:
        case "pointer":
            return wire_type(kind.elem)
        case "slice" if kind.elem.kind == "uint8":
            return "bytes"
        case "slice" if kind.package and kind.name.rsplit(".", 1)[-1] in ("ExtraValue", "Verbs", "OptionalNames"):
            return "@items"
        case "slice":
            return "[]" + wire_type(kind.elem)
        case "map":
            return "{}" + wire_type(kind.elem)
        case "struct":
            return "@" + kind.package.removeprefix("k8s.io/").replace("/", ".") + "." + kind.name.rsplit(".", 1)[-1]
        case "string" | "bool":
            return kind.kind
        case "float64":
            return "double"
        case "int" | "int8" | "int16" | "int32" | "int64":
            return "int"
        case "uint" | "uint8" | "uint16" | "uint32" | "uint64":
            return "uint"
    raise ValueError(f"{kind.name} has no protobuf form")
