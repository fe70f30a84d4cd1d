"""Which strategy serves which kind."""

from __future__ import annotations

from minikube_api.resources import rbac
from minikube_api.resources.apps import batch, workloads
from minikube_api.resources.core import claims, config, endpoints, events, nodes, quotas, services
from minikube_api.resources.pods.strategy import PodStrategy
from minikube_api.resources.pods.templates import PodTemplateStrategy
from minikube_api.resources.strategies import KindStrategy
from minikube_api.schema.builtin import KindFacts

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
    ("", "persistentvolumes"): claims.VolumeStrategy,
    ("", "resourcequotas"): quotas.QuotaStrategy,
    ("", "limitranges"): quotas.LimitRangeStrategy,
    ("events.k8s.io", "events"): events.StrictEventStrategy,
    ("apps", "deployments"): workloads.DeploymentStrategy,
    ("apps", "replicasets"): workloads.ReplicaSetStrategy,
    ("apps", "statefulsets"): workloads.StatefulSetStrategy,
    ("apps", "daemonsets"): workloads.DaemonSetStrategy,
    ("apps", "controllerrevisions"): workloads.ControllerRevisionStrategy,
    ("batch", "jobs"): batch.JobStrategy,
    ("batch", "cronjobs"): batch.CronJobStrategy,
    ("discovery.k8s.io", "endpointslices"): endpoints.EndpointSliceStrategy,
    (_RBAC, "roles"): rbac.RoleStrategy,
    (_RBAC, "clusterroles"): rbac.RoleStrategy,
    (_RBAC, "rolebindings"): rbac.BindingStrategy,
    (_RBAC, "clusterrolebindings"): rbac.BindingStrategy,
}


def strategy(fact: KindFacts) -> KindStrategy:
    made = _STRATEGIES.get((fact.group, fact.plural), KindStrategy)()
    made.namespaced = fact.namespaced
    return made
