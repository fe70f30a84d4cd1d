"""`ControllerManager`: runs the controllers that are enabled, each under its own identity, over shared informers.

`client_for(name)` gives a client with the identity `system:serviceaccount:kube-system:NAME`; `client_for("kube-controller-manager")`
the one of the user `system:kube-controller-manager`, which may list and watch everything: the shared informers use it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from minikube_api.client.client import Client
from minikube_api.client.events import EventRecorder
from minikube_api.client.informers import InformerFactory
from minikube_api.meta.times import SYSTEM, Clock
from minikube_py.controllers.runner import Context, Controller, Metrics, Runner

#: Kubernetes' controller names -> module and class; imported only when enabled.
CONTROLLERS: Final[dict[str, str]] = {
    "deployment-controller": "deployment:DeploymentController",
    "replicaset-controller": "replicaset:ReplicaSetController",
    "replicationcontroller-controller": "replication:ReplicationControllerController",
    "statefulset-controller": "statefulset:StatefulSetController",
    "daemonset-controller": "daemonset:DaemonSetController",
    "cronjob-controller": "cronjobs:CronJobController",
    "disruption-controller": "disruption:DisruptionController",
    "job-controller": "jobs:JobController",
    "ttl-after-finished-controller": "jobs:TtlAfterFinishedController",
    "endpointslice-controller": "endpointslice:EndpointSliceController",
    "endpoints-controller": "endpoints:EndpointsController",
    "endpointslice-mirroring-controller": "mirroring:EndpointSliceMirroringController",
    "namespace-controller": "namespaces:NamespaceController",
    "serviceaccount-controller": "serviceaccounts:ServiceAccountController",
    "serviceaccount-token-controller": "service_account_tokens:TokensController",
    "clusterrole-aggregation-controller": "clusterrole_aggregation:ClusterRoleAggregationController",
    "resourcequota-controller": "resourcequota:ResourceQuotaController",
    "certificatesigningrequest-approving-controller": "certificates:ApprovingController",
    "certificatesigningrequest-signing-controller": "certificates:SigningController",
    "certificatesigningrequest-cleaner-controller": "certificates:CleanerController",
    "persistentvolume-binder-controller": "persistent_volumes:PersistentVolumeController",
    "persistentvolume-protection-controller": "volume_protection:VolumeProtectionController",
    "persistentvolumeclaim-protection-controller": "volume_protection:ClaimProtectionController",
    "ephemeral-volume-controller": "volume_protection:EphemeralVolumeController",
    "root-ca-certificate-publisher-controller": "serviceaccounts:RootCAPublisher",
    "garbage-collector-controller": "garbage:GarbageCollector",
    "node-lifecycle-controller": "node_lifecycle:NodeLifecycleController",
    "taint-eviction-controller": "taint_eviction:TaintEvictionController",
    "node-ipam-controller": "node_ipam:NodeIpamController",
    "pod-garbage-collector-controller": "pod_gc:PodGarbageCollector",
    "validatingadmissionpolicy-status-controller": "policy_status:PolicyStatusController",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Seconds for times. `controllers` as kube-controller-manager's flag: names, `*` = all, `-NAME` = not this one.

    `signing_certificate` and `signing_key` (PEM) are the authority that signs CertificateSigningRequests. `volumes_directory`: where
    volumes of the class `standard` are made ("" = not here). `sign_token(namespace, account, account's uid, secret)` makes the token of a
    Secret of type kubernetes.io/service-account-token.
    """

    controllers: tuple[str, ...] = ("*",)
    node_monitor_grace: float = 40.0
    node_startup_grace: float = 60.0
    cluster_cidr: str = "10.244.0.0/16"
    root_ca: str = ""
    signing_certificate: str = ""
    signing_key: str = field(default="", repr=False)
    volumes_directory: str = ""
    terminated_pod_threshold: int = 12500
    sign_token: Callable[[str, str, str, str], str] | None = None

    def enabled(self) -> list[str]:
        """Names of the controllers to run. Raises ValueError for a name that is none."""
        for name in self.controllers:
            if name != "*" and name.removeprefix("-") not in CONTROLLERS:
                raise ValueError(f'"{name}" is not in the list of known controllers')
        disabled = {name[1:] for name in self.controllers if name.startswith("-")}
        chosen = CONTROLLERS if "*" in self.controllers else [n for n in CONTROLLERS if n in self.controllers]
        return [name for name in chosen if name not in disabled and not self._lacks_input(name)]

    def _lacks_input(self, name: str) -> bool:
        """As in Kubernetes, these don't run without their input."""
        if name == "certificatesigningrequest-signing-controller":
            return not (self.signing_certificate and self.signing_key)
        if name == "root-ca-certificate-publisher-controller":
            return not self.root_ca
        if name == "serviceaccount-token-controller":
            return self.sign_token is None
        return name == "node-ipam-controller" and not self.cluster_cidr


@dataclass(slots=True)
class ControllerManager:
    """`await run()` until cancelled; cancelling stops workers first, then event writers and informers with them."""

    client_for: Callable[[str], Client]
    options: Options = field(default_factory=Options)
    clock: Clock = SYSTEM
    controllers: dict[str, Controller] = field(default_factory=dict)
    _factory: InformerFactory | None = None

    def prepare(self) -> InformerFactory:
        """Make the controllers and ask for their informers. `run` does it when nobody did."""
        if self._factory is not None:
            return self._factory
        factory = InformerFactory(self.client_for("kube-controller-manager"), clock=self.clock)
        for name in self.options.enabled():
            kind = load(name)
            client = self.client_for(kind.identity)
            recorder = EventRecorder(client, kind.component or kind.name, clock=self.clock)
            controller = kind(Context(client, factory, self.options, self.clock, recorder))
            controller.setup()
            self.controllers[name] = controller
        self._factory = factory
        return factory

    async def run(self) -> None:
        factory = self.prepare()
        async with asyncio.TaskGroup() as group:
            group.create_task(factory.run(), name="controller informers")
            for name, controller in self.controllers.items():
                group.create_task(Runner(controller).run(), name=name)

    async def synced(self) -> None:
        """Return once the informers have their first state."""
        await self.prepare().synced()

    def metrics(self) -> dict[str, Metrics]:
        return {name: controller.metrics for name, controller in self.controllers.items()}


def load(name: str) -> type[Controller]:
    module, _, attribute = CONTROLLERS[name].partition(":")
    kind: type[Controller] = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
    return kind
