"""Facts that none of the generator's inputs tells, from the API reference and the wire format that servers speak.

kube-aggregator's types are in no client program. A field is written `KIND[,omitempty] NUMBER WIRE`, as `gofacts` reads it.
"""

from __future__ import annotations

_AGGREGATOR = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."
_WIRE = "kube-aggregator.pkg.apis.apiregistration.v1."
_META = "apimachinery.pkg.apis.meta.v1."

HAND_WRITTEN: dict[str, dict[str, str]] = {
    _AGGREGATOR + "APIService": {
        "kind": "string,omitempty - -",
        "apiVersion": "string,omitempty - -",
        "metadata": f"struct,omitempty 1 @{_META}ObjectMeta",
        "spec": f"struct,omitempty 2 @{_WIRE}APIServiceSpec",
        "status": f"struct,omitempty 3 @{_WIRE}APIServiceStatus",
    },
    _AGGREGATOR + "APIServiceList": {
        "kind": "string,omitempty - -",
        "apiVersion": "string,omitempty - -",
        "metadata": f"struct,omitempty 1 @{_META}ListMeta",
        "items": f"slice 2 []@{_WIRE}APIService",
    },
    _AGGREGATOR + "APIServiceSpec": {
        "service": f"pointer,omitempty 1 @{_WIRE}ServiceReference",
        "group": "string,omitempty 2 string",
        "version": "string,omitempty 3 string",
        "insecureSkipTLSVerify": "bool,omitempty 4 bool",
        "caBundle": "bytes,omitempty 5 bytes",
        "groupPriorityMinimum": "int 7 int",
        "versionPriority": "int 8 int",
    },
    _AGGREGATOR + "APIServiceStatus": {"conditions": f"slice,omitempty 1 []@{_WIRE}APIServiceCondition"},
    _AGGREGATOR + "APIServiceCondition": {
        "type": "string 1 string",
        "status": "string 2 string",
        "lastTransitionTime": f"time,omitempty 3 @{_META}Time",
        "reason": "string,omitempty 4 string",
        "message": "string,omitempty 5 string",
    },
    _AGGREGATOR + "ServiceReference": {
        "namespace": "string,omitempty 1 string",
        "name": "string,omitempty 2 string",
        "port": "pointer,omitempty 3 int",
    },
}

#: defaults that are part of the published OpenAPI v3 (they count in list-map keys), definition.field -> value
DEFAULTS = {
    "io.k8s.api.core.v1.ContainerPort.protocol": "TCP",
    "io.k8s.api.core.v1.ServicePort.protocol": "TCP",
    "io.k8s.api.core.v1.ISCSIVolumeSource.iscsiInterface": "default",
    "io.k8s.api.core.v1.ISCSIPersistentVolumeSource.iscsiInterface": "default",
    "io.k8s.api.core.v1.RBDVolumeSource.pool": "rbd",
    "io.k8s.api.core.v1.RBDVolumeSource.user": "admin",
    "io.k8s.api.core.v1.RBDVolumeSource.keyring": "/etc/ceph/keyring",
    "io.k8s.api.core.v1.RBDPersistentVolumeSource.pool": "rbd",
    "io.k8s.api.core.v1.RBDPersistentVolumeSource.user": "admin",
    "io.k8s.api.core.v1.RBDPersistentVolumeSource.keyring": "/etc/ceph/keyring",
    "io.k8s.api.core.v1.ScaleIOVolumeSource.storageMode": "ThinProvisioned",
    "io.k8s.api.core.v1.ScaleIOVolumeSource.fsType": "xfs",
    "io.k8s.api.core.v1.ScaleIOPersistentVolumeSource.storageMode": "ThinProvisioned",
    "io.k8s.api.core.v1.ScaleIOPersistentVolumeSource.fsType": "xfs",
    "io.k8s.api.core.v1.AzureDiskVolumeSource.cachingMode": "ReadWrite",
    "io.k8s.api.core.v1.AzureDiskVolumeSource.fsType": "ext4",
    "io.k8s.api.core.v1.AzureDiskVolumeSource.readOnly": False,
    "io.k8s.api.core.v1.GRPCAction.service": "",
}
