"""The system's default spreading: pods of one Service or workload go to different hosts and zones where nothing else decides.

Source: "Pod Topology Spread Constraints", cluster-level defaults (`defaultingType: System`).
"""

from __future__ import annotations

from minikube_api.client.informers import Informer
from minikube_api.meta import selectors
from minikube_api.schema.typed import apps_v1, core_v1
from minikube_py.scheduler.state import PodInfo, SpreadConstraint, compiled

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


class DefaultSpreading:
    """Finds the selector of what a pod belongs to and makes the two soft constraints of it."""

    def __init__(
        self,
        services: Informer[core_v1.Service],
        replica_sets: Informer[apps_v1.ReplicaSet],
        stateful_sets: Informer[apps_v1.StatefulSet],
        controllers: Informer[core_v1.ReplicationController],
    ) -> None:
        self._services, self._replica_sets, self._stateful_sets, self._controllers = (
            services,
            replica_sets,
            stateful_sets,
            controllers,
        )

    def constraints(self, pod: PodInfo) -> tuple[SpreadConstraint, ...]:
        """Hostname with skew 3, zone with skew 5; none for a pod that nothing selects."""
        found = [
            selectors.from_labels(s.spec.selector)
            for s in self._services.list(pod.namespace)
            if s.spec.selector and s.spec.selector.items() <= pod.labels.items()
        ]
        if (owner := self._owner(pod)) is not None:
            found.append(owner)
        if not found:
            return ()
        return constraints_of(selectors.LabelSelector(tuple(r for s in found for r in s.requirements)))

    def _owner(self, pod: PodInfo) -> selectors.LabelSelector | None:
        for reference in pod.pod.metadata.ownerReferences:
            if not reference.controller:
                continue
            match reference.kind:
                case "ReplicaSet":
                    found = self._replica_sets.get(pod.namespace, reference.name)
                    return compiled(found.spec.selector) if found else None
                case "StatefulSet":
                    stateful = self._stateful_sets.get(pod.namespace, reference.name)
                    return compiled(stateful.spec.selector) if stateful else None
                case "ReplicationController":
                    controller = self._controllers.get(pod.namespace, reference.name)
                    return selectors.from_labels(controller.spec.selector) if controller else None
        return None


def constraints_of(selector: selectors.LabelSelector) -> tuple[SpreadConstraint, ...]:
    """The system's two soft constraints for pods of a selector."""
    return tuple(
        SpreadConstraint(selector, key, skew, hard=False, min_domains=1, honor_affinity=True, honor_taints=False)
        for key, skew in ((HOSTNAME, 3), (ZONE, 5))
    )
