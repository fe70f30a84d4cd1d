"""Hollow nodes: many nodes, one informer, one runtime, on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_world import World, world

from minikube_agents.kubelet.hollow_nodes import HollowNodes, HollowOptions
from minikube_agents.runtime.contract import ContainerConfig
from minikube_agents.runtime.hollow_behaviour import Behaviour
from minikube_api.schema.typed import core_v1 as v1

COUNT = 20


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[tuple[World, HollowNodes]]:
    async with world(tmp_path) as made:
        options = HollowOptions(clock=made.clock, label=lambda i: {"topology.kubernetes.io/zone": f"z{i % 2}"})
        nodes = HollowNodes(made.client, COUNT, options)
        task = asyncio.create_task(nodes.run(), name="hollow nodes")
        await asyncio.wait_for(nodes.registered.wait(), 10)
        yield made, nodes
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_all_nodes_are_ready_with_their_labels_and_leases(many: tuple[World, HollowNodes]) -> None:
    made, _ = many
    nodes = (await made.client.list(v1.Node)).items
    assert len(nodes) == COUNT
    assert all(c.status == "True" for node in nodes for c in node.status.conditions if c.type == "Ready")
    assert {node.metadata.labels["topology.kubernetes.io/zone"] for node in nodes} == {"z0", "z1"}
    assert {node.status.allocatable["cpu"] for node in nodes} == {"8"}
    leases = await made.client.raw.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
    assert len(leases["items"]) == COUNT


async def test_leases_are_renewed_within_an_interval(many: tuple[World, HollowNodes]) -> None:
    made, _ = many
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    before = {lease["metadata"]["name"]: lease["spec"]["renewTime"] for lease in (await made.client.raw.get(path))["items"]}
    for _ in range(25):
        await made.clock.advance(1)
    after = {lease["metadata"]["name"]: lease["spec"]["renewTime"] for lease in (await made.client.raw.get(path))["items"]}
    assert all(after[name] > before[name] for name in before)


async def test_pods_run_and_end_on_their_own_nodes(many: tuple[World, HollowNodes]) -> None:
    made, nodes = many
    await made.create("stays", nodeName=nodes.names[3], volumes=[{"name": "v", "configMap": {"name": "anything"}}])
    await made.create("ends", nodeName=nodes.names[4], restartPolicy="Never", annotations={"hollow.minikube.dev/exit-after": "2"})
    pod = await made.phase("stays", "Running")
    node = await made.client.get(v1.Node, nodes.names[3])
    assert pod.status.hostIP == node.status.addresses[0].address
    await made.phase("ends", "Running")
    await made.clock.advance(2)
    await made.phase("ends", "Succeeded")
    await made.client.delete(v1.Pod, "stays", namespace="default")
    await made.gone("stays")


async def test_pods_of_other_nodes_are_left_alone(many: tuple[World, HollowNodes]) -> None:
    made, _ = many
    await made.create("other", nodeName="somewhere-else")
    await made.create("ours", nodeName="hollow-0")
    await made.phase("ours", "Running")
    other = await made.client.get(v1.Pod, "other", namespace="default")
    assert other.status.containerStatuses == ()


def test_an_annotation_that_is_no_number_fails_the_start_and_nothing_else() -> None:
    container = ContainerConfig(name="c", attempt=0, image="x", log_path="")
    told = Behaviour.of({"hollow.minikube.dev/exit-after": "soon"}, container)
    assert told.exit_after is None
    assert told.start_error == "annotations hollow.minikube.dev/*: could not convert string to float: 'soon'"
    assert Behaviour.of(
        {"hollow.minikube.dev/exit-after": "2.5", "hollow.minikube.dev/exit-code.c": "3"}, container
    ) == Behaviour(exit_after=2.5, exit_code=3)
