"""The server's seams: who authenticates, authorizes, admits, records and dials. Implementations are injected.

Kubernetes' own names: authenticator, authorizer (RBAC, node...), admission plug-in, audit backend, egress selector (Dialer).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from minikube_api.server.context import Request, UserInfo

if TYPE_CHECKING:
    from minikube_api.resources.resource import Resource

Object = dict[str, Any]


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> UserInfo | None:
        """The identity behind the request; None when it carries nothing for this authenticator. Raises Unauthorized for bad credentials."""
        ...


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an authorizer decides on; a resource request or a path."""

    user: UserInfo
    verb: str
    resource_request: bool = True
    namespace: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""


Verdict = Literal["allowed", "denied", "no opinion"]


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.verdict == "allowed"


ALLOWED = Decision("allowed")
NO_OPINION = Decision("no opinion")


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> Decision: ...


class AuditSink(Protocol):
    """Gets one record per request stage; must not block (queue inside). With `wants_bodies` requests keep theirs for it."""

    @property
    def wants_bodies(self) -> bool: ...

    def record(self, request: Request, stage: str, code: int, failure: Mapping[str, Any] | None) -> None: ...

    def close(self) -> None:
        """Write what is left. Idempotent."""
        ...


Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(slots=True)
class AdmissionAttributes:
    """What admission sees of a write. `obj` is the new object as a JSON tree in the request's version; mutating plug-ins change it in place.

    `obj` is None for DELETE, `old` is None for CREATE. `options` are the CreateOptions, UpdateOptions... of the request.
    """

    operation: Operation
    user: UserInfo
    resource: Resource
    subresource: str
    namespace: str
    name: str
    obj: Object | None
    old: Object | None
    dry_run: bool = False
    options: Object = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    audit_annotations: dict[str, str] = field(default_factory=dict)
    #: group, version, kind of the body when it is not the resource's own (Scale, Eviction, Binding...)
    kind: tuple[str, str, str] | None = None
    #: made by plug-ins that may want the mutating ones to run a second time
    reinvocation: Reinvocation | None = None


@dataclass(slots=True)
class Reinvocation:
    """One write's second round of mutating admission: `asked` for by a plug-in, done once by the chain; plug-ins keep notes in `values`."""

    asked: bool = False
    second_round: bool = False
    values: dict[str, Any] = field(default_factory=dict)


class AdmissionPlugin(Protocol):
    """One plug-in. Both methods refuse by raising a StatusError (Forbidden for most)."""

    name: str

    def handles(self, operation: Operation) -> bool: ...

    async def admit(self, attributes: AdmissionAttributes) -> None:
        """Mutating; may run more than once for one write."""
        ...

    async def validate(self, attributes: AdmissionAttributes) -> None: ...


class Dialer(Protocol):
    """How the server opens connections to nodes, pods and services (Kubernetes calls this the egress selector)."""

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking stream socket. Raises OSError."""
        ...


class DirectDialer:
    """Connects from the server's own network namespace."""

    def __init__(self, timeout: float = 10.0) -> None:
        self._timeout = timeout

    async def connect(self, host: str, port: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError | None = None
        for family, kind, protocol, _, address in infos:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            try:
                async with asyncio.timeout(self._timeout):
                    await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure or OSError(f"no address for {host}")
