"""The context of one request: who asks, for what, and what goes out beside the answer (warnings, audit annotations).

One `Request` crosses all stages, whether it came over HTTPS or through the in-process transport. Sources: Kubernetes' API
URL layout ("API concepts") and the attributes that authorization and audit see (`RequestInfo`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from minikube_api.meta.errors import BadRequest

Object = dict[str, Any]
_INTEGER = re.compile("[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class UserInfo:
    """An authenticated identity. `extra` values are lists, as in `Impersonate-Extra-*` and TokenReview."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))


@dataclass(slots=True)
class RequestInfo:
    """What the path and method mean. `parts` is the path below the subresource (proxy targets), percent-decoded."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    #: the name is in the path (that of a list may come from its field selector)
    named: bool = False
    parts: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


def parse_info(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """The `RequestInfo` of a decoded path, as Kubernetes' resolver reads it (watch/ prefixes of old included)."""
    parts = path.strip("/").split("/")
    root = parts[0]
    if (root == "api" and len(parts) > 2) or (root == "apis" and len(parts) > 3):
        skip = 2 if root == "api" else 3
    else:
        return RequestInfo(path, method.lower())
    info = RequestInfo(path, _VERBS.get(method, ""), True)
    info.version = parts[skip - 1]
    if root == "apis":
        info.group = parts[1]
    parts = parts[skip:]
    watching = False
    if parts[0] == "watch" and len(parts) > 1:
        watching, parts = True, parts[1:]
    if parts[0] == "namespaces":
        if len(parts) > 1:
            info.namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    info.resource = parts[0]
    if len(parts) > 1:
        info.name, info.named = parts[1], True
    if len(parts) > 2:
        info.subresource = parts[2]
        info.parts = tuple(parts[3:])
    if watching:
        info.verb = "watch"
    elif info.name:
        return info
    elif info.verb == "get":
        info.verb = "watch" if truthy(query.get("watch")) else "list"
    elif info.verb == "delete":
        info.verb = "deletecollection"
    selector = query.get("fieldSelector", "")
    if info.verb in ("list", "watch") and not info.name and selector.startswith("metadata.name=") and "," not in selector:
        info.name = selector[14:].lstrip("=")
    return info


def truthy(value: str | None) -> bool:
    """Kubernetes' reading of a boolean query value: present and neither `false` (in any case) nor `0`."""
    return value is not None and value != "0" and value.lower() != "false"


def parse_query(text: str) -> dict[str, str]:
    """The first value of each key, as typed options read them."""
    query: dict[str, str] = {}
    if text:
        for key, value in parse_qsl(text, keep_blank_values=True):
            query.setdefault(key, value)
    return query


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """An answer whose body is produced piece by piece; closing the iterator ends the work behind it."""

    status: int
    body: AsyncIterator[bytes]
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Tunnel:
    """The connection itself is taken over after authorisation (exec, attach, portforward, proxied upgrades).

    `run(connection)` is called by the front end with the hijacked connection; only HTTP has such a thing.
    """

    run: Callable[[Any], Awaitable[Any]]


Reply = Answer | Stream | Tunnel


async def _no_body() -> bytes:
    return b""


@dataclass(slots=True)
class Request:
    """One request on its way. `headers` has case-insensitive keys; `read_body` may raise 413 and is called at most once."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    query: dict[str, str]
    info: RequestInfo
    read_body: Callable[[], Awaitable[bytes]] = _no_body
    remote: str = ""
    #: the verified client certificate (DER), if one was presented
    certificate: bytes | None = None
    #: set before the stages for in-process requests: they have an identity already
    user: UserInfo = ANONYMOUS
    #: who stood behind the request before impersonation
    original_user: UserInfo | None = None
    #: the verb of constrained impersonation that allowed it (KEP-5284)
    impersonation_constraint: str = ""
    received: float = 0.0
    #: path as it came on the wire, for proxying
    raw_path: str = ""
    warnings: list[str] = field(default_factory=list)
    audit_annotations: dict[str, str] = field(default_factory=dict)
    audit_id: str = ""
    #: what came and went, kept only for an audit policy that records bodies
    audit_body: bytes = b""
    audit_answer: bytes = b""
    #: UIDs of the FlowSchema and the PriorityLevelConfiguration that the request belongs to
    flow: tuple[str, str] | None = None
    in_process: bool = False
    #: the HTTP front end's own request, for streaming bodies and upgrades
    native: Any = None

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def integer(self, key: str) -> int | None:
        """An int64 query value; raises BadRequest in Go's words."""
        text = self.query.get(key)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text):
            raise BadRequest(f"strconv.ParseInt: parsing {orjson.dumps(text).decode()}: invalid syntax")
        number = int(text)
        if not -(1 << 63) <= number < 1 << 63:
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
        return number

    def values(self, key: str) -> list[str]:
        """All values of a key, for options that are lists."""
        if key not in self.query:
            return []
        return [value for name, value in parse_qsl(self.query_string, keep_blank_values=True) if name == key]
