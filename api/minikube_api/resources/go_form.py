"""A tree as Go prints the internal type of it: bad values in messages about whole structs ("field is immutable").

Internal types have no JSON tags: every field is printed, under its Go name, in the order of the struct; what is absent is the zero
value, or null where Go has a pointer, slice or map. Field names and order are those of the versioned type but for the tables below.
Types of apimachinery (ObjectMeta, LabelSelector) keep their tags. Source: pkg/apis/core/types.go.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

from minikube_api.resources.checks import shown_labels, shown_selector
from minikube_api.schema.model import Schema

Object = dict[str, Any]

#: first words of field names that Go writes in capitals
_INITIALS = frozenset(
    [
        "api",
        "aws",
        "csi",
        "dns",
        "fc",
        "fs",
        "gce",
        "gmsa",
        "grpc",
        "http",
        "ip",
        "iscsi",
        "nfs",
        "os",
        "pd",
        "rbd",
        "se",
        "tcp",
        "tty",
        "uid",
    ]
)
_NAMES = {"cephfs": "CephFS", "storageos": "StorageOS", "wwids": "WWIDs"}
_word_re = re.compile(r"[a-z]+")

#: fields of a pod that the internal type has in its security context
_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
#: structs whose internal type has other fields than the versioned one, or in another order
_FIELDS: dict[str, tuple[str, ...]] = {
    "PodSpec": (
        "volumes", "initContainers", "containers", "ephemeralContainers", "restartPolicy", "terminationGracePeriodSeconds",
        "activeDeadlineSeconds", "dnsPolicy", "nodeSelector", "serviceAccountName", "automountServiceAccountToken", "nodeName",
        "securityContext", "imagePullSecrets", "hostname", "subdomain", "setHostnameAsFQDN", "affinity", "schedulerName", "tolerations",
        "hostAliases", "priorityClassName", "priority", "preemptionPolicy", "dnsConfig", "readinessGates", "runtimeClassName", "overhead",
        "enableServiceLinks", "topologySpreadConstraints", "os", "schedulingGates", "resourceClaims", "resources", "hostnameOverride",
        "schedulingGroup",
    ),
    "PodSecurityContext": (
        *_HOST, "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot", "supplementalGroups",
        "supplementalGroupsPolicy", "fsGroup", "fsGroupChangePolicy", "sysctls", "seccompProfile", "appArmorProfile",
        "seLinuxChangePolicy",
    ),
    "Volume": (
        "name", "hostPath", "emptyDir", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "secret", "nfs", "iscsi", "glusterfs",
        "persistentVolumeClaim", "rbd", "quobyte", "flexVolume", "cinder", "cephfs", "flocker", "downwardAPI", "fc", "azureFile",
        "configMap", "vsphereVolume", "azureDisk", "photonPersistentDisk", "projected", "portworxVolume", "scaleIO", "storageos", "csi",
        "ephemeral", "image",
    ),
}  # fmt: skip

#: lines around a change in `difference`
_CONTEXT = 3

_ZEROS: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "quantity": "0", "int-or-string": 0}


def pod_template(template: Object, schema: Schema) -> Object:
    """A PodTemplateSpec: its metadata is embedded, so that its fields come first and keep their tags."""
    meta = template.get("metadata") or {}
    shown: Object = {name: meta[name] for name in ("name", "namespace") if meta.get(name)}
    shown |= {name: shown_labels(meta[name]) for name in ("labels", "annotations") if meta.get(name)}
    if meta.get("finalizers"):
        shown["finalizers"] = meta["finalizers"]
    return {**shown, "Spec": pod_spec(template.get("spec") or {}, schema.fields["spec"])}


def pod_spec(spec: Object, schema: Schema) -> Object:
    host = {name: spec[name] for name in _HOST if name in spec}
    moved = {key: value for key, value in spec.items() if key not in _HOST}
    if host or spec.get("securityContext") is not None:
        moved["securityContext"] = {**(spec.get("securityContext") or {}), **host}
    return struct(moved, schema)


def go_name(name: str) -> str:
    """`dnsPolicy` is `DNSPolicy`."""
    if name in _NAMES:
        return _NAMES[name]
    word = _word_re.match(name)
    if word is not None and word[0] in _INITIALS:
        return word[0].upper() + name[word.end() :]
    return name[:1].upper() + name[1:]


def struct(tree: Object, schema: Schema) -> Object:
    names = _FIELDS.get(schema.name) or tuple(schema.fields)
    return {go_name(name): _field(tree.get(name), name, schema) for name in names}


def _field(value: Any, name: str, parent: Schema) -> Any:
    schema = parent.fields.get(name)
    if schema is None:
        # moved here from elsewhere: pointers and booleans
        return value if value is not None or name in ("shareProcessNamespace", "hostUsers") else False
    if value is None:
        plain = name in parent.omit_zero or name in parent.required or name in parent.always
        return _zero(schema) if plain else None
    return _value(value, schema)


def _zero(schema: Schema) -> Any:
    return struct({}, schema) if schema.type == "object" else _ZEROS.get(schema.type)


def _value(value: Any, schema: Schema) -> Any:
    if schema.name == "LabelSelector":
        return shown_selector(value)
    if ".apimachinery.pkg.apis.meta." in schema.definition:
        return value
    if schema.type == "object":
        return struct(value, schema)
    if schema.type == "array" and schema.items is not None:
        return [_value(item, schema.items) for item in value]
    return dict(sorted(value.items())) if schema.type == "map" else value


def difference(old: Any, new: Any) -> str:
    """Two printed structs as a unified diff of their JSON (apimachinery's util/diff)."""
    before, after = (json.dumps(tree, indent=2, ensure_ascii=False).splitlines(keepends=True) for tree in (old, new))
    for lines in (before, after):
        lines[-1] += "\n"
    return "".join(list(difflib.unified_diff(before, after, n=_CONTEXT))[2:])
