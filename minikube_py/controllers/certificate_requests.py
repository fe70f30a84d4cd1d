"""What a CertificateSigningRequest asks for, whether a signer of Kubernetes' own may give it, and signing. Pure.

Sources: "Certificates and Certificate Signing Requests" (Kubernetes signers), pkg/apis/certificates/helpers.go,
pkg/controller/certificates. Imported only when there is a request: x509 costs start-up time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID as Extended
from cryptography.x509.oid import NameOID, ObjectIdentifier

CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
LEGACY: Final = "kubernetes.io/legacy-unknown"
SIGNERS: Final = frozenset({CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY})

#: Seconds: --cluster-signing-duration, the least that anybody gets, and how far back a certificate is valid for clocks that are behind.
DURATION: Final = 365 * 86400
LEAST_DURATION: Final = 600
BACKDATE: Final = 300

_KEY_USAGES: Final = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED: Final = {
    "any": Extended.ANY_EXTENDED_KEY_USAGE,
    "server auth": Extended.SERVER_AUTH,
    "client auth": Extended.CLIENT_AUTH,
    "code signing": Extended.CODE_SIGNING,
    "email protection": Extended.EMAIL_PROTECTION,
    "s/mime": Extended.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Extended.TIME_STAMPING,
    "ocsp signing": Extended.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class Refused(Exception):
    """A signer does not sign such a request."""


def parse(request: bytes) -> x509.CertificateSigningRequest:
    """Raises ValueError for what is no PEM request, or one not signed with its own key."""
    found = x509.load_pem_x509_csr(request)
    if not found.is_signature_valid:
        raise ValueError("the request's signature is not its key's")
    return found


def common_name(request: x509.CertificateSigningRequest) -> str:
    return next((str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)), "")


def check(signer: str, request: x509.CertificateSigningRequest, usages: Iterable[str]) -> None:
    """Raises Refused, in Kubernetes' words."""
    if signer == CLIENT:
        _check_client(usages)
    elif signer == KUBELET_CLIENT:
        _check_organization(request)
        for kind, word in (
            (x509.DNSName, "DNS"),
            (x509.RFC822Name, "Email"),
            (x509.IPAddress, "IP"),
            (x509.UniformResourceIdentifier, "URI"),
        ):
            if _names(request, kind):
                raise Refused(f"{word} subjectAltNames are not allowed")
        _check_node(request)
        _check_usages(usages, "client auth")
    elif signer == KUBELET_SERVING:
        _check_organization(request)
        if not _names(request, x509.DNSName) and not _names(request, x509.IPAddress):
            raise Refused("DNS or IP subjectAltName is required")
        for kind, word in ((x509.RFC822Name, "Email"), (x509.UniformResourceIdentifier, "URI")):
            if _names(request, kind):
                raise Refused(f"{word} subjectAltNames are not allowed")
        _check_usages(usages, "server auth")
        _check_node(request)
    elif signer != LEGACY:
        raise Refused(f"{signer} is no signer of this controller")


def _check_client(usages: Iterable[str]) -> None:
    usages = tuple(usages)
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            raise Refused(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        raise Refused("missing required usage for client certificate: client auth")


def _check_organization(request: x509.CertificateSigningRequest) -> None:
    if [a.value for a in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] != ["system:nodes"]:
        raise Refused("subject organization is not system:nodes")


def _check_node(request: x509.CertificateSigningRequest) -> None:
    if not common_name(request).startswith("system:node:"):
        raise Refused("subject common name does not begin with system:node: ")


def _check_usages(usages: Iterable[str], purpose: str) -> None:
    """Key encipherment is for RSA keys, so it may be left out."""
    if set(usages) - {"key encipherment"} != {"digital signature", purpose}:
        named = (
            "client auth digital signature key encipherment"
            if purpose == "client auth"
            else "digital signature key encipherment server auth"
        )
        raise Refused(f"usages did not match [{named}]")


def _names(request: x509.CertificateSigningRequest, kind: type[Any]) -> list[Any]:
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(kind)


def duration(expiration_seconds: int | None) -> int:
    """Seconds that a certificate is valid: what was asked for, within the bounds."""
    if expiration_seconds is None:
        return DURATION
    return min(DURATION, max(LEAST_DURATION, expiration_seconds))


def sign(
    ca_certificate: str, ca_key: str, request: x509.CertificateSigningRequest, usages: Iterable[str], seconds: int, now: float
) -> bytes:
    """The certificate (PEM), never valid longer than the authority's own."""
    authority = x509.load_pem_x509_certificate(ca_certificate.encode())
    key: Any = serialization.load_pem_private_key(ca_key.encode(), None)
    start = datetime.datetime.fromtimestamp(now, datetime.UTC)
    end = min(start + datetime.timedelta(seconds=seconds - BACKDATE), authority.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - datetime.timedelta(seconds=BACKDATE))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    usages = tuple(usages)
    if flags := {_KEY_USAGES[u] for u in usages if u in _KEY_USAGES}:
        builder = builder.add_extension(_key_usage(flags), critical=True)
    if extended := list(dict.fromkeys(_EXTENDED[u] for u in usages if u in _EXTENDED)):
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        names = None
    if names is not None:
        builder = builder.add_extension(names.value, critical=not list(request.subject))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(flags: set[str]) -> x509.KeyUsage:
    agreement = "key_agreement" in flags
    every = dict.fromkeys(dict.fromkeys(_KEY_USAGES.values()), False) | dict.fromkeys(flags, True)
    if not agreement:  # without it these two have no meaning (RFC 5280, 4.2.1.3)
        every |= {"encipher_only": False, "decipher_only": False}
    return x509.KeyUsage(**every)


def expiry(certificate: bytes) -> float:
    """Seconds since the epoch. Raises ValueError."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
