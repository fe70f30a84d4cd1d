"""Volumes of a pod: exactly one source each, and what each source needs."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources.checks import Errors, named, one_of, required_name
from minikube_api.resources.pods import environment

Object = dict[str, Any]

#: fields that a source must have, for sources without further rules
_REQUIRED: dict[str, tuple[str, ...]] = {
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "gitRepo": ("repository",),
    "nfs": ("server", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "flexVolume": ("driver",),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "rbd": ("monitors", "image"),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "vsphereVolume": ("volumePath",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "storageos": ("volumeName",),
    "persistentVolumeClaim": ("claimName",),
    "image": ("reference",),
}
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def volumes(listed: list[Object] | None, path: str) -> tuple[dict[str, Object], Errors]:
    """The valid volumes by name, and what is wrong with the others."""
    valid: dict[str, Object] = {}
    errors: Errors = []
    seen: set[str] = set()
    for i, one in enumerate(listed or ()):
        at = f"{path}[{i}]"
        name = one.get("name") or ""
        problems = source(one, at, name)
        problems += required_name(name, f"{at}.name", names.dns1123_label)
        if name and name in seen:
            problems.append(err.duplicate(f"{at}.name", name))
        if problems:
            errors += problems
        else:
            seen.add(name)
            valid[name] = one
    return valid, errors


def source(one: Object, path: str, name: str = "") -> Errors:
    errors: Errors = []
    found = False
    for kind, tree in one.items():
        if kind == "name" or tree is None:
            continue
        if found:
            errors.append(err.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type"))
            continue
        found = True
        errors += source_of(kind, tree, f"{path}.{kind}")
    if not found:
        errors.append(err.required(path, "must specify a volume type"))
    return errors


def source_of(kind: str, tree: Object, path: str) -> Errors:
    """Findings in the source of one kind."""
    check = _CHECKS.get(kind)
    if check is not None:
        return check(tree, path)
    return [err.required(f"{path}.{field}") for field in _REQUIRED.get(kind, ()) if not tree.get(field)]


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
    return errors + _mode(tree.get("defaultMode"), f"{path}.defaultMode") + key_paths(tree.get("items"), f"{path}.items")


def _config_map(tree: Object, path: str) -> Errors:
    errors = [] if tree.get("name") else [err.required(f"{path}.name")]
    return errors + _mode(tree.get("defaultMode"), f"{path}.defaultMode") + key_paths(tree.get("items"), f"{path}.items")


def _mode(mode: int | None, path: str) -> Errors:
    return [err.invalid(path, mode, _MODE)] if mode is not None and not 0 <= mode <= 0o777 else []


def key_paths(items: list[Object] | None, path: str) -> Errors:
    errors: Errors = []
    for i, item in enumerate(items or ()):
        at = f"{path}[{i}]"
        if not item.get("key"):
            errors.append(err.required(f"{at}.key"))
        errors += _file_path(item.get("path"), f"{at}.path")
        errors += _mode(item.get("mode"), f"{at}.mode")
    return errors


def _file_path(where: str | None, path: str) -> Errors:
    return non_reserved_path(where, path) if where else [err.required(path)]


def _downward(tree: Object, path: str) -> Errors:
    return _mode(tree.get("defaultMode"), f"{path}.defaultMode") + _downward_items(tree.get("items"), path)


def _downward_items(items: list[Object] | None, path: str) -> Errors:
    errors: Errors = []
    for item in items or ():
        errors += _file_path(item.get("path"), f"{path}.path")
        if item.get("fieldRef") is not None:
            errors += environment.field_ref(item["fieldRef"], environment.VOLUME_FIELDS, f"{path}.fieldRef")
            if item.get("resourceFieldRef") is not None:
                errors.append(err.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
        elif item.get("resourceFieldRef") is not None:
            errors += environment.resource_field_ref(item["resourceFieldRef"], f"{path}.resourceFieldRef", volume=True)
        else:
            errors.append(err.required(path, "one of fieldRef and resourceFieldRef is required"))
        errors += _mode(item.get("mode"), f"{path}.mode")
    return errors


def _projected(tree: Object, path: str) -> Errors:
    errors = _mode(tree.get("defaultMode"), f"{path}.defaultMode")
    used: set[str] = set()
    for i, one in enumerate(tree.get("sources") or ()):
        at = f"{path}.sources[{i}]"
        given = [kind for kind, value in one.items() if value is not None]
        errors += [err.forbidden(f"{at}.{kind}", "may not specify more than 1 volume type per source") for kind in given[1:]]
        if not given:
            errors.append(err.required(at, "must specify a volume type"))
            continue
        errors += _projection(given[0], one[given[0]], f"{at}.{given[0]}", used)
    return errors


def _projection(kind: str, tree: Object, path: str, used: set[str]) -> Errors:
    errors: Errors = []
    if kind in ("secret", "configMap"):
        if not tree.get("name"):
            errors.append(err.required(f"{path}.name"))
        errors += key_paths(tree.get("items"), f"{path}.items")
        errors += _conflicts(
            [(item.get("path"), f"{path}.path") for item in tree.get("items") or ()], used, "conflicting duplicate paths"
        )
    elif kind == "downwardAPI":
        errors += _downward_items(tree.get("items"), path)
        errors += _conflicts(
            [(item.get("path"), f"{path}.path") for item in tree.get("items") or ()], used, "conflicting duplicate paths"
        )
    elif kind == "serviceAccountToken":
        seconds = tree.get("expirationSeconds") or 0
        if seconds < 600:
            errors.append(err.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds > 1 << 32:
            errors.append(
                err.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
            )
        errors += _file_path(tree.get("path"), f"{path}.path")
    elif kind == "clusterTrustBundle":
        given = tree.get("name") is not None, tree.get("signerName") is not None
        if all(given):
            errors.append(err.invalid(path, tree, "only one of name and signerName may be used"))
        if not any(given):
            errors.append(err.required(path, "either name or signerName must be specified"))
        errors += _file_path(tree.get("path"), f"{path}.path")
    return errors


def _conflicts(paths: list[tuple[str | None, str]], used: set[str], detail: str) -> Errors:
    errors: Errors = []
    for where, at in paths:
        if where and where in used:
            errors.append(err.invalid(at, where, detail))
        elif where:
            used.add(where)
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
    if len(name) > 63:
        return [err.too_long(path, name, 63)]
    return named(name.lower(), path, names.dns1123_subdomain)


def _ephemeral(tree: Object, path: str) -> Errors:
    template = tree.get("volumeClaimTemplate")
    if template is None:
        return [err.required(f"{path}.volumeClaimTemplate")]
    from minikube_api.resources.core import claims

    return claims.claim_spec(template.get("spec") or {}, f"{path}.volumeClaimTemplate.spec")


def _image(tree: Object, path: str) -> Errors:
    errors = [] if tree.get("reference") else [err.required(f"{path}.reference")]
    return errors + one_of(tree.get("pullPolicy"), f"{path}.pullPolicy", ("Always", "IfNotPresent", "Never"))


_CHECKS = {
    "emptyDir": _empty_dir, "hostPath": _host_path, "secret": _secret, "configMap": _config_map, "downwardAPI": _downward,
    "projected": _projected, "nfs": _nfs, "csi": _csi, "ephemeral": _ephemeral, "image": _image,
}  # fmt: skip


def no_backsteps(where: str) -> bool:
    return ".." not in where.split("/")


def descending_path(where: str, path: str) -> Errors:
    """A relative path that never steps up (validateLocalDescendingPath)."""
    errors: Errors = []
    if where.startswith("/"):
        errors.append(err.invalid(path, where, "must be a relative path"))
    if not no_backsteps(where):
        errors.append(err.invalid(path, where, "must not contain '..'"))
    return errors


def non_reserved_path(where: str, path: str) -> Errors:
    errors = descending_path(where, path)
    if where.startswith("..") and not where.startswith("../"):
        errors.append(err.invalid(path, where, "must not start with '..'"))
    return errors
