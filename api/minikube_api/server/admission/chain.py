"""The order of admission: mutating plug-ins first, each in the chain's order, then validating ones (Kubernetes' two phases)."""

from __future__ import annotations

from collections.abc import Iterable

from minikube_api.server.contract import AdmissionAttributes, AdmissionPlugin, Operation

#: the order of kube-apiserver's recommended plug-ins (pkg/kubeapiserver/options/plugins.go); webhooks and quota stand last
ORDER = (
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTopologyLabels",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "ClusterTrustBundleAttest",
    "CertificateSubjectRestriction",
    "DefaultStorageClass",
    "DefaultIngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
)


class AdmissionChain:
    """Runs the plug-ins that handle an operation. Plug-ins with unknown names go before the webhooks."""

    def __init__(self, plugins: Iterable[AdmissionPlugin] = ()) -> None:
        place = {name: i for i, name in enumerate(ORDER)}
        before_webhooks = place["DefaultIngressClass"]
        ordered = sorted(plugins, key=lambda plugin: place.get(plugin.name, before_webhooks))
        self._for: dict[Operation, tuple[AdmissionPlugin, ...]] = {
            operation: tuple(p for p in ordered if p.handles(operation))
            for operation in ("CREATE", "UPDATE", "DELETE", "CONNECT")
        }

    def handles(self, operation: Operation) -> bool:
        return bool(self._for[operation])

    async def admit(self, attributes: AdmissionAttributes) -> None:
        for plugin in self._for[attributes.operation]:
            await plugin.admit(attributes)
        again = attributes.reinvocation
        if again is not None and again.asked and not again.second_round:
            again.second_round = True
            for plugin in self._for[attributes.operation]:
                await plugin.admit(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        for plugin in self._for[attributes.operation]:
            await plugin.validate(attributes)
