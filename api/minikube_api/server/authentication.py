"""Who asks: the chain of authenticators, the static token file, client certificates, anonymous.

`server/access` adds service-account tokens and bootstrap tokens as further members of the chain; who then acts for somebody else is
`impersonation`'s business.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from minikube_api.meta.errors import Unauthorized
from minikube_api.server.context import ANONYMOUS, Request, UserInfo
from minikube_api.server.contract import Authenticator
from minikube_api.server.front_proxy import Issuers

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
        refused = False
        for member in self._members:
            try:
                user = await member.authenticate(request)
            except Unauthorized:
                refused = True  # another credential of the request may still do
                continue
            if user is not None:
                known = AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups or user.name == ANONYMOUS.name
                return user if known else in_group(user, AUTHENTICATED)
        if refused or bearer_token(request) or not self._anonymous:
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
    """The subject of a verified client certificate: CN is the user, O the groups. TLS has checked the chain already.

    `strangers` are authorities that TLS trusts for another purpose: whom only they signed for is nobody here.
    """

    def __init__(self, clients: Issuers | None = None, *, strangers: Issuers | None = None) -> None:
        self._clients = clients
        self._strangers = strangers
        self._known: dict[bytes, UserInfo] = {}

    async def authenticate(self, request: Request) -> UserInfo | None:
        der = request.certificate
        if not der:
            return None
        user = self._known.get(der)
        if user is None:
            if self._strangers is not None and self._strangers.issued(der):
                if self._clients is None or not self._clients.issued(der):
                    raise Unauthorized
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
