"""Validation of metadata, labels and owner references (apimachinery's pkg/api/validation, objectmeta.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.meta.errors import FieldError

Object = dict[str, Any]
NameProblems = Callable[[str, bool], list[str]]

#: bytes of all annotation keys and values together
ANNOTATIONS_MAX = 256 * 1024
#: bytes of a field manager and of a subresource in managedFields
FIELD_MANAGER_MAX, SUBRESOURCE_MAX = 128, 256
IMMUTABLE = "field is immutable"

_good_keys: set[str] = set()
_good_values: set[str] = set()


def qualified_problems(key: str) -> list[str]:
    """`names.qualified_name` behind a small memory of good keys: the same few label keys come with every object."""
    if key in _good_keys:
        return []
    problems = names.qualified_name(key)
    if not problems and len(_good_keys) < 4096:
        _good_keys.add(key)
    return problems


def label_value_problems(value: str) -> list[str]:
    if value in _good_values:
        return []
    problems = names.label_value(value)
    if not problems and len(_good_values) < 4096:
        _good_values.add(value)
    return problems


def label_problems(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in (labels or {}).items():
        errors += [err.invalid(path, key, m) for m in qualified_problems(key)]
        errors += [err.invalid(path, value, m) for m in label_value_problems(value)]
    return errors


def annotation_problems(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    if not annotations:
        return []
    errors: list[FieldError] = []
    size = 0
    for key, value in annotations.items():
        # keys are qualified names; upper case is let through for old users
        errors += [err.invalid(path, key, m) for m in qualified_problems(key.lower())]
        size += len(key.encode()) + len((value or "").encode())
    if size > ANNOTATIONS_MAX:
        errors.append(err.too_long(path, "", ANNOTATIONS_MAX))
    return errors


def meta_problems(obj: Object, namespaced: bool, name_problems: NameProblems, path: str = "metadata") -> list[FieldError]:
    """ValidateObjectMeta: name, namespace, labels, annotations, finalizers, owners, generation."""
    meta = obj.get("metadata") or {}
    errors: list[FieldError] = []
    generate, name, namespace = meta.get("generateName"), meta.get("name"), meta.get("namespace")
    if generate:
        errors += [err.invalid(f"{path}.generateName", generate, m) for m in name_problems(generate, True)]
    if not name:
        errors.append(err.required(f"{path}.name", "name or generateName is required"))
    else:
        errors += [err.invalid(f"{path}.name", name, m) for m in name_problems(name, False)]
    if namespaced:
        if not namespace:
            errors.append(err.required(f"{path}.namespace"))
        else:
            errors += [err.invalid(f"{path}.namespace", namespace, m) for m in names.dns1123_label(namespace)]
    elif namespace:
        errors.append(err.forbidden(f"{path}.namespace", "not allowed on this type"))
    generation = meta.get("generation")
    if generation is not None and generation < 0:
        errors.append(err.invalid(f"{path}.generation", generation, "must be greater than or equal to 0"))
    if meta.get("labels"):
        errors += label_problems(meta["labels"], f"{path}.labels")
    if meta.get("annotations"):
        errors += annotation_problems(meta["annotations"], f"{path}.annotations")
    if meta.get("ownerReferences"):
        errors += _owner_problems(meta["ownerReferences"], f"{path}.ownerReferences")
    if meta.get("finalizers"):
        errors += finalizer_problems(meta["finalizers"], f"{path}.finalizers")
    if meta.get("managedFields"):
        errors += managed_field_problems(meta["managedFields"], f"{path}.managedFields")
    return errors


def _owner_problems(owners: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    for owner in owners:
        # the path is that of the list: validateOwnerReference knows no index
        version = owner.get("apiVersion") or ""
        if not version.rpartition("/")[2]:
            errors.append(err.invalid(f"{path}.apiVersion", version, "version must not be empty"))
        missing = [name for name in ("kind", "name", "uid") if not owner.get(name)]
        errors += [err.invalid(f"{path}.{name}", "", "must not be empty") for name in missing]
        if (version, owner.get("kind")) == ("v1", "Event"):
            errors.append(err.invalid(path, _owner_value(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            name = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                detail = (
                    f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {name}'
                )
                errors.append(err.invalid(path, [_owner_value(o) for o in owners], detail))
            else:
                controller = name
    return errors


def _owner_value(owner: Object) -> Object:
    """An owner reference as Go marshals it."""
    names_ = ("apiVersion", "kind", "name", "uid")
    value = {name: owner.get(name, "") for name in names_}
    return value | {name: owner[name] for name in ("controller", "blockOwnerDeletion") if owner.get(name) is not None}


STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def finalizer_problems(finalizers: list[str], path: str) -> list[FieldError]:
    """Names of apimachinery's form, and of built-in kinds' (standard or fully qualified)."""
    errors = [err.invalid(path, finalizer, m) for finalizer in finalizers for m in qualified_problems(finalizer)]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.append(err.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))
    for i, finalizer in enumerate(finalizers):
        errors += kube_finalizer_problems(finalizer, f"{path}[{i}]")
    return errors


def kube_finalizer_problems(finalizer: str, path: str) -> list[FieldError]:
    if "/" in finalizer or finalizer in STANDARD_FINALIZERS:
        return []
    return [err.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")]


def managed_field_problems(entries: list[Object], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, entry in enumerate(entries):
        at = f"{path}[{i}]"
        if entry.get("operation") not in ("Apply", "Update"):
            errors.append(err.invalid(f"{at}.operation", entry.get("operation") or "", "must be `Apply` or `Update`"))
        if entry.get("fieldsType") not in ("FieldsV1", None, ""):
            errors.append(err.invalid(f"{at}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        errors += field_manager_problems(entry.get("manager") or "", f"{at}.manager")
        if len((entry.get("subresource") or "").encode(errors="surrogateescape")) > SUBRESOURCE_MAX:
            errors.append(err.too_long(f"{at}.subresource", "", SUBRESOURCE_MAX))
    return errors


def field_manager_problems(manager: str, path: str) -> list[FieldError]:
    """ValidateFieldManager: sizes and places are counted in bytes."""
    errors: list[FieldError] = []
    if len(manager.encode(errors="surrogateescape")) > FIELD_MANAGER_MAX:
        errors.append(err.too_long(path, manager, FIELD_MANAGER_MAX))
    if not manager.isprintable():
        for place, character in enumerate(manager):
            if not character.isprintable():
                at = len(manager[:place].encode(errors="surrogateescape"))
                errors.append(err.invalid(path, manager, f"invalid character U+{ord(character):04X} (at position {at})"))
    return errors


def meta_update_problems(obj: Object, old: Object, path: str = "metadata") -> list[FieldError]:
    """ValidateObjectMetaUpdate: what an update may not change, and the form of what it may."""
    new, was = obj.get("metadata") or {}, old.get("metadata") or {}
    errors: list[FieldError] = []
    if was.get("deletionTimestamp") and (added := _added_finalizers(new, was)):
        listed = ", ".join(err.quote(name) for name in added)
        detail = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
        errors.append(err.forbidden(f"{path}.finalizers", detail))
    if not new.get("resourceVersion") and was.get("resourceVersion") and "resourceVersion" in new:
        errors.append(err.invalid(f"{path}.resourceVersion", "", "must be specified for an update"))
    if (new.get("generation") or 0) < (was.get("generation") or 0):
        errors.append(err.invalid(f"{path}.generation", new.get("generation") or 0, "must not be decremented"))
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(name) != was.get(name):
            value = new.get(name)
            if value is None and name in ("name", "namespace", "uid"):
                value = ""
            errors.append(err.invalid(f"{path}.{name}", value, IMMUTABLE))
    if new.get("labels") and new.get("labels") != was.get("labels"):
        errors += label_problems(new["labels"], f"{path}.labels")
    if new.get("annotations") and new.get("annotations") != was.get("annotations"):
        errors += annotation_problems(new["annotations"], f"{path}.annotations")
    if new.get("ownerReferences") and new.get("ownerReferences") != was.get("ownerReferences"):
        errors += _owner_problems(new["ownerReferences"], f"{path}.ownerReferences")
    if new.get("managedFields"):
        errors += managed_field_problems(new["managedFields"], f"{path}.managedFields")
    return errors


def update_problems(
    obj: Object, old: Object, *, changes: int = 2, wholes: int = 0, rules: WholeRules | None = None
) -> list[FieldError]:
    """What an update of a built-in kind finds in metadata. Each finding is a cause as often as Kubernetes comes by it.

    `changes`: ValidateObjectMetaUpdate, first the generic one, then the kind's own, which looks at finalizers too; `wholes`:
    ValidateObjectMeta, by `rules`, where a kind checks the changed object like a new one.
    """
    errors = meta_update_problems(obj, old) * changes
    finalizers = (obj.get("metadata") or {}).get("finalizers") or ()
    for _ in range(changes - 1):
        errors += [e for i, f in enumerate(finalizers) for e in kube_finalizer_problems(f, f"metadata.finalizers[{i}]")]
    if wholes and rules is not None:
        errors += meta_problems(obj, rules.namespaced, rules.name_problems) * wholes
    return errors


class WholeRules(Protocol):
    """What `meta_problems` must know of a kind."""

    @property
    def namespaced(self) -> bool: ...

    name_problems: NameProblems


def _added_finalizers(new: Object, was: Object) -> list[str]:
    return sorted(set(new.get("finalizers") or ()) - set(was.get("finalizers") or ()))


def immutable(new: Any, old: Any, path: str, shown: Any = err.OMIT) -> list[FieldError]:
    """ValidateImmutableField; `shown` when the message prints another form than the JSON value."""
    if new == old or (not new and not old and new is not False and old is not False and new != 0 and old != 0):
        return []
    return [err.invalid(path, new if shown is err.OMIT else shown, IMMUTABLE)]
