"""Whether the defaults in a schema are sound: pruned, and valid by the schema they stand in (apiserver/schema/defaulting/validation.go)."""

from __future__ import annotations

from typing import Any

import orjson

from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.resources.checks import Errors
from minikube_api.schema import custom, custom_pruning, custom_values


def default_problems(schema: dict[str, Any], path: str) -> Errors:
    errors: Errors = []
    if schema.get("default") is not None:
        errors += _default(schema["default"], custom.structural(schema), f"{path}.default")
    for name, part in (schema.get("properties") or {}).items():
        errors += default_problems(part, f"{path}.properties[{name}]")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            errors += default_problems(schema[keyword], f"{path}.{keyword}")
    return errors


def _default(default: Any, node: custom.Structural, path: str) -> Errors:
    value = orjson.loads(orjson.dumps(default))
    errors: Errors = []
    if custom_pruning.prune(value, node, is_root=False):
        errors.append(err.invalid(path, default, "must not have unknown fields"))
    custom_pruning.fill_value(value, node)
    errors += [_at(problem, path) for problem in custom_values.problems_at(value, node, "")]
    if not errors and node.ruled:
        from minikube_api.schema import custom_rules

        errors += custom_rules.compiled(node, is_root=node.embedded).problems_at(value, path)
    return errors


def _at(problem: FieldError, path: str) -> FieldError:
    """Messages name places from the default on, paths from the root."""
    if problem.path == custom_values.NO_PATH:
        return FieldError(problem.reason, path, problem.message)
    return FieldError(problem.reason, f"{path}.{problem.path}", problem.message)
