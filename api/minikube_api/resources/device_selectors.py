"""CEL selectors of devices: whether an expression compiles to a boolean over `device`.

Source: k8s.io/dynamic-resource-allocation/cel/compile.go (KEP-4381).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.resources.checks import Errors

_LENGTH_MAX = 10 * 1024


def expression_problems(expression: str, path: str) -> Errors:
    """`path` is that of the expression."""
    if not expression:
        return [err.required(path)]
    if len(expression) > _LENGTH_MAX:
        return [err.too_long(path, "", _LENGTH_MAX)]
    # expressions are rare: CEL is loaded with the first
    from minikube_api.cel.compiling import CompileError, compile

    try:
        program = compile(expression, _environment())
    except CompileError as error:
        return [err.invalid(path, expression, f"compilation failed: {error}")]
    if program.type.kind not in ("bool", "dyn"):
        return [err.invalid(path, expression, f"must evaluate to bool or the unknown type, not {program.type}")]
    return []


@cache
def _environment() -> Any:
    import minikube_api.cel.strings  # noqa: F401  fills the table of functions
    from minikube_api.cel import library, types
    from minikube_api.cel.compiling import Environment

    def by_domain(value: types.Type) -> types.Type:
        return types.map_of(types.STRING, types.map_of(types.STRING, value))

    fields = {
        "driver": types.STRING,
        "attributes": by_domain(types.DYN),
        "capacity": by_domain(library.QUANTITY),
        "allowMultipleAllocations": types.BOOL,
    }
    device = types.Type("object", "kubernetes.DRADevice", fields={name: types.Field(kind, name) for name, kind in fields.items()})
    return Environment({"device": device})
