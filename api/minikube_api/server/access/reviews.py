"""Kinds that are questions: SubjectAccessReview and its kin, SelfSubjectRulesReview, TokenReview, SelfSubjectReview.

Nothing is stored; the answer is the request with its status filled in (authorization.k8s.io/v1, authentication.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from minikube_api.meta.errors import BadRequest, Unauthorized
from minikube_api.resources.resource import Resource
from minikube_api.server import codecs, metadata, views
from minikube_api.server.access.jwt import InvalidToken, issuer_of
from minikube_api.server.access.rbac import RBAC, aggregate
from minikube_api.server.access.review_bodies import (
    AUTHORIZATION,
    check,
    local_problems,
    meta_problems,
    selector_texts,
    spec_problems,
)
from minikube_api.server.access.service_accounts import LEGACY_ISSUER, ServiceAccountTokens
from minikube_api.server.authentication import UNAUTHENTICATED
from minikube_api.server.context import Answer, Object, Request, RequestInfo, UserInfo
from minikube_api.server.contract import Attributes, Authenticator, Authorizer
from minikube_api.server.negotiation import View
from minikube_api.server.options import write_options
from minikube_api.server.update_rules import check_namespace
from minikube_api.server.writing import Write, Writer

AUTHENTICATION = "authentication.k8s.io"


class Reviews:
    """Handlers of the virtual kinds; `tokens` is None when the server has no service account key."""

    def __init__(
        self,
        authorizer: Authorizer,
        authenticator: Authenticator,
        rbac: RBAC | None,
        tokens: ServiceAccountTokens | None,
        writer: Writer,
    ) -> None:
        self._authorizer = authorizer
        self._authenticator = authenticator
        self._rbac = rbac
        self._tokens = tokens
        self._writer = writer

    def handlers(self) -> dict[tuple[str, str], Callable[[Request, Resource, View], Awaitable[Answer]]]:
        return {
            (AUTHORIZATION, "subjectaccessreviews"): self.subject_access,
            (AUTHORIZATION, "localsubjectaccessreviews"): self.local_subject_access,
            (AUTHORIZATION, "selfsubjectaccessreviews"): self.self_subject_access,
            (AUTHORIZATION, "selfsubjectrulesreviews"): self.self_subject_rules,
            (AUTHENTICATION, "tokenreviews"): self.token,
            (AUTHENTICATION, "selfsubjectreviews"): self.self_subject,
        }

    async def _asked(self, request: Request, resource: Resource) -> tuple[Write, Object]:
        """The review as mutating admission leaves it."""
        write = self._writer.begin(request, resource, "CREATE", write_options(request, "CreateOptions"))
        obj = codecs.decode(await request.read_body(), request, resource, write.options)
        metadata.drop_on_create(obj)
        if resource.namespaced:
            check_namespace(obj, write.namespace)
            obj["metadata"]["namespace"] = write.namespace
        else:
            obj["metadata"].pop("namespace", None)
        write.name = write.context.name = obj["metadata"].get("name", "")
        self._writer.track(write, obj)
        await self._writer.mutate(write, obj)
        return write, obj

    # authorization

    async def subject_access(self, request: Request, resource: Resource, view: View) -> Answer:
        write, review = await self._asked(request, resource)
        spec = review.get("spec") or {}
        check(spec_problems(spec, subject=True) + meta_problems(review["metadata"]))
        return await self._decide(write, review, spec_user(spec), view)

    async def local_subject_access(self, request: Request, resource: Resource, view: View) -> Answer:
        write, review = await self._asked(request, resource)
        check(local_problems(review))
        return await self._decide(write, review, spec_user(review.get("spec") or {}), view)

    async def self_subject_access(self, request: Request, resource: Resource, view: View) -> Answer:
        write, review = await self._asked(request, resource)
        check(spec_problems(review.get("spec") or {}) + meta_problems(review["metadata"]))
        return await self._decide(write, review, request.user, view)

    async def _decide(self, write: Write, review: Object, user: UserInfo, view: View) -> Answer:
        await self._writer.validate(write, review)
        asked, ignored = attributes_of(review["spec"], user)
        decision = await self._authorizer.authorize(asked)
        status: Object = {"allowed": decision.allowed}
        if decision.verdict == "denied":
            status["denied"] = True
        if decision.reason:
            status["reason"] = decision.reason
        if ignored:
            status["evaluationError"] = "\n".join(ignored)
        review["status"] = status
        return views.encoded(201, orjson.dumps(review), view)

    async def self_subject_rules(self, request: Request, resource: Resource, view: View) -> Answer:
        write, review = await self._asked(request, resource)
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise BadRequest("no namespace on request")
        await self._writer.validate(write, review)
        resources: list[Object] = []
        paths: list[Object] = []
        lost: list[str] = []
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
        status: Object = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
        if lost:
            status["evaluationError"] = aggregate(lost)
        answer = {"kind": review["kind"], "apiVersion": review["apiVersion"], "metadata": {}, "spec": {}, "status": status}
        return views.encoded(201, orjson.dumps(answer), view)

    # authentication

    async def self_subject(self, request: Request, resource: Resource, view: View) -> Answer:
        write, review = await self._asked(request, resource)
        await self._writer.validate(write, review)
        meta = {**review["metadata"], "creationTimestamp": write.context.now}
        status = {"userInfo": user_tree(request.user)}
        answer = {"kind": review["kind"], "apiVersion": review["apiVersion"], "metadata": meta, "status": status}
        return views.encoded(201, orjson.dumps(answer), view)

    async def token(self, request: Request, resource: Resource, view: View) -> Answer:
        write, review = await self._asked(request, resource)
        spec = review.get("spec") or {}
        token = spec.get("token", "")
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        await self._writer.validate(write, review)
        review["status"] = await self._review(token, spec.get("audiences") or [])
        return views.encoded(201, orjson.dumps(review), view)

    async def _review(self, token: str, audiences: list[str]) -> Object:
        tokens = self._tokens
        if tokens is not None and token.count(".") == 2 and issuer_of(token) in (tokens.issuer, LEGACY_ISSUER):
            try:
                user, shared = await tokens.review(token, audiences or tokens.audiences)
            except InvalidToken as error:
                return {"error": str(error), "user": {}}
            return {"authenticated": True, "user": user_tree(user), "audiences": shared}
        known = list(tokens.audiences) if tokens is not None else []
        shared = [audience for audience in known if audience in audiences] if audiences and known else known
        # tokens of other kinds are for the API server itself
        user = await self._user_of(token) if shared or not known else None
        if user is None:
            return {"error": "invalid bearer token", "user": {}}
        return {"authenticated": True, "user": user_tree(user), **({"audiences": shared} if shared else {})}

    async def _user_of(self, token: str) -> UserInfo | None:
        fake = Request("GET", "/", "", {"Authorization": f"Bearer {token}"}, {}, RequestInfo("/", "get"))
        try:
            user = await self._authenticator.authenticate(fake)
        except Unauthorized:
            return None
        return None if user is None or UNAUTHENTICATED in user.groups else user


def user_tree(user: UserInfo) -> Object:
    tree: Object = {"username": user.name}
    if user.uid:
        tree["uid"] = user.uid
    if user.groups:
        tree["groups"] = list(user.groups)
    if user.extra:
        tree["extra"] = {key: list(values) for key, values in user.extra.items()}
    return tree


def attributes_of(spec: Object, user: UserInfo) -> tuple[Attributes, list[str]]:
    """What is asked, and what of the question is left out of account."""
    asked = spec.get("resourceAttributes")
    if asked is None:
        path = spec["nonResourceAttributes"]
        return Attributes(user, path.get("verb", ""), False, path=path.get("path", "")), []
    fields, labels, ignored = selector_texts(asked)
    attributes = Attributes(
        user,
        asked.get("verb", ""),
        namespace=asked.get("namespace", ""),
        group=asked.get("group", ""),
        version=asked.get("version") or "*",
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        name=asked.get("name", ""),
        field_selector=fields,
        label_selector=labels,
    )
    return attributes, ignored


def spec_user(spec: Object) -> UserInfo:
    extra = {key: tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)
