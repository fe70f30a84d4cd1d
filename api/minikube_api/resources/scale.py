"""The scale subresource: an autoscaling/v1 Scale of an object, and an object with a Scale's replicas.

Source: ScaleFromDeployment and its siblings. Works on trees; the write back is an ordinary update of the object's spec.
"""

from __future__ import annotations

from typing import Any, Protocol

from minikube_api.meta import field_errors as err
from minikube_api.meta import objects, selectors
from minikube_api.meta.errors import BadRequest, FieldError, InternalError, Invalid

Object = dict[str, Any]

#: the replicas of a Scale whose custom resource has none yet: what a patch leaves so is refused
UNSET = -(1 << 31)


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


class Paths(Protocol):
    """Where a custom resource has its replicas and selector (`spec.replicas`); `selector` may be empty."""

    @property
    def spec(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def selector(self) -> str: ...


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def custom_scale_of(obj: Object, paths: Paths, *, to_change: bool = False) -> Object:
    """The Scale of a custom resource. Raises InternalError when it has no replicas, but where they are about to be set."""
    replicas = _at(obj, paths.spec)
    if not isinstance(replicas, int) and to_change:
        replicas = UNSET
    if not isinstance(replicas, int):
        raise InternalError(f'Internal error occurred: the spec replicas field ".{paths.spec}" does not exist')
    selector = _at(obj, paths.selector) if paths.selector else None
    made = scale_of({"metadata": obj["metadata"], "spec": {"replicas": replicas}})
    made["status"] = {"replicas": _at(obj, paths.status) or 0}
    if isinstance(selector, str) and selector:
        made["status"]["selector"] = selector
    return made


def custom_scaled(obj: Object, scale: Object, paths: Paths) -> Object:
    """A custom resource (an own tree) with the Scale's replicas, which its own validation judges. Raises BadRequest without any."""
    if (scale.get("spec") or {}).get("replicas") == UNSET:
        raise BadRequest(f'the spec replicas field ".{paths.spec}" cannot be empty')
    *parents, last = paths.spec.split(".")
    target = obj
    for part in parents:
        target = target.setdefault(part, {})
    target[last] = (scale.get("spec") or {}).get("replicas") or 0
    return obj


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
