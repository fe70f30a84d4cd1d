"""PersistentVolume. Source: ValidatePersistentVolumeSpec, ValidatePersistentVolumeUpdate, pkg/api/persistentvolume, core/v1/defaults.go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.core.claims import BETA_CLASS, VOLUME_MODES, access_modes, fractional_bytes, valid_quantity
from minikube_api.resources.pods import placement, volumes
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

_RECLAIM = ("Delete", "Recycle", "Retain")
_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
#: fields of the spec that are no volume source
_NOT_SOURCES = frozenset({
    "capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode",
    "nodeAffinity", "volumeAttributesClassName",
})  # fmt: skip
#: the order in which sources are looked at: the first is checked, the others are refused
_ORDER = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs", "iscsi",
    "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO",
    "local", "storageos", "csi",
)  # fmt: skip
_GONE = {
    "cephfs": "deprecated in v1.28, non-functional in v1.31+", "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+", "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+", "rbd": "deprecated in v1.28, non-functional in v1.31+",
}  # fmt: skip


class VolumeStrategy(KindStrategy):
    name_problems = staticmethod(names.is_dns_subdomain)
    change_checks = 1
    whole_checks = 2
    object_checks = 2

    def defaults(self, obj: Object) -> None:
        tree = obj.setdefault("spec", {})
        if not tree.get("persistentVolumeReclaimPolicy"):
            tree["persistentVolumeReclaimPolicy"] = "Retain"
        if not tree.get("volumeMode"):
            tree["volumeMode"] = "Filesystem"
        if tree.get("hostPath") is not None and tree["hostPath"].get("type") is None:
            tree["hostPath"]["type"] = ""
        for source, fields in _SOURCE_DEFAULTS.items():
            if (given := tree.get(source)) is not None:
                given.update({field: value for field, value in fields.items() if given.get(field) in (None, "")})
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
        new, was = obj["spec"], old["spec"]
        errors: Errors = []
        if _sources(new, was) != _sources(was, was):
            detail = "spec.persistentvolumesource is immutable after creation\n"
            errors.append(err.forbidden("spec.persistentvolumesource", detail))
        errors += checks.unchanged(new, was, "volumeMode", path="spec")
        if was.get("nodeAffinity") is not None and new.get("nodeAffinity") != was["nodeAffinity"]:
            detail = "field is immutable, except for updating from beta label to GA"
            errors.append(err.invalid("spec.nodeAffinity", new.get("nodeAffinity"), detail))
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource:
            return []
        annotations, tree = obj["metadata"].get("annotations") or {}, obj.get("spec") or {}
        found = [
            f'metadata.annotations[{name}]: deprecated since v{since}; use "{field}" attribute instead'
            for name, since, field in ((BETA_CLASS, "1.8", "storageClassName"), (_MOUNT_OPTIONS, "1.31", "mountOptions"))
            if name in annotations
        ]
        if tree.get("persistentVolumeReclaimPolicy") == "Recycle":
            found.append(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
                "is to use dynamic provisioning."
            )
        for i, term in enumerate(((tree.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()):
            path = f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]"
            found += placement_warnings(term, path)
        found += [f"spec.{source}: {text}" for source, text in _GONE.items() if tree.get(source) is not None]
        return found + fractional_bytes(tree.get("capacity"), "spec.capacity")


#: deprecated node labels: since when, and what replaced them (pkg/api/node)
OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": ("1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("1.17", "node.kubernetes.io/instance-type"),
}


def old_label(key: str) -> str:
    """What is said of a deprecated node label; "" for others."""
    since, new = OLD_NODE_LABELS.get(key, ("", ""))
    return f'deprecated since v{since}; use "{new}" instead' if new else ""


def placement_warnings(term: Object, path: str) -> list[str]:
    keys = ((i, one.get("key") or "") for i, one in enumerate(term.get("matchExpressions") or ()))
    return [f"{path}.matchExpressions[{i}].key: {key} is {text}" for i, key in keys if (text := old_label(key))]


_SOURCE_DEFAULTS = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
}  # fmt: skip


def _sources(tree: Object, old: Object) -> Object:
    """The source of a volume as updates may not change it: a CSI volume may get the secret for its expansion."""
    found = {key: value for key, value in tree.items() if key not in _NOT_SOURCES and value is not None}
    secret = "controllerExpandSecretRef"
    if isinstance(csi := found.get("csi"), dict) and (old.get("csi") or {}).get(secret) is None:
        found["csi"] = {key: value for key, value in csi.items() if key != secret}
    return found


def volume_spec(tree: Object, path: str) -> Errors:
    """ValidatePersistentVolumeSpec of a PersistentVolume."""
    errors = access_modes(tree.get("accessModes"), f"{path}.accessModes")
    errors += _capacity(tree.get("capacity") or {}, f"{path}.capacity")
    policy = tree.get("persistentVolumeReclaimPolicy")
    if policy:
        errors += one_of(policy, f"{path}.persistentVolumeReclaimPolicy", _RECLAIM)
    affinity = tree.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            errors.append(err.required(f"{path}.nodeAffinity.required", "must specify required node constraints"))
        else:
            errors += placement.node_selector(affinity["required"], f"{path}.nodeAffinity.required")
    errors += _volume_source(tree, path)
    if tree.get("local") is not None and affinity is None:
        errors.append(err.required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    if (tree.get("hostPath") or {}).get("path") == "/" and policy == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(err.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    if tree.get("storageClassName"):
        errors += checks.named(tree["storageClassName"], f"{path}.storageClassName", names.dns1123_subdomain)
    if tree.get("volumeMode") is not None:
        errors += one_of(tree["volumeMode"], f"{path}.volumeMode", VOLUME_MODES)
    return errors + _attributes_class(tree, path)


def _attributes_class(tree: Object, path: str) -> Errors:
    name = tree.get("volumeAttributesClassName")
    if name is None:
        return []
    where = f"{path}.volumeAttributesClassName"
    errors = checks.required_name(name, where, names.dns1123_subdomain)
    if tree.get("csi") is None:
        errors.append(err.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName"))
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
    errors: Errors = [] if capacity else [err.required(path)]
    if set(capacity) != {"storage"}:
        errors.append(err.not_supported(path, dict(sorted(capacity.items())) or None, ("storage",)))
    for name, value in sorted(capacity.items()):
        at, quantity = f"{path}[{name}]", quantities.of(value)
        errors += valid_quantity(quantity, at)
        if quantity.nanos <= 0:
            errors.append(err.invalid(at, str(quantity), checks.NOT_POSITIVE))
    return errors


def _volume_source(tree: Object, path: str) -> Errors:
    given = [kind for kind in _ORDER if tree.get(kind) is not None]
    if not given:
        return [err.required(path, "must specify a volume type")]
    errors: Errors = [err.forbidden(f"{path}.{key}", "may not specify more than 1 volume type") for key in given[1:]]
    check = _CHECKS.get(given[0])
    where = f"{path}.{given[0]}"
    return errors + (check(tree[given[0]], where) if check else volumes.source_of(given[0], tree[given[0]], where))


def _local(tree: Object, path: str) -> Errors:
    where = tree.get("path") or ""
    if not where:
        return [err.required(f"{path}.path")]
    return [] if volumes.no_backsteps(where) else [err.invalid(f"{path}.path", where, "must not contain '..'")]


_SECRETS = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeStageSecretRef",
    "nodeExpandSecretRef",
)


def _csi(tree: Object, path: str) -> Errors:
    errors = volumes.csi_driver_name(tree.get("driver"), f"{path}.driver")
    if not tree.get("volumeHandle"):
        errors.append(err.required(f"{path}.volumeHandle"))
    for field in _SECRETS:
        if (ref := tree.get(field)) is not None:
            errors += checks.required_name(ref.get("name"), f"{path}.{field}.name", names.dns1123_subdomain)
            errors += checks.required_name(ref.get("namespace"), f"{path}.{field}.namespace", names.dns1123_label)
    return errors


def _azure_file(tree: Object, path: str) -> Errors:
    errors: Errors = [err.required(f"{path}.{field}") for field in ("secretName", "shareName") if not tree.get(field)]
    if tree.get("secretNamespace") == "":
        errors.append(err.invalid(f"{path}.secretNamespace", "", "secretNamespace cannot be empty"))
    return errors


_CHECKS: dict[str, Callable[[Any, str], Errors]] = {
    "local": _local,
    "csi": _csi,
    "azureFile": _azure_file,
}
