"""Typed options of the verbs, read from the query, with Kubernetes' checks and words (meta.k8s.io/v1 *Options)."""

from __future__ import annotations

from dataclasses import dataclass

from minikube_api.meta import field_errors
from minikube_api.meta.errors import FieldError, Invalid
from minikube_api.resources import objectmeta
from minikube_api.server.context import Request, truthy

_FIELD_VALIDATION = ("Ignore", "Strict", "Warn")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool | None = None


_DEFAULT = WriteOptions()


def write_options(request: Request, kind: str, *, apply: bool = False) -> WriteOptions:
    """CreateOptions, UpdateOptions or PatchOptions (`kind`). Raises Invalid."""
    query = request.query
    if not query and not apply:
        return _DEFAULT
    errors: list[FieldError] = []
    force = truthy(query["force"]) if "force" in query else None
    manager = query.get("fieldManager", "")
    if apply and not manager:
        errors.append(field_errors.required("fieldManager", "is required for apply patch"))
    if kind == "PatchOptions" and not apply and force is not None:
        errors.append(field_errors.forbidden("force", "may not be specified for non-apply patch"))
    errors += objectmeta.field_manager_problems(manager, "fieldManager")
    dry_run = request.values("dryRun")
    errors += dry_run_problems(dry_run)
    validation = query.get("fieldValidation", "") or "Warn"
    if validation not in _FIELD_VALIDATION:
        errors.append(field_errors.not_supported("fieldValidation", validation, ["", *_FIELD_VALIDATION]))
    if errors:
        raise Invalid.object("meta.k8s.io", kind, "", errors)
    return WriteOptions(bool(dry_run), manager, validation, force)


def dry_run_problems(dry_run: list[str]) -> list[FieldError]:
    return [] if all(value == "All" for value in dry_run) else [field_errors.not_supported("dryRun", dry_run, ["All"])]


def manager_of(options: WriteOptions, request: Request) -> str:
    """The field manager: as given, else the User-Agent up to its first slash, at most 128 characters, printable."""
    if options.field_manager:
        return options.field_manager
    agent = request.headers.get("User-Agent", "")
    text = "".join(c for c in agent.partition("/")[0] if c.isprintable())
    return text.encode(errors="ignore")[: objectmeta.FIELD_MANAGER_MAX].decode(errors="ignore") or "unknown"


@dataclass(frozen=True, slots=True)
class ListOptions:
    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None


_DEFAULT_LIST = ListOptions()


def list_options(request: Request, *, watch: bool = False) -> ListOptions:
    """Raises BadRequest for what can't be parsed and Invalid for what does not go together."""
    query = request.query
    if not query:
        return _DEFAULT_LIST
    timeout = request.integer("timeoutSeconds")
    limit = request.integer("limit") or 0
    initial = truthy(query["sendInitialEvents"]) if "sendInitialEvents" in query else None
    options = ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        resource_version=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
        limit=max(limit, 0),
        continue_=query.get("continue", ""),
        timeout_seconds=timeout,
        bookmarks=truthy(query.get("allowWatchBookmarks")),
        send_initial_events=initial,
    )
    errors = _watch_errors(options) if watch else _list_errors(options)
    if errors:
        raise Invalid.object("meta.k8s.io", "ListOptions", "", errors)
    return options


def _list_errors(options: ListOptions) -> list[FieldError]:
    match, revision = options.match, options.resource_version
    errors: list[FieldError] = []
    if match:
        if not revision:
            errors.append(
                field_errors.forbidden(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if options.continue_:
            errors.append(
                field_errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if match not in ("Exact", "NotOlderThan"):
            errors.append(field_errors.not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and revision == "0":
            errors.append(
                field_errors.forbidden(
                    "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                )
            )
    if options.send_initial_events is not None:
        errors.append(field_errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(options: ListOptions) -> list[FieldError]:
    match = options.match
    errors: list[FieldError] = []
    if options.send_initial_events is not None and match != "NotOlderThan":
        errors.append(
            field_errors.forbidden(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        )
    if match:
        if options.send_initial_events is None:
            errors.append(
                field_errors.forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                )
            )
        if match != "NotOlderThan":
            errors.append(field_errors.not_supported("resourceVersionMatch", match, ["NotOlderThan"]))
        if options.continue_:
            errors.append(
                field_errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
    return errors
