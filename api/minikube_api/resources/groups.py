"""Which strategy serves which kind."""

from __future__ import annotations

from minikube_api.resources.pods.strategy import PodStrategy
from minikube_api.resources.strategies import KindStrategy
from minikube_api.schema.builtin import KindFacts

#: (group, plural) -> strategy class; kinds that are not listed have no rules of their own
_STRATEGIES: dict[tuple[str, str], type[KindStrategy]] = {
    ("", "pods"): PodStrategy,
}


def strategy(fact: KindFacts) -> KindStrategy:
    made = _STRATEGIES.get((fact.group, fact.plural), KindStrategy)()
    made.namespaced = fact.namespaced
    return made
