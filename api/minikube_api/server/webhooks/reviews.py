"""AdmissionReviews (admission.k8s.io/v1): the question to a webhook, and what its answer means. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson

from minikube_api.meta.errors import StatusError
from minikube_api.resources.resource import Resource
from minikube_api.server.context import Object, UserInfo
from minikube_api.server.contract import AdmissionAttributes
from minikube_api.server.webhooks.versions import kind_of

GROUP = "admission.k8s.io"


class BadResponse(Exception):
    """The answer is no answer; the text is kube-apiserver's."""


def user_tree(user: UserInfo) -> Object:
    tree: Object = {"username": user.name}
    if user.uid:
        tree["uid"] = user.uid
    if user.groups:
        tree["groups"] = list(user.groups)
    if user.extra:
        tree["extra"] = {key: list(values) for key, values in user.extra.items()}
    return tree


def namespace_of(attributes: AdmissionAttributes) -> str:
    """The namespace of a request; that of a Namespace is its own name."""
    resource = attributes.resource
    return attributes.name if not resource.group and resource.plural == "namespaces" else attributes.namespace


def review(
    attributes: AdmissionAttributes, resource: Resource, obj: Object | None, old: Object | None, *, uid: str, version: str
) -> bytes:
    """The JSON that is posted. `resource` is the version that the matching rule names; obj and old are in it."""
    own = attributes.resource
    request: Object = {
        "uid": uid,
        "kind": _kind(*kind_of(attributes, resource)),
        "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
    }
    if attributes.subresource:
        request["subResource"] = attributes.subresource
    request["requestKind"] = _kind(*kind_of(attributes))
    request["requestResource"] = {"group": own.group, "version": own.version, "resource": own.plural}
    if attributes.subresource:
        request["requestSubResource"] = attributes.subresource
    if attributes.name:
        request["name"] = attributes.name
    if namespace := namespace_of(attributes):
        request["namespace"] = namespace
    request["operation"] = attributes.operation
    request["userInfo"] = user_tree(attributes.user)
    kind = kind_of(attributes, resource)
    request["object"] = _typed(obj, kind)
    request["oldObject"] = _typed(old, kind)
    request["dryRun"] = attributes.dry_run
    request["options"] = attributes.options or None
    return orjson.dumps({"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}", "request": request})


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


def _typed(tree: Object | None, kind: tuple[str, str, str]) -> Object | None:
    if tree is None or "kind" in tree:
        return tree
    group, version, name = kind
    return {"kind": name, "apiVersion": f"{group}/{version}" if group else version, **tree}


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    result: Object = field(default_factory=dict)
    patch: bytes = b""
    patch_type: str = ""
    warnings: tuple[str, ...] = ()
    audit_annotations: dict[str, str] = field(default_factory=dict)


def verdict(tree: Any, *, uid: str, version: str, mutating: bool) -> Verdict:
    """What an AdmissionReview that came back says. Raises BadResponse (VerifyAdmissionResponse's words)."""
    if not isinstance(tree, dict):
        raise BadResponse("webhook response was absent")
    response = tree.get("response")
    if not isinstance(response, dict):
        raise BadResponse("webhook response was absent")
    if version == "v1":
        if response.get("uid", "") != uid:
            raise BadResponse(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
        wanted = (f"{GROUP}/v1", "AdmissionReview")
        got = (tree.get("apiVersion") or "", tree.get("kind") or "")
        if got != wanted:
            raise BadResponse(f"expected webhook response of {_written(*wanted)}, got {_written(*got)}")
    patch, patch_type = _patch(response, mutating=mutating, strict=version == "v1")
    return Verdict(
        bool(response.get("allowed")),
        response.get("status") or {},
        patch,
        patch_type,
        tuple(response.get("warnings") or ()),
        dict(response.get("auditAnnotations") or {}),
    )


def _written(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group}/{version}, Kind={kind}"


def _patch(response: Object, *, mutating: bool, strict: bool) -> tuple[bytes, str]:
    try:
        patch = base64.b64decode(response.get("patch") or "", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadResponse(f"illegal base64 data in response.patch: {error}") from error
    patch_type = response.get("patchType")
    if not strict:
        return (patch, "JSONPatch") if mutating and patch else (b"", "")
    if not mutating:
        if patch:
            raise BadResponse("validating webhook may not return response.patch")
        if patch_type is not None:
            raise BadResponse("validating webhook may not return response.patchType")
        return b"", ""
    if patch and patch_type is None:
        raise BadResponse("webhook returned response.patch but not response.patchType")
    if patch_type is not None and not patch:
        raise BadResponse("webhook returned response.patchType but not response.patch")
    if patch_type == "":
        raise BadResponse('webhook returned invalid response.patchType of ""')
    return patch, patch_type or ""


def refusal(name: str, result: Object) -> StatusError:
    """The Status that a client sees of a webhook's denial (ToStatusErr)."""
    denied = f'admission webhook "{name}" denied the request'
    code = int(result.get("code") or 0)
    told = result.get("message") or result.get("reason") or ""
    status = dict(result)
    status["code"] = code if code >= 400 else 400
    status["message"] = f"{denied}: {told}" if told else f"{denied} without explanation"
    error = StatusError.of(status)
    error.status_reason = result.get("reason") or ""
    return error
