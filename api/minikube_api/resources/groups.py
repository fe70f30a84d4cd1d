"""Which strategy serves which kind."""

from __future__ import annotations

from minikube_api.meta import names
from minikube_api.resources.pods.strategy import PodStrategy
from minikube_api.resources.strategies import KindStrategy
from minikube_api.schema.builtin import KindFacts

#: (group, plural) -> strategy class; kinds that are not listed have no rules of their own
_STRATEGIES: dict[tuple[str, str], type[KindStrategy]] = {
    ("", "pods"): PodStrategy,
}

#: kinds whose names are path segments, not DNS names
_PATH_SEGMENT_NAMES = {
    ("apiregistration.k8s.io", "apiservices"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
}


def strategy(fact: KindFacts) -> KindStrategy:
    made = _STRATEGIES.get((fact.group, fact.plural), KindStrategy)()
    made.namespaced = fact.namespaced
    if (fact.group, fact.plural) in _PATH_SEGMENT_NAMES:
        made.name_problems = names.is_path_segment
    return made
