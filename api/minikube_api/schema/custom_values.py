"""Value validation of custom resources: the OpenAPI keywords, in the words and with the paths of kube-openapi's validator.

Ratcheting (KEP-4008): a node that equals its old one is not judged again. Findings of anyOf, oneOf, allOf and not have no path
of their own in Kubernetes (`<nil>`), the message names the place.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import expressions, formats
from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.schema.custom import Structural, correlated_item, structural

NO_PATH = "<nil>"
_MISSING = object()


def problems(obj: Any, root: Structural, old: Any = None) -> list[FieldError]:
    """What is wrong with a whole object. `old` is the object before an update: unchanged parts are let through."""
    found: list[FieldError] = []
    _check(obj, root, "", found, _MISSING if old is None else old)
    return found


def problems_at(value: Any, node: Structural, path: str) -> list[FieldError]:
    """The same for a value that stands at `path` (a default in a schema)."""
    found: list[FieldError] = []
    _check(value, node, path, found)
    return found


def shown(path: str) -> str:
    return path or NO_PATH


def _in_body(path: str) -> str:
    return f"{path} in body"


def json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _check(value: Any, node: Structural, path: str, found: list[FieldError], old: Any = _MISSING) -> None:
    if old is not _MISSING and type(old) is type(value) and old == value:
        return
    raw = node.raw
    _check_type(value, node, path, found)
    if value is None:
        if "enum" in raw and not node.nullable:
            _check_enum(value, raw, path, found)
        return
    _check_logic(value, raw, path, found)
    if isinstance(value, str):
        _check_string(value, raw, path, found)
        if raw.get("format") and node.type == "string":
            _check_format(value, raw["format"], path, found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, raw, path, found)
    elif isinstance(value, list):
        _check_list(value, node, path, found, old)
    if "enum" in raw:
        _check_enum(value, raw, path, found)
    if isinstance(value, dict):
        _check_object(value, node, path, found, old)


def _check_type(value: Any, node: Structural, path: str, found: list[FieldError]) -> None:
    expected = "integer,string" if node.int_or_string else node.type
    if not expected:
        return
    given = json_type(value)
    if given == expected or (given == "null" and node.nullable):
        return
    if node.int_or_string and (given in ("integer", "string") or (given == "number" and value == int(value))):
        return
    if expected == "number" and given == "integer":
        return
    if expected == "integer" and given == "number" and value == int(value):
        return
    found.append(err.type_invalid(shown(path), given, f'{_in_body(path)} must be of type {expected}: "{given}"'))


def _check_logic(value: Any, raw: dict[str, Any], path: str, found: list[FieldError]) -> None:
    quoted = err.quote(path)
    if options := raw.get("anyOf"):
        results = [_tried(value, option, path) for option in options]
        if all(results):
            found.append(err.invalid(NO_PATH, "", f"{quoted} must validate at least one schema (anyOf)"))
            found += results[0]
    if options := raw.get("oneOf"):
        results = [_tried(value, option, path) for option in options]
        valid = sum(not result for result in results)
        if valid != 1:
            how = f"Found {valid} valid alternatives" if valid else "Found none valid"
            found.append(err.invalid(NO_PATH, "", f"{quoted} must validate one and only one schema (oneOf). {how}"))
            if not valid:
                found += results[0]
    if options := raw.get("allOf"):
        results = [_tried(value, option, path) for option in options]
        for result in results:
            found += result
        if any(results):
            none = ". None validated" if all(results) else ""
            found.append(err.invalid(NO_PATH, "", f"{quoted} must validate all the schemas (allOf){none}"))
    if raw.get("not") is not None and not _tried(value, raw["not"], path):
        found.append(err.invalid(NO_PATH, "", f"{quoted} must not validate the schema (not)"))


_parts: dict[int, tuple[Any, Structural]] = {}


def _tried(value: Any, raw: dict[str, Any], path: str) -> list[FieldError]:
    known = _parts.get(id(raw))
    if known is None or known[0] is not raw:
        if len(_parts) > 4096:
            _parts.clear()
        known = _parts[id(raw)] = (raw, structural(raw))
    found: list[FieldError] = []
    _check(value, known[1], path, found)
    return found


def _check_string(value: str, raw: dict[str, Any], path: str, found: list[FieldError]) -> None:
    where = _in_body(path)
    if (most := raw.get("maxLength")) is not None and len(value) > most:
        found.append(err.too_long(shown(path), value, most))
        return
    if (least := raw.get("minLength")) is not None and len(value) < least:
        found.append(err.invalid(shown(path), value, f"{where} should be at least {least} chars long"))
        return
    if (pattern := raw.get("pattern")) and not expressions.tester(pattern).search(value):
        found.append(err.invalid(shown(path), value, f"{where} should match '{pattern}'"))


def _check_format(value: str, form: str, path: str, found: list[FieldError]) -> None:
    if not formats.holds(form, value):
        found.append(err.type_invalid(shown(path), value, f"{_in_body(path)} must be of type {form}: {err.quote(value)}"))


def number(value: float) -> str:
    """A number as Go's %v prints a float64."""
    if isinstance(value, int) or value == int(value):
        whole = int(value)
        return str(whole) if abs(whole) < 10**21 else f"{float(value):e}"
    return repr(value)


def _check_number(value: float, raw: dict[str, Any], path: str, found: list[FieldError]) -> None:
    where, at = _in_body(path), shown(path)
    if (step := raw.get("multipleOf")) and not _is_multiple(value, step):
        found.append(err.invalid(at, value, f"{where} should be a multiple of {number(step)}"))
    if (most := raw.get("maximum")) is not None:
        if raw.get("exclusiveMaximum"):
            if value >= most:
                found.append(err.invalid(at, value, f"{where} should be less than {number(most)}"))
        elif value > most:
            found.append(err.invalid(at, value, f"{where} should be less than or equal to {number(most)}"))
    if (least := raw.get("minimum")) is not None:
        if raw.get("exclusiveMinimum"):
            if value <= least:
                found.append(err.invalid(at, value, f"{where} should be greater than {number(least)}"))
        elif value < least:
            found.append(err.invalid(at, value, f"{where} should be greater than or equal to {number(least)}"))
    if form := raw.get("format"):
        _check_range(value, form, path, found)


_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1), "uint32": (0, (1 << 32) - 1)}


def _check_range(value: float, form: str, path: str, found: list[FieldError]) -> None:
    limits = _RANGES.get(form)
    if limits is not None and not limits[0] <= value <= limits[1]:
        text = f"Checked value must be of type integer with format {form} in {path}"
        found.append(err.invalid(NO_PATH, "", text))


def _is_multiple(value: float, step: float) -> bool:
    quotient = value / step
    return quotient == int(quotient)


def _check_list(value: list[Any], node: Structural, path: str, found: list[FieldError], old: Any) -> None:
    raw, where = node.raw, _in_body(path)
    if node.items is not None:
        for i, part in enumerate(value):
            before = correlated_item(node, part, old) if old is not _MISSING else None
            _check(part, node.items, f"{path}[{i}]", found, _MISSING if before is None else before)
    if (least := raw.get("minItems")) is not None and len(value) < least:
        found.append(err.invalid(shown(path), len(value), f"{where} should have at least {least} items"))
    if (most := raw.get("maxItems")) is not None and len(value) > most:
        found.append(err.too_many(shown(path), len(value), most))
    if raw.get("uniqueItems") and any(part in value[:i] for i, part in enumerate(value)):
        found.append(err.invalid(shown(path), "", f"{where} shouldn't contain duplicates"))


def _check_enum(value: Any, raw: dict[str, Any], path: str, found: list[FieldError]) -> None:
    allowed = raw["enum"]
    if any(type(value) is type(option) and value == option for option in allowed):
        return
    if not isinstance(value, bool) and isinstance(value, int | float):
        if any(not isinstance(o, bool) and isinstance(o, int | float) and o == value for o in allowed):
            return
    texts = [option if isinstance(option, str) else err.go_json(option) for option in allowed]
    found.append(err.not_supported(shown(path), value, texts))


def _check_object(value: dict[str, Any], node: Structural, path: str, found: list[FieldError], old: Any) -> None:
    raw, where = node.raw, _in_body(path)
    before: dict[str, Any] = old if isinstance(old, dict) else {}
    if (least := raw.get("minProperties")) is not None and len(value) < least:
        found.append(err.invalid(shown(path), len(value), f"{where} should have at least {least} properties"))
    if (most := raw.get("maxProperties")) is not None and len(value) > most:
        found.append(err.too_many(shown(path), len(value), most))
    closed = raw.get("additionalProperties") is False
    for key, part in value.items():
        child = node.properties.get(key)
        at = f"{path}.{key}" if path else key
        if child is None:
            if closed:
                found.append(err.invalid(shown(path), "", f"{at} in body is a forbidden property"))
            child = node.values
            if child is None:
                continue
        _check(part, child, at, found, before.get(key, _MISSING))
    for name in raw.get("required") or ():
        if name not in value:
            found.append(err.required(f"{path}.{name}" if path else name))
