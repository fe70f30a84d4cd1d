"""ReplicationController controller: the ReplicaSet controller with a plain map as selector."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import selectors
from minikube_api.schema.typed.core_v1 import (
    ReplicationController,
    ReplicationControllerCondition,
    ReplicationControllerStatus,
)
from minikube_py.controllers.replicaset import ReplicaSetController


class ReplicationControllerController(ReplicaSetController):
    name = "replicationcontroller-controller"
    identity = "replication-controller"
    component = "replication-controller"

    kind = ReplicationController
    condition_type = ReplicationControllerCondition
    status_type = ReplicationControllerStatus

    def selector(self, owner: Any) -> selectors.LabelSelector:
        return selectors.from_labels(owner.spec.selector)

    def terminating(self, count: int) -> dict[str, int]:
        return {}  # the older kind does not tell
