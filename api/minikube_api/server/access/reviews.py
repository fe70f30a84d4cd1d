"""Kinds that are questions: SubjectAccessReview and its kin, SelfSubjectRulesReview, TokenReview, SelfSubjectReview.

Nothing is stored; the answer is the request with its status filled in (authorization.k8s.io/v1, authentication.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from minikube_api.meta import field_errors, times
from minikube_api.meta.errors import BadRequest, FieldError, Invalid
from minikube_api.resources import checks
from minikube_api.resources.resource import Resource
from minikube_api.server import codecs, tracking, views
from minikube_api.server.access.jwt import InvalidToken, issuer_of
from minikube_api.server.access.rbac import RBAC, aggregate
from minikube_api.server.access.service_accounts import ServiceAccountTokens
from minikube_api.server.authentication import UNAUTHENTICATED
from minikube_api.server.authorization import MASTERS
from minikube_api.server.context import Answer, Object, Request, RequestInfo, UserInfo
from minikube_api.server.contract import Attributes, Authenticator, Authorizer
from minikube_api.server.negotiation import View
from minikube_api.server.options import manager_of, write_options

AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"


class Reviews:
    """Handlers of the virtual kinds; `tokens` is None when the server has no service account key."""

    def __init__(
        self,
        authorizer: Authorizer,
        authenticator: Authenticator,
        rbac: RBAC | None,
        tokens: ServiceAccountTokens | None,
        clock: times.Clock,
    ) -> None:
        self._authorizer = authorizer
        self._authenticator = authenticator
        self._rbac = rbac
        self._tokens = tokens
        self._clock = clock

    def handlers(self) -> dict[tuple[str, str], Callable[[Request, Resource, View], Awaitable[Answer]]]:
        return {
            (AUTHORIZATION, "subjectaccessreviews"): self.subject_access,
            (AUTHORIZATION, "localsubjectaccessreviews"): self.local_subject_access,
            (AUTHORIZATION, "selfsubjectaccessreviews"): self.self_subject_access,
            (AUTHORIZATION, "selfsubjectrulesreviews"): self.self_subject_rules,
            (AUTHENTICATION, "tokenreviews"): self.token,
            (AUTHENTICATION, "selfsubjectreviews"): self.self_subject,
        }

    async def _asked(self, request: Request, resource: Resource) -> Object:
        options = write_options(request, "CreateOptions")
        obj = codecs.decode(await request.read_body(), request, resource, options)
        tracking.track(resource, obj, None, manager_of(options, request), "", times.now(self._clock))
        return obj

    # authorization

    async def subject_access(self, request: Request, resource: Resource, view: View) -> Answer:
        review = await self._asked(request, resource)
        spec = review.get("spec") or {}
        check(spec_problems(spec) + subject_problems(spec) + meta_problems(review["metadata"]))
        return await self._decide(review, spec_user(spec), view)

    async def local_subject_access(self, request: Request, resource: Resource, view: View) -> Answer:
        review = await self._asked(request, resource)
        namespace = request.info.namespace
        stated = review["metadata"].get("namespace", "")
        if stated not in ("", namespace):
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        spec = review.get("spec") or {}
        problems = spec_problems(spec) + subject_problems(spec)
        attributes = spec.get("resourceAttributes")
        if attributes is not None and attributes.get("namespace", "") != namespace:
            path = "spec.resourceAttributes.namespace"
            problems.append(field_errors.invalid(path, attributes.get("namespace", ""), "must match metadata.namespace"))
        if spec.get("nonResourceAttributes") is not None:
            shown = _path_attributes(spec["nonResourceAttributes"])
            disallowed = field_errors.invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request")
            problems = [disallowed]
        problems += meta_problems(review["metadata"], but="namespace")
        check(problems)
        review["metadata"]["namespace"] = namespace
        return await self._decide(review, spec_user(spec), view)

    async def self_subject_access(self, request: Request, resource: Resource, view: View) -> Answer:
        review = await self._asked(request, resource)
        check(spec_problems(review.get("spec") or {}) + meta_problems(review["metadata"]))
        return await self._decide(review, request.user, view)

    async def _decide(self, review: Object, user: UserInfo, view: View) -> Answer:
        decision = await self._authorizer.authorize(attributes_of(review["spec"], user))
        status: Object = {"allowed": decision.allowed}
        if decision.verdict == "denied":
            status["denied"] = True
        if decision.reason:
            status["reason"] = decision.reason
        review["status"] = status
        return views.encoded(201, orjson.dumps(review), view)

    async def self_subject_rules(self, request: Request, resource: Resource, view: View) -> Answer:
        review = await self._asked(request, resource)
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        resources: list[Object] = []
        paths: list[Object] = []
        lost: list[str] = []
        if MASTERS in request.user.groups:
            resources.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
            paths.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
        if self._rbac is not None:
            held, lost = await self._rbac.rules_for(request.user, namespace)
            for rule in held:
                if rule.resources:
                    listed: Object = {"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources}
                    if rule.names:
                        listed["resourceNames"] = rule.names
                    resources.append(listed)
                if rule.urls:
                    paths.append({"verbs": rule.verbs, "nonResourceURLs": rule.urls})
        status: Object = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": bool(lost)}
        if lost:
            status["evaluationError"] = aggregate(lost)
        answer = {"kind": review["kind"], "apiVersion": review["apiVersion"], "metadata": {}, "spec": {}, "status": status}
        return views.encoded(201, orjson.dumps(answer), view)

    # authentication

    async def self_subject(self, request: Request, resource: Resource, view: View) -> Answer:
        review = await self._asked(request, resource)
        metadata = {**review["metadata"], "creationTimestamp": times.now(self._clock)}
        status = {"userInfo": user_tree(request.user)}
        answer = {"kind": review["kind"], "apiVersion": review["apiVersion"], "metadata": metadata, "status": status}
        return views.encoded(201, orjson.dumps(answer), view)

    async def token(self, request: Request, resource: Resource, view: View) -> Answer:
        review = await self._asked(request, resource)
        spec = review.get("spec") or {}
        token = spec.get("token", "")
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        review["status"] = await self._review(token, spec.get("audiences") or [])
        return views.encoded(201, orjson.dumps(review), view)

    async def _review(self, token: str, audiences: list[str]) -> Object:
        tokens = self._tokens
        if tokens is not None and token.count(".") == 2 and issuer_of(token) == tokens.issuer:
            try:
                user, shared = await tokens.review(token, audiences or tokens.audiences)
            except InvalidToken as error:
                return {"error": str(error), "user": {}}
            return {"authenticated": True, "user": user_tree(user), "audiences": shared}
        fake = Request("GET", "/", "", {"Authorization": f"Bearer {token}"}, {}, RequestInfo("/", "get"))
        try:
            user = await self._authenticator.authenticate(fake)
        except Exception as error:
            if getattr(error, "status_code", 0) != 401:
                raise
            user = None
        if user is None or UNAUTHENTICATED in user.groups:
            return {"error": "invalid bearer token", "user": {}}
        known = audiences or (list(tokens.audiences) if tokens is not None else [])
        return {"authenticated": True, "user": user_tree(user), **({"audiences": known} if known else {})}


def user_tree(user: UserInfo) -> Object:
    tree: Object = {"username": user.name}
    if user.uid:
        tree["uid"] = user.uid
    if user.groups:
        tree["groups"] = list(user.groups)
    if user.extra:
        tree["extra"] = {key: list(values) for key, values in user.extra.items()}
    return tree


def attributes_of(spec: Object, user: UserInfo) -> Attributes:
    asked = spec.get("resourceAttributes")
    if asked is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb", ""), False, path=path.get("path", ""))
    return Attributes(
        user,
        asked.get("verb", ""),
        namespace=asked.get("namespace", ""),
        group=asked.get("group", ""),
        version=asked.get("version", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        name=asked.get("name", ""),
    )


def spec_user(spec: Object) -> UserInfo:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def spec_problems(spec: Object) -> list[FieldError]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        return [field_errors.invalid("spec.nonResourceAttributes", _path_attributes(path), why)]
    if resource is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [field_errors.invalid("spec.resourceAttributes", None, why)]
    return selector_problems(resource, "spec.resourceAttributes") if resource is not None else []


_META_ORDER = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp", "labels", "annotations",
    "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip


def meta_problems(meta: Object, *, but: str = "") -> list[FieldError]:
    """Reviews have no metadata (`but`: beside this field)."""
    if not any(value for key, value in meta.items() if key not in ("managedFields", but)):
        return []
    shown = {key: meta[key] for key in _META_ORDER if meta.get(key)}
    why = f"must be empty except for {but}" if but else "must be empty"
    return [field_errors.invalid("metadata", shown, why)]


def selector_problems(attributes: Object, path: str) -> list[FieldError]:
    """Selectors are raw or parsed; operators that are not known yet are let through (KEP-4601)."""
    problems: list[FieldError] = []
    for kind in ("fieldSelector", "labelSelector"):
        selector, at = attributes.get(kind), f"{path}.{kind}"
        if selector is None:
            continue
        raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or ()
        if raw and requirements:
            why = "may not specified at the same time as requirements"
            problems.append(field_errors.invalid(f"{at}.rawSelector", raw, why))
        if not raw and not requirements:
            why = f"when {at} is specified, requirements or rawSelector is required"
            problems.append(field_errors.required(f"{at}.requirements", why))
        for i, one in enumerate(requirements):
            problems += _requirement(one, f"{at}.requirements[{i}]", labels=kind == "labelSelector")
    return problems


def _requirement(one: Object, path: str, *, labels: bool) -> list[FieldError]:
    key, operator, values = one.get("key") or "", one.get("operator") or "", one.get("values") or ()
    problems: list[FieldError] = []
    if operator in ("In", "NotIn") and not values:
        problems.append(field_errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    if operator in ("Exists", "DoesNotExist") and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        problems.append(field_errors.forbidden(f"{path}.values", why))
    if labels:
        return problems + checks.label_name(key, f"{path}.key")
    return problems if key else [*problems, field_errors.required(f"{path}.key", "must be specified")]


def subject_problems(spec: Object) -> list[FieldError]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [field_errors.invalid("spec.user", spec.get("user", ""), "at least one of user or group must be specified")]


def _path_attributes(tree: Object) -> dict[str, Any]:
    """As Go prints the internal type."""
    return {"Path": tree.get("path", ""), "Verb": tree.get("verb", "")}


def check(problems: list[FieldError]) -> None:
    """Raises Invalid as kube-apiserver words it here: with the group, but without a kind."""
    if problems:
        made = Invalid.object(AUTHORIZATION, "", "", problems)
        details = {key: value for key, value in (made.details or {}).items() if value != ""}
        raise Invalid(made.message, details=details)
