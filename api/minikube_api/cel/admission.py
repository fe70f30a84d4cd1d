"""Declarations of admission expressions: names and types that policies and match conditions may use, before any request is there.

Source: k8s.io/apiserver's pkg/admission/plugin/cel (compile.go), pkg/cel/library (authz.go, jsonpatch.go), pkg/cel/mutation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import minikube_api.cel.library
import minikube_api.cel.strings  # noqa: F401  both fill the table of functions
from minikube_api.cel import types
from minikube_api.cel.functions import global_, method
from minikube_api.cel.types import BOOL, DYN, STRING, Field, Type, list_of, map_of, opaque

AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION = (
    opaque(f"kubernetes.authorization.{name}") for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision")
)


def _step(name: str) -> Any:
    """A method of what stands behind the authorizer's types: the server's own values know `step`."""
    return lambda check, *given: check.step(name, *given)


for _name, _args, _result in (
    ("path", (AUTHORIZER, STRING), PATH_CHECK),
    ("group", (AUTHORIZER, STRING), GROUP_CHECK),
    ("serviceAccount", (AUTHORIZER, STRING, STRING), AUTHORIZER),
    ("resource", (GROUP_CHECK, STRING), RESOURCE_CHECK),
    ("subresource", (RESOURCE_CHECK, STRING), RESOURCE_CHECK),
    ("namespace", (RESOURCE_CHECK, STRING), RESOURCE_CHECK),
    ("name", (RESOURCE_CHECK, STRING), RESOURCE_CHECK),
    ("fieldSelector", (RESOURCE_CHECK, STRING), RESOURCE_CHECK),
    ("labelSelector", (RESOURCE_CHECK, STRING), RESOURCE_CHECK),
    ("check", (PATH_CHECK, STRING), DECISION),
    ("check", (RESOURCE_CHECK, STRING), DECISION),
    ("allowed", (DECISION,), BOOL),
    ("reason", (DECISION,), STRING),
    ("errored", (DECISION,), BOOL),
    ("error", (DECISION,), STRING),
):
    method(_name, _args, _result, _step(_name))


def _escaped_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


global_("jsonpatch.escapeKey", (STRING,), STRING, _escaped_key)

# ---- types


def _object(name: str, /, **fields: Type) -> Type:
    return Type("object", name, fields={key: Field(kind, key) for key, kind in fields.items()})


_GVK = _object("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_GVR = _object("kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER = _object("kubernetes.UserInfo", username=STRING, uid=STRING, groups=list_of(STRING), extra=map_of(STRING, list_of(STRING)))
REQUEST = _object(
    "kubernetes.AdmissionRequest",
    kind=_GVK,
    resource=_GVR,
    subResource=STRING,
    requestKind=_GVK,
    requestResource=_GVR,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_USER,
    dryRun=BOOL,
    options=DYN,
)
_NAMESPACE = _object(
    "kubernetes.Namespace",
    metadata=_object(
        "kubernetes.NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=map_of(STRING, STRING),
        annotations=map_of(STRING, STRING),
        UID=STRING,
        uid=STRING,
        creationTimestamp=STRING,
        deletionGracePeriodSeconds=types.INT,
        deletionTimestamp=STRING,
        generation=types.INT,
        resourceVersion=STRING,
        finalizers=list_of(STRING),
    ),
    spec=_object("kubernetes.NamespaceSpec", finalizers=list_of(STRING)),
    status=_object("kubernetes.NamespaceStatus", phase=STRING),
)
_PATCH = _object("JSONPatch", op=STRING, path=STRING, value=DYN)
_PATCH.fields = {**(_PATCH.fields or {}), "from": Field(STRING, "from")}


def patch_structs(name: str) -> Type | None:
    """Types that mutations may build: `JSONPatch{}` and, with any fields, `Object{}`, `Object.spec{}`..."""
    if name == "JSONPatch":
        return _PATCH
    return Type("dyn", name) if name == "Object" or name.startswith("Object.") else None


def variables(*, params: bool = False, extra: Mapping[str, Type] | None = None, composed: Type | None = None) -> dict[str, Type]:
    """Names and types of an admission expression."""
    made: dict[str, Type] = {
        "object": DYN,
        "oldObject": DYN,
        "request": REQUEST,
        "namespaceObject": _NAMESPACE,
        "authorizer": AUTHORIZER,
        "authorizer.requestResource": RESOURCE_CHECK,
    }
    if params:
        made["params"] = DYN
    if composed is not None:
        made["variables"] = composed
    return {**made, **(extra or {})}
