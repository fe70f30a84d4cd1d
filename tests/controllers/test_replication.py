from __future__ import annotations

from minikube_api.schema.typed.core_v1 import ReplicationController


async def test_a_replication_controller_keeps_its_pods(world):
    async with world("replicationcontroller-controller") as w:
        template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        body = {
            "apiVersion": "v1",
            "kind": "ReplicationController",
            "metadata": {"name": "rc"},
            "spec": {"replicas": 2, "selector": {"app": "x"}, "template": template},
        }
        await w.client.raw.create("/api/v1/namespaces/default/replicationcontrollers", body)

        async def ready() -> bool:
            await w.run_pods()
            status = (await w.client.get(ReplicationController, "rc", namespace="default")).status
            return (status.replicas, status.readyReplicas, status.availableReplicas) == (2, 2, 2)

        await w.until(ready)
        (ref,) = (await w.pods())[0].metadata.ownerReferences
        assert (ref.apiVersion, ref.kind) == ("v1", "ReplicationController")
