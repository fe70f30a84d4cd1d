"""Plug-ins of storage: protection finalizers, the default class, growing claims.

StorageObjectInUseProtection, DefaultStorageClass and PersistentVolumeClaimResize (documentation, "Admission Control").
"""

from __future__ import annotations

from minikube_api.meta.quantities import parse
from minikube_api.server.admission.reading import Lister, Plugin, forbidden, is_kind
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation

GROUP = "storage.k8s.io"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_FINALIZERS = {"persistentvolumeclaims": "kubernetes.io/pvc-protection", "persistentvolumes": "kubernetes.io/pv-protection"}


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    async def admit(self, attributes: AdmissionAttributes) -> None:
        resource = attributes.resource
        finalizer = _FINALIZERS.get(resource.plural) if not resource.group and not attributes.subresource else None
        if finalizer is None or attributes.obj is None:
            return
        finalizers = attributes.obj["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            attributes.obj["metadata"]["finalizers"] = [*finalizers, finalizer]


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    operations: frozenset[Operation] = frozenset({"CREATE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        claim = attributes.obj
        if not is_kind(attributes, "", "persistentvolumeclaims") or claim is None:
            return
        if claim["spec"].get("storageClassName") is not None or _BETA_CLASS in (claim["metadata"].get("annotations") or {}):
            return
        classes = [c for c in await self._lister.list(GROUP, "storageclasses") if _is_default(c)]
        if classes:
            # the newest wins, then the first by name (KEP-3333)
            classes.sort(key=lambda c: c["metadata"]["name"])
            newest = max(classes, key=lambda c: c["metadata"].get("creationTimestamp", ""))
            claim["spec"]["storageClassName"] = newest["metadata"]["name"]


def _is_default(storage_class: Object) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    operations: frozenset[Operation] = frozenset({"UPDATE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if not is_kind(attributes, "", "persistentvolumeclaims"):
            return
        claim, old = attributes.obj, attributes.old
        if claim is None or old is None or _asked(claim) <= _asked(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden(attributes, "Only bound persistent volume claims can be expanded")
        name = claim["spec"].get("storageClassName") or (claim["metadata"].get("annotations") or {}).get(_BETA_CLASS)
        found = await self._lister.get(GROUP, "storageclasses", "", name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise forbidden(
                attributes,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            )


def _asked(claim: Object) -> int:
    size = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    return parse(str(size)).nanos
