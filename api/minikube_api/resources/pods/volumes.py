"""Volumes of a pod: exactly one source each, and what each source needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources.checks import Errors, one_of, required_name
from minikube_api.resources.objectmeta import annotation_problems, label_problems
from minikube_api.resources.pods import network_volumes, projections, volume_files
from minikube_api.resources.pods.network_volumes import required
from minikube_api.resources.pods.volume_files import mode, no_backsteps

Object = dict[str, Any]

HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
#: the order in which sources are looked at: the first is checked, the others are refused
_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs", "flocker",
    "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile",
    "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral",
    "image",
)  # fmt: skip
#: what an inline claim's metadata may say
_CLAIM_METADATA = frozenset({"labels", "annotations"})


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose volumes they are: a Pod's (then with its name, which claims made for it begin with) or a template's."""

    is_pod: bool = True
    name: str = ""


def volumes(listed: list[Object] | None, path: str, owner: Owner = Owner()) -> tuple[dict[str, Object], Errors]:
    """The valid volumes by name, and what is wrong with the others."""
    valid: dict[str, Object] = {}
    errors: Errors = []
    for i, one in enumerate(listed or ()):
        at = f"{path}[{i}]"
        name = one.get("name") or ""
        problems = _source(one, at, owner)
        problems += required_name(name, f"{at}.name", names.dns1123_label)
        if name and name in valid:
            problems.append(err.duplicate(f"{at}.name", name))
        if problems:
            errors += problems
        else:
            valid[name] = one
    return valid, errors


def _source(one: Object, path: str, owner: Owner) -> Errors:
    given = [kind for kind in _ORDER if one.get(kind) is not None]
    if not given:
        return [err.required(path, "must specify a volume type")]
    kind, *others = given
    at = f"{path}.{kind}"
    match kind:
        case "ephemeral":
            errors = _ephemeral(one[kind], at, one.get("name") or "", owner)
        case "image":
            errors = _image(one[kind], at, owner)
        case "iscsi":
            errors = _iscsi(one, at, path)
        case _:
            errors = source_of(kind, one[kind], at)
    return errors + [err.forbidden(f"{path}.{other}", "may not specify more than 1 volume type") for other in others]


def source_of(kind: str, tree: Object, path: str) -> Errors:
    """Findings in the source of one kind."""
    check = _CHECKS.get(kind) or network_volumes.CHECKS.get(kind)
    return check(tree, path) if check is not None else []


def _empty_dir(tree: Object, path: str) -> Errors:
    if tree.get("sizeLimit") is not None and quantities.of(tree["sizeLimit"]).nanos < 0:
        return [err.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _host_path(tree: Object, path: str) -> Errors:
    where = tree.get("path")
    if not where:
        return [err.required(f"{path}.path")]
    errors: Errors = []
    if not no_backsteps(where):
        errors.append(err.invalid(f"{path}.path", where, "must not contain '..'"))
    return errors + one_of(tree.get("type") or "", f"{path}.type", HOST_PATH_TYPES)


def _secret(tree: Object, path: str) -> Errors:
    errors = [] if tree.get("secretName") else [err.required(f"{path}.secretName")]
    return errors + mode(tree.get("defaultMode"), f"{path}.defaultMode") + key_paths(tree.get("items"), f"{path}.items")


def _config_map(tree: Object, path: str) -> Errors:
    errors = [] if tree.get("name") else [err.required(f"{path}.name")]
    return errors + mode(tree.get("defaultMode"), f"{path}.defaultMode") + key_paths(tree.get("items"), f"{path}.items")


def key_paths(items: list[Object] | None, path: str) -> Errors:
    return [error for i, item in enumerate(items or ()) for error in volume_files.key_path(item, f"{path}[{i}]")]


def _downward(tree: Object, path: str) -> Errors:
    errors = mode(tree.get("defaultMode"), f"{path}.defaultMode")
    return errors + [error for item in tree.get("items") or () for error in projections.downward_file(item, path)]


def _git_repo(tree: Object, path: str) -> Errors:
    return required(tree, path, "repository") + volume_files.descending_path(tree.get("directory") or "", f"{path}.directory")


def _claim(tree: Object, path: str) -> Errors:
    return required(tree, path, "claimName")


def _iscsi(one: Object, path: str, volume: str) -> Errors:
    tree, name = one["iscsi"], one.get("name") or ""
    errors = network_volumes.iscsi(tree, path)
    if tree.get("initiatorName") is not None and len(f"{name}:{tree.get('targetPortal') or ''}") > 64:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."
        )
        errors.append(err.invalid(f"{volume}.name", name, detail))
    return errors


def _nfs(tree: Object, path: str) -> Errors:
    errors = [err.required(f"{path}.{field}") for field in ("server", "path") if not tree.get(field)]
    if not (tree.get("path") or "").startswith("/"):
        errors.append(err.invalid(f"{path}.path", tree.get("path") or "", "must be an absolute path"))
    return errors


def _csi(tree: Object, path: str) -> Errors:
    errors = csi_driver_name(tree.get("driver"), f"{path}.driver")
    ref = tree.get("nodePublishSecretRef")
    if ref is not None and not ref.get("name"):
        errors.append(err.required(f"{path}.nodePublishSecretRef.name"))
    return errors


def csi_driver_name(name: str | None, path: str) -> Errors:
    if not name:
        return [err.required(path)]
    errors: Errors = [err.too_long(path, name, 63)] if len(name) > 63 else []
    return errors + [err.invalid(path, name, message) for message in names.dns1123_subdomain(name.lower())]


def _ephemeral(tree: Object, path: str, volume: str, owner: Owner) -> Errors:
    template = tree.get("volumeClaimTemplate")
    at = f"{path}.volumeClaimTemplate"
    if template is None:
        return [err.required(at)]
    from minikube_api.resources.core import claims

    errors: Errors = []
    meta = template.get("metadata") or {}
    if meta.get("annotations"):
        errors += annotation_problems(meta["annotations"], f"{at}.metadata.annotations")
    if meta.get("labels"):
        errors += label_problems(meta["labels"], f"{at}.metadata.labels")
    others = [field for field, value in meta.items() if value and field not in _CLAIM_METADATA]
    errors += [err.forbidden(f"{at}.metadata.{field}", "cannot be set") for field in others]
    errors += claims.claim_spec(template.get("spec") or {}, f"{at}.spec")
    if owner.name:
        claim = f"{owner.name}-{volume}"
        for message in names.dns1123_subdomain(claim):
            errors.append(err.invalid(path, volume, f'PVC name "{claim}": {message}'))
    return errors


def _image(tree: Object, path: str, owner: Owner) -> Errors:
    errors = required(tree, path, "reference") if owner.is_pod else []
    return errors + one_of(tree.get("pullPolicy"), f"{path}.pullPolicy", ("Always", "IfNotPresent", "Never"))


_CHECKS = {
    "emptyDir": _empty_dir, "hostPath": _host_path, "secret": _secret, "configMap": _config_map, "downwardAPI": _downward,
    "projected": projections.projected, "nfs": _nfs, "csi": _csi, "gitRepo": _git_repo, "persistentVolumeClaim": _claim,
}  # fmt: skip
