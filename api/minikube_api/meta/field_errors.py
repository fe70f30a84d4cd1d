"""Constructors of `FieldError`, worded as apimachinery's `field.Error` (k8s.io/apimachinery/pkg/util/validation/field).

`path` is written as Kubernetes writes it (`spec.ports[0].port`); `child`, `index` and `key` build such paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from minikube_api.meta.errors import FieldError


class _Omitted:
    """Marks a value that the message leaves out (`field.OmitValueType`)."""


OMIT = _Omitted()

#: how a path of one empty name is written (`field.NewPath("")`), which some findings about a whole object have
NO_NAME = "[]"


def child(path: str, *names: str) -> str:
    """`child("spec", "template", "spec")` is `spec.template.spec`; an empty path gives the name alone."""
    return ".".join((path, *names)) if path else ".".join(names)


def index(path: str, i: int) -> str:
    return f"{path}[{i}]"


def key(path: str, name: str) -> str:
    return f"{path}[{name}]"


def quote(text: str) -> str:
    """A string as Go's `%q` writes it."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_escape(c) for c in text) + '"'


_GO_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\",
}  # fmt: skip


def _escape(c: str) -> str:
    if c in _GO_ESCAPES:
        return _GO_ESCAPES[c]
    if c.isprintable():
        return c
    code = ord(c)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(value: Any) -> str:
    """A bad value as `field.Error` prints it: strings quoted, scalars plain, everything else as JSON with HTML escapes, as Go marshals."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int | float):
        return str(value)
    return go_json(value)


def go_json(value: Any) -> str:
    """JSON as Go's `json.Marshal` writes it: `<`, `>` and `&` as `\\u003c`..., no spaces; map keys keep the caller's order."""
    text = orjson.dumps(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def required(path: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", path, _with_detail("Required value", detail))


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", path, _with_value("Invalid value", value, detail))


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` is printed in the order given; apimachinery's callers give it sorted."""
    listed = ", ".join(quote(v) for v in supported)
    return FieldError(
        "FieldValueNotSupported",
        path,
        _with_value("Unsupported value", value, f"supported values: {listed}" if listed else ""),
    )


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", path, _with_detail("Forbidden", detail))


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", path, _with_value("Duplicate value", value, ""))


def not_found(path: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", path, _with_value("Not found", value, ""))


def too_long(path: str, value: Any, maximum: int) -> FieldError:
    """`maximum` in bytes; below 0 means "too long", without saying how long it may be. The value itself is not repeated."""
    limit = f"may not be more than {maximum} {'byte' if maximum == 1 else 'bytes'}"
    detail = limit if maximum >= 0 else "value is too long"
    return FieldError("FieldValueTooLong", path, _with_detail("Too long", detail))


def too_many(path: str, actual: int, maximum: int) -> FieldError:
    """More items than `maximum`; an `actual` below 0 is not printed."""
    limit = f"must have at most {maximum} {'item' if maximum == 1 else 'items'}"
    detail = limit if maximum >= 0 else "has too many items"
    return FieldError("FieldValueTooMany", path, _with_value("Too many", OMIT if actual < 0 else actual, detail))


def type_invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", path, _with_value("Invalid value", value, detail))


def internal(path: str, detail: str) -> FieldError:
    return FieldError("InternalError", path, _with_detail("Internal error", detail))


def _with_detail(kind: str, detail: str) -> str:
    return f"{kind}: {detail}" if detail else kind


def _with_value(kind: str, value: Any, detail: str) -> str:
    text = kind if isinstance(value, _Omitted) else f"{kind}: {shown(value)}"
    return f"{text}: {detail}" if detail else text
