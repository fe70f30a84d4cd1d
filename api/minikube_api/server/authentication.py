"""Who asks: the chain of authenticators, the static token file, client certificates, anonymous, impersonation.

`server/access` adds service-account tokens and bootstrap tokens as further members of the chain.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from minikube_api.meta.errors import BadRequest, Unauthorized
from minikube_api.server.context import ANONYMOUS, Request, UserInfo
from minikube_api.server.contract import Attributes, Authenticator

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


class AuthenticatorChain:
    """The first authenticator that knows the request wins; nobody and no credentials is `system:anonymous`.

    A bearer token that nobody knows is 401, as in kube-apiserver.
    """

    def __init__(self, members: Iterable[Authenticator], *, anonymous: bool = True) -> None:
        self._members = tuple(members)
        self._anonymous = anonymous

    async def authenticate(self, request: Request) -> UserInfo:
        for member in self._members:
            user = await member.authenticate(request)
            if user is not None:
                return user if AUTHENTICATED in user.groups or user.name == ANONYMOUS.name else in_group(user, AUTHENTICATED)
        if bearer_token(request) or not self._anonymous:
            raise Unauthorized
        return ANONYMOUS


def in_group(user: UserInfo, group: str) -> UserInfo:
    return UserInfo(user.name, user.uid, (*user.groups, group), user.extra)


def bearer_token(request: Request) -> str:
    """The token of an `Authorization: Bearer` header, or of the WebSocket sub-protocol that browsers use; empty when none."""
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class TokenFile:
    """kube-apiserver's `--token-auth-file`: CSV lines of token,user,uid[,"group1,group2"]."""

    def __init__(self, text: str) -> None:
        self._users: dict[str, UserInfo] = {}
        for number, row in enumerate(csv.reader(text.splitlines(), skipinitialspace=True), 1):
            if not row:
                continue
            if len(row) < 3:
                raise ValueError(f"token file line {number}: want at least token, user and uid")
            groups = tuple(g.strip() for g in row[3].split(",") if g.strip()) if len(row) > 3 else ()
            self._users[row[0]] = UserInfo(row[1], row[2], (*groups, AUTHENTICATED))

    @classmethod
    def load(cls, path: Path) -> TokenFile:
        return cls(path.read_text())

    async def authenticate(self, request: Request) -> UserInfo | None:
        token = bearer_token(request)
        return self._users.get(token) if token else None


class ClientCertificate:
    """The subject of a verified client certificate: CN is the user, O the groups. TLS has checked the chain already."""

    def __init__(self) -> None:
        self._known: dict[bytes, UserInfo] = {}

    async def authenticate(self, request: Request) -> UserInfo | None:
        der = request.certificate
        if not der:
            return None
        user = self._known.get(der)
        if user is None:
            user = subject(der)
            if len(self._known) > 4096:
                self._known.clear()
            self._known[der] = user
        return user


def subject(der: bytes) -> UserInfo:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    name = x509.load_der_x509_certificate(der).subject
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not common:
        raise Unauthorized
    groups = tuple(str(a.value) for a in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return UserInfo(str(common[0].value), "", (*groups, AUTHENTICATED))


_EXTRA = "impersonate-extra-"


def impersonated(request: Request) -> tuple[UserInfo, Sequence[Attributes]] | None:
    """The user that Impersonate-* headers name and the attributes that must each be allowed (verb `impersonate`), or None."""
    headers = request.headers
    name = headers.get("Impersonate-User", "")
    groups = tuple(_all(headers, "Impersonate-Group"))
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, tuple[str, ...]] = {}
    for key in headers:
        lower = key.lower()
        if lower.startswith(_EXTRA):
            extra[unquote(lower[len(_EXTRA) :])] = tuple(_all(headers, key))
    if not name:
        if groups or uid or extra:
            raise BadRequest(f"requested {_go_user(groups, uid, extra)} without impersonating a user name")
        return None
    checks: list[Attributes] = []
    user = request.user
    service_account = _service_account(name)
    if service_account:
        namespace, account = service_account
        checks.append(
            Attributes(user, "impersonate", namespace=namespace, version="v1", resource="serviceaccounts", name=account)
        )
    else:
        checks.append(Attributes(user, "impersonate", version="v1", resource="users", name=name))
    checks += [Attributes(user, "impersonate", version="v1", resource="groups", name=g) for g in groups]
    authn = "authentication.k8s.io"
    checks += [
        Attributes(user, "impersonate", group=authn, version="v1", resource="userextras", subresource=k, name=v)
        for k, values in extra.items()
        for v in values
    ]
    if uid:
        checks.append(Attributes(user, "impersonate", group=authn, version="v1", resource="uids", name=uid))
    if service_account and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{service_account[0]}")
    if name == ANONYMOUS.name:
        if UNAUTHENTICATED not in groups:
            groups = (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return UserInfo(name, uid, groups, extra), checks


def _all(headers: object, key: str) -> list[str]:
    getall = getattr(headers, "getall", None)
    if getall is not None:
        return list(getall(key, []))
    value = headers.get(key)  # type: ignore[attr-defined]
    return [value] if value is not None else []


def _service_account(name: str) -> tuple[str, str] | None:
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
