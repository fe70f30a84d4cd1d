"""Volume sources of storage systems and clouds, which pods and PersistentVolumes share. Source: core's validation.go, one function each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import Errors, one_of

Object = dict[str, Any]
Check = Callable[[Any, str], Errors]

_PARTITION = names.inclusive_range_message(1, 255)
_LUN = names.inclusive_range_message(0, 255)
_HOST_PORTS = "must be a host:port pair or multiple pairs separated by commas"
_initiator_res = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9\-.]+)(:[^,;*&$|\s]+)"),
    "eui": re.compile(r"eui.[a-zA-Z0-9]{16}"),
    "naa": re.compile(r"naa.[a-zA-Z0-9]{32}"),
}


def required(tree: Object, path: str, *fields: str) -> Errors:
    return [err.required(f"{path}.{field}") for field in fields if not tree.get(field)]


def _needs(*fields: str) -> Check:
    return lambda tree, path: required(tree, path, *fields)


def _disk(field: str) -> Check:
    def check(tree: Object, path: str) -> Errors:
        partition = tree.get("partition") or 0
        errors = required(tree, path, field)
        return errors + ([] if 0 <= partition <= 255 else [err.invalid(f"{path}.partition", partition, _PARTITION)])

    return check


def _initiator(value: str, path: str) -> Errors:
    for prefix, pattern in _initiator_res.items():
        if value.startswith(prefix):
            return [] if pattern.fullmatch(value) else [err.invalid(path, value, "must be valid format")]
    return [err.invalid(path, value, "must be valid format starting with iqn, eui, or naa")]


def iscsi(tree: Object, path: str) -> Errors:
    errors = required(tree, path, "targetPortal")
    iqn, lun = tree.get("iqn") or "", tree.get("lun") or 0
    errors += _initiator(iqn, f"{path}.iqn") if iqn else [err.required(f"{path}.iqn")]
    if not 0 <= lun <= 255:
        errors.append(err.invalid(f"{path}.lun", lun, _LUN))
    secret = tree.get("secretRef")
    if secret is None and (tree.get("chapAuthDiscovery") or tree.get("chapAuthSession")):
        errors.append(err.required(f"{path}.secretRef"))
    if tree.get("initiatorName") is not None:
        errors += _initiator(tree["initiatorName"], f"{path}.initiatorname")
    if secret is not None:
        errors += required(secret, f"{path}.secretRef", "name")
    return errors


def fibre_channel(tree: Object, path: str) -> Errors:
    targets, ids = tree.get("targetWWNs") or [], tree.get("wwids") or []
    errors: Errors = []
    if not targets and not ids:
        errors.append(err.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    if targets and ids:
        errors.append(err.invalid(f"{path}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously"))
    lun = tree.get("lun")
    if not targets:
        return errors
    if lun is None:
        errors.append(err.required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif not 0 <= lun <= 255:
        errors.append(err.invalid(f"{path}.lun", lun, _LUN))
    return errors


def _flocker(tree: Object, path: str) -> Errors:
    name, uuid = tree.get("datasetName") or "", tree.get("datasetUUID") or ""
    errors: Errors = []
    if not name and not uuid:
        errors.append(err.required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        errors.append(err.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    if "/" in name:
        errors.append(err.invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return errors


def _quobyte(tree: Object, path: str) -> Errors:
    registry = tree.get("registry") or ""
    errors: Errors = []
    if not registry:
        errors.append(err.required(f"{path}.registry", _HOST_PORTS))
    elif len(tree.get("tenant") or "") >= 65:
        errors.append(err.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters"))
    else:
        pairs = registry.split(",")
        errors += [err.invalid(f"{path}.registry", registry, _HOST_PORTS) for pair in pairs if pair.count(":") != 1]
    return errors + required(tree, path, "volume")


def _flex_volume(tree: Object, path: str) -> Errors:
    errors = required(tree, path, "driver")
    for key in tree.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(err.invalid(f"{path}.options[{key}]", key, detail))
    return errors


def _cinder(tree: Object, path: str) -> Errors:
    errors = required(tree, path, "volumeID")
    secret = tree.get("secretRef")
    return errors + (required(secret, f"{path}.secretRef", "name") if secret is not None else [])


_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _azure_disk(tree: Object, path: str) -> Errors:
    errors = required(tree, path, "diskName", "diskURI")
    if tree.get("cachingMode") is not None:
        errors += one_of(tree["cachingMode"], f"{path}.cachingMode", ("None", "ReadOnly", "ReadWrite"))
    kind, uri = tree.get("kind"), tree.get("diskURI") or ""
    if kind is not None:
        errors += one_of(kind, f"{path}.kind", ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.append(err.not_supported(f"{path}.diskURI", uri, (_MANAGED,)))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        errors.append(err.not_supported(f"{path}.diskURI", uri, (_BLOB,)))
    return errors


CHECKS: dict[str, Check] = {
    "gcePersistentDisk": _disk("pdName"), "awsElasticBlockStore": _disk("volumeID"), "iscsi": iscsi, "fc": fibre_channel,
    "glusterfs": _needs("endpoints", "path"), "flocker": _flocker, "rbd": _needs("monitors", "image"), "cinder": _cinder,
    "cephfs": _needs("monitors"), "quobyte": _quobyte, "flexVolume": _flex_volume, "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"), "photonPersistentDisk": _needs("pdID"), "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk, "storageos": _needs("volumeName"), "scaleIO": _needs("gateway", "system", "volumeName"),
}  # fmt: skip
