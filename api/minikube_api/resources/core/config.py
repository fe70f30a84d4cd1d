"""ConfigMap, Secret and ServiceAccount. Source: ValidateConfigMap, ValidateSecret and their update forms."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

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
            errors.append(err.too_long("", "", MAX_SIZE))
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
    try:
        orjson.loads(base64.b64decode(value))
    except ValueError as error:
        # the value itself is a secret and is not repeated
        return [err.invalid(path, "<secret contents redacted>", _go_json_error(base64.b64decode(value), error))]
    return []


def _go_json_error(body: bytes, error: Exception) -> str:
    text = body.decode(errors="replace").lstrip()
    if not text:
        return "unexpected end of JSON input"
    return f"invalid character {text[0]!r} looking for beginning of value" if text[0] not in '{["' else str(error)


def _tls_warnings(data: dict[str, str]) -> list[str]:
    certificate, key = data.get("tls.crt"), data.get("tls.key")
    if certificate is None or key is None:
        return []
    blocks = [base64.b64decode(value) for value in (certificate, key)]
    if b"-----BEGIN" not in blocks[0]:
        return ["tls: failed to find any PEM data in certificate input"]
    if b"-----BEGIN" not in blocks[1]:
        return ["tls: failed to find any PEM data in key input"]
    return []


_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccountStrategy(KindStrategy):
    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        """Secrets listed by clients are kept: old clusters name their token secrets there."""

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        annotations: dict[str, Any] = obj["metadata"].get("annotations") or {}
        if _ENFORCE in annotations and (old is None or annotations != old["metadata"].get("annotations")):
            return [
                f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
            ]
        return []
