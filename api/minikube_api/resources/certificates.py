"""CertificateSigningRequest: who asks is the server's word, the spec is fixed, approval and certificate have paths of their own.

Source: pkg/apis/certificates/validation and pkg/registry/certificates. Who may approve and sign is admission's matter.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import objectmeta
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep, set_default

_OLD_SIGNER = "kubernetes.io/legacy-unknown"
_APPROVALS = ("Approved", "Denied")
_SECONDS_MIN = 600
#: a domain, `/` and a path of a label and a domain
_DOMAIN_MAX, _NAME_MAX = 253, 571
_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
    "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
)  # fmt: skip


def _any_name(name: str, prefix: bool) -> list[str]:
    return []


class SigningRequestStrategy(KindStrategy):
    name_problems = staticmethod(_any_name)
    empty_status = {}
    # nothing of a request is owned by who makes it: updates leave it as it is
    reset_fields = {
        "": {"f:spec": {}, "f:status": {}},
        "status": {"f:spec": {}, "f:status": {"f:conditions": {}}},
        "approval": {"f:spec": {}, "f:status": {"f:certificate": {}}},
    }

    def defaults(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        asker: Object = {"username": ctx.user, "uid": ctx.uid, "groups": list(ctx.groups)}
        asker["extra"] = {key: list(values) for key, values in ctx.extra.items()}
        kept = {key: value for key, value in obj["spec"].items() if key not in asker}
        obj["spec"] = kept | {key: value for key, value in asker.items() if value}

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")
        keep(obj["metadata"], old["metadata"], "generation")
        status, was = obj.get("status") or {}, old.get("status") or {}
        if ctx.subresource == "":
            keep(obj, old, "status")
            return
        if ctx.subresource == "approval":
            merged = {**was, "conditions": status.get("conditions")}
            obj["status"] = {key: value for key, value in merged.items() if value}
        else:
            obj["status"] = {**status, "conditions": _with_old_approvals(status.get("conditions") or [], was)}
            if not obj["status"]["conditions"]:
                del obj["status"]["conditions"]
        _stamp(obj["status"].get("conditions") or (), was.get("conditions") or (), ctx.now)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return _request(obj) + _status(obj)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return []

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = objectmeta.update_problems(obj, old)
        # what an old object has is not held against it
        known = {str(error) for error in self.validate(ctx, old)}
        errors += [error for error in self.validate(ctx, obj) if str(error) not in known]
        return errors + (_status_change(ctx, obj, old) if ctx.subresource else [])


def _with_old_approvals(conditions: list[Object], was: Object) -> list[Object]:
    """/status leaves approvals as they are; adding or taking one away is left for validation to refuse."""
    for kind in _APPROVALS:
        before = _of_type(was.get("conditions"), kind)
        if len(before) == len(_of_type(conditions, kind)):
            old = iter(before)
            conditions = [next(old) if condition.get("type") == kind else condition for condition in conditions]
    return conditions


def _stamp(conditions: Any, was: Any, now: str) -> None:
    """populateConditionTimestamps: a condition whose status stays keeps the time of its transition."""
    for condition in conditions:
        set_default(condition, "lastUpdateTime", now)
        same = [c for c in was if (c.get("type"), c.get("status")) == (condition.get("type"), condition.get("status"))]
        if condition.get("lastTransitionTime") is None:
            condition["lastTransitionTime"] = (same[0].get("lastTransitionTime") if same else None) or now


def _request(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    request = spec.get("request")
    if problem := _request_problem(request or ""):
        errors.append(err.invalid("spec.request", request, problem))
    usages = spec.get("usages") or ()
    if not usages:
        errors.append(err.required("spec.usages"))
    for i, usage in enumerate(usages):
        errors += one_of(usage, f"spec.usages[{i}]", _USAGES)
        if usage in usages[:i]:
            errors.append(err.duplicate(f"spec.usages[{i}]", usage))
    signer = spec.get("signerName") or ""
    if signer == _OLD_SIGNER:
        errors.append(err.invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version"))
    else:
        errors += signer_name(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SECONDS_MIN:
        detail = f"may not specify a duration less than {_SECONDS_MIN} seconds (10 minutes)"
        errors.append(err.invalid("spec.expirationSeconds", seconds, detail))
    return errors


_BLOCK = re.compile(r"-----BEGIN ([^-\n]*)-----\r?\n(.*?)-----END \1-----[ \t\r]*(?:\n|\Z)", re.DOTALL)


def _pem(data: bytes) -> list[tuple[str, str]]:
    """(type, body) of the PEM blocks in a text."""
    return _BLOCK.findall(data.decode("latin-1"))


def _request_problem(request: str) -> str:
    data = base64.b64decode(request)
    blocks = _pem(data)
    if not blocks or blocks[0][0] != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    from cryptography import x509

    try:
        x509.load_pem_x509_csr(data)
    except ValueError:
        return "asn1: structure error: tags don't match"
    return ""


def signer_name(name: str, path: str) -> Errors:
    """ValidateSignerName: `domain.example/path`; the path's parts are DNS labels joined by dots."""
    if not name:
        return [err.required(path)]
    segments = name.split("/")
    if len(segments) != 2:
        return [err.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
    domain, rest = segments
    labels = domain.split(".")
    errors: Errors = [err.too_long(path, domain, _DOMAIN_MAX)] if len(domain) > _DOMAIN_MAX else []
    errors += _first_bad_label(labels, domain, names.dns1123_label, path)
    if len(labels) < 2:
        errors.append(err.invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    errors += _first_bad_label(rest.split("."), rest, names.dns1123_subdomain, path)
    if len(name) > _NAME_MAX:
        errors.append(err.too_long(path, name, _NAME_MAX))
    return errors


def _first_bad_label(labels: list[str], shown: str, problems: Callable[[str], list[str]], path: str) -> Errors:
    for label in labels:
        if found := problems(label):
            return [err.invalid(path, shown, f"validating label {err.quote(label)}: {m}") for m in found]
    return []


def _status(obj: Object) -> Errors:
    status = obj.get("status") or {}
    errors = _conditions(status.get("conditions") or ())
    certificate = status.get("certificate")
    if certificate and (problem := _certificate_problem(base64.b64decode(certificate))):
        errors.append(err.invalid("status.certificate", "<certificate data>", problem))
    return errors


def _certificate_problem(data: bytes) -> str:
    blocks = _pem(data)
    if not blocks:
        return "must contain at least one CERTIFICATE PEM block"
    for kind, body in blocks:
        if kind != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {err.quote(kind)}"
        if ":" in body.split("\n", 1)[0]:
            return "no PEM block headers are permitted"
        if not _is_certificate(body):
            return "x509: malformed certificate"
    return ""


def _is_certificate(body: str) -> bool:
    from cryptography import x509

    try:
        x509.load_der_x509_certificate(base64.b64decode(body))
    except ValueError:
        return False
    return True


def _conditions(conditions: Any) -> Errors:
    errors: Errors = []
    seen: list[str] = []
    for i, condition in enumerate(conditions):
        at, kind, status = f"status.conditions[{i}]", condition.get("type") or "", condition.get("status") or ""
        if not kind:
            errors.append(err.required(f"{at}.type"))
        allowed = ("True",) if kind in (*_APPROVALS, "Failed") else ("False", "True", "Unknown")
        errors += one_of(status, f"{at}.status", allowed) if status else [err.required(f"{at}.status")]
        if kind in _APPROVALS and {kind, *seen} >= set(_APPROVALS):
            errors.append(err.invalid(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive"))
        if kind in seen:
            errors.append(err.duplicate(f"{at}.type", kind))
        seen.append(kind)
    return errors


def _status_change(ctx: WriteContext, obj: Object, old: Object) -> Errors:
    """Decisions stay; only /approval makes them, only /status sets the certificate, and once."""
    new, was = obj.get("status") or {}, old.get("status") or {}
    errors: Errors = []
    for kind in (*_APPROVALS, "Failed"):
        now, before = (_of_type(tree.get("conditions"), kind) for tree in (new, was))
        word = ""
        if len(now) < len(before):
            word = "remove"
        elif kind in _APPROVALS and ctx.subresource != "approval":
            word = "add" if len(now) > len(before) else "modify" if now != before else ""
        if word:
            errors.append(err.forbidden("status.conditions", f"updates may not {word} a condition of type {err.quote(kind)}"))
    if (new.get("certificate") or "") != (was.get("certificate") or ""):
        if ctx.subresource == "approval":
            errors.append(err.forbidden("status.certificate", "updates may not set certificate content"))
        elif was.get("certificate"):
            errors.append(err.forbidden("status.certificate", "updates may not modify existing certificate content"))
    return errors


def _of_type(conditions: Any, kind: str) -> list[Object]:
    return [condition for condition in conditions or () if condition.get("type") == kind]
