"""The list of metadata.managedFields: reading, writing, capping, and telling a change from new timestamps.

Source: k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from minikube_api.meta import objects
from minikube_api.schema import apply_sets
from minikube_api.schema.apply_sets import LEAF, Fields

Object = dict[str, Any]
Entry = dict[str, Any]
#: (manager, operation, apiVersion ("" for Apply), subresource)
Key = tuple[str, str, str, str]

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"


@dataclass(slots=True)
class Managed:
    """Decoded managedFields. `versions` tells the API version of each set; `applied` is in the key."""

    sets: dict[Key, Fields]
    versions: dict[Key, str]
    times: dict[Key, str | None]


def decode(entries: Any) -> Managed | None:
    """None for what is no valid list of entries."""
    managed = Managed({}, {}, {})
    for entry in entries or ():
        if not isinstance(entry, dict):
            return None
        operation, version = entry.get("operation"), entry.get("apiVersion")
        fields = entry.get("fieldsV1", LEAF)
        if operation not in ("Apply", "Update") or not version or entry.get("fieldsType") != "FieldsV1":
            return None
        if fields is None:
            fields = LEAF
        if not isinstance(fields, dict):
            return None
        key = (
            entry.get("manager") or "",
            operation,
            version if operation == "Update" else "",
            entry.get("subresource") or "",
        )
        managed.sets[key] = fields
        managed.versions[key] = version
        managed.times[key] = entry.get("time")
    return managed


def encode(managed: Managed) -> list[Entry]:
    """Sorted by operation, time, manager, version and subresource, as the API shows them."""

    def order(key: Key) -> tuple[str, str, str, str, str]:
        return key[1], managed.times.get(key) or "", key[0], managed.versions[key], key[3]

    entries: list[Entry] = []
    for key in sorted(managed.sets, key=order):
        manager, operation, _, subresource = key
        entry: Entry = {}
        if manager:
            entry["manager"] = manager
        entry["operation"] = operation
        entry["apiVersion"] = managed.versions[key]
        time = managed.times.get(key)
        if time is not None:
            entry["time"] = time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = managed.sets[key]
        if subresource:
            entry["subresource"] = subresource
        entries.append(entry)
    return entries


def cap(managed: Managed) -> None:
    """Join the oldest entries of updates, version by version, while there are more than ten."""
    updaters = [key for key in managed.sets if key[1] == "Update"]
    if len(updaters) <= MAX_UPDATE_MANAGERS:
        return
    updaters.sort(key=lambda key: (managed.times.get(key) or "", key))
    count = len(updaters)
    first_of: dict[str, Key] = {}
    for key in updaters:
        if count <= MAX_UPDATE_MANAGERS:
            break
        version = managed.versions[key]
        bucket: Key = (ANCIENT, "Update", version, "")
        first = first_of.setdefault(version, key)
        if first is key:
            continue
        if bucket not in managed.sets:
            managed.sets[bucket] = managed.sets.pop(first)
            managed.versions[bucket] = version
        managed.sets[bucket] = apply_sets.union(managed.sets[key], managed.sets[bucket])
        managed.times[bucket] = managed.times.get(key)
        if key != bucket:
            del managed.sets[key]
        count -= 1


def keep_timestamps(old: Object, new: Object) -> bool:
    """When `new` differs from `old` by nothing but the times in managedFields, give it the old list back and say so.

    The caller then has a write that changes nothing, which must not make a new resourceVersion. `new`'s resourceVersion does not count.
    """
    before, after = objects.metadata(old), objects.metadata(new)
    theirs, ours = before.get("managedFields"), after.get("managedFields")
    if ours == theirs:
        return objects_equal(old, new)
    if not ours or not theirs or len(ours) != len(theirs):
        return False
    if sorted(map(_timeless, ours)) != sorted(map(_timeless, theirs)) or not objects_equal(old, new):
        return False
    new["metadata"] = {**after, "managedFields": theirs}
    return True


def _timeless(entry: Entry) -> bytes:
    return orjson.dumps({k: v for k, v in entry.items() if k != "time"}, option=orjson.OPT_SORT_KEYS)


_NOT_COMPARED = frozenset(("managedFields", "resourceVersion"))


def objects_equal(old: Object, new: Object) -> bool:
    """Equal but for managedFields and resourceVersion."""
    if any(new.get(name) != value for name, value in old.items() if name != "metadata") or len(old) != len(new):
        return False
    before, after = objects.metadata(old), objects.metadata(new)
    names = (before.keys() | after.keys()) - _NOT_COMPARED
    return all(before.get(name) == after.get(name) for name in names)
