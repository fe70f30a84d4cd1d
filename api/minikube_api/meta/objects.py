"""Accessors on Kubernetes objects as JSON trees. They tolerate absent metadata and never add anything to the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

_EMPTY: dict[str, Any] = {}


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` -> ("apps", "v1"), `v1` -> ("", "v1"). More than one slash is no API version: ValueError with apimachinery's words."""
    group, slash, version = api_version.partition("/")
    if not slash:
        return "", group
    if "/" in version:
        raise ValueError(f"unexpected GroupVersion string: {api_version}")
    return group, version


def join_api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def group_of(obj: Mapping[str, Any]) -> str:
    return split_api_version(obj.get("apiVersion") or "")[0]


def metadata(obj: Mapping[str, Any]) -> dict[str, Any]:
    """metadata, or an empty tree that must not be written to."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else _EMPTY


def ensure_metadata(obj: Object) -> dict[str, Any]:
    """metadata, made when absent."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        found = obj["metadata"] = {}
    return found


def name(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("name") or ""


def namespace(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("namespace") or ""


def key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` of a cluster-scoped object: client-go's MetaNamespaceKeyFunc."""
    ns = namespace(obj)
    return f"{ns}/{name(obj)}" if ns else name(obj)


def uid(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("uid") or ""


def resource_version(obj: Mapping[str, Any]) -> str:
    return metadata(obj).get("resourceVersion") or ""


def generation(obj: Mapping[str, Any]) -> int:
    return metadata(obj).get("generation") or 0


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("labels") or _EMPTY


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return metadata(obj).get("annotations") or _EMPTY


def finalizers(obj: Mapping[str, Any]) -> list[str]:
    return metadata(obj).get("finalizers") or []


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return metadata(obj).get("deletionTimestamp") is not None


def owner_references(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return metadata(obj).get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The owner reference with `controller: true`."""
    return next((ref for ref in owner_references(obj) if ref.get("controller")), None)


def is_controlled_by(obj: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    ref = controller_of(obj)
    return ref is not None and ref.get("uid") == uid(owner)


def controller_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """What a controller writes on its children (metav1.NewControllerRef)."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def nested(obj: Any, *path: str, default: Any = None) -> Any:
    """`nested(pod, "spec", "nodeName")`; the default when a part is absent, null or not an object."""
    for part in path:
        if not isinstance(obj, dict):
            return default
        obj = obj.get(part)
    return default if obj is None else obj
