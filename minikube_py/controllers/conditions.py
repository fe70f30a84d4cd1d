"""Conditions on the typed statuses of workloads, with the workload controllers' rules. Pure.

They differ from the API conventions' ones: a condition with the same status and reason is left alone (message and times too), a
changed one goes to the end of the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

C = TypeVar("C")


def find(conditions: Iterable[C], type: str) -> C | None:
    return next((condition for condition in conditions if condition.type == type), None)  # type: ignore[attr-defined]


def without(conditions: Iterable[C], type: str) -> tuple[C, ...]:
    return tuple(condition for condition in conditions if condition.type != type)  # type: ignore[attr-defined]


def with_condition(conditions: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
    current = find(conditions, new.type)
    if current is not None and current.status == new.status and current.reason == new.reason:
        return conditions
    if current is not None and current.status == new.status:
        new = replace(new, lastTransitionTime=current.lastTransitionTime)
    return (*without(conditions, new.type), new)
