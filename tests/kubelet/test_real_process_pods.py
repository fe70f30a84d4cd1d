"""The kubelet over the process runtime: real processes see what their pods' specs say. One network and node for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_world import World, world

from minikube_api.schema.typed import core_v1 as v1
from tests.runtime import nodes

pytestmark = nodes.needs_namespaces


@pytest.fixture
async def node() -> AsyncIterator[World]:
    async with nodes.booted() as machine:
        runtime = machine.runtime("n1")
        async with (
            world(Path(machine.directory) / "kubelet", runtime) as made,
            made.running_kubelet(node_ip=machine.nodes["n1"].ip, cluster_dns=("10.96.0.10",)),
        ):
            yield made
            for sandbox in await runtime.sandboxes():
                await runtime.remove_sandbox(sandbox.id)
            await runtime.close()


def log_of(node: World, pod: v1.Pod, name: str = "c") -> list[str]:
    (path,) = node.kubelet.options.logs.glob(f"*_{pod.metadata.uid}/{name}/0.log")
    return [line.split(" ", 3)[3] for line in path.read_text().splitlines()]


async def test_real_processes_see_what_their_pods_say(node: World) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "from the map\n"}}
    await node.client.raw.create("/api/v1/namespaces/default/configmaps", config)
    script = (
        "echo $GREETING $(IP); cat /config/k; hostname; grep search /etc/resolv.conf; tail -1 /etc/hosts; "
        "stat -f -c %T /memory; echo bye > /dev/termination-log; exit 3"
    )
    container = {
        "name": "c",
        "image": "host",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "env": [
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "GREETING", "value": "hello from"},
        ],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "memory", "mountPath": "/memory"}],
    }
    volumes = [{"name": "config", "configMap": {"name": "m"}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
    await node.create(
        "a",
        restartPolicy="Never",
        containers=[container],
        volumes=volumes,
        hostAliases=[{"ip": "192.0.2.9", "hostnames": ["far"]}],
    )
    pod = await node.phase("a", "Failed")
    ended = pod.status.containerStatuses[0].state.terminated
    assert ended is not None
    assert (ended.exitCode, ended.reason, ended.message) == (3, "Error", "bye\n")
    assert log_of(node, pod) == [
        f"hello from {pod.status.podIP}",
        "from the map",
        "a",
        "search default.svc.cluster.local svc.cluster.local cluster.local"
        + "".join(f" {name}" for name in node.kubelet._host.node_dns.searches),  # type: ignore[union-attr]
        "192.0.2.9\tfar",
        "tmpfs",
    ]

    await node.create(
        "web",
        containers=[
            {
                "name": "c",
                "image": "host",
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-m", "http.server", "8080"],
                "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
                "livenessProbe": {"exec": {"command": ["true"]}},
            }
        ],
        terminationGracePeriodSeconds=1,
    )
    await node.until("web", lambda p: p.status.containerStatuses and p.status.containerStatuses[0].ready)
    await node.client.delete(v1.Pod, "web", namespace="default")
    await node.gone("web")

    await node.create(
        "none",
        restartPolicy="Never",
        containers=[{"name": "c", "image": "host", "imagePullPolicy": "IfNotPresent", "command": ["/no/such"]}],
    )
    pod = await node.phase("none", "Failed")
    ended = pod.status.containerStatuses[0].state.terminated
    assert ended is not None
    assert (ended.exitCode, ended.reason) == (128, "StartError")
