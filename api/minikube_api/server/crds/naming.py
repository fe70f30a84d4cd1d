"""Conditions of a CustomResourceDefinition, decided from all definitions: names, establishment, approval. Pure.

Source: apiextensions-apiserver's pkg/controller/status (naming), establish, apiapproval, nonstructuralschema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minikube_api.resources.apiextensions.definitions import approval, protected
from minikube_api.resources.resource import Object

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def find(definition: Object, kind: str) -> Object | None:
    for condition in (definition.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return dict(condition)
    return None


def set_condition(conditions: list[Object], kind: str, status: str, reason: str, message: str, now: str) -> None:
    """Put a condition into the list; its time moves only with its status."""
    new = {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
    for i, condition in enumerate(conditions):
        if condition.get("type") == kind:
            if condition.get("status") == status and condition.get("lastTransitionTime"):
                new["lastTransitionTime"] = condition["lastTransitionTime"]
            conditions[i] = new
            return
    conditions.append(new)


def status(definition: Object, others: Iterable[Object], now: str) -> Object:
    """The status this definition should have; `others` are the rest of the definitions."""
    old = definition.get("status") or {}
    conditions = [dict(c) for c in old.get("conditions") or ()]
    made = {**old, "conditions": conditions}
    accepted, conflict = _accepted(definition, others)
    made["acceptedNames"] = accepted
    if conflict is None:
        set_condition(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        established = find(definition, "Established")
        if established is None or established.get("status") != "True":
            message = "the initial names have been accepted"
            set_condition(conditions, "Established", "True", "InitialNamesAccepted", message, now)
    else:
        set_condition(conditions, "NamesAccepted", "False", conflict[0], conflict[1], now)
        if find(definition, "Established") is None:
            set_condition(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    if protected(definition["spec"].get("group") or ""):
        _approve(definition, conditions, now)
    return made


_APPROVAL = {
    "missing": ("False", "MissingAnnotation"),
    "invalid": ("False", "InvalidAnnotation"),
    "bypassed": ("False", "UnapprovedAnnotation"),
    "approved": ("True", "ApprovedAnnotation"),
}


def _approve(definition: Object, conditions: list[Object], now: str) -> None:
    state, text = approval(definition)
    value, reason = _APPROVAL[state]
    set_condition(conditions, "KubernetesAPIApprovalPolicyConformant", value, reason, text, now)


def _accepted(definition: Object, others: Iterable[Object]) -> tuple[Object, tuple[str, str] | None]:
    """(acceptedNames, (reason, message) of the last conflict): names that others have in the group stay as they were."""
    requested = definition["spec"].get("names") or {}
    accepted: Object = dict((definition.get("status") or {}).get("acceptedNames") or {})
    names: set[str | None] = set()
    kinds: set[str | None] = set()
    for other in others:
        if (
            other["spec"].get("group") != definition["spec"].get("group")
            or other["metadata"]["name"] == definition["metadata"]["name"]
        ):
            continue
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        names |= {taken.get("plural"), taken.get("singular"), *(taken.get("shortNames") or ())}
        kinds |= {taken.get("kind"), taken.get("listKind")}
    conflict: tuple[str, str] | None = None
    for field, reason, used in (
        ("plural", "PluralConflict", names),
        ("singular", "SingularConflict", names),
        ("shortNames", "ShortNamesConflict", names),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        wanted: Any = requested.get(field)
        own = accepted.get(field)
        mine = own if isinstance(own, list) else [own]
        clash = [n for n in (wanted if isinstance(wanted, list) else [wanted]) if n and n in used and n not in mine]
        if clash:
            text = ", ".join(f'"{name}" is already in use' for name in clash)
            conflict = (reason, text if len(clash) == 1 else f"[{text}]")
        elif wanted:
            accepted[field] = wanted
        else:
            accepted.pop(field, None)
    if requested.get("categories"):
        accepted["categories"] = requested["categories"]
    else:
        accepted.pop("categories", None)
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    return accepted, conflict


def mark_deleted(definition: Object, now: str) -> None:
    """What a delete request does to a definition, in place."""
    meta = definition["metadata"]
    meta["deletionTimestamp"] = now
    finalizers = meta.get("finalizers") or []
    if FINALIZER not in finalizers:
        meta["finalizers"] = [*finalizers, FINALIZER]
    status_ = definition["status"] = dict(definition.get("status") or {})
    status_["conditions"] = [dict(c) for c in status_.get("conditions") or ()]
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will be initiated."
    set_condition(status_["conditions"], "Terminating", "True", "InstanceDeletionPending", message, now)
