"""What must hold of a job's status, and of a change of it (validateJobStatus, ValidateJobStatusUpdate; KEP-4368, managedBy).

Most rules look only at what an update changes: a status that came to break one by a change of the spec may go on.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.resources.apps import index_intervals
from minikube_api.resources.checks import Errors, nonnegative_fields
from minikube_api.resources.resource import Object

_PATH = "status"


def _conditions(detail: str) -> FieldError:
    return err.invalid(f"{_PATH}.conditions", err.OMIT, detail)


class _Status:
    """A status with the questions that the rules ask of it."""

    def __init__(self, obj: Object) -> None:
        self.tree: Object = obj.get("status") or {}
        conditions = self.tree.get("conditions") or ()
        self.true = {condition.get("type") for condition in conditions if condition.get("status") == "True"}
        self.complete, self.failed = "Complete" in self.true, "Failed" in self.true
        self.finished = self.complete or self.failed

    def number(self, field: str) -> int:
        return self.tree.get(field) or 0


def problems(obj: Object, old: Object) -> Errors:
    """Of the status of `obj`, which was that of `old`; paths start at `status`."""
    new, was, spec = _Status(obj), _Status(old), obj.get("spec") or {}
    fields = ("active", "succeeded", "failed", "ready", "terminating")
    errors = nonnegative_fields(new.tree, _PATH, *fields)
    errors += _uncounted(new.tree.get("uncountedTerminatedPods") or {})
    errors += _end(new, was) + _times(new, was, spec) + _counts(new, was) + _indexes(new, was, spec)
    return errors + _kept(new, was, spec)


def _uncounted(tree: Object) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for i, uid in enumerate(tree.get(field) or ()):
            path = f"{_PATH}.uncountedTerminatedPods.{field}[{i}]"
            if not uid:
                errors.append(err.invalid(path, uid, "must not be empty"))
            elif uid in seen:
                errors.append(err.duplicate(path, uid))
            seen.add(uid)
    return errors


def _end(new: _Status, was: _Status) -> Errors:
    """Conditions that end a job, and those that must have come before."""
    changed = new.true ^ was.true
    complete, failed = "Complete" in changed, "Failed" in changed
    failing, succeeding = "FailureTarget" in new.true, "SuccessCriteriaMet" in new.true
    errors: Errors = []
    if (complete or failed) and new.complete and new.failed:
        errors.append(_conditions("cannot set Complete=True and Failed=true conditions"))
    if (complete or "FailureTarget" in changed) and new.complete and failing:
        errors.append(_conditions("cannot set Complete=True and FailureTarget=true conditions"))
    failed_indexes = new.tree.get("failedIndexes") != was.tree.get("failedIndexes")
    if (failed or failed_indexes) and new.failed and not failing:
        errors.append(_conditions("cannot set Failed=True condition without the FailureTarget=true condition"))
    if (complete or "SuccessCriteriaMet" in changed) and new.complete and not succeeding:
        errors.append(_conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"))
    if succeeding and new.failed:
        errors.append(_conditions("cannot set Failed=True and SuccessCriteriaMet=true conditions"))
    if succeeding and failing:
        errors.append(_conditions("cannot set FailureTarget=True and SuccessCriteriaMet=true conditions"))
    return errors


def _changed(new: _Status, was: _Status, *fields: str) -> bool:
    return any(new.tree.get(field) != was.tree.get(field) for field in fields)


def _times(new: _Status, was: _Status, spec: Object) -> Errors:
    started, completed = new.tree.get("startTime"), new.tree.get("completionTime")
    ended, at = new.complete != was.complete or _changed(new, was, "completionTime"), f"{_PATH}.completionTime"
    errors: Errors = []
    if ended and completed and not new.complete:
        detail = "cannot set completionTime when there is no Complete=True condition"
        errors.append(err.invalid(at, completed, detail))
    if ended and new.complete and not completed:
        errors.append(err.required(at, "completionTime is required for Complete jobs"))
    # both are RFC 3339 in UTC and in seconds: the order of the texts is that of the times
    if _changed(new, was, "startTime", "completionTime") and started and completed and completed < started:
        errors.append(err.invalid(at, completed, "completionTime cannot be set before startTime"))
    nothing_to_do = bool(spec.get("suspend")) and spec.get("completions") == 0
    finishing = new.finished != was.finished or _changed(new, was, "startTime")
    if finishing and not nothing_to_do and new.finished and not started:
        errors.append(err.required(f"{_PATH}.startTime", "startTime is required for finished job"))
    return errors


def _counts(new: _Status, was: _Status) -> Errors:
    errors: Errors = []
    finishing = new.finished != was.finished
    for field in ("active", "terminating"):
        if (finishing or _changed(new, was, field)) and new.finished and new.number(field) > 0:
            errors.append(err.invalid(f"{_PATH}.{field}", new.number(field), f"{field}>0 is invalid for finished job"))
    if _changed(new, was, "ready", "active") and "ready" in new.tree and new.number("ready") > new.number("active"):
        errors.append(err.invalid(f"{_PATH}.ready", new.number("ready"), "cannot set more ready pods than active"))
    uncounted: Any = new.tree.get("uncountedTerminatedPods") or {}
    if (finishing or _changed(new, was, "uncountedTerminatedPods")) and new.finished and any(uncounted.values()):
        shown = {"Succeeded": uncounted.get("succeeded"), "Failed": uncounted.get("failed")}
        detail = "uncountedTerminatedPods needs to be empty for finished job"
        errors.append(err.invalid(f"{_PATH}.uncountedTerminatedPods", shown, detail))
    return errors


def _indexes(new: _Status, was: _Status, spec: Object) -> Errors:
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex") is not None
    completed, failed = new.tree.get("completedIndexes") or "", new.tree.get("failedIndexes")
    errors: Errors = []
    if _changed(new, was, "completedIndexes"):
        errors += _readable("completedIndexes", completed, completions)
        if completed and spec.get("completionMode") != "Indexed":
            detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
            errors.append(err.invalid(f"{_PATH}.completedIndexes", completed, detail))
    if failed is None:
        return errors
    path = f"{_PATH}.failedIndexes"
    if _changed(new, was, "failedIndexes"):
        if per_index:
            errors += _readable("failedIndexes", failed, completions)
        else:
            errors.append(err.invalid(path, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
    if completions is not None and _changed(new, was, "completedIndexes", "failedIndexes"):
        common = index_intervals.overlap(completed, failed, completions)
        if common is not None:
            errors.append(err.invalid(path, failed, f"failedIndexes and completedIndexes overlap at index: {common}"))
    return errors


def _readable(field: str, text: str, completions: int | None) -> Errors:
    if completions is None:
        return []
    try:
        index_intervals.count(text, completions)
    except ValueError as error:
        return [err.invalid(f"{_PATH}.{field}", text, f"error parsing {field}: {error}")]
    return []


def _kept(new: _Status, was: _Status, spec: Object) -> Errors:
    """What no update may take back."""
    errors = [
        _conditions(f"cannot disable the terminal {kind}=True condition")
        for kind in ("Failed", "Complete", "FailureTarget")
        if kind in was.true and kind not in new.true
    ]
    if "SuccessCriteriaMet" in was.true and "SuccessCriteriaMet" not in new.true:
        errors.append(_conditions("cannot disable the SuccessCriteriaMet=True condition"))
    # an elastic job may be scaled down, and then has succeeded less
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed", "succeeded"):
        if new.number(field) < was.number(field) and not (field == "succeeded" and elastic):
            errors.append(err.invalid(f"{_PATH}.{field}", new.number(field), f"cannot decrease the {field} counter"))
    completed, before = (status.tree.get("completionTime") for status in (new, was))
    if completed and before and completed != before:
        errors.append(err.invalid(f"{_PATH}.completionTime", completed, "completionTime cannot be mutated"))
    started, before = (status.tree.get("startTime") for status in (new, was))
    if before and started != before and not spec.get("suspend"):
        path = f"{_PATH}.startTime"
        if started:
            errors.append(err.invalid(path, started, "startTime cannot be modified for unsuspended job"))
        else:
            errors.append(err.required(path, "startTime cannot be removed for unsuspended job"))
    return errors
