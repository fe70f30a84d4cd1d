"""Clients that authenticate for others: a front proxy with its own certificate tells the user in X-Remote-* headers.

Source: documentation, "Authenticating Proxy" (--requestheader-client-ca-file, --requestheader-allowed-names and the header names, with
kubeadm's values). TLS takes certificates of both authorities, so each authenticator looks at who signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from minikube_api.meta.errors import Unauthorized
from minikube_api.server.context import Request, UserInfo

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_USER, _UID, _GROUP, _EXTRA = "X-Remote-User", "X-Remote-Uid", "X-Remote-Group", "x-remote-extra-"
#: decisions remembered by certificate
_REMEMBERED = 1024


class Issuers:
    """The authorities of a PEM file. `issued(der)` says whether one of them signed a certificate (TLS has checked its dates)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._authorities: Sequence[Certificate] | None = None
        self._known: dict[bytes, bool] = {}

    def issued(self, der: bytes) -> bool:
        found = self._known.get(der)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[der] = self._look(der)
        return found

    def _look(self, der: bytes) -> bool:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        if self._authorities is None:
            self._authorities = x509.load_pem_x509_certificates(self._path.read_bytes())
        certificate = x509.load_der_x509_certificate(der)
        for authority in self._authorities:
            try:
                certificate.verify_directly_issued_by(authority)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return True
        return False


class RequestHeader:
    """An `Authenticator`: the user that a trusted proxy names. No such header is nobody; a name that is not allowed is 401."""

    def __init__(self, issuers: Issuers, allowed_names: Sequence[str]) -> None:
        self._issuers = issuers
        self._allowed = frozenset(allowed_names)

    async def authenticate(self, request: Request) -> UserInfo | None:
        name = request.headers.get(_USER, "").strip()
        der = request.certificate
        if not name or der is None or not self._issuers.issued(der):
            return None
        if self._allowed and _common_name(der) not in self._allowed:
            raise Unauthorized
        return UserInfo(name, request.headers.get(_UID, ""), tuple(_all(request.headers, _GROUP)), _extra(request.headers))


def _common_name(der: bytes) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _extra(headers: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    keys = dict.fromkeys(key.lower() for key in headers if key.lower().startswith(_EXTRA))
    return {unquote(key[len(_EXTRA) :]): tuple(_all(headers, key)) for key in keys}


def _all(headers: Mapping[str, str], key: str) -> list[str]:
    getall = getattr(headers, "getall", None)
    return list(getall(key, [])) if getall is not None else [headers[key]] * (key in headers)
