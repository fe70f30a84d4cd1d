"""JSON Web Tokens signed with ES256 (RFC 7515, 7518): made and checked, nothing more. The claims' meaning is the caller's."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_ES256 = ec.ECDSA(hashes.SHA256())


class InvalidToken(Exception):
    """Not a token of ours, or not one any more."""


class SigningKey:
    """An EC P-256 private key (PEM). `key_id` is derived from the public key, as kube-apiserver does."""

    def __init__(self, pem: bytes) -> None:
        key = serialization.load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("the service account key must be an EC P-256 key")
        self._key = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _encode(hashlib.sha256(der).digest())
        self._head = _encode(orjson.dumps({"alg": "ES256", "kid": self.key_id}))

    def sign(self, claims: dict[str, Any]) -> str:
        text = f"{self._head}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), _ES256))
        return f"{text}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that this key signed. Raises InvalidToken."""
        head, claims, signature = _parts(token)
        raw = _decode(signature)
        if head.get("alg") != "ES256" or len(raw) != 64:
            raise InvalidToken("invalid bearer token")
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        try:
            self._public.verify(der, token.rpartition(".")[0].encode(), _ES256)
        except InvalidSignature:
            raise InvalidToken("invalid bearer token") from None
        return claims

    def public_jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key, for /openid/v1/jwks."""
        numbers = self._public.public_numbers()
        x, y = (_encode(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
        return {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}


def issuer_of(token: str) -> str | None:
    """The issuer that an unverified token names; None when it is no JWT."""
    try:
        issuer = _parts(token)[1].get("iss")
    except InvalidToken:
        return None
    return issuer if isinstance(issuer, str) else None


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    pieces = token.split(".")
    if len(pieces) != 3:
        raise InvalidToken("invalid bearer token")
    try:
        head, claims = orjson.loads(_decode(pieces[0])), orjson.loads(_decode(pieces[1]))
    except ValueError:
        raise InvalidToken("invalid bearer token") from None
    if not isinstance(head, dict) or not isinstance(claims, dict):
        raise InvalidToken("invalid bearer token")
    return head, claims, pieces[2]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise InvalidToken("invalid bearer token") from None
