"""PersistentVolumeClaim and PersistentVolume."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.pods import placement
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
#: kinds that the old dataSource field may name, with their groups
_ORDINARY = {"PersistentVolumeClaim": "", "VolumeSnapshot": "snapshot.storage.k8s.io"}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def claim_defaults(obj: Object) -> None:
    """A claim, also one inside a StatefulSet: phase Pending, volumeMode Filesystem."""
    tree = obj.get("spec")
    if tree is None:
        tree = obj["spec"] = {}
    if not tree.get("volumeMode"):
        tree["volumeMode"] = "Filesystem"
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"
    if not isinstance(tree.get("resources"), dict):
        tree["resources"] = {}
    _data_source(tree)


def _data_source(tree: Object) -> None:
    """dataSource and dataSourceRef follow each other."""
    source, ref = tree.get("dataSource"), tree.get("dataSourceRef")
    if source is not None and ref is None:
        tree["dataSourceRef"] = dict(source)
    elif (
        ref is not None
        and source is None
        and not ref.get("namespace")
        and _ORDINARY.get(ref.get("kind", "")) == (ref.get("apiGroup") or "")
    ):
        tree["dataSource"] = {k: v for k, v in ref.items() if k != "namespace"}


def access_modes(modes: list[str] | None, path: str, detail: str = "") -> Errors:
    if not modes:
        return [err.required(path, detail)]
    errors: Errors = []
    for mode in modes:
        if mode not in _MODES:
            errors.append(err.not_supported(path, mode, _MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(err.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def claim_spec(tree: Object, path: str) -> Errors:
    errors = access_modes(tree.get("accessModes"), f"{path}.accessModes", "at least 1 access mode is required")
    if tree.get("selector") is not None:
        errors += checks.label_selector(tree["selector"], f"{path}.selector")
    requests = (tree.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        errors.append(err.required(f"{path}.resources[storage]"))
    else:
        quantity = quantities.of(requests["storage"])
        if quantity.nanos <= 0:
            at = f"{path}.resources[storage]"
            errors.append(err.invalid(at, str(quantity), "must be greater than zero"))
    if tree.get("storageClassName"):
        errors += checks.named(tree["storageClassName"], f"{path}.storageClassName", names.dns1123_subdomain)
    if tree.get("volumeMode") is not None:
        errors += one_of(tree["volumeMode"], f"{path}.volumeMode", _VOLUME_MODES)
    for field in ("dataSource", "dataSourceRef"):
        if tree.get(field) is not None:
            errors += _source(tree[field], f"{path}.{field}")
    if tree.get("volumeAttributesClassName"):
        errors += checks.named(tree["volumeAttributesClassName"], f"{path}.volumeAttributesClassName", names.dns1123_subdomain)
    return errors


def _source(source: Object, path: str) -> Errors:
    errors = [err.required(f"{path}.{field}") for field in ("name", "kind") if not source.get(field)]
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        errors.append(
            err.invalid(path, source.get("kind") or "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
        )
    if group:
        errors += checks.named(group, f"{path}.apiGroup", names.dns1123_subdomain)
    return errors


class ClaimStrategy(KindStrategy):
    empty_status = {"phase": "Pending"}

    def defaults(self, obj: Object) -> None:
        claim_defaults(obj)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return claim_spec(obj.get("spec") or {}, "spec")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = obj["spec"], old["spec"]
        errors: Errors = []
        bound = (old.get("status") or {}).get("phase") == "Bound"
        free = {"volumeAttributesClassName"} | ({"resources"} if bound else set())
        if not was.get("volumeName"):
            # binding by the controller
            free.add("volumeName")
        if _frozen(new, free) != _frozen(was, free):
            detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
            errors.append(err.forbidden("spec", detail))
        size, before = (quantities.of(((t.get("resources") or {}).get("requests") or {}).get("storage")) for t in (new, was))
        if size < before:
            shrinks = size < quantities.of(((old.get("status") or {}).get("capacity") or {}).get("storage"))
            if shrinks or not (old.get("status") or {}).get("capacity"):
                errors.append(err.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
        errors += checks.unchanged(new, was, "storageClassName", "volumeMode", path="spec") if not errors else []
        return errors

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        errors: Errors = []
        for name, value in (status.get("capacity") or {}).items():
            if quantities.of(value).nanos < 0:
                errors.append(err.invalid(f"status.capacity[{name}]", str(quantities.of(value)), checks.NEGATIVE))
        return errors


def _frozen(tree: Object, free: set[str]) -> Object:
    return {key: value for key, value in tree.items() if key not in free and value is not None}


#: PersistentVolumeSource fields (all others of the spec are not sources)
_NOT_SOURCES = frozenset({
    "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode",
    "nodeAffinity", "volumeAttributesClassName",
})  # fmt: skip
_SOURCE_FIELDS = {
    "gcePersistentDisk": ("pdName",), "awsElasticBlockStore": ("volumeID",), "nfs": ("server", "path"),
    "iscsi": ("targetPortal", "iqn"), "glusterfs": ("endpoints", "path"), "cinder": ("volumeID",), "cephfs": ("monitors",),
    "rbd": ("monitors", "image"), "flexVolume": ("driver",), "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"), "vsphereVolume": ("volumePath",), "portworxVolume": ("volumeID",),
    "hostPath": ("path",), "local": ("path",), "csi": ("driver", "volumeHandle"), "quobyte": ("registry", "volume"),
    "scaleIO": ("gateway", "system", "volumeName"),
}  # fmt: skip
_RECLAIM = ("Delete", "Recycle", "Retain")


class VolumeStrategy(KindStrategy):
    name_problems = staticmethod(names.is_dns_subdomain)

    def defaults(self, obj: Object) -> None:
        tree = obj.setdefault("spec", {})
        if not tree.get("persistentVolumeReclaimPolicy"):
            tree["persistentVolumeReclaimPolicy"] = "Retain"
        if not tree.get("volumeMode"):
            tree["volumeMode"] = "Filesystem"
        if tree.get("hostPath") is not None and tree["hostPath"].get("type") is None:
            tree["hostPath"]["type"] = ""
        if tree.get("iscsi") is not None and not tree["iscsi"].get("iscsiInterface"):
            tree["iscsi"]["iscsiInterface"] = "default"
        for field, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
            if tree.get("rbd") is not None and not tree["rbd"].get(field):
                tree["rbd"][field] = value
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if not status.get("phase"):
            status["phase"] = "Pending"

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": ctx.now}

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        if ctx.subresource != "status":
            obj["status"] = old.get("status") or {}
            return
        obj["spec"] = old["spec"]
        status, was = obj.setdefault("status", {}), old.get("status") or {}
        if status.get("phase") != was.get("phase") and status.get("lastPhaseTransitionTime") in (
            None,
            was.get("lastPhaseTransitionTime"),
        ):
            status["lastPhaseTransitionTime"] = ctx.now

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return volume_spec(obj.get("spec") or {}, "spec")

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        sources = [{k: v for k, v in (o.get("spec") or {}).items() if k not in _NOT_SOURCES} for o in (obj, old)]
        errors: Errors = []
        if sources[0] != sources[1]:
            detail = "spec.persistentvolumesource is immutable after creation\n"
            errors.append(err.forbidden("spec.persistentvolumesource", detail))
        errors += checks.unchanged(obj["spec"], old["spec"], "volumeMode", path="spec")
        if old["spec"].get("nodeAffinity") is not None and obj["spec"].get("nodeAffinity") != old["spec"]["nodeAffinity"]:
            errors.append(
                err.invalid(
                    "spec.nodeAffinity",
                    obj["spec"].get("nodeAffinity"),
                    "field is immutable, except for updating from beta label to GA",
                )
            )
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource:
            return []
        found = []
        if _BETA_CLASS in (obj["metadata"].get("annotations") or {}):
            found.append(f'metadata.annotations[{_BETA_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead')
        if (obj.get("spec") or {}).get("persistentVolumeReclaimPolicy") == "Recycle":
            found.append(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
                "is to use dynamic provisioning."
            )
        return found


def volume_spec(tree: Object, path: str) -> Errors:
    """ValidatePersistentVolumeSpec of a PersistentVolume."""
    errors = access_modes(tree.get("accessModes"), f"{path}.accessModes")
    errors += _capacity(tree.get("capacity") or {}, f"{path}.capacity")
    policy = tree.get("persistentVolumeReclaimPolicy")
    if policy:
        errors += one_of(policy, f"{path}.persistentVolumeReclaimPolicy", _RECLAIM)
    errors += _volume_source(tree, path)
    if (tree.get("hostPath") or {}).get("path") == "/" and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(err.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    if tree.get("storageClassName"):
        errors += checks.named(tree["storageClassName"], f"{path}.storageClassName", names.dns1123_subdomain)
    if tree.get("volumeMode") is not None:
        errors += one_of(tree["volumeMode"], f"{path}.volumeMode", _VOLUME_MODES)
    affinity = tree.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            errors.append(err.required(f"{path}.nodeAffinity.required", "must specify required node constraints"))
        else:
            errors += placement.node_selector(affinity["required"], f"{path}.nodeAffinity.required")
    elif tree.get("local") is not None:
        errors.append(err.required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    return errors


def inline_volume(tree: Object, path: str) -> Errors:
    """ValidatePersistentVolumeSpec of a volume inside a VolumeAttachment: CSI alone, without what a claim would look at."""
    detail = "may not be specified in the context of inline volumes"
    fields = ("claimRef", "capacity", "storageClassName", "volumeMode", "nodeAffinity")
    errors: Errors = [err.forbidden(f"{path}.{field}", detail) for field in fields if tree.get(field)]
    if tree.get("csi") is None:
        errors.append(err.required(f"{path}.csi", "has to be specified in the context of inline volumes"))
    errors += access_modes(tree.get("accessModes"), f"{path}.accessModes")
    errors += _volume_source(tree, path)
    if tree.get("persistentVolumeReclaimPolicy") not in (None, "", "Retain"):
        where = f"{path}.persistentVolumeReclaimPolicy"
        errors.append(err.forbidden(where, "may only be Retain in the context of inline volumes"))
    return errors


def _capacity(capacity: Object, path: str) -> Errors:
    if not capacity:
        return [err.required(path)]
    errors: Errors = []
    if "storage" not in capacity or len(capacity) > 1:
        errors.append(err.not_supported(path, capacity, ("storage",)))
    for name, value in capacity.items():
        at, quantity = f"{path}[{name}]", quantities.of(value)
        if quantity.nanos <= 0:
            errors.append(err.invalid(at, str(quantity), checks.NOT_POSITIVE))
    return errors


def _volume_source(tree: Object, path: str) -> Errors:
    given = [key for key, value in tree.items() if key not in _NOT_SOURCES and value is not None]
    if not given:
        return [err.required(path, "must specify a volume type")]
    errors: Errors = [err.forbidden(f"{path}.{key}", "may not specify more than 1 volume type") for key in given[1:]]
    first: Any = tree[given[0]]
    errors += [err.required(f"{path}.{given[0]}.{f}") for f in _SOURCE_FIELDS.get(given[0], ()) if not first.get(f)]
    return errors
