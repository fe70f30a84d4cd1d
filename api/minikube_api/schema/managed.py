"""metadata.managedFields: who set which field, kept up to date on every create, update and patch; and server-side apply on top of it.

The server calls `on_update` for everything that is no apply, after decoding, patching and defaulting, before admission; `on_apply` for
apply patches; and `keep_timestamps` at the end, so that a write that changes nothing does not count as one. All are pure but for the
`managedFields` they put into objects the caller owns. Source: KEP-555, k8s.io/apimachinery/pkg/util/managedfields, and
structured-merge-diff's merge package, whose order of steps is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from minikube_api.meta import objects
from minikube_api.meta.errors import BadRequest, Conflict, StatusError
from minikube_api.schema import apply_compare, apply_merge, apply_sets, apply_typing, managed_pruning
from minikube_api.schema.apply_sets import LEAF, Fields
from minikube_api.schema.apply_shapes import ItemError, Shape, root_shape
from minikube_api.schema.managed_entries import (
    Key,
    Managed,
    cap,
    decode,
    encode,
    keep_timestamps,
)
from minikube_api.schema.managed_pruning import Terms, Versions
from minikube_api.schema.model import Schema

__all__ = ["LAST_APPLIED", "Versions", "Writer", "described", "empty_object", "keep_timestamps", "on_apply", "on_update"]

Object = dict[str, Any]

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_ANNOTATIONS_LIMIT = 256 * 1024

_STRIPPED_META = frozenset(
    ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion")
)
_ROOT_APART = frozenset(("apiVersion", "kind", "metadata"))
_STRIPPED: Fields = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {".": LEAF, **{f"f:{name}": LEAF for name in sorted(_STRIPPED_META)}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes, and in which terms. `now` is RFC 3339 in whole seconds.

    `reset` are fields that this endpoint does not write, whatever the body says (`{"f:status": {}}` on a resource with a status
    subresource, `{"f:spec": {}}` on its /status): nobody comes to own them through it. `versions` converts for entries that other API
    versions wrote; without it all versions are taken to have one form.
    """

    manager: str
    api_version: str
    schema: Schema
    now: str
    subresource: str = ""
    reset: Fields = field(default_factory=dict)
    versions: Versions | None = None
    #: what an applied configuration must say its kind is; without it any
    kind: str = ""

    def tracked(self, fields: Fields) -> Fields:
        """Of these fields those that this endpoint writes."""
        if not fields:
            return fields
        return apply_sets.recursive_difference(fields, self.reset)


def _entries(obj: Object | None) -> Any:
    return objects.metadata(obj).get("managedFields") if obj is not None else None


def _publish(obj: Object, managed: Managed | None) -> None:
    """Put the list into `obj`; its metadata is replaced, not modified, since patches share it with the live object."""
    meta = dict(objects.metadata(obj))
    meta.pop("managedFields", None)
    if managed is not None and managed.sets:
        meta["managedFields"] = encode(managed)
    obj["metadata"] = meta


# ---- create, update, patch


def on_update(live: Object | None, new: Object, writer: Writer) -> None:
    """Set `new`'s managedFields for a create (`live` is None), update or patch.

    A list in `new` that is valid replaces the live one (not through subresources); `[{}]` clears it, and from then on nothing is tracked
    until the first apply. What cannot be typed loses its list, as in Kubernetes.
    """
    managed = _live_or_new(live, new, writer)
    if not managed.sets and live is not None:
        _publish(new, None)
        return
    try:
        _update(live, new, managed, writer)
    except ItemError:
        _publish(new, None)
        return
    cap(managed)
    _publish(new, managed)


def _live_or_new(live: Object | None, new: Object, writer: Writer) -> Managed:
    sent = _entries(new) if not writer.subresource else None
    if sent:
        if sent == [{}]:
            return Managed({}, {}, {})
        before = _entries(live)
        managed = decode(sent)
        if managed is not None and managed.sets and (sent is before or sent == before or _valid(managed)):
            return managed
    return decode(_entries(live)) or Managed({}, {}, {})


def _valid(managed: Managed) -> bool:
    return all(apply_sets.check(fields) for fields in managed.sets.values())


def empty_object(schema: Schema, api_version: str, kind: str) -> Object:
    """What a new object of this kind is before anything is set: Go writes some structs even then."""
    return {**schema.always, "apiVersion": api_version, "kind": kind}


def _update(live: Object | None, new: Object, managed: Managed, writer: Writer, manager: str | None = None) -> None:
    shape = root_shape(writer.schema)
    if live is None:
        live = empty_object(writer.schema, writer.api_version, "")
    changed, removed = _compared(live, new, shape)
    changed, removed = writer.tracked(changed), writer.tracked(removed)
    _take(managed, changed, removed, None, writer, live, new)
    # what is both (an item that became two of one key, or one of two) is owned
    if not changed:
        return
    key = (writer.manager if manager is None else manager, "Update", writer.api_version, writer.subresource)
    managed.sets[key] = apply_sets.union(changed, managed.sets.get(key, LEAF))
    managed.versions[key] = writer.api_version
    managed.times[key] = writer.now


def _compared(live: Object, new: Object, shape: Shape) -> tuple[Fields, Fields]:
    """(changed, removed) between two objects, leaving out what is never owned (names, identity, versions, the list itself)."""
    changed, removed = apply_compare.compare_except(live, new, shape, _ROOT_APART)
    before, after = objects.metadata(live), objects.metadata(new)
    if before is not after:
        element, child = shape.child("metadata")
        more, less = apply_compare.compare_except(before, after, child, _STRIPPED_META)
        if more:
            changed = {element: more, **changed}
        if less:
            removed = {element: less, **removed}
    return changed, removed


def _take(managed: Managed, changed: Fields, removed: Fields, but: Key | None, writer: Writer, live: Object, new: Object) -> None:
    """Take what was changed or removed away from every other manager."""
    by_version: dict[str, tuple[Fields, Fields] | None] = {writer.api_version: (changed, removed)}
    for key, fields in list(managed.sets.items()):
        if key == but:
            continue
        found = _in_version(by_version, managed.versions[key], writer, live, new)
        if found is None:
            del managed.sets[key]
            continue
        left = apply_sets.difference(apply_sets.difference(fields, found[0]), found[1])
        if left is fields and left:
            continue
        if left:
            managed.sets[key] = left
        else:
            del managed.sets[key]


def _in_version(
    known: dict[str, tuple[Fields, Fields] | None], version: str, writer: Writer, live: Object, new: Object
) -> tuple[Fields, Fields] | None:
    """The comparison in the terms of another API version; None when it is not served any more."""
    if version in known:
        return known[version]
    if writer.versions is None:
        known[version] = known[writer.api_version]
        return known[version]
    old = writer.versions(live, version)
    current = writer.versions(new, version)
    if old is None or current is None:
        known[version] = None
        return None
    changed, removed = _compared(old[0], current[0], root_shape(current[1]))
    known[version] = (writer.tracked(changed), writer.tracked(removed))
    return known[version]


# ---- apply


def on_apply(live: Object | None, applied: Object, writer: Writer, *, force: bool = False) -> Object:
    """The object that results from applying, with its managedFields. `live` is None, or has no uid, when it does not exist yet.

    The result is not defaulted and may hold nulls that the configuration named: decode and default it like a request body. The live
    object and the configuration are left alone. Raises BadRequest, Conflict (with a cause a field) or a StatusError 500 without reason,
    in kube-apiserver's words.
    """
    named = _check_applied(applied, writer)
    try:
        return _applied(live, applied, named, writer, force=force)
    except ItemError as why:
        raise StatusError(f"failed to create typed live object: {why}", code=500, reason="") from why


def _applied(live: Object | None, applied: Object, named: Fields, writer: Writer, *, force: bool) -> Object:
    """Raises ItemError for a live object that can't be typed (it was stored before its schema asked for keys)."""
    if live is None:
        live = {"apiVersion": writer.api_version, "kind": applied.get("kind", "")}
    managed = decode(_entries(live))
    if managed is None:
        raise StatusError("failed to decode managed fields: invalid entry", code=500, reason="")
    if not objects.uid(live):
        live = {**writer.schema.always, **live}
    elif not managed.sets:
        _update(empty_object(writer.schema, writer.api_version, live.get("kind", "")), live, managed, writer, BEFORE_FIRST_APPLY)
    try:
        merged = _apply(live, applied, named, managed, writer, force=force)
    except _Conflicts as conflicts:
        found = conflicts.found
        if writer.manager == "kubectl":
            found = _not_from_last_applied(found, live, writer)
        if found:
            raise _conflict(found) from None
        managed = conflicts.before
        merged = _apply(live, applied, named, managed, writer, force=True)
    if writer.manager == "kubectl" and LAST_APPLIED in objects.annotations(live):
        merged = _with_last_applied(merged, applied)
    _publish(merged, managed)
    return merged


def _check_applied(applied: Object, writer: Writer) -> Fields:
    """The fields that the configuration names. Raises BadRequest, or a StatusError for what the schema does not allow."""
    given = _kind_of(applied)
    if writer.kind and given != (*objects.split_api_version(writer.api_version), writer.kind):
        raise BadRequest("invalid object type: {}/{}, Kind={}".format(*given))
    if objects.metadata(applied).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    shape = root_shape(writer.schema)
    named = apply_typing.field_set(applied, shape)
    if named is not None:
        return named
    found = apply_merge.problems(applied, shape)
    if not found:
        raise AssertionError(f"the two walks disagree on {described(applied)}")
    raise StatusError(f"failed to create typed patch object ({described(applied)}): {_problem_text(found)}", code=500, reason="")


def _problem_text(found: list[tuple[str, str]]) -> str:
    texts = [f"{path}: {message}" if path else message for path, message in found]
    return texts[0] if len(texts) == 1 else "\n  ".join(["errors:", *texts])


def described(obj: Object) -> str:
    """Namespace, name and kind as `objectGVKNN` prints them; the core group shows as an empty one."""
    group, version, kind = _kind_of(obj)
    return f"{objects.namespace(obj)}/{objects.name(obj)}; {group}/{version}, Kind={kind}"


def _kind_of(obj: Object) -> tuple[str, str, str]:
    """Group, version and kind as an unstructured object tells them: what is no text is empty, and no kind comes without a version."""
    version, kind = obj.get("apiVersion"), obj.get("kind")
    version, kind = version if isinstance(version, str) else "", kind if isinstance(kind, str) else ""
    if version.count("/") > 1:
        return "", "", ""
    return (*objects.split_api_version(version), kind)


class _Conflicts(Exception):
    """Fields that others own with another value; `before` is the bookkeeping as it was."""

    def __init__(self, found: list[tuple[Key, tuple[str, ...], str]], before: Managed) -> None:
        super().__init__()
        self.found = found
        self.before = before


def _apply(live: Object, applied: Object, named: Fields, managed: Managed, writer: Writer, *, force: bool) -> Object:
    before = Managed(dict(managed.sets), dict(managed.versions), dict(managed.times))
    shape = root_shape(writer.schema)
    key: Key = (writer.manager, "Apply", "", writer.subresource)
    try:
        merged = apply_merge.merge(live, applied, shape)
    except ItemError as why:
        raise StatusError(f"failed to merge config: {why}", code=500, reason="") from why
    last, last_version = managed.sets.get(key), managed.versions.get(key, "")
    named = writer.tracked(named)
    managed.sets[key] = named
    managed.versions[key] = writer.api_version
    # what is named again was named last time: then nothing goes
    if last and (last_version != writer.api_version or apply_sets.difference(last, named)):
        terms = Terms(writer.api_version, writer.schema, writer.versions)
        merged = managed_pruning.pruned(merged, managed, last, last_version, terms)
    changed, removed = apply_compare.compare(live, merged, shape)
    changed, removed = writer.tracked(changed), writer.tracked(removed)
    if not force and (found := _conflicts(managed, changed, key, writer, live, merged)):
        raise _Conflicts(found, before)
    _take(managed, changed, removed, key, writer, live, merged)
    own = apply_sets.difference(named, _STRIPPED)
    if own:
        managed.sets[key] = own
    else:
        del managed.sets[key]
    if merged != live:
        # an apply that changes nothing leaves the time of its entry as it was
        managed.times[key] = writer.now
    return merged


def _conflicts(
    managed: Managed, changed: Fields, own: Key, writer: Writer, live: Object, merged: Object
) -> list[tuple[Key, tuple[str, ...], str]]:
    """(manager, path, its API version) of every field that would change and that someone else owns."""
    if not changed:
        return []
    by_version: dict[str, tuple[Fields, Fields] | None] = {writer.api_version: (changed, LEAF)}
    found: list[tuple[Key, tuple[str, ...], str]] = []
    for key, fields in managed.sets.items():
        if key == own:
            continue
        version = managed.versions[key]
        compared = _in_version(by_version, version, writer, live, merged)
        if compared is not None:
            shared = apply_sets.intersection(fields, compared[0])
            found += [(key, path, version) for path in apply_sets.elements(shared)]
    return found


def _conflict(found: list[tuple[Key, tuple[str, ...], str]]) -> Conflict:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_shown(key, version)}",
            "field": apply_sets.path_text(path),
        }
        for key, path, version in found
    ]
    if len(found) == 1:
        text = f"1 conflict: conflict with {_shown(found[0][0], found[0][2])}: {causes[0]['field']}"
        return Conflict(f"Apply failed with {text}", details={"causes": causes})
    lines: list[str] = []
    by_manager: dict[Key, list[str]] = {}
    shown: dict[Key, str] = {}
    for key, path, version in found:
        by_manager.setdefault(key, []).append(apply_sets.path_text(path))
        shown[key] = _shown(key, version)
    for key in sorted(by_manager):
        lines.append(f"conflicts with {shown[key]}:")
        lines += [f"- {path}" for path in by_manager[key]]
    return Conflict(
        f"Apply failed with {len(found)} conflicts: " + "\n".join(lines),
        details={"causes": causes},
    )


def _shown(key: Key, version: str) -> str:
    manager, operation, _, subresource = key
    text = f'"{manager}"'
    if subresource:
        text += f' with subresource "{subresource}"'
    return f"{text} using {version}" if operation == "Update" else text


# ---- kubectl's client-side apply


def _not_from_last_applied(
    found: list[tuple[Key, tuple[str, ...], str]], live: Object, writer: Writer
) -> list[tuple[Key, tuple[str, ...], str]]:
    """The conflicts that client-side apply does not explain: kubectl may take over what its own annotation says it set."""
    text = objects.annotations(live).get(LAST_APPLIED)
    if not text:
        return found
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return found
    shape = root_shape(writer.schema)
    if not isinstance(last, dict) or last.get("apiVersion") != writer.api_version or apply_merge.problems(last, shape):
        return found
    changed, removed = apply_compare.compare(last, live, shape)
    ours = apply_sets.difference(apply_sets.difference(apply_compare.field_set(last, shape), changed), removed)
    return [conflict for conflict in found if not apply_sets.has(ours, conflict[1])]


def _with_last_applied(merged: Object, applied: Object) -> Object:
    """The result with the annotation of client-side apply brought up to date, so that going back to it works."""
    meta = dict(objects.metadata(applied))
    if "annotations" in meta:
        meta["annotations"] = {k: v for k, v in objects.annotations(applied).items() if k != LAST_APPLIED}
    text = orjson.dumps({**applied, "metadata": meta}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    annotations = {**objects.annotations(merged), LAST_APPLIED: text}
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > _ANNOTATIONS_LIMIT:
        del annotations[LAST_APPLIED]
    return {**merged, "metadata": {**objects.metadata(merged), "annotations": annotations}}
