"""Which function writes the cells of which kind. Objects come in the version that is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minikube_api.resources import conversions
from minikube_api.resources.resource import Object, no_row_conditions
from minikube_api.resources.tables import core, others, pods, workloads

Cells = Callable[[Object, float], list[Any]]


def _events_event(obj: Object, now: float) -> list[Any]:
    return core.event(conversions.event_to_core(obj), now)


def _autoscaler_v1(obj: Object, now: float) -> list[Any]:
    return workloads.horizontal_pod_autoscaler(conversions.autoscaler_to_v2(obj), now)


_ADMISSION = "admissionregistration.k8s.io"
_NETWORKING = "networking.k8s.io"
_RBAC = "rbac.authorization.k8s.io"
_STORAGE = "storage.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_RESOURCE = "resource.k8s.io"

_BY_KIND: dict[tuple[str, str], Cells] = {
    ("", "pods"): pods.pod,
    ("", "podtemplates"): core.pod_template,
    ("", "namespaces"): core.namespace,
    ("", "secrets"): core.secret,
    ("", "configmaps"): core.config_map,
    ("", "serviceaccounts"): core.name_and_age,
    ("", "replicationcontrollers"): core.replication_controller,
    ("", "nodes"): core.node,
    ("", "services"): core.service,
    ("", "endpoints"): core.endpoints,
    ("", "events"): core.event,
    ("", "persistentvolumes"): core.persistent_volume,
    ("", "persistentvolumeclaims"): core.persistent_volume_claim,
    ("", "resourcequotas"): core.resource_quota,
    ("", "componentstatuses"): core.component_status,
    ("events.k8s.io", "events"): _events_event,
    ("apps", "deployments"): workloads.deployment,
    ("apps", "replicasets"): workloads.replica_set,
    ("apps", "daemonsets"): workloads.daemon_set,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("apps", "controllerrevisions"): workloads.controller_revision,
    ("batch", "jobs"): workloads.job,
    ("batch", "cronjobs"): workloads.cron_job,
    ("policy", "poddisruptionbudgets"): workloads.pod_disruption_budget,
    ("autoscaling", "horizontalpodautoscalers"): workloads.horizontal_pod_autoscaler,
    ("discovery.k8s.io", "endpointslices"): others.endpoint_slice,
    (_NETWORKING, "ingresses"): others.ingress,
    (_NETWORKING, "ingressclasses"): others.ingress_class,
    (_NETWORKING, "networkpolicies"): others.network_policy,
    (_NETWORKING, "ipaddresses"): others.ip_address,
    (_NETWORKING, "servicecidrs"): others.service_cidr,
    (_RBAC, "rolebindings"): others.role_binding,
    (_RBAC, "clusterrolebindings"): others.role_binding,
    ("certificates.k8s.io", "certificatesigningrequests"): others.certificate_signing_request,
    ("coordination.k8s.io", "leases"): others.lease,
    (_STORAGE, "storageclasses"): others.storage_class,
    (_STORAGE, "volumeattributesclasses"): others.volume_attributes_class,
    (_STORAGE, "volumeattachments"): others.volume_attachment,
    (_STORAGE, "csinodes"): others.csi_node,
    (_STORAGE, "csidrivers"): others.csi_driver,
    ("scheduling.k8s.io", "priorityclasses"): others.priority_class,
    ("node.k8s.io", "runtimeclasses"): others.runtime_class,
    (_ADMISSION, "validatingwebhookconfigurations"): others.webhook_configuration,
    (_ADMISSION, "mutatingwebhookconfigurations"): others.webhook_configuration,
    (_ADMISSION, "validatingadmissionpolicies"): others.validating_admission_policy,
    (_ADMISSION, "mutatingadmissionpolicies"): others.mutating_admission_policy,
    (_ADMISSION, "validatingadmissionpolicybindings"): others.admission_policy_binding,
    (_ADMISSION, "mutatingadmissionpolicybindings"): others.admission_policy_binding,
    (_FLOW, "flowschemas"): others.flow_schema,
    (_FLOW, "prioritylevelconfigurations"): others.priority_level,
    ("apiregistration.k8s.io", "apiservices"): others.api_service,
    (_RESOURCE, "deviceclasses"): core.name_and_age,
    (_RESOURCE, "resourceclaims"): others.resource_claim,
    (_RESOURCE, "resourceclaimtemplates"): core.name_and_age,
    (_RESOURCE, "resourceslices"): others.resource_slice,
}


def of(group: str, version: str, plural: str) -> Cells:
    """The cells function of a kind; name and creation time for kinds without a printer."""
    if (group, version, plural) == ("autoscaling", "v1", "horizontalpodautoscalers"):
        return _autoscaler_v1
    return _BY_KIND.get((group, plural), core.name_and_created)


def row_conditions(group: str, plural: str) -> Callable[[Object], list[dict[str, Any]]]:
    return pods.pod_row_conditions if (group, plural) == ("", "pods") else no_row_conditions
