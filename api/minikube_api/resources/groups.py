"""Which strategy serves which kind."""

from __future__ import annotations

from minikube_api.resources import (
    admissionregistration,
    apiregistration,
    autoscaling,
    certificates,
    dra,
    flowcontrol,
    networking,
    policy,
    rbac,
    storage,
)
from minikube_api.resources.apiextensions import definitions
from minikube_api.resources.apps import cronjobs, daemonsets, jobs, statefulsets, workloads
from minikube_api.resources.core import claims, config, endpoints, events, nodes, persistentvolumes, quotas, services
from minikube_api.resources.pods.strategy import PodStrategy
from minikube_api.resources.pods.templates import PodTemplateStrategy
from minikube_api.resources.strategies import KindStrategy
from minikube_api.schema.builtin import KindFacts

_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_NETWORKING = "networking.k8s.io"
_RESOURCE = "resource.k8s.io"
_STORAGE = "storage.k8s.io"
_RBAC = "rbac.authorization.k8s.io"

#: (group, plural) -> strategy class; kinds that are not listed have no rules of their own
_STRATEGIES: dict[tuple[str, str], type[KindStrategy]] = {
    ("", "pods"): PodStrategy,
    ("", "podtemplates"): PodTemplateStrategy,
    ("", "replicationcontrollers"): workloads.ReplicationControllerStrategy,
    ("", "services"): services.ServiceStrategy,
    ("", "endpoints"): endpoints.EndpointsStrategy,
    ("", "nodes"): nodes.NodeStrategy,
    ("", "namespaces"): nodes.NamespaceStrategy,
    ("", "configmaps"): config.ConfigMapStrategy,
    ("", "secrets"): config.SecretStrategy,
    ("", "serviceaccounts"): config.ServiceAccountStrategy,
    ("", "events"): events.CoreEventStrategy,
    ("", "persistentvolumeclaims"): claims.ClaimStrategy,
    ("", "persistentvolumes"): persistentvolumes.VolumeStrategy,
    ("", "resourcequotas"): quotas.QuotaStrategy,
    ("", "limitranges"): quotas.LimitRangeStrategy,
    ("events.k8s.io", "events"): events.StrictEventStrategy,
    ("apps", "deployments"): workloads.DeploymentStrategy,
    ("apps", "replicasets"): workloads.ReplicaSetStrategy,
    ("apps", "statefulsets"): statefulsets.StatefulSetStrategy,
    ("apps", "daemonsets"): daemonsets.DaemonSetStrategy,
    ("apps", "controllerrevisions"): workloads.ControllerRevisionStrategy,
    ("batch", "jobs"): jobs.JobStrategy,
    ("batch", "cronjobs"): cronjobs.CronJobStrategy,
    ("discovery.k8s.io", "endpointslices"): endpoints.EndpointSliceStrategy,
    (_RBAC, "roles"): rbac.RoleStrategy,
    (_RBAC, "clusterroles"): rbac.RoleStrategy,
    (_RBAC, "rolebindings"): rbac.BindingStrategy,
    (_RBAC, "clusterrolebindings"): rbac.BindingStrategy,
    ("autoscaling", "horizontalpodautoscalers"): autoscaling.AutoscalerStrategy,
    ("policy", "poddisruptionbudgets"): policy.BudgetStrategy,
    ("scheduling.k8s.io", "priorityclasses"): policy.PriorityClassStrategy,
    ("node.k8s.io", "runtimeclasses"): policy.RuntimeClassStrategy,
    ("coordination.k8s.io", "leases"): policy.LeaseStrategy,
    (_NETWORKING, "ingresses"): networking.IngressStrategy,
    (_NETWORKING, "ingressclasses"): networking.IngressClassStrategy,
    (_NETWORKING, "networkpolicies"): networking.NetworkPolicyStrategy,
    (_NETWORKING, "servicecidrs"): networking.ServiceCIDRStrategy,
    (_NETWORKING, "ipaddresses"): networking.IPAddressStrategy,
    (_STORAGE, "storageclasses"): storage.StorageClassStrategy,
    (_STORAGE, "volumeattributesclasses"): storage.AttributesClassStrategy,
    (_STORAGE, "volumeattachments"): storage.AttachmentStrategy,
    (_STORAGE, "csinodes"): storage.NodeDriversStrategy,
    (_STORAGE, "csidrivers"): storage.DriverStrategy,
    (_STORAGE, "csistoragecapacities"): storage.CapacityStrategy,
    (_ADMISSION, "validatingwebhookconfigurations"): admissionregistration.WebhooksStrategy,
    (_ADMISSION, "mutatingwebhookconfigurations"): admissionregistration.MutatingWebhooksStrategy,
    (_ADMISSION, "validatingadmissionpolicies"): admissionregistration.ValidatingPolicyStrategy,
    (_ADMISSION, "mutatingadmissionpolicies"): admissionregistration.MutatingPolicyStrategy,
    (_ADMISSION, "validatingadmissionpolicybindings"): admissionregistration.PolicyBindingStrategy,
    (_ADMISSION, "mutatingadmissionpolicybindings"): admissionregistration.MutatingBindingStrategy,
    (_FLOW, "flowschemas"): flowcontrol.FlowSchemaStrategy,
    (_FLOW, "prioritylevelconfigurations"): flowcontrol.PriorityLevelStrategy,
    ("certificates.k8s.io", "certificatesigningrequests"): certificates.SigningRequestStrategy,
    ("apiregistration.k8s.io", "apiservices"): apiregistration.APIServiceStrategy,
    ("apiextensions.k8s.io", "customresourcedefinitions"): definitions.DefinitionStrategy,
    (_RESOURCE, "deviceclasses"): dra.DeviceClassStrategy,
    (_RESOURCE, "resourceclaims"): dra.ClaimStrategy,
    (_RESOURCE, "resourceclaimtemplates"): dra.ClaimTemplateStrategy,
    (_RESOURCE, "resourceslices"): dra.SliceStrategy,
}


def strategy(fact: KindFacts) -> KindStrategy:
    if (fact.group, fact.version, fact.kind) == ("autoscaling", "v1", "HorizontalPodAutoscaler"):
        return autoscaling.AutoscalerV1Strategy()
    made = _STRATEGIES.get((fact.group, fact.plural), KindStrategy)()
    made.namespaced = fact.namespaced
    return made
