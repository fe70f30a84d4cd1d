"""ServiceAccount: a pod runs as an account that exists, with its token, the cluster's CA and its namespace mounted."""

from __future__ import annotations

import random

from minikube_api.meta.times import Clock
from minikube_api.server.admission import secret_references
from minikube_api.server.admission.reading import Lister, Plugin, forbidden, is_pod
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation
from minikube_api.server.metadata import generate_name

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME = "kube-api-access-"
MIRROR = "kubernetes.io/config.mirror"
ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
#: what Go's strconv.ParseBool takes for true
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
#: seconds a projected token is asked for; the seven mark it as one of these
EXPIRATION = 3607
#: how often the account is looked for: the controller that makes `default` may be a moment behind its namespace
ATTEMPTS = 3


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    operations: frozenset[Operation] = frozenset({"CREATE", "UPDATE"})

    def __init__(self, lister: Lister, clock: Clock, rng: random.Random) -> None:
        self._lister = lister
        self._clock = clock
        self._rng = rng

    async def admit(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.obj
        if not is_pod(attributes) or pod is None or attributes.operation != "CREATE":
            return
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            self._check_mirror(attributes, pod)
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(attributes, name)
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken")
        if automount is None or automount:
            mount_token(spec, self._rng)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    async def validate(self, attributes: AdmissionAttributes) -> None:
        """What others made of the pod after `admit`; and secrets that the account does not list, if it asks for that."""
        pod = attributes.obj
        if pod is None or attributes.resource.group or attributes.resource.plural != "pods":
            return
        kinds = secret_references.CONTAINERS
        if attributes.operation == "UPDATE":
            if attributes.subresource != "ephemeralcontainers":
                return
            kinds = secret_references.EPHEMERAL
        elif attributes.subresource:
            return
        elif MIRROR in (pod["metadata"].get("annotations") or {}):
            self._check_mirror(attributes, pod)
            return
        name = pod["spec"].get("serviceAccountName", "")
        if not name:
            if attributes.operation == "CREATE":
                which = f"{attributes.namespace}/{pod['metadata'].get('name', '')}"
                raise forbidden(attributes, f"no service account specified for pod {which}")
            return
        account = await self._account(attributes, name)
        if (account["metadata"].get("annotations") or {}).get(ENFORCE_MOUNTABLE) not in _TRUE:
            return
        if why := secret_references.not_allowed(pod["spec"], account, kinds):
            raise forbidden(attributes, why)

    async def _account(self, attributes: AdmissionAttributes, name: str) -> Object:
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep(self._rng.uniform(0.1, 0.2))
            account = await self._lister.get("", "serviceaccounts", attributes.namespace, name)
            if account is not None:
                return account
        why = f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(attributes, why)

    def _check_mirror(self, attributes: AdmissionAttributes, pod: Object) -> None:
        if pod["spec"].get("serviceAccountName"):
            raise forbidden(attributes, "a mirror pod may not reference service accounts")
        for what in ("secrets", "configmaps"):
            if secret_references.refers_to(pod["spec"], what):
                raise forbidden(attributes, f"a mirror pod may not reference {what}")
        volumes = pod["spec"].get("volumes") or ()
        for volume in volumes:
            if any("serviceAccountToken" in source for source in (volume.get("projected") or {}).get("sources") or ()):
                raise forbidden(attributes, "a mirror pod may not use ServiceAccountToken volume projections")
        if any(volume.get("persistentVolumeClaim") for volume in volumes):
            raise forbidden(attributes, "a mirror pod may not reference persistentvolumeclaims")
        if pod["spec"].get("resourceClaims"):
            raise forbidden(attributes, "a mirror pod may not reference resourceclaims")


def mount_token(spec: Object, rng: random.Random) -> None:
    """Mount the account's volume into every container that has nothing at its path, and add the volume if any did."""
    volumes = spec.get("volumes") or []
    name = next((v["name"] for v in volumes if v.get("name", "").startswith(VOLUME)), "")
    exists = bool(name)
    name = name or generate_name(VOLUME, rng)
    mounted = False
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
            mounted = True
    if mounted and not exists:
        spec["volumes"] = [*volumes, {"name": name, "projected": token_projection()}]


def token_projection() -> Object:
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": EXPIRATION, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]
                }
            },
        ],
        "defaultMode": 420,
    }
