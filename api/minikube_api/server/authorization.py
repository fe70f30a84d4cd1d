"""May they: the chain of authorizers and the words of a refusal. RBAC and the node authorizer are in `server/access`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from minikube_api.meta.errors import Forbidden, qualified
from minikube_api.server.context import Request
from minikube_api.server.contract import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision

MASTERS = "system:masters"


class PrivilegedGroup:
    """`system:masters` may do everything, before any rule is looked at."""

    async def authorize(self, attributes: Attributes) -> Decision:
        return ALLOWED if MASTERS in attributes.user.groups else NO_OPINION


class AlwaysAllow:
    """kube-apiserver's `--authorization-mode=AlwaysAllow`."""

    async def authorize(self, attributes: Attributes) -> Decision:
        return ALLOWED


class AuthorizerChain:
    """The first that allows or denies decides; reasons of those without opinion are joined, as in kube-apiserver's union."""

    def __init__(self, members: Iterable[Authorizer]) -> None:
        self._members = tuple(members)

    async def authorize(self, attributes: Attributes) -> Decision:
        reasons: list[str] = []
        for member in self._members:
            decision = await member.authorize(attributes)
            if decision.verdict != "no opinion":
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision("no opinion", "\n".join(reasons))


def attributes_of(request: Request) -> Attributes:
    info = request.info
    if not info.is_resource:
        return Attributes(request.user, info.verb, False, path=info.path)
    query = request.query
    return Attributes(
        request.user, info.verb, True, info.namespace, info.group, info.version, info.resource, info.subresource, info.name,
        info.path, query.get("fieldSelector", ""), query.get("labelSelector", ""),
    )  # fmt: skip


def refusal(attributes: Attributes, reason: str = "") -> Forbidden:
    """The 403 of a refused request, in kube-apiserver's words."""
    message = f'User "{attributes.user.name}" cannot {described(attributes)}'
    if reason:
        message = f"{message}: {reason}"
    if not attributes.resource_request:
        return Forbidden(f"forbidden: {message}", details={})
    resource, group, name = attributes.resource, attributes.group, attributes.name
    details = {**({"name": name} if name else {}), **({"group": group} if group else {}), "kind": resource}
    which = f' "{name}"' if name else ""
    return Forbidden(f"{qualified(resource, group)}{which} is forbidden: {message}", details=details)


def described(attributes: Attributes) -> str:
    if not attributes.resource_request:
        return f'{attributes.verb} path "{attributes.path}"'
    resource = attributes.resource
    if attributes.subresource:
        resource += "/" + attributes.subresource
    text = f'{attributes.verb} resource "{resource}" in API group "{attributes.group}"'
    if attributes.namespace:
        return f'{text} in the namespace "{attributes.namespace}"'
    return f"{text} at the cluster scope"


async def check_create(authorizer: Authorizer, request: Request) -> None:
    """Whoever makes an object by a PUT or an apply must be allowed to create it. Raises Forbidden.

    This refusal names the authorizers' reason alone, as kube-apiserver's does (`withAuthorization` of its handlers).
    """
    attributes = replace(attributes_of(request), verb="create")
    decision = await authorizer.authorize(attributes)
    if not decision.allowed:
        group = {"group": attributes.group} if attributes.group else {}
        details = {"name": attributes.name, **group, "kind": attributes.resource}
        which = f'{qualified(attributes.resource, attributes.group)} "{attributes.name}"'
        raise Forbidden(f"{which} is forbidden: {decision.reason}", details=details)


class PublicPaths:
    """kube-apiserver's `--authorization-always-allow-paths`: the three health endpoints, for anyone."""

    _PATHS = frozenset({"/healthz", "/livez", "/readyz"})

    async def authorize(self, attributes: Attributes) -> Decision:
        return ALLOWED if not attributes.resource_request and attributes.path in self._PATHS else NO_OPINION
