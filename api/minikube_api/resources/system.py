"""Kinds of the control plane itself: flow control, certificates and API services."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.admissionregistration import webhook_service
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep, set_default

_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


class FlowSchemaStrategy(KindStrategy):
    tracks_generation = True
    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        precedence = spec.get("matchingPrecedence") or 0
        errors: Errors = []
        at = "spec.matchingPrecedence"
        if precedence <= 0:
            errors.append(err.invalid(at, precedence, "must be a positive value"))
        if precedence > 10000:
            errors.append(err.invalid(at, precedence, "must not be greater than 10000"))
        if precedence == 1 and obj["metadata"].get("name") != "exempt":
            errors.append(err.invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
        method = (spec.get("distinguisherMethod") or {}).get("type")
        if spec.get("distinguisherMethod") is not None:
            errors += one_of(method, "spec.distinguisherMethod", ("ByNamespace", "ByUser"))
        name = (spec.get("priorityLevelConfiguration") or {}).get("name")
        at = "spec.priorityLevelConfiguration.name"
        errors += (
            checks.named(name, at, names.dns1123_subdomain) if name else [err.required(at, "must reference a priority level")]
        )
        for i, rule in enumerate(spec.get("rules") or ()):
            errors += _flow_rule(rule, f"spec.rules[{i}]")
        return errors


_FLOW_FIELDS = {
    "verbs": ("verbs", "verbs must contain at least one value"),
    "apiGroups": ("api groups", "resource rules must supply at least one api group"),
    "resources": ("resources", "resource rules must supply at least one resource"),
}


def _flow_rule(rule: Object, path: str) -> Errors:
    errors: Errors = []
    if not rule.get("subjects"):
        errors.append(err.required(f"{path}.subjects", "subjects must contain at least one value"))
    for i, subject in enumerate(rule.get("subjects") or ()):
        errors += _flow_subject(subject, f"{path}.subjects[{i}]")
    resource_rules, urls = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resource_rules and not urls:
        errors.append(err.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for i, one in enumerate(resource_rules):
        at = f"{path}.resourceRules[{i}]"
        for field, (noun, missing) in _FLOW_FIELDS.items():
            listed = one.get(field) or ()
            if not listed:
                errors.append(err.required(f"{at}.{field}", missing))
            elif "*" in listed and len(listed) > 1:
                errors.append(err.invalid(f"{at}.{field}", listed, f"if '*' is present, must not specify other {noun}"))
        if not one.get("namespaces") and not one.get("clusterScope"):
            detail = "resource rules that are not cluster scoped must supply at least one namespace"
            errors.append(err.required(f"{at}.namespaces", detail))
    for i, one in enumerate(urls):
        at = f"{path}.nonResourceRules[{i}]"
        if not one.get("verbs"):
            errors.append(err.required(f"{at}.verbs", "verbs must contain at least one value"))
        if not one.get("nonResourceURLs"):
            errors.append(err.required(f"{at}.nonResourceURLs", "nonResourceURLs must contain at least one value"))
    return errors


def _flow_subject(subject: Object, path: str) -> Errors:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        return [err.not_supported(f"{path}.kind", kind, tuple(_SUBJECTS))]
    errors: Errors = []
    for other, field in _SUBJECTS.items():
        tree = subject.get(field)
        if other == kind and tree is None:
            errors.append(err.required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'"))
        elif other != kind and tree is not None:
            errors.append(err.forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'"))
        elif tree is not None and not tree.get("name"):
            errors.append(err.required(f"{path}.{field}.name"))
    return errors


class PriorityLevelStrategy(KindStrategy):
    tracks_generation = True
    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("type") == "Exempt":
            exempt = spec.setdefault("exempt", {})
            set_default(exempt, "nominalConcurrencyShares", 0)
            set_default(exempt, "lendablePercent", 0)
        limited = spec.get("limited")
        if limited is not None:
            set_default(limited, "nominalConcurrencyShares", 30)
            set_default(limited, "lendablePercent", 0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                for field, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                    if not queuing.get(field):
                        queuing[field] = value

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        kind, errors = spec.get("type") or "", []
        if kind == "Limited":
            if spec.get("limited") is None:
                errors.append(err.required("spec.limited", "must not be empty when type is Limited"))
            else:
                errors += _limited(spec["limited"], "spec.limited")
            if spec.get("exempt") is not None:
                errors.append(err.forbidden("spec.exempt", "must be nil if the type is Limited"))
        elif kind == "Exempt":
            if spec.get("limited") is not None:
                errors.append(err.forbidden("spec.limited", "must be nil if the type is not Limited"))
        else:
            errors.append(err.not_supported("spec.type", kind, ("Exempt", "Limited")))
        return errors


def _limited(limited: Object, path: str) -> Errors:
    errors: Errors = []
    shares, lendable = limited.get("nominalConcurrencyShares") or 0, limited.get("lendablePercent")
    if shares < 0:
        errors.append(err.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(err.invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        errors.append(err.invalid(f"{path}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer"))
    response, at = limited.get("limitResponse") or {}, f"{path}.limitResponse"
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            errors.append(err.forbidden(f"{at}.queuing", "must be nil if limited.limitResponse.type is not Limited"))
    elif kind == "Queue":
        if queuing is None:
            detail = "must not be empty if limited.limitResponse.type is Limited"
            errors.append(err.required(f"{at}.queuing", detail))
        else:
            errors += _queuing(queuing, f"{at}.queuing")
    else:
        errors.append(err.not_supported(f"{at}.type", kind, ("Queue", "Reject")))
    return errors


def _queuing(queuing: Object, path: str) -> Errors:
    errors: Errors = []
    for field in ("queueLengthLimit", "queues", "handSize"):
        if (queuing.get(field) or 0) <= 0:
            errors.append(err.invalid(f"{path}.{field}", queuing.get(field) or 0, "must be positive"))
    queues, hand = queuing.get("queues") or 0, queuing.get("handSize") or 0
    if queues > 10_000_000:
        errors.append(err.invalid(f"{path}.queues", queues, "must not be greater than 10000000"))
    if hand > queues > 0:
        errors.append(err.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    return errors


def _any_name(name: str, prefix: bool) -> list[str]:
    return []


_OLD_SIGNER = "kubernetes.io/legacy-unknown"


class SigningRequestStrategy(KindStrategy):
    """CertificateSigningRequest: the spec is fixed, approval and status have paths of their own."""

    empty_status = {}

    def defaults(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        # who asks is the server's word, which fills uid, groups and extra from the request
        if ctx.user:
            obj["spec"]["username"] = ctx.user

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")
        status, was = obj.get("status") or {}, old.get("status") or {}
        if ctx.subresource == "":
            keep(obj, old, "status")
        elif ctx.subresource == "approval":
            merged = {**was, "conditions": status.get("conditions")}
            obj["status"] = {key: value for key, value in merged.items() if value is not None}
        else:
            approvals = [c for c in was.get("conditions") or () if c.get("type") in ("Approved", "Denied")]
            others = [c for c in status.get("conditions") or () if c.get("type") not in ("Approved", "Denied")]
            if approvals or others:
                status["conditions"] = [*approvals, *others]
        for condition in (obj.get("status") or {}).get("conditions") or ():
            set_default(condition, "lastUpdateTime", ctx.now)
            set_default(condition, "lastTransitionTime", ctx.now)

    name_problems = staticmethod(_any_name)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec = obj.get("spec") or {}
        errors: Errors = []
        usages = spec.get("usages") or ()
        if not usages:
            errors.append(err.required("spec.usages"))
        for i, usage in enumerate(usages):
            errors += one_of(usage, f"spec.usages[{i}]", _USAGES)
            if usage in usages[:i]:
                errors.append(err.duplicate(f"spec.usages[{i}]", usage))
        signer = spec.get("signerName") or ""
        if signer == _OLD_SIGNER:
            detail = "the legacy signerName is not allowed via this API version"
            errors.append(err.invalid("spec.signerName", signer, detail))
        else:
            errors += _signer(signer, "spec.signerName")
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            detail = "may not specify a duration less than 600 seconds (10 minutes)"
            errors.append(err.invalid("spec.expirationSeconds", seconds, detail))
        return errors + _signing_conditions((obj.get("status") or {}).get("conditions") or ())

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return []

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return _signing_conditions((obj.get("status") or {}).get("conditions") or ())


_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
    "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
)  # fmt: skip


def _signer(name: str, path: str) -> Errors:
    if not name:
        return [err.required(path)]
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest or not rest:
        return [err.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
    errors = checks.named(domain, path, names.dns1123_subdomain)
    if not errors and "." not in domain:
        errors.append(err.invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    for part in rest.split("."):
        errors += [err.invalid(path, part, f"validating label {err.quote(part)}: {m}") for m in names.dns1123_subdomain(part)]
    return errors


def _signing_conditions(conditions: Any) -> Errors:
    errors: Errors = []
    seen: list[str] = []
    for i, condition in enumerate(conditions):
        at, kind, status = f"status.conditions[{i}]", condition.get("type") or "", condition.get("status") or ""
        if not kind:
            errors.append(err.required(f"{at}.type"))
        if not status:
            errors.append(err.required(f"{at}.status"))
        elif kind in ("Approved", "Denied", "Failed"):
            errors += one_of(status, f"{at}.status", ("True",))
        else:
            errors += one_of(status, f"{at}.status", ("False", "True", "Unknown"))
        if kind in ("Approved", "Denied") and {kind, *seen} >= {"Approved", "Denied"}:
            errors.append(err.invalid(f"{at}.type", kind, "Approved and Denied conditions are mutually exclusive"))
        if kind in seen:
            errors.append(err.duplicate(f"{at}.type", kind))
        seen.append(kind)
    return errors


class APIServiceStrategy(KindStrategy):
    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    name_problems = staticmethod(_any_name)

    def defaults(self, obj: Object) -> None:
        service = obj.setdefault("spec", {}).get("service")
        if service is not None:
            set_default(service, "port", 443)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        obj["status"] = {}
        if (obj.get("spec") or {}).get("service") is None:
            condition = {
                "type": "Available",
                "status": "True",
                "reason": "Local",
                "message": "Local APIServices are always available",
            }
            obj["status"]["conditions"] = [{**condition, "lastTransitionTime": ctx.now}]

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
        group, version = spec.get("group") or "", spec.get("version") or ""
        errors: Errors = []
        expected = f"{version}.{group}"
        if name and name != expected:
            errors.append(err.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: {err.quote(expected)}'))
        if group:
            errors += checks.named(group, "spec.group", names.dns1123_subdomain)
        elif version != "v1":
            errors.append(err.required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
        errors += checks.named(version, "spec.version", names.dns1035_label)
        if not 1 <= (spec.get("groupPriorityMinimum") or 0) <= 20000:
            detail = "must be positive and less than 20000"
            errors.append(err.invalid("spec.groupPriorityMinimum", spec.get("groupPriorityMinimum") or 0, detail))
        if not 1 <= (spec.get("versionPriority") or 0) <= 1000:
            detail = "must be positive and less than 1000"
            errors.append(err.invalid("spec.versionPriority", spec.get("versionPriority") or 0, detail))
        return errors + _api_service_backend(spec)


def _api_service_backend(spec: Object) -> Errors:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    errors: Errors = []
    if service is None:
        if bundle:
            errors.append(
                err.invalid("spec.caBundle", f"{len(bundle) * 3 // 4} bytes", "local APIServices may not have a caBundle")
            )
        if insecure:
            errors.append(
                err.invalid("spec.insecureSkipTLSVerify", insecure, "local APIServices may not have insecureSkipTLSVerify")
            )
        return errors
    errors += [e for e in webhook_service({**service, "path": None}, "spec.service") if e.path != "spec.service.path"]
    if insecure and bundle:
        errors.append(err.invalid("spec.insecureSkipTLSVerify", insecure, "may not be true if caBundle is present"))
    return errors
