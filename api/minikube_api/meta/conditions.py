"""Conditions (`status.conditions`, a list map by `type`), on trees and on typed structs.

Source: API conventions, "Typical status properties"; `lastTransitionTime` moves only when `status` changes (apimachinery's meta.SetStatusCondition).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Condition = dict[str, Any]
T = TypeVar("T")


def find(conditions: Iterable[T] | None, type: str) -> T | None:
    """The condition of that type among trees or structs."""
    for condition in conditions or ():
        if _type_of(condition) == type:
            return condition
    return None


def _type_of(condition: Any) -> Any:
    return condition.get("type") if isinstance(condition, dict) else condition.type


def status_of(conditions: Iterable[Any] | None, type: str) -> str:
    """`True`, `False`, `Unknown`, or "" when there is no such condition."""
    found = find(conditions, type)
    if found is None:
        return ""
    return (found.get("status") if isinstance(found, dict) else found.status) or ""


def is_true(conditions: Iterable[Any] | None, type: str) -> bool:
    return status_of(conditions, type) == "True"


def with_condition(conditions: Sequence[Condition] | None, new: Condition, *, now: str) -> list[Condition]:
    """The conditions with `new` in the place of its type, or appended; the given ones are left alone.

    `lastTransitionTime` is `now` when the status changed (or the condition is new and names no time), else what it was.
    """
    listed = list(conditions or ())
    for i, old in enumerate(listed):
        if old.get("type") != new["type"]:
            continue
        unmoved = old.get("lastTransitionTime") if old.get("status") == new.get("status") else None
        moved = unmoved or new.get("lastTransitionTime") or now
        listed[i] = {**old, **new, "lastTransitionTime": moved}
        return listed
    listed.append({**new, "lastTransitionTime": new.get("lastTransitionTime") or now})
    return listed


def without_condition(conditions: Sequence[T] | None, type: str) -> list[T]:
    return [c for c in conditions or () if _type_of(c) != type]
