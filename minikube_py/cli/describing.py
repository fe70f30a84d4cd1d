"""The text of `minictl describe`: an object as an indented outline with its events. Pure; the same for every kind."""

from __future__ import annotations

import re
from typing import Any

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FIRST = ("name", "namespace", "labels", "annotations")
_LEFT_OUT = {"managedFields", "uid", "resourceVersion", "generation", "selfLink"}
#: maps whose keys are the user's own words, not fields
_OWN_KEYS = {
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "selector",
    "data",
    "limits",
    "requests",
    "capacity",
    "allocatable",
}
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def title(key: str) -> str:
    """`clusterIP` -> `Cluster IP`, as kubectl's generic describer names fields."""
    return " ".join(word[:1].upper() + word[1:] for word in _WORDS.split(key))


def describe(obj: dict[str, Any], events: list[dict[str, Any]]) -> str:
    metadata = obj.get("metadata", {})
    lines = _pairs([(k, metadata.get(k)) for k in _FIRST if k in metadata], 0)
    lines += _pairs([(k, v) for k, v in metadata.items() if k not in _LEFT_OUT and k not in _FIRST], 0)
    lines += _pairs([(k, v) for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")], 0)
    return "\n".join([*lines, *_events(events)])


def _pairs(pairs: list[tuple[str, Any]], depth: int) -> list[str]:
    width = max((len(title(k)) for k, v in pairs if not _nested(v)), default=0) + 1
    lines = []
    pad = "  " * depth
    for key, value in pairs:
        shown = title(key)
        if not _nested(value):
            lines.append(f"{pad}{shown + ':':<{width}} {_scalar(value)}".rstrip())
        elif isinstance(value, dict):
            entries = [(k, v) for k, v in value.items() if k != _LAST_APPLIED]
            if key in _OWN_KEYS and not any(_nested(v) for _, v in entries):
                lines += [f"{pad}{shown}:", *(f"{pad}  {k}={_scalar(v)}" for k, v in entries)]
            else:
                lines += [f"{pad}{shown}:", *_pairs(entries, depth + 1)]
        else:
            lines.append(f"{pad}{shown}:")
            for item in value:
                lines += _item(item, depth + 1)
    return lines


def _item(item: Any, depth: int) -> list[str]:
    if not isinstance(item, dict):
        return ["  " * depth + f"- {_scalar(item)}"]
    body = _pairs(list(item.items()), depth + 1)
    if body:
        body[0] = "  " * depth + "- " + body[0].lstrip()
    return body


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _scalar(value: Any) -> str:
    if value is None or value == "" or value == {} or value == []:
        return "<none>"
    if isinstance(value, bool):
        return str(value).lower()
    return "\\n".join(str(value).rstrip("\n").split("\n"))


def _events(events: list[dict[str, Any]]) -> list[str]:
    if not events:
        return ["Events:  <none>"]
    rows = [("Type", "Reason", "Count", "Last Seen", "From", "Message")]
    rows += [
        (
            e.get("type", ""),
            e.get("reason", ""),
            str(e.get("count") or (e.get("series") or {}).get("count") or 1),
            e.get("lastTimestamp") or e.get("eventTime") or "",
            e.get("reportingComponent") or (e.get("source") or {}).get("component", ""),
            e.get("message", "").strip(),
        )
        for e in sorted(events, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return ["Events:", *("  " + "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]) for row in rows)]
