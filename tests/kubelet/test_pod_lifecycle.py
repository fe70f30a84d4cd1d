"""Pods on a real API server: a kubelet with the hollow runtime brings them up, restarts, ends and adopts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from node_world import World, world

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed import core_v1 as v1

EXIT = "hollow.minikube.dev/exit-after"
CODE = "hollow.minikube.dev/exit-code"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made, made.running_kubelet():
        yield made


def state(pod: v1.Pod, name: str = "c") -> v1.ContainerState:
    every = (*pod.status.containerStatuses, *pod.status.initContainerStatuses)
    return next(status.state for status in every if status.name == name)


def restarts(pod: v1.Pod) -> int:
    return pod.status.containerStatuses[0].restartCount if pod.status.containerStatuses else -1


def waiting(pod: v1.Pod, name: str = "c") -> str:
    found = [s for s in (*pod.status.containerStatuses, *pod.status.initContainerStatuses) if s.name == name]
    return found[0].state.waiting.reason or "" if found and found[0].state.waiting else ""


async def test_the_node_registers_ready_with_a_lease(node: World) -> None:
    found = await node.client.get(v1.Node, "n1")
    assert {c.type: c.status for c in found.status.conditions} == {
        "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True",
    }  # fmt: skip
    assert found.metadata.labels["kubernetes.io/hostname"] == "n1"
    assert set(found.status.allocatable) >= {"cpu", "memory", "pods", "ephemeral-storage"}
    lease = await node.client.raw.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1")
    assert lease["spec"]["holderIdentity"] == "n1"
    await node.clock.advance(10)
    later = await node.client.raw.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1")
    assert later["spec"]["renewTime"] > lease["spec"]["renewTime"]


async def test_a_pod_runs_with_addresses_conditions_and_events(node: World) -> None:
    await node.create()
    pod = await node.phase("a", "Running")
    assert pod.status.hostIP == "127.0.0.1"
    assert pod.status.podIP == "10.244.0.2"
    assert {c.type for c in pod.status.conditions if c.status == "True"} == {
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    }  # fmt: skip
    assert await node.events("a") == [
        ("Pulled", 'Container image "busybox:1" already present on machine and can be accessed by the pod'),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ]


async def test_a_deleted_pod_ends_and_leaves_nothing(node: World) -> None:
    await node.create(volumes=[{"name": "v", "emptyDir": {}}])
    pod = await node.phase("a", "Running")
    assert (node.root / "pods" / pod.metadata.uid).is_dir()
    await node.client.delete(v1.Pod, "a", namespace="default")
    await node.gone("a")
    async with asyncio.timeout(5):
        while await node.runtime.sandboxes() or (node.root / "pods" / pod.metadata.uid).exists():
            await asyncio.sleep(0)
    assert ("Killing", "Stopping container c") in await node.events("a")


@pytest.mark.parametrize(("code", "phase", "reason"), [("0", "Succeeded", "Completed"), ("7", "Failed", "Error")])
async def test_a_pod_that_never_restarts_keeps_its_exit_code(node: World, code: str, phase: str, reason: str) -> None:
    await node.create(restartPolicy="Never", annotations={EXIT: "1", CODE: code})
    await node.phase("a", "Running")
    await node.clock.advance(1)
    pod = await node.phase("a", phase)
    ended = state(pod).terminated
    assert ended is not None
    assert (ended.exitCode, ended.reason) == (int(code), reason)
    assert [(s.restartCount, s.ready) for s in pod.status.containerStatuses] == [(0, False)]


async def test_a_crashing_container_backs_off_ten_then_twenty_seconds(node: World) -> None:
    await node.create(annotations={EXIT: "1", CODE: "3"})
    await node.phase("a", "Running")
    await node.clock.advance(1)
    # The first end is followed by a start at once.
    await node.until("a", lambda p: restarts(p) == 1 and state(p).running)
    await node.clock.advance(1)
    pod = await node.until("a", lambda p: waiting(p) == "CrashLoopBackOff")
    message = state(pod).waiting.message  # type: ignore[union-attr]
    assert message == f"back-off 10s restarting failed container=c pod=a_default({pod.metadata.uid})"
    assert pod.status.containerStatuses[0].lastState.terminated.exitCode == 3  # type: ignore[union-attr]
    await node.clock.advance(10)
    await node.until("a", lambda p: restarts(p) == 2 and state(p).running)
    await node.clock.advance(1)
    pod = await node.until("a", lambda p: waiting(p) == "CrashLoopBackOff")
    assert "back-off 20s" in (state(pod).waiting.message or "")  # type: ignore[union-attr]


async def test_init_containers_run_one_after_the_other_before_the_app(node: World) -> None:
    inits = [{"name": "i1", "image": "a:1"}, {"name": "i2", "image": "a:1"}]
    await node.create(initContainers=inits, annotations={EXIT + ".i1": "1", EXIT + ".i2": "1"})
    pod = await node.until("a", lambda p: p.status.initContainerStatuses and state(p, "i1").running)
    assert (waiting(pod, "i2"), waiting(pod)) == ("PodInitializing", "PodInitializing")
    await node.clock.advance(1)
    await node.until("a", lambda p: state(p, "i1").terminated and state(p, "i2").running)
    await node.clock.advance(1)
    pod = await node.phase("a", "Running")
    assert [s.ready for s in pod.status.initContainerStatuses] == [True, True]


async def test_a_sidecar_runs_beside_the_app_and_ends_after_it(node: World) -> None:
    sidecar = {"name": "s", "image": "a:1", "restartPolicy": "Always"}
    await node.create(initContainers=[sidecar], restartPolicy="Never", annotations={EXIT: "1"})
    pod = await node.phase("a", "Running")
    assert [(s.started, s.ready) for s in pod.status.initContainerStatuses] == [(True, True)]
    await node.clock.advance(1)
    pod = await node.phase("a", "Succeeded")
    assert state(pod, "s").terminated is not None


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"containers": [{"name": "c", "image": "missing/x:1"}]}, "ErrImagePull", id="no image"),
        pytest.param({"containers": [{"name": "c", "image": "missing/x:1", "imagePullPolicy": "Never"}]}, "ErrImageNeverPull", id="never pull"),
        pytest.param({"containers": [{"name": "c", "image": "Bad//Name"}]}, "InvalidImageName", id="bad name"),
        pytest.param(
            {"containers": [{"name": "c", "image": "a:1", "envFrom": [{"configMapRef": {"name": "none"}}]}]},
            "CreateContainerConfigError", id="no ConfigMap",
        ),
        pytest.param(
            {"containers": [{"name": "c", "image": "a:1", "securityContext": {"runAsNonRoot": True}}]},
            "CreateContainerConfigError", id="root image refused",
        ),
    ],
)  # fmt: skip
async def test_what_can_not_start_says_why(node: World, spec: dict[str, Any], reason: str) -> None:
    await node.create(**spec)
    pod = await node.until("a", lambda p: waiting(p) == reason)
    assert pod.status.phase == "Pending"
    assert any(told == "Failed" or told.startswith(("Err", "Inspect")) for told, _ in await node.events("a"))


async def test_an_image_that_appears_is_used_after_the_back_off(node: World) -> None:
    await node.create(containers=[{"name": "c", "image": "missing/x:1"}])
    await node.until("a", lambda p: waiting(p) == "ErrImagePull")
    await node.clock.advance(2)
    await node.until("a", lambda p: waiting(p) == "ImagePullBackOff")
    await node.runtime.alias_image("busybox:1", "missing/x:1")
    await node.clock.advance(10)
    await node.phase("a", "Running")


async def test_a_container_that_can_not_be_executed(node: World) -> None:
    await node.create(annotations={"hollow.minikube.dev/start-error": "exec: no such file"})
    pod = await node.until("a", lambda p: p.status.containerStatuses and p.status.containerStatuses[0].lastState.terminated)
    last = pod.status.containerStatuses[0].lastState.terminated
    assert last is not None
    assert (last.exitCode, last.reason) == (128, "StartError")
    assert waiting(pod) in ("RunContainerError", "CrashLoopBackOff")


async def test_a_config_map_volume_waits_and_then_follows_changes(node: World) -> None:
    await node.create(volumes=[{"name": "v", "configMap": {"name": "m"}}])
    pod = await node.until("a", lambda p: waiting(p) == "ContainerCreating")
    path = "/api/v1/namespaces/default/configmaps"
    await node.client.raw.create(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "1"}})
    # No time passes: the change itself wakes the pod.
    await node.phase("a", "Running")
    assert ("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "m" not found') in await node.events("a")
    file = node.root / "pods" / pod.metadata.uid / "volumes/kubernetes.io~configmap/v/k"
    assert file.read_text() == "1"
    await node.client.raw.patch(path + "/m", {"data": {"k": "2"}})
    async with asyncio.timeout(5):
        while file.read_text() != "2":
            await asyncio.sleep(0)


async def test_readiness_follows_its_probe_and_liveness_restarts(node: World) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    await node.create(
        containers=[{"name": "c", "image": "a:1", "livenessProbe": probe, "readinessProbe": {"httpGet": {"port": 80}}}]
    )
    await node.until("a", lambda p: p.status.containerStatuses and p.status.containerStatuses[0].ready)
    await node.clock.advance(1)
    await node.until("a", lambda p: restarts(p) == 1)
    told = await node.events("a")
    assert ("Killing", "Container c failed liveness probe, will be restarted") in told
    assert any(reason == "Unhealthy" and message.startswith("Liveness probe failed") for reason, message in told)


async def test_a_post_start_hook_holds_the_start_back(node: World) -> None:
    hook = {"postStart": {"sleep": {"seconds": 5}}}
    await node.create(containers=[{"name": "c", "image": "a:1", "lifecycle": hook}, {"name": "d", "image": "a:1"}])
    await node.until("a", lambda p: p.status.podIP)
    await node.clock.advance(4)
    assert len(await node.runtime.containers()) == 1
    await node.clock.advance(1)
    await node.phase("a", "Running")


async def test_a_pre_stop_hook_delays_the_end(node: World) -> None:
    await node.create(containers=[{"name": "c", "image": "a:1", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}])
    await node.phase("a", "Running")
    await node.client.delete(v1.Pod, "a", namespace="default")
    await node.until("a", lambda p: p.metadata.deletionTimestamp)
    await node.clock.advance(4)
    assert [c.state for c in await node.runtime.containers()] == ["running"]
    await node.clock.advance(1)
    await node.gone("a")


async def test_a_deadline_fails_the_pod(node: World) -> None:
    await node.create(activeDeadlineSeconds=30)
    await node.phase("a", "Running")
    await node.clock.advance(31)
    pod = await node.phase("a", "Failed")
    assert (pod.status.reason, state(pod).terminated is not None) == ("DeadlineExceeded", True)


async def test_an_unsafe_sysctl_is_refused(node: World) -> None:
    await node.create(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
    pod = await node.phase("a", "Failed")
    assert pod.status.reason == "SysctlForbidden"
    assert await node.runtime.containers() == []


async def test_a_pod_deleted_with_grace_zero_is_cleaned_up(node: World) -> None:
    await node.create()
    await node.phase("a", "Running")
    await node.client.delete(v1.Pod, "a", namespace="default", grace_period_seconds=0)
    await node.gone("a")
    async with asyncio.timeout(5):
        while await node.runtime.sandboxes():
            await asyncio.sleep(0)


async def test_limits_change_in_place(node: World) -> None:
    await node.create(containers=[{"name": "c", "image": "a:1", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}}])
    await node.phase("a", "Running")
    wanted = {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}
    body = {"spec": {"containers": [{"name": "c", "resources": wanted}]}}
    await node.client.patch(v1.Pod, "a", body, namespace="default", type="strategic", subresource="resize")
    pod = await node.until("a", lambda p: p.status.containerStatuses[0].resources.limits.get("cpu") == "2")
    assert restarts(pod) == 0


async def test_the_next_kubelet_adopts_what_runs_and_what_ended_meanwhile(tmp_path: Path) -> None:
    async with world(tmp_path) as node:
        async with node.running_kubelet():
            await node.create("stays")
            await node.create("ends", restartPolicy="Never", annotations={EXIT: "5", CODE: "7"})
            before = await node.phase("stays", "Running")
            await node.phase("ends", "Running")
        await node.clock.advance(5)
        async with node.running_kubelet():
            ended = await node.phase("ends", "Failed")
            assert state(ended).terminated.exitCode == 7  # type: ignore[union-attr]
            after = await node.client.get(v1.Pod, "stays", namespace="default")
        assert after.status.containerStatuses == before.status.containerStatuses
        assert after.status.phase == "Running"


async def test_sandboxes_of_pods_deleted_meanwhile_are_removed(tmp_path: Path) -> None:
    async with world(tmp_path) as node:
        async with node.running_kubelet():
            await node.create()
            await node.phase("a", "Running")
        await node.client.delete(v1.Pod, "a", namespace="default", grace_period_seconds=0)
        with pytest.raises(NotFound):
            await node.client.get(v1.Pod, "a", namespace="default")
        async with node.running_kubelet(), asyncio.timeout(5):
            while await node.runtime.sandboxes():
                await asyncio.sleep(0)


async def test_an_ended_pod_keeps_its_status_when_the_runtime_forgets_it(tmp_path: Path) -> None:
    async with world(tmp_path) as node:
        async with node.running_kubelet():
            await node.create(restartPolicy="Never", annotations={EXIT: "1", CODE: "7"})
            await node.phase("a", "Running")
            (file,) = (tmp_path / "pods").glob("*/containers/c/0")
            file.write_text("the last words")
            await node.clock.advance(1)
            before = await node.phase("a", "Failed")
        for sandbox in await node.runtime.sandboxes():
            await node.runtime.remove_sandbox(sandbox.id)
        async with node.running_kubelet() as kubelet:
            await kubelet._host.statuses.quiet()  # type: ignore[union-attr]
            after = await node.client.get(v1.Pod, "a", namespace="default")
        assert state(before).terminated.message == "the last words"  # type: ignore[union-attr]
        assert after.status.containerStatuses == before.status.containerStatuses
        assert after.status.phase == "Failed"


async def test_the_node_tells_events_of_its_conditions(node: World) -> None:
    reasons = {reason for reason, _ in await node.events("n1")}
    assert reasons >= {"Starting", "NodeReady", "NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"}


async def test_an_empty_directory_in_memory_is_on_a_tmpfs(node: World) -> None:
    root = node.kubelet.options.memory_directory
    if root is None:
        pytest.skip("/dev/shm is no tmpfs here")
    await node.create(volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}])
    pod = await node.phase("a", "Running")
    assert (root / pod.metadata.uid / "v").is_dir()
    await node.client.delete(v1.Pod, "a", namespace="default")
    await node.gone("a")
    async with asyncio.timeout(5):
        while (root / pod.metadata.uid).exists():
            await asyncio.sleep(0)
    root.rmdir()


async def test_a_second_delete_shortens_the_grace(node: World) -> None:
    await node.create(containers=[{"name": "c", "image": "a:1", "lifecycle": {"preStop": {"sleep": {"seconds": 20}}}}])
    await node.phase("a", "Running")
    await node.client.delete(v1.Pod, "a", namespace="default", grace_period_seconds=30)
    await node.until("a", lambda p: p.metadata.deletionGracePeriodSeconds == 30)
    await node.clock.advance(1)
    assert [c.state for c in await node.runtime.containers()] == ["running"]
    await node.client.delete(v1.Pod, "a", namespace="default", grace_period_seconds=1)
    await node.until("a", lambda p: p.metadata.deletionGracePeriodSeconds == 1)
    async with asyncio.timeout(5):
        await node.clock.advance(1.5)
        await node.gone("a")


async def test_an_ephemeral_container_joins_a_running_pod(node: World) -> None:
    await node.create()
    await node.phase("a", "Running")
    body = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "a:1", "targetContainerName": "c"}]}}
    await node.client.patch(v1.Pod, "a", body, namespace="default", type="strategic", subresource="ephemeralcontainers")
    pod = await node.until(
        "a", lambda p: p.status.ephemeralContainerStatuses and p.status.ephemeralContainerStatuses[0].state.running
    )
    assert pod.status.phase == "Running"


async def test_a_changed_image_restarts_its_container(node: World) -> None:
    await node.create()
    await node.phase("a", "Running")
    body = {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}}
    await node.client.patch(v1.Pod, "a", body, namespace="default", type="strategic")
    pod = await node.until("a", lambda p: restarts(p) == 1 and state(p).running)
    assert pod.status.containerStatuses[0].image == "busybox:2"
    assert ("Killing", "Container c definition changed, will be restarted") in await node.events("a")


async def test_a_pod_that_asks_for_the_impossible_waits_and_says_why(node: World) -> None:
    await node.create(hostUsers=False)
    await node.until("a", lambda p: waiting(p) == "ContainerCreating")
    told = await node.events("a")
    assert (
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: hostUsers: false (a user namespace per pod) is not supported by this node",
    ) in told
