"""How cells write ages, labels, selectors and lists; shared by the kinds' cell functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_api.meta import durations, selectors, times
from minikube_api.meta.errors import StatusError

Object = dict[str, Any]
NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


def since(timestamp: str | None, now: float) -> str:
    """Age of an RFC 3339 time; `<unknown>` when there is none."""
    return durations.human(now - times.parse(timestamp)) if timestamp else UNKNOWN


def age(obj: Object, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(values: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in key order."""
    return ",".join(f"{k}={v}" for k, v in sorted(values.items())) if values else NONE


def selector(tree: Mapping[str, Any] | None) -> str:
    """A label selector as `kubectl -l` takes it; requirements in the order of their keys."""
    if not tree:
        return NONE
    try:
        return str(selectors.from_label_selector(tree)) or NONE
    except StatusError:
        return "<error>"


def some(items: list[str], maximum: int = 3, separator: str = ",", count: int | None = None) -> str:
    """The first `maximum` items, and how many more there are."""
    text = separator.join(items[:maximum])
    total = len(items) if count is None else count
    return f"{text} + {total - maximum} more..." if len(items) > maximum else text


def containers(pod_spec: Mapping[str, Any] | None) -> tuple[str, str]:
    """Names and images of a template's containers."""
    listed: Iterable[Any] = (pod_spec or {}).get("containers") or ()
    listed = list(listed)
    return ",".join(c.get("name", "") for c in listed), ",".join(c.get("image", "") for c in listed)


_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


def access_modes(modes: Iterable[str] | None) -> str:
    given = set(modes or ())
    return ",".join(short for mode, short in _MODES if mode in given)


def template_of(obj: Object) -> Object:
    return ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}


def spec_of(obj: Object) -> Object:
    return obj.get("spec") or {}


def status_of(obj: Object) -> Object:
    return obj.get("status") or {}
