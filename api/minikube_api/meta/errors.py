"""Kubernetes' API errors: one family, each knows its reason, code and details, and renders as a `Status` object.

Source: the API conventions ("Response Status Kind") and what kube-apiserver answers. Every layer above raises these; the
server turns them into responses, the client turns responses back into them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One finding of validation: `path` is a field path as Kubernetes writes it (`spec.ports[0].port`).

    `reason` is a cause reason of the API: FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, FieldValueForbidden,
    FieldValueDuplicate, FieldValueNotFound, FieldValueTypeInvalid, FieldValueTooLong, FieldValueTooMany...
    `message` is the cause's whole message (without the path), for example `Invalid value: 70000: must be between 1 and 65535, inclusive`.
    """

    reason: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class StatusError(Exception):
    """An API error. `str(error)` is the Status message."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        code: int | None = None,
        reason: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.status_code = type(self).code if code is None else code
        self.status_reason = type(self).reason if reason is None else reason
        self.retry_after_seconds = retry_after_seconds

    def status(self) -> dict[str, Any]:
        """The `Status` object (v1) of this error as a JSON tree."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.status_reason:
            status["reason"] = self.status_reason
        details = dict(self.details or {})
        if self.retry_after_seconds is not None:
            details["retryAfterSeconds"] = self.retry_after_seconds
        if details or self.details is not None:
            status["details"] = details
        status["code"] = self.status_code
        return status

    @staticmethod
    def of(status: dict[str, Any]) -> StatusError:
        """The error that a `Status` object (v1) describes; unknown reasons give a plain StatusError of that code."""
        reason = status.get("reason", "")
        code = int(status.get("code", 500))
        family = _BY_REASON.get(reason, StatusError)
        details = status.get("details")
        error = family.__new__(family)
        StatusError.__init__(error, status.get("message", ""), details=details, code=code, reason=reason)
        if details:
            error.retry_after_seconds = details.get("retryAfterSeconds")
        return error


class BadRequest(StatusError):
    code, reason = 400, "BadRequest"


class Unauthorized(StatusError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)


class Forbidden(StatusError):
    code, reason = 403, "Forbidden"


class NotFound(StatusError):
    """`NotFound.object("pods", "a")` gives `pods "a" not found`; with a group `deployments.apps "a" not found`."""

    code, reason = 404, "NotFound"

    @classmethod
    def object(cls, resource: str, name: str, group: str = "") -> NotFound:
        details = {"name": name, **({"group": group} if group else {}), "kind": resource}
        return cls(f'{qualified(resource, group)} "{name}" not found', details=details)


class MethodNotAllowed(StatusError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(StatusError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(StatusError):
    code, reason = 409, "AlreadyExists"

    @classmethod
    def object(cls, resource: str, name: str, group: str = "") -> AlreadyExists:
        details = {"name": name, **({"group": group} if group else {}), "kind": resource}
        return cls(f'{qualified(resource, group)} "{name}" already exists', details=details)


class Conflict(StatusError):
    code, reason = 409, "Conflict"

    @classmethod
    def object(cls, resource: str, name: str, group: str = "", why: str = "") -> Conflict:
        why = why or "the object has been modified; please apply your changes to the latest version and try again"
        details = {"name": name, **({"group": group} if group else {}), "kind": resource}
        return cls(f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}', details=details)


class Gone(StatusError):
    code, reason = 410, "Gone"


class Expired(StatusError):
    code, reason = 410, "Expired"


class RequestEntityTooLarge(StatusError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(StatusError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(StatusError):
    """422. `Invalid.object("apps", "Deployment", "web", errors)` words the message and causes as kube-apiserver does."""

    code, reason = 422, "Invalid"

    @classmethod
    def object(cls, group: str, kind: str, name: str, errors: list[FieldError]) -> Invalid:
        # causes repeat a finding that was made twice (by the generic and the kind's own check); the message does not
        texts = list(dict.fromkeys(str(e) for e in errors))
        listed = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        details: dict[str, Any] = {}
        if name:
            details["name"] = name
        if group:
            details["group"] = group
        if kind:
            details["kind"] = kind
        details["causes"] = [{"reason": e.reason, "message": e.message, "field": e.path} for e in errors]
        return cls(f'{qualified(kind, group)} "{name}" is invalid: {listed}', details=details)


class TooManyRequests(StatusError):
    code, reason = 429, "TooManyRequests"


class InternalError(StatusError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(StatusError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(StatusError):
    code, reason = 504, "Timeout"


_BY_REASON: dict[str, type[StatusError]] = {
    family.reason: family
    for family in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Gone,
        Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
        ServiceUnavailable, Timeout,
    )
}  # fmt: skip


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, or `pods` in the core group."""
    return f"{resource}.{group}" if group else resource
