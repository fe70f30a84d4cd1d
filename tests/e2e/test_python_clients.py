"""Python's clients as their users write them: the official `kubernetes` (typed, dynamic, watch, exec stream) and kr8s."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.clusters import Cluster, Program
from tests.e2e.manifests import config_map, deployment, pod, service, shell, web
from tests.e2e.ways import both_ways


@pytest.fixture
def official(cluster: Cluster) -> Iterator[Any]:
    """An ApiClient of the official package."""
    import kubernetes

    with kubernetes.config.new_client_from_config(str(cluster.kubeconfig)) as client:
        yield client


@pytest.fixture
def core(official: Any) -> Any:
    import kubernetes

    return kubernetes.client.CoreV1Api(official)


# --- the official client ------------------------------------------------------------------------------------------------


@both_ways
def test_typed_objects_survive_the_round_trip(core: Any, namespace: str) -> None:
    import kubernetes.client as k

    made = core.create_namespaced_config_map(
        namespace, k.V1ConfigMap(metadata=k.V1ObjectMeta(name="typed", labels={"tier": "x"}), data={"a": "1"})
    )
    assert made.metadata.uid
    assert made.metadata.creation_timestamp.tzinfo is not None
    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("typed", namespace, made)
    assert replaced.data == {"a": "1", "b": "2"}
    with pytest.raises(k.ApiException) as conflict:
        core.replace_namespaced_config_map("typed", namespace, made)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    patched = core.patch_namespaced_config_map("typed", namespace, {"data": {"a": None}})
    assert patched.data == {"b": "2"}
    assert [c.metadata.name for c in core.list_namespaced_config_map(namespace, label_selector="tier=x").items] == ["typed"]
    assert core.delete_namespaced_config_map("typed", namespace)["status"] == "Success"
    with pytest.raises(k.ApiException) as gone:
        core.read_namespaced_config_map("typed", namespace)
    assert gone.value.status == 404


def test_typed_watch_goes_on_from_a_revision(core: Any, namespace: str) -> None:
    import kubernetes

    listing = core.list_namespaced_config_map(namespace)
    for number in range(3):
        core.create_namespaced_config_map(namespace, config_map(f"c{number}", a="1"))
    core.patch_namespaced_config_map("c0", namespace, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("c1", namespace)
    watch = kubernetes.watch.Watch()
    seen = []
    for event in watch.stream(
        core.list_namespaced_config_map, namespace, resource_version=listing.metadata.resource_version, timeout_seconds=20
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    assert seen == [("ADDED", "c0"), ("ADDED", "c1"), ("ADDED", "c2"), ("MODIFIED", "c0"), ("DELETED", "c1")]


@both_ways
def test_exec_stream_and_logs(core: Any, kubectl: Program, namespace: str) -> None:
    from kubernetes.stream import stream

    kubectl.apply(pod("streams", shell("echo logged; sleep 1000")))
    kubectl("wait", "--for=condition=Ready", "pod/streams", "--timeout=30s")
    answer = stream(
        core.connect_get_namespaced_pod_exec,
        "streams",
        namespace,
        command=["sh", "-c", "echo out; echo err >&2"],
        stderr=False,
        stdout=True,
    )
    assert answer == "out\n"
    shell_stream = stream(
        core.connect_get_namespaced_pod_exec,
        "streams",
        namespace,
        command=["sh"],
        stdin=True,
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    shell_stream.write_stdin("echo got-$((40+2))\n")
    assert shell_stream.readline_stdout(timeout=10) == "got-42"
    shell_stream.write_stdin("exit 6\n")
    shell_stream.run_forever(timeout=10)
    assert shell_stream.returncode == 6
    assert core.read_namespaced_pod_log("streams", namespace) == "logged\n"


def test_port_forward_by_socket(core: Any, kubectl: Program, namespace: str) -> None:
    from kubernetes.stream import portforward

    kubectl.apply(pod("door", web()))
    kubectl("wait", "--for=condition=Ready", "pod/door", "--timeout=30s")
    tunnel = portforward(core.connect_get_namespaced_pod_portforward, "door", namespace, ports="8080")
    peer = tunnel.socket(8080)
    try:
        peer.settimeout(10)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: door\r\n\r\n")
        text = b""
        while chunk := peer.recv(4096):
            text += chunk
    finally:
        peer.close()
    assert text.endswith(b"door")


def test_dynamic_client_finds_every_kind(official: Any, namespace: str) -> None:
    from kubernetes import dynamic

    client = dynamic.DynamicClient(official)
    kinds = {(r.group_version, r.kind) for r in client.resources.search()}
    assert {("v1", "Pod"), ("apps/v1", "Deployment"), ("autoscaling/v2", "HorizontalPodAutoscaler")} <= kinds
    deployments = client.resources.get(api_version="apps/v1", kind="Deployment")
    deployments.create(body=deployment("dynamic", replicas=0), namespace=namespace)
    applied = deployments.server_side_apply(
        body={"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dynamic"}, "spec": {"paused": True}},
        name="dynamic",
        namespace=namespace,
        field_manager="test",
        force_conflicts=True,
    )
    assert applied.spec.paused is True
    assert applied.spec.replicas == 0
    assert [d.metadata.name for d in deployments.get(namespace=namespace).items] == ["dynamic"]
    deployments.delete(name="dynamic", namespace=namespace)


def test_utilities_create_from_trees(official: Any, core: Any, namespace: str) -> None:
    import kubernetes

    kubernetes.utils.create_from_dict(official, service("made"), namespace=namespace)
    assert core.read_namespaced_service("made", namespace).spec.ports[0].target_port == 8080


def test_leader_is_elected_by_lease_lock(official: Any, namespace: str) -> None:
    """Two candidates over a Lease: one leads; the object that the official client writes is read back by it."""
    import kubernetes.client as k

    leases = k.CoordinationV1Api(official)
    spec = k.V1LeaseSpec(holder_identity="one", lease_duration_seconds=15, lease_transitions=0)
    made = leases.create_namespaced_lease(namespace, k.V1Lease(metadata=k.V1ObjectMeta(name="lock"), spec=spec))
    wins: list[str] = []
    lock = threading.Barrier(4)

    def take(who: str) -> None:
        mine = leases.read_namespaced_lease("lock", namespace)
        mine.metadata.resource_version = made.metadata.resource_version
        mine.spec.holder_identity = who
        lock.wait(10)
        try:
            leases.replace_namespaced_lease("lock", namespace, mine)
            wins.append(who)
        except k.ApiException as error:
            assert error.status == 409

    threads = [threading.Thread(target=take, args=(f"candidate-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(wins) == 1
    assert leases.read_namespaced_lease("lock", namespace).spec.holder_identity == wins[0]


# --- kr8s ---------------------------------------------------------------------------------------------------------------


@both_ways
async def test_kr8s_drives_a_pod(cluster: Cluster, namespace: str) -> None:
    import kr8s.asyncio
    from kr8s.asyncio.objects import Pod

    api = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig))
    one = await Pod(pod("driven", web()) | {"metadata": {"name": "driven", "namespace": namespace}}, api=api)
    await one.create()
    await one.wait("condition=Ready", timeout=30)
    assert (await one.exec(["sh", "-c", "echo inside"])).stdout == b"inside\n"
    async with one.portforward(8080) as port:
        import httpx

        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/")).text == "driven"
    await one.label(tier="x")
    assert [p.name async for p in api.get("pods", namespace=namespace, label_selector={"tier": "x"})] == ["driven"]
    await one.delete()
    await one.wait("delete", timeout=30)


async def test_kr8s_scales_and_watches(cluster: Cluster, kubectl: Program, namespace: str) -> None:
    import kr8s.asyncio
    from kr8s.asyncio.objects import Deployment

    kubectl.apply(deployment("crew", replicas=1))
    api = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig))
    crew = await Deployment.get("crew", namespace=namespace, api=api)
    await crew.scale(3)
    async for event, changed in api.watch("deployments", namespace=namespace):
        assert event in ("ADDED", "MODIFIED")
        if changed.status.get("readyReplicas") == 3:
            break
    assert len(await crew.pods()) == 3
