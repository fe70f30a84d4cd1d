"""Short factories for scheduler tests: nodes, pods, and a state that holds them."""

from __future__ import annotations

import itertools
import random

from minikube_api.schema.typed import core_v1 as v1
from minikube_api.schema.typed.meta_v1 import LabelSelector, ObjectMeta
from minikube_py.scheduler.deciding import Decider, Decision
from minikube_py.scheduler.state import ClusterState, PodInfo, pod_info

_uids = itertools.count(1)


def node(name, *, cpu="4", memory="8Gi", pods="110", labels=None, taints=(), unschedulable=None):
    amounts = {"cpu": cpu, "memory": memory, "pods": pods}
    return v1.Node(
        metadata=ObjectMeta(name=name, labels={"kubernetes.io/hostname": name, **(labels or {})}),
        spec=v1.NodeSpec(taints=tuple(v1.Taint(key=k, value=v, effect=e) for k, v, e in taints), unschedulable=unschedulable),
        status=v1.NodeStatus(allocatable=amounts, capacity=amounts),
    )


def pod(name, *, cpu="", memory="", namespace="default", labels=None, on="", priority=None, ports=(), **spec):
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    container = v1.Container(
        name="c",
        image="i",
        resources=v1.ResourceRequirements(requests=requests),
        ports=tuple(v1.ContainerPort(containerPort=p, hostPort=p, protocol="TCP") for p in ports),
    )
    meta = ObjectMeta(name=name, namespace=namespace, uid=f"uid-{next(_uids)}", labels=labels or {})
    spec = {"containers": (container,), **spec}
    return v1.Pod(metadata=meta, spec=v1.PodSpec(nodeName=on or None, priority=priority, **spec))


def selector(**labels):
    return LabelSelector(matchLabels=labels)


def state(*objects) -> ClusterState:
    made = ClusterState()
    for obj in objects:
        if isinstance(obj, v1.Node):
            made.set_node(obj)
        else:
            made.place(obj if isinstance(obj, PodInfo) else pod_info(obj))
    return made


def decide(made: ClusterState, incoming: v1.Pod, **options) -> Decision:
    return Decider(made, random.Random(1)).decide(pod_info(incoming), **options)
