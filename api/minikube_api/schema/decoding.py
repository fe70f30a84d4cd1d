"""What Kubernetes' decoders do with a request body: JSON or YAML to the tree that Go would encode again.

`decode` takes bytes, `check` a tree. Unknown fields go, zero values of `omitempty` fields go, fields that Go always writes are
filled in, times and quantities take their canonical form. A schema is compiled into closures that do all this in one pass over
a good body; whatever is odd is walked once more, slowly, by `findings`, which knows Go's words for it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import orjson

from minikube_api.meta import go_times, quantities, times
from minikube_api.meta.errors import BadRequest
from minikube_api.schema import builtin, findings, protobuf, syntax, yaml_bodies
from minikube_api.schema.model import Schema

Validation = Literal["Strict", "Warn", "Ignore"]
Cleaner = Callable[[Any, list[Any]], Any]

YAML_TYPES = frozenset(("application/yaml", "application/x-yaml", "text/yaml"))
_SUMMARY_LENGTH = 30
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_META_TYPE = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


class _Odd(Exception):
    """A value of a wrong type: the slow walk will say which."""


# ---- bodies


def decode(
    body: bytes,
    schema: Schema,
    *,
    kind: str,
    api_version: str,
    media_type: str = "application/json",
    validation: Validation = "Warn",
) -> tuple[dict[str, Any], list[str]]:
    """(object, warnings) of a create or update body for a resource of `kind` in `api_version`.

    apiVersion and kind left out are those of the URL. Raises BadRequest with kube-apiserver's messages.
    """
    tree, spelled, notes = _parse(body, kind, media_type, validation)
    given_kind = _text(tree, "kind", body, kind) or kind
    given_version = _text(tree, "apiVersion", body, kind) or api_version
    if (given_kind, given_version) != (kind, api_version):
        refuse_other_kind(given_kind, given_version, kind, api_version)
    tree["apiVersion"], tree["kind"] = given_version, given_kind
    if media_type == protobuf.MEDIA_TYPE:
        validation = "Ignore"  # Go's protobuf decoder skips numbers it does not know and tells nobody
    warnings = check(tree, schema, kind=kind, api_version=api_version, validation=validation, spelled=spelled, notes=notes)
    return tree, warnings


def check(
    tree: dict[str, Any],
    schema: Schema,
    *,
    kind: str,
    api_version: str = "",
    validation: Validation = "Warn",
    spelled: Any = None,
    notes: list[str] | None = None,
) -> list[str]:
    """Clean an object in place; returns the warnings for unknown and duplicate fields (none with Ignore).

    `spelled` is the same body with duplicates kept (`syntax.pairs`), `notes` are findings from before (YAML's duplicates).
    Raises BadRequest for a value of a wrong type, and with Strict for any finding.
    """
    unknown: list[tuple[dict[str, Any], str]] = []
    try:
        compiled(schema)(tree, unknown)
        odd = False
    except _Odd:
        odd = True
    found: list[str] = []
    if odd or (validation != "Ignore" and (unknown or spelled is not None or notes)):
        try:
            found = [*(notes or ()), *findings.strict(tree if spelled is None else spelled, schema)]
        except findings.WrongValue as wrong:
            raise cannot_be_handled(kind, api_version, str(wrong)) from None
        if odd:
            raise AssertionError(f"the two walks disagree on a {kind}")
    if found and validation == "Strict":
        raise cannot_be_handled(kind, api_version, findings.summary(found))
    for owner, key in unknown:
        del owner[key]
    return [] if validation == "Ignore" else found


def cannot_be_handled(kind: str, api_version: str, why: str, expected: str = "") -> BadRequest:
    """The 400 for a body whose kind is known but whose content does not decode."""
    version = api_version.rsplit("/", 1)[-1]
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {expected or kind}: {why}')


def no_object(value: Any) -> str:
    """What is said of a body that is JSON but no object."""
    why = f"json: cannot unmarshal {findings.json_kind(value)} into Go value of type {_META_TYPE}"
    return f"couldn't get version/kind; json parse error: {why}"


def unrecognized(kind: str, why: str, body: bytes) -> BadRequest:
    """The 400 for a body that does not even tell its kind."""
    return BadRequest(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    head, more = body[:_SUMMARY_LENGTH], " ..." if len(body) > _SUMMARY_LENGTH else ""
    return (head.decode("utf-8", "replace") if body[:1] == b"{" else head.hex()) + more


def parse_json(body: bytes) -> Any:
    """The tree of a JSON text. Raises SyntaxProblem in Go's words."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if message := syntax.problem(body):
            raise syntax.SyntaxProblem(message) from None
        return syntax.tolerant(body)


def _parse(body: bytes, kind: str, media_type: str, validation: Validation) -> tuple[dict[str, Any], Any, list[str]]:
    """(tree, the same with duplicates kept or None, YAML's own findings)."""
    spelled, notes = None, []
    if media_type in YAML_TYPES:
        try:
            tree, duplicates = yaml_bodies.load(body)
        except yaml_bodies.YamlProblem as problem:
            raise unrecognized(kind, str(problem), body) from None
        if duplicates:
            notes = [yaml_bodies.duplicate_finding(duplicates)]
    elif media_type == protobuf.MEDIA_TYPE:
        try:
            tree = protobuf.decode(body)
        except protobuf.WireProblem as problem:
            raise unrecognized(kind, str(problem), body) from None
    else:
        try:
            tree = parse_json(body)
            if isinstance(tree, dict) and syntax.may_repeat_keys(body, tree):
                spelled = syntax.pairs(body)
                tree = syntax.merged(spelled)
        except (syntax.SyntaxProblem, RecursionError) as problem:
            message = "exceeded max depth" if isinstance(problem, RecursionError) else str(problem)
            raise unrecognized(kind, f"couldn't get version/kind; json parse error: {message}", body) from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise unrecognized(kind, no_object(tree), body)
    return tree, spelled, notes


def _text(tree: dict[str, Any], field: str, body: bytes, kind: str) -> str:
    value = tree.get(field)
    if value is None or isinstance(value, str):
        return value or ""
    why = f"json: cannot unmarshal {findings.json_kind(value)} into Go struct field .{field} of type string"
    raise unrecognized(kind, f"couldn't get version/kind; json parse error: {why}", body)


def refuse_other_kind(given_kind: str, given_version: str, kind: str, api_version: str) -> None:
    """Raise as kube-apiserver does for a body that says it is something else than the URL's kind."""
    group, _, version = given_version.rpartition("/")
    expected_group = api_version.rpartition("/")[0]
    known = builtin.is_kind(group, version, given_kind)
    if not known:
        why = f'no kind "{given_kind}" is registered for version "{given_version}" in scheme "{_SCHEME}"'
        raise cannot_be_handled(given_kind, given_version, why, kind)
    if given_kind != kind or group != expected_group:
        why = f"converting ({version}.{given_kind}) to ({_internal(expected_group)}.{kind}): unknown conversion"
        raise cannot_be_handled(given_kind, given_version, why, kind)
    raise BadRequest(f"the API version in the data ({given_version}) does not match the expected API version ({api_version})")


def _internal(group: str) -> str:
    """The package of a group's internal types."""
    return {"": "core", "events.k8s.io": "core"}.get(group, group.split(".")[0])


# ---- the fast walk


_compiled: dict[Schema, Cleaner] = {}


def compiled(schema: Schema) -> Cleaner:
    """The cleaner of a schema: `(value, unknown) -> value`, in place; unknown fields are noted as (object, key) and left.

    Raises _Odd for a wrong type. Nulls are handled by the owner of the value.
    """
    cleaner = _compiled.get(schema)
    if cleaner is None:
        maker = _MAKERS.get(schema.type)
        cleaner = _compiled[schema] = maker(schema) if maker else _any
    return cleaner


def _any(value: Any, unknown: list[Any]) -> Any:
    return value


def _object(schema: Schema) -> Cleaner:
    fields: dict[str, tuple[Cleaner, bool]] = {}
    always = [(field, _fresh(zero)) for field, zero in schema.always.items()]
    dropped = schema.omit_zero
    known = schema.fields

    def clean(value: Any, unknown: list[Any]) -> Any:
        if type(value) is not dict:
            raise _Odd
        drop: list[str] = []
        for key, part in value.items():
            entry = fields.get(key)
            if entry is None:
                if key not in known:
                    unknown.append((value, key))
                    continue
                entry = fields[key] = (compiled(known[key]), key in dropped)
            if part is None:
                drop.append(key)
                continue
            new = entry[0](part, unknown)
            if new is not part:
                value[key] = new
            if entry[1] and not new:
                drop.append(key)
        for key in drop:
            del value[key]
        for key, fresh in always:
            if key not in value:
                value[key] = fresh()
        return value

    return clean


def _fresh(zero: Any) -> Callable[[], Any]:
    """A maker of copies of a JSON value."""
    if not isinstance(zero, dict):
        return lambda: zero
    if not zero:
        return dict
    parts = [(key, _fresh(part)) for key, part in zero.items()]
    return lambda: {key: fresh() for key, fresh in parts}


def zero_of(schema: Schema) -> Callable[[], Any]:
    """A maker of what a null element of a list or map of this type becomes."""
    if schema.type == "object":
        return _fresh(dict(schema.always))
    return _fresh(_ZEROS.get(schema.type))


_ZEROS = {"string": "", "integer": 0, "number": 0, "boolean": False, "quantity": "0", "int-or-string": 0}


def _array(schema: Schema) -> Cleaner:
    assert schema.items is not None
    item = schema.items
    zero = zero_of(item)

    def clean(value: Any, unknown: list[Any]) -> Any:
        if type(value) is not list:
            raise _Odd
        each = compiled(item)
        for index, part in enumerate(value):
            value[index] = zero() if part is None else each(part, unknown)
        return value

    return clean


def _map(schema: Schema) -> Cleaner:
    assert schema.values is not None
    item = schema.values
    zero = zero_of(item)

    def clean(value: Any, unknown: list[Any]) -> Any:
        if type(value) is not dict:
            raise _Odd
        each = compiled(item)
        for key, part in value.items():
            value[key] = zero() if part is None else each(part, unknown)
        return value

    return clean


def _string(value: Any, unknown: list[Any]) -> Any:
    if type(value) is not str:
        raise _Odd
    return value


def _boolean(value: Any, unknown: list[Any]) -> Any:
    if type(value) is not bool:
        raise _Odd
    return value


def _integer(schema: Schema) -> Cleaner:
    low, high = findings.INT_RANGE.get(schema.format, findings.INT_RANGE["int64"])

    def clean(value: Any, unknown: list[Any]) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise _Odd
        return value

    return clean


def _number(value: Any, unknown: list[Any]) -> Any:
    if type(value) is not int and type(value) is not float:
        raise _Odd
    return value


def _int_or_string(value: Any, unknown: list[Any]) -> Any:
    low, high = findings.INT_RANGE["int32"]
    if type(value) is not str and (type(value) is not int or not low <= value <= high):
        raise _Odd
    return value


def _quantity(value: Any, unknown: list[Any]) -> Any:
    kind = type(value)
    if kind is not str and kind is not int and kind is not float:
        raise _Odd
    try:
        return _canonical(value if kind is str else quantities.format_number(value))
    except quantities.QuantityError:
        raise _Odd from None


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return quantities.canonical(text.strip())


_second = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")


def _time(value: Any, unknown: list[Any]) -> Any:
    if type(value) is not str:
        raise _Odd
    if len(value) == 20 and value[19] == "Z" and _second.match(value):
        return value
    if go_times.problem(value):
        raise _Odd
    return times.normalize(value)


def _micro_time(value: Any, unknown: list[Any]) -> Any:
    if type(value) is not str:
        raise _Odd
    if len(value) == 27 and value[26] == "Z" and value[19] == "." and value[20:26].isdigit() and _second.match(value):
        return value
    if go_times.problem(value, go_times.MICROS):
        raise _Odd
    return times.format_micro(times.parse(value))


def _bytes(value: Any, unknown: list[Any]) -> Any:
    if type(value) is not str:
        raise _Odd
    try:
        decoded = binascii.a2b_base64(value, strict_mode=True)
        if binascii.b2a_base64(decoded, newline=False) == value.encode():
            return value
    except ValueError:
        pass  # perhaps only a line break, which Go skips
    try:
        return binascii.b2a_base64(findings.check_base64(value), newline=False).decode()
    except findings.WrongValue:
        raise _Odd from None


_MAKERS: dict[str, Callable[[Schema], Cleaner]] = {
    "object": _object,
    "array": _array,
    "map": _map,
    "integer": _integer,
    "string": lambda schema: _string,
    "duration": lambda schema: _string,
    "boolean": lambda schema: _boolean,
    "number": lambda schema: _number,
    "int-or-string": lambda schema: _int_or_string,
    "quantity": lambda schema: _quantity,
    "time": lambda schema: _time,
    "microtime": lambda schema: _micro_time,
    "bytes": lambda schema: _bytes,
}
