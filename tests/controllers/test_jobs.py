from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.client.objects import from_tree
from minikube_api.schema.typed.batch_v1 import Job
from minikube_api.schema.typed.core_v1 import Pod
from minikube_py.controllers import conditions, job_plan


def job(**spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": "job"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    }
    base = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "template": template}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "default"},
        "spec": base | {k: v for k, v in spec.items() if v is not None},
    }


async def create(w, **spec: Any) -> None:
    await w.client.raw.create("/apis/batch/v1/namespaces/default/jobs", job(**spec))


async def get(w) -> Job:
    return await w.client.get(Job, "j", namespace="default")


async def active(w) -> list[Pod]:
    return [p for p in await w.pods() if not p.metadata.deletionTimestamp and p.status.phase in (None, "", "Pending")]


async def running(w, number: int, *, seconds: float = 5) -> list[Pod]:
    async def check() -> bool:
        return len(await active(w)) == number

    await w.until(check, seconds=seconds)
    return await active(w)


async def finish(w, pod: Pod, phase: str = "Succeeded", code: int = 0) -> None:
    ended = {"exitCode": code, "reason": "x", "finishedAt": _now(w), "startedAt": _now(w)}
    status = {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
    await w.patch_status(pod, {"phase": phase, "containerStatuses": [status]})


def _now(w) -> str:
    from minikube_api.meta import times

    return times.now(w.clock)


async def ended(w, type: str) -> Job:
    async def check() -> Job | None:
        found = await get(w)
        condition = conditions.find(found.status.conditions, type)
        return found if condition is not None and condition.status == "True" else None

    return await w.until(check)


async def test_a_job_completes_when_enough_pods_succeeded(world):
    async with world("job-controller") as w:
        await create(w, completions=3, parallelism=2)
        for pod in await running(w, 2):
            await finish(w, pod)
        (last,) = await running(w, 1)
        await finish(w, last)
        done = await ended(w, "Complete")
        assert (done.status.succeeded, done.status.active or 0, done.status.failed or 0) == (3, 0, 0)
        assert done.status.startTime and done.status.completionTime
        assert [c.type for c in done.status.conditions] == ["SuccessCriteriaMet", "Complete"]
        assert all(p.metadata.finalizers == () for p in await w.pods()), "finished pods are free to go"
        await w.quiet()
        assert "Normal Completed: Job completed" in await w.events()


async def test_a_failed_pod_is_replaced_after_its_back_off_until_the_limit(world):
    async with world("job-controller") as w:
        await create(w, backoffLimit=1)
        (first,) = await running(w, 1)
        await finish(w, first, "Failed", 1)
        await w.quiet(5)
        assert await active(w) == []
        (second,) = await running(w, 1, seconds=10)
        await finish(w, second, "Failed", 1)
        failed = await ended(w, "Failed")
        condition = conditions.find(failed.status.conditions, "Failed")
        assert (condition.reason, failed.status.failed) == ("BackoffLimitExceeded", 2)


async def test_a_finished_pod_that_is_deleted_is_still_counted(world):
    async with world("job-controller") as w:
        await create(w, completions=2, parallelism=2)
        one, two = await running(w, 2)
        await finish(w, one)
        await w.client.delete(Pod, one.metadata.name, namespace="default", grace_period_seconds=0)
        await finish(w, two)
        assert (await ended(w, "Complete")).status.succeeded == 2


async def test_indexed_pods_know_their_index_and_each_index_completes_once(world):
    async with world("job-controller") as w:
        await create(w, completions=3, parallelism=3, completionMode="Indexed")
        found = {p.metadata.annotations[job_plan.INDEX]: p for p in await running(w, 3)}
        assert sorted(found) == ["0", "1", "2"]
        pod = found["1"]
        assert pod.spec.hostname == "j-1" and pod.metadata.generateName == "j-1-"
        assert [e.name for e in pod.spec.containers[0].env] == ["JOB_COMPLETION_INDEX"]
        await finish(w, found["0"])
        await finish(w, found["2"])

        async def counted() -> bool:
            return (await get(w)).status.completedIndexes == "0,2"

        await w.until(counted)
        await finish(w, found["1"])
        assert (await ended(w, "Complete")).status.completedIndexes == "0-2"


async def test_a_suspended_job_has_no_pods_and_resumes(world):
    async with world("job-controller") as w:
        await create(w, suspend=True)
        suspended = await ended(w, "Suspended")
        assert suspended.status.startTime is None and await w.pods() == []
        await w.client.patch(Job, "j", {"spec": {"suspend": False}}, namespace="default")
        await running(w, 1)
        await w.client.patch(Job, "j", {"spec": {"suspend": True}}, namespace="default")
        await running(w, 0)
        assert not (await get(w)).status.failed, "pods that the job ends are no failures"


async def test_the_active_deadline_fails_the_job(world):
    async with world("job-controller") as w:
        await create(w, activeDeadlineSeconds=30)
        await running(w, 1)
        await w.clock.advance(31)
        await ended(w, "FailureTarget")
        for pod in await w.pods():
            await w.client.delete(Pod, pod.metadata.name, namespace="default", grace_period_seconds=0)
        failed = await ended(w, "Failed")
        assert conditions.find(failed.status.conditions, "Failed").reason == "DeadlineExceeded"


async def test_a_failure_policy_fails_the_job_at_once(world):
    async with world("job-controller") as w:
        rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
        await create(w, podFailurePolicy={"rules": rules})
        (pod,) = await running(w, 1)
        await finish(w, pod, "Failed", 42)
        failed = await ended(w, "Failed")
        condition = conditions.find(failed.status.conditions, "Failed")
        assert condition.reason == "PodFailurePolicy"
        assert condition.message == (
            f"Container c for pod default/{pod.metadata.name} failed with exit code 42 matching FailJob rule at index 0"
        )


async def test_a_finished_job_goes_after_its_ttl(world):
    async with world("job-controller", "ttl-after-finished-controller") as w:
        await create(w, ttlSecondsAfterFinished=60)
        (pod,) = await running(w, 1)
        await finish(w, pod)
        await ended(w, "Complete")
        await w.clock.advance(55)
        assert (await get(w)).metadata.deletionTimestamp is None
        await w.clock.advance(10)
        assert (await get(w)).metadata.deletionTimestamp is not None, "foreground deletion waits for the collector"


async def test_an_orphaned_pod_is_adopted_and_one_that_matches_no_longer_is_let_go(world):
    async with world("job-controller") as w:
        await create(w, completions=2, parallelism=2)
        one, two = await running(w, 2)

        async def change(pod: Pod, metadata: dict[str, Any]) -> None:
            await w.client.patch(Pod, pod.metadata.name, {"metadata": metadata}, namespace="default")

        async def owned(pod: Pod) -> bool:
            metadata = (await w.client.get(Pod, pod.metadata.name, namespace="default")).metadata
            return bool(metadata.ownerReferences) and metadata.finalizers == one.metadata.finalizers

        async def let_go() -> bool:
            metadata = (await w.client.get(Pod, two.metadata.name, namespace="default")).metadata
            return not metadata.ownerReferences and not metadata.finalizers

        await change(one, {"ownerReferences": None})
        await w.until(lambda: owned(one))
        await change(two, {"labels": None})
        await w.until(let_go)
        await running(w, 3)  # a pod was made in the place of the one let go


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
async def test_pods_of_a_deleted_job_lose_the_finalizer_that_counts_them(world, propagation):
    async with world("job-controller", "garbage-collector-controller") as w:
        await create(w)
        await running(w, 1)
        await w.client.delete(Job, "j", namespace="default", propagation=propagation)

        async def free() -> bool:
            jobs = (await w.client.list(Job, namespace="default")).items
            return not jobs and all(not p.metadata.finalizers for p in await w.pods())

        await w.until(free, seconds=10)


@given(st.sets(st.integers(0, 60)))
def test_indexes_survive_their_text(indexes):
    assert job_plan.parse_indexes(job_plan.format_indexes(indexes)) == indexes


def test_indexes_are_written_as_kubernetes_does():
    assert job_plan.format_indexes([5, 1, 3, 4, 7, 8, 9]) == "1,3-5,7-9"
    assert job_plan.format_indexes([1, 2]) == "1,2"


@pytest.mark.parametrize(
    ("spec", "progress", "expected"),
    [
        pytest.param({"completions": 5, "parallelism": 3}, {}, 3, id="parallelism"),
        pytest.param({"completions": 5, "parallelism": 3}, {"succeeded": 4}, 1, id="no more than are missing"),
        pytest.param({"completions": 5, "parallelism": 0}, {}, 0, id="none"),
        pytest.param({"completions": None, "parallelism": 3}, {}, 3, id="work queue"),
        pytest.param({"completions": None, "parallelism": 3}, {"succeeded": 1}, 0, id="work queue that is done"),
    ],
)
def test_how_many_pods_should_run(spec, progress, expected):
    tree = job(**spec)
    if spec["completions"] is None:
        del tree["spec"]["completions"]
    assert job_plan.wanted_active(from_tree(Job, tree), job_plan.Progress(**progress)) == expected
