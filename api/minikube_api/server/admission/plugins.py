"""Kubernetes' default admission plug-ins, made for a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minikube_api.server.admission.reading import Lister
from minikube_api.server.contract import AdmissionPlugin

if TYPE_CHECKING:
    from minikube_api.server.server import Server


def default(server: Server) -> list[AdmissionPlugin]:
    """What kube-apiserver enables by default, as far as it is built; `AdmissionChain` puts them in order."""
    from minikube_api.server.admission.certificates import (
        CertificateApproval,
        CertificateSigning,
        CertificateSubjectRestriction,
    )
    from minikube_api.server.admission.ingress_class import DefaultIngressClass
    from minikube_api.server.admission.lazy_policies import LazyPolicies
    from minikube_api.server.admission.limit_ranges import LimitRanger
    from minikube_api.server.admission.namespace_lifecycle import NamespaceLifecycle
    from minikube_api.server.admission.node_restriction import NodeRestriction
    from minikube_api.server.admission.node_taints import TaintNodesByCondition
    from minikube_api.server.admission.pod_security import PodSecurity
    from minikube_api.server.admission.pod_topology_labels import PodTopologyLabels
    from minikube_api.server.admission.priority import Priority
    from minikube_api.server.admission.quota import ResourceQuota
    from minikube_api.server.admission.runtime_class import RuntimeClass
    from minikube_api.server.admission.service_account import ServiceAccount
    from minikube_api.server.admission.storage_plugins import (
        DefaultStorageClass,
        PersistentVolumeClaimResize,
        StorageObjectInUseProtection,
    )
    from minikube_api.server.admission.tolerations import DefaultTolerationSeconds
    from minikube_api.server.webhooks.plugins import MutatingAdmissionWebhook, ValidatingAdmissionWebhook

    lister = Lister(server.storage, server.registry)
    return [
        LazyPolicies(server, lister, "MutatingAdmissionPolicy"),
        LazyPolicies(server, lister, "ValidatingAdmissionPolicy"),
        MutatingAdmissionWebhook(server, server.webhook_caller, lister),
        ValidatingAdmissionWebhook(server, server.webhook_caller, lister),
        NamespaceLifecycle(lister),
        LimitRanger(lister),
        ServiceAccount(lister, server.clock, server.config.rng),
        TaintNodesByCondition(),
        Priority(lister),
        DefaultTolerationSeconds(),
        PodTopologyLabels(lister),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(lister),
        RuntimeClass(lister),
        DefaultStorageClass(lister),
        DefaultIngressClass(lister),
        NodeRestriction(lister, server.authorizer),
        PodSecurity(lister),
        CertificateApproval(server.authorizer),
        CertificateSigning(server.authorizer),
        CertificateSubjectRestriction(),
        ResourceQuota(lister, server.storage),
    ]
