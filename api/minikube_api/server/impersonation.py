"""Acting for somebody else: Impersonate-* headers, and the rights that it takes (documentation, "User impersonation"; KEP-5284).

Constrained impersonation is tried first: the requester must hold the verb of a mode on the target (`impersonate:user-info` on users, say)
and `impersonate-on:MODE:VERB` on what the request is about. Then the verb `impersonate` alone, as ever. The first refusal is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from minikube_api.meta.errors import BadRequest, Forbidden
from minikube_api.server.authentication import AUTHENTICATED, UNAUTHENTICATED
from minikube_api.server.authorization import attributes_of, refusal
from minikube_api.server.context import ANONYMOUS, Request, UserInfo
from minikube_api.server.contract import Attributes, Authorizer

_EXTRA = "impersonate-extra-"
_AUTHN = "authentication.k8s.io"
_NODE = "system:node:"
_NODES_GROUP = "system:nodes"
#: in a service account's extra: the node that its pod runs on
_NODE_OF_POD = "authentication.kubernetes.io/node-name"


def wanted(request: Request) -> UserInfo | None:
    """Whom the headers name, with those groups, uid and extra alone; None without such headers. Raises BadRequest."""
    headers = request.headers
    name = headers.get("Impersonate-User", "")
    groups = tuple(_all(headers, "Impersonate-Group"))
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, tuple[str, ...]] = {}
    for key in headers:
        lower = key.lower()
        if lower.startswith(_EXTRA):
            extra[unquote(lower[len(_EXTRA) :])] = tuple(_all(headers, key))
    if name:
        return UserInfo(name, uid, groups, extra)
    if groups or uid or extra:
        raise BadRequest(f"requested {_go_user(groups, uid, extra)} without impersonating a user name")
    return None


async def impersonate(request: Request, authorizer: Authorizer) -> None:
    """Make the request that of the user it names. Raises BadRequest and Forbidden."""
    target = wanted(request)
    if target is None:
        return
    refused: Forbidden | None = None
    for mode in MODES:
        if not mode.applies(target, request.user):
            continue
        error = await _refused(mode.asked(target, request), authorizer)
        if error is None:
            request.original_user, request.user = request.user, complete(target, is_node=mode.targets is not _of_user)
            request.impersonation_constraint = mode.verb if mode.constrained else ""
            return
        refused = refused or error
    assert refused is not None  # legacy impersonation applies to everybody
    raise refused


async def _refused(asked: Iterator[Attributes], authorizer: Authorizer) -> Forbidden | None:
    for attributes in asked:
        decision = await authorizer.authorize(attributes)
        if not decision.allowed:
            return refusal(attributes, decision.reason)
    return None


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to be allowed. `applies(target, requester)`; `targets` gives (resource, namespace, name, subresource) of the target's parts."""

    verb: str
    applies: Callable[[UserInfo, UserInfo], bool]
    targets: Callable[[UserInfo], Iterator[tuple[str, str, str, str]]]

    @property
    def constrained(self) -> bool:
        return self.verb != "impersonate"

    def asked(self, target: UserInfo, request: Request) -> Iterator[Attributes]:
        """All that must be allowed, in the order it is asked."""
        if self.constrained:
            about = attributes_of(request)
            yield replace(about, verb=f"impersonate-on:{self.verb.partition(':')[2]}:{about.verb}")
        for resource, namespace, name, subresource in self.targets(target):
            group = _AUTHN if self.constrained or resource in ("userextras", "uids") else ""
            yield Attributes(
                request.user, self.verb, namespace=namespace, group=group, version="v1", resource=resource,
                subresource=subresource, name=name,
            )  # fmt: skip


def _of_user(target: UserInfo) -> Iterator[tuple[str, str, str, str]]:
    account = service_account(target.name)
    if account:
        yield "serviceaccounts", account[0], account[1], ""
    else:
        yield "users", "", target.name, ""
    for group in target.groups:
        yield "groups", "", group, ""
    for key, values in target.extra.items():
        for value in values:
            yield "userextras", "", value, key
    if target.uid:
        yield "uids", "", target.uid, ""


def _of_node(target: UserInfo) -> Iterator[tuple[str, str, str, str]]:
    yield "nodes", "", _node(target.name), ""


def _of_own_node(target: UserInfo) -> Iterator[tuple[str, str, str, str]]:
    # whichever node it is: the requester's token says where it runs
    yield "nodes", "", "*", ""


def _is_own_node(target: UserInfo, requester: UserInfo) -> bool:
    node = _node(target.name)
    is_account = service_account(requester.name) is not None
    return bool(node) and _bare(target) and is_account and tuple(requester.extra.get(_NODE_OF_POD, ())) == (node,)


def _is_node(target: UserInfo, requester: UserInfo) -> bool:
    return bool(_node(target.name)) and _bare(target)


def _is_account(target: UserInfo, requester: UserInfo) -> bool:
    return service_account(target.name) is not None and _bare(target)


def _is_other(target: UserInfo, requester: UserInfo) -> bool:
    return service_account(target.name) is None and not _node(target.name)


#: in the order they are tried
MODES = (
    Mode("impersonate:associated-node", _is_own_node, _of_own_node),
    Mode("impersonate:arbitrary-node", _is_node, _of_node),
    Mode("impersonate:serviceaccount", _is_account, _of_user),
    Mode("impersonate:user-info", _is_other, _of_user),
    Mode("impersonate", lambda target, requester: True, _of_user),
)


def complete(target: UserInfo, *, is_node: bool = False) -> UserInfo:
    """With the groups that such a user always has; only constrained impersonation knows those of a node."""
    groups = target.groups
    account = service_account(target.name)
    if account and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    elif is_node:
        groups = (_NODES_GROUP,)
    last = UNAUTHENTICATED if target.name == ANONYMOUS.name else AUTHENTICATED
    if last not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, last)
    return UserInfo(target.name, target.uid, groups, target.extra)


def _bare(target: UserInfo) -> bool:
    """Named, and nothing else asked for."""
    return not target.uid and not target.groups and not target.extra


def _node(name: str) -> str:
    return name.removeprefix(_NODE) if name.startswith(_NODE) else ""


def _all(headers: object, key: str) -> list[str]:
    getall = getattr(headers, "getall", None)
    if getall is not None:
        return list(getall(key, []))
    value = headers.get(key)  # type: ignore[attr-defined]
    return [value] if value is not None else []


def service_account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name."""
    parts = name.split(":")
    if len(parts) == 4 and parts[0] == "system" and parts[1] == "serviceaccount" and parts[2] and parts[3]:
        return parts[2], parts[3]
    return None


def _go_user(groups: Sequence[str], uid: str, extra: dict[str, tuple[str, ...]]) -> str:
    """A user.DefaultInfo as Go's %#v prints it."""
    listed = "[]string{" + ", ".join(f'"{g}"' for g in groups) + "}" if groups else "[]string(nil)"
    if extra:
        pairs = ", ".join(f'"{k}":[]string{{{", ".join(f"{chr(34)}{v}{chr(34)}" for v in vs)}}}' for k, vs in extra.items())
        shown = f"map[string][]string{{{pairs}}}"
    else:
        shown = "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{listed}, Extra:{shown}}}'
