"""The scale subresource: an autoscaling/v1 Scale of an object, and an object with a Scale's replicas.

Source: ScaleFromDeployment and its siblings. Works on trees; the write back is an ordinary update of the object's spec.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import objects, selectors
from minikube_api.meta.errors import BadRequest, FieldError, Invalid

Object = dict[str, Any]


def scale_of(obj: Object) -> Object:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = spec.get("replicas") or 0
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": status.get("replicas") or 0, **_selector(spec.get("selector"))},
    }


def _selector(selector: Object | None) -> dict[str, str]:
    if not selector:
        return {}
    # a ReplicationController's selector is a plain map
    plain = all(isinstance(value, str) for value in selector.values())
    parsed = selectors.from_labels(selector) if plain else selectors.from_label_selector(selector)
    return {"selector": str(parsed)} if str(parsed) else {}


def validate(scale: Object) -> list[FieldError]:
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    errors: list[FieldError] = []
    if replicas < 0:
        errors.append(err.invalid("spec.replicas", replicas, "must be greater than or equal to 0"))
    return errors


def scaled(obj: Object, scale: Object) -> Object:
    """The object (an own tree) with the Scale's replicas. Raises BadRequest for another name, Invalid for a bad number."""
    name = objects.name(obj)
    given = objects.name(scale)
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")
    if problems := validate(scale):
        raise Invalid.object("autoscaling", "Scale", name, problems)
    obj["spec"]["replicas"] = (scale.get("spec") or {}).get("replicas") or 0
    return obj
