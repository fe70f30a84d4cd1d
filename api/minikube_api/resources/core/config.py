"""ConfigMap, Secret and ServiceAccount. Source: ValidateConfigMap, ValidateSecret and their update forms."""

from __future__ import annotations

import base64
import re
from typing import Any

import orjson

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy
from minikube_api.schema import syntax

#: bytes of all values together
MAX_SIZE = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"


def _immutable_changes(obj: Object, old: Object, *fields: str) -> Errors:
    if not old.get("immutable"):
        return []
    errors: Errors = []
    if not obj.get("immutable"):
        errors.append(err.forbidden("immutable", _IMMUTABLE))
    return errors + [err.forbidden(f, _IMMUTABLE) for f in fields if (obj.get(f) or {}) != (old.get(f) or {})]


class ConfigMapStrategy(KindStrategy):
    whole_checks = 1

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        size = 0
        for key, value in data.items():
            errors += checks.named(key, f"data[{key}]", names.config_map_key)
            if key in binary:
                errors.append(err.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
            size += len(value.encode())
        for key, value in binary.items():
            errors += checks.named(key, f"binaryData[{key}]", names.config_map_key)
            size += len(value) * 3 // 4
        if size > MAX_SIZE:
            errors.append(err.too_long(err.NO_NAME, "", MAX_SIZE))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return _immutable_changes(obj, old, "data", "binaryData")


_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


class SecretStrategy(KindStrategy):
    whole_checks = 1

    def defaults(self, obj: Object) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        texts = obj.pop("stringData", None)
        if texts:
            data = obj["data"] = dict(obj.get("data") or {})
            for key, text in texts.items():
                data[key] = base64.b64encode(text.encode()).decode()

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        data = obj.get("data") or {}
        size = 0
        for key, value in data.items():
            size += len(value or "") * 3 // 4
            errors += checks.named(key, f"data[{key}]", names.config_map_key)
        if size > MAX_SIZE:
            errors.append(err.too_long("data", "", MAX_SIZE))
        return errors + _typed(obj, data)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return checks.unchanged(obj, old, "type") + _immutable_changes(obj, old, "data")

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if obj.get("type") != "kubernetes.io/tls":
            return []
        return _tls_warnings(obj.get("data") or {})


def _typed(obj: Object, data: dict[str, str]) -> Errors:
    """Keys that a type needs."""
    kind = obj.get("type")
    errors: Errors = []
    if kind == "kubernetes.io/service-account-token":
        account = "kubernetes.io/service-account.name"
        if not (obj["metadata"].get("annotations") or {}).get(account):
            errors.append(err.required(f"metadata.annotations[{account}]"))
    elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        key = _REQUIRED_KEYS[kind][0]
        if key not in data:
            errors.append(err.required(f"data[{key}]"))
        else:
            errors += _json(data[key], f"data[{key}]")
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            errors += [err.required(f"data[{key}]") for key in ("username", "password")]
    elif kind == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            errors.append(err.required("data[ssh-privatekey]"))
    elif kind == "kubernetes.io/tls":
        errors += [err.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return errors


def _json(value: str, path: str) -> Errors:
    body = base64.b64decode(value)
    try:
        tree = orjson.loads(body)
    except ValueError:
        why = syntax.problem(body)
    else:
        if isinstance(tree, dict) or tree is None:
            return []
        why = f"json: cannot unmarshal {_GO_KINDS[type(tree)]} into Go value of type map[string]interface {{}}"
    # the value itself is a secret and is not repeated
    return [err.invalid(path, "<secret contents redacted>", why)]


_GO_KINDS: dict[type, str] = {str: "string", int: "number", float: "number", bool: "bool", list: "array"}


_pem_re = re.compile(rb"^-----BEGIN ([^\n]*)-----\s*\n.*?^-----END \1-----[ \t\r]*$", re.MULTILINE | re.DOTALL)


def _tls_warnings(data: dict[str, str]) -> list[str]:
    """What tls.X509KeyPair says of a certificate and key that do not work."""
    if "tls.crt" not in data or "tls.key" not in data:
        return []
    certificate, key = (base64.b64decode(data[name]) for name in ("tls.crt", "tls.key"))
    why = _certificate_problem(certificate) or _key_problem(key) or _pair_problem(certificate, key)
    return [why] if why else []


def _pem_types(body: bytes) -> list[str]:
    return [found[1].decode(errors="replace") for found in _pem_re.finditer(body)]


def _certificate_problem(body: bytes) -> str:
    types = _pem_types(body)
    if "CERTIFICATE" in types:
        return ""
    if not types:
        return "tls: failed to find any PEM data in certificate input"
    if len(types) == 1 and types[0].endswith("PRIVATE KEY"):
        return "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
    skipped = " ".join(types)
    return f'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following types: [{skipped}]'


def _key_problem(body: bytes) -> str:
    types = _pem_types(body)
    if any(kind.endswith("PRIVATE KEY") for kind in types):
        return ""
    if not types:
        return "tls: failed to find any PEM data in key input"
    if types == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    skipped = " ".join(types)
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{skipped}]"
    )


def _pair_problem(certificate: bytes, key: bytes) -> str:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return "x509: malformed certificate"
    except UnsupportedAlgorithm:
        return "tls: unknown public key algorithm"
    try:
        own = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return "" if own.public_bytes(*form) == public.public_bytes(*form) else "tls: private key does not match public key"


_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccountStrategy(KindStrategy):
    whole_checks = 1

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        """Secrets listed by clients are kept: old clusters name their token secrets there."""

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        annotations: dict[str, Any] = obj["metadata"].get("annotations") or {}
        if _ENFORCE in annotations and (old is None or annotations != old["metadata"].get("annotations")):
            return [
                f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
            ]
        return []
