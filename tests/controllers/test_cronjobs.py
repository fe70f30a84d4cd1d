from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from minikube_api.meta import times
from minikube_api.schema.typed.batch_v1 import CronJob, Job
from minikube_py.controllers import schedules

CONTROLLERS = ("cronjob-controller",)


def at(text: str) -> float:
    return times.parse(text)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        pytest.param("*/5 * * * *", "2026-01-01T00:03:00Z", "2026-01-01T00:05:00Z", id="every-five-minutes"),
        pytest.param("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", id="macro"),
        pytest.param("@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z", id="interval"),
        pytest.param("0 0 ? * 1", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", id="question-mark"),
        pytest.param("0 0 */10 * 1", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", id="stepped-day-or-weekday"),
        pytest.param("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z", id="leap-day"),
        pytest.param("0 0 * JAN MON", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z", id="names"),
    ],
)
def test_next_run(schedule, after, expected):
    assert times.format_time(schedules.parse(schedule)(at(after))) == expected


@pytest.mark.parametrize("schedule", ["", "* * * *", "* * * * * *", "61 * * * *", "@sometimes", "@every soon"])
def test_what_is_no_schedule_is_refused(schedule):
    with pytest.raises(schedules.InvalidSchedule):
        schedules.parse(schedule)


def test_a_time_zone_moves_runs():
    following = schedules.parse("0 9 * * *", ZoneInfo("Asia/Tokyo"))
    assert times.format_time(following(at("2026-01-01T00:00:00Z"))) == "2026-01-02T00:00:00Z"


def test_a_time_that_the_clock_shows_twice_runs_once():
    following = schedules.parse("30 2 * * *", ZoneInfo("Europe/Berlin"))
    first = following(datetime(2026, 10, 24, 23, tzinfo=UTC).timestamp())
    assert following(first) - first > 12 * 3600


@pytest.mark.parametrize(
    ("now", "latest", "missed"),
    [
        pytest.param("2026-01-01T00:00:30Z", None, 0, id="not-yet"),
        pytest.param("2026-01-01T00:01:30Z", "2026-01-01T00:01:00Z", 0, id="one"),
        pytest.param("2026-01-01T00:03:30Z", "2026-01-01T00:03:00Z", 3, id="few"),
        pytest.param("2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z", 2880, id="many"),
    ],
)
def test_missed_runs_give_the_latest(now, latest, missed):
    runs = schedules.due(schedules.parse("* * * * *"), at("2026-01-01T00:00:00Z"), at(now))
    assert (runs.latest and times.format_time(runs.latest), runs.missed) == (latest, missed)


async def create(w, schedule: str = "* * * * *", **spec: Any) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "v1"}]}
    template = {"metadata": {"labels": {"made": "by-cron"}}, "spec": {"template": {"spec": pod}}}
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick"},
        "spec": {"schedule": schedule, "jobTemplate": template, **spec},
    }
    await w.client.raw.create("/apis/batch/v1/namespaces/default/cronjobs", body)


async def get(w) -> CronJob:
    return await w.client.get(CronJob, "tick", namespace="default")


async def jobs(w) -> list[Job]:
    return sorted((await w.client.list(Job, namespace="default")).items, key=lambda j: j.metadata.name)


async def finish(w, job: Job, *, type: str = "Complete") -> None:
    now = times.now(w.clock)
    interim = "SuccessCriteriaMet" if type == "Complete" else "FailureTarget"
    status: dict[str, Any] = {"startTime": job.metadata.creationTimestamp}
    status["conditions"] = [{"type": t, "status": "True", "lastTransitionTime": now} for t in (interim, type)]
    if type == "Complete":
        status["completionTime"] = now
    await w.client.patch(Job, job.metadata.name, {"status": status}, namespace="default", subresource="status")


async def minutes(w, count: int) -> None:
    """Step over `count` minutes with a few looks a minute."""
    for _ in range(count * 6):
        await w.clock.advance(10)
        await w.quiet(0.1)


async def test_a_run_starts_at_its_minute_under_its_name(world):
    async with world(*CONTROLLERS) as w:
        await create(w)
        await w.quiet()
        assert await jobs(w) == []
        await minutes(w, 1)
        (job,) = await jobs(w)
        found = await get(w)
        due = at(found.status.lastScheduleTime)
        assert job.metadata.name == f"tick-{int(due) // 60}"
        assert job.metadata.labels["made"] == "by-cron"
        assert job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == times.format_time(due)
        assert [ref.name for ref in found.status.active] == [job.metadata.name]
        await finish(w, job)
        await w.quiet()
        found = await get(w)
        assert (found.status.active, found.status.lastSuccessfulTime) == ((), (await jobs(w))[0].status.completionTime)
        await w.quiet(2)
        events = await w.events()
        assert f"Normal SuccessfulCreate: Created job {job.metadata.name}" in events
        assert f"Normal SawCompletedJob: Saw completed job: {job.metadata.name}, condition: Complete" in events


@pytest.mark.parametrize(
    ("policy", "expected"), [pytest.param("Allow", 3, id="allow"), pytest.param("Forbid", 1, id="forbid"), ("Replace", 1)]
)
async def test_concurrency_policy(world, policy, expected):
    async with world(*CONTROLLERS) as w:
        await create(w, concurrencyPolicy=policy)
        await minutes(w, 1)
        (first,) = await jobs(w)
        await minutes(w, 2)
        listed = await jobs(w)
        assert len(listed) == expected == len((await get(w)).status.active)
        assert (listed[0].metadata.uid == first.metadata.uid) == (policy != "Replace")


async def test_a_suspended_cron_job_starts_nothing(world):
    async with world(*CONTROLLERS) as w:
        await create(w, suspend=True)
        await minutes(w, 2)
        assert await jobs(w) == []
        await w.client.patch(CronJob, "tick", {"spec": {"suspend": False}}, namespace="default")
        await w.quiet()
        assert len(await jobs(w)) == 1, "the last missed run is made up for"


async def test_a_run_missed_by_more_than_the_deadline_is_left_out(world):
    async with world(*CONTROLLERS) as w:
        await create(w, "0 * * * *", suspend=True, startingDeadlineSeconds=60)
        now = w.clock.time()
        await w.clock.advance(3600 - now % 3600 + 120)
        await w.client.patch(CronJob, "tick", {"spec": {"suspend": False}}, namespace="default")
        await w.quiet(2)
        assert await jobs(w) == []


async def test_history_keeps_as_many_finished_jobs_as_asked_for(world):
    async with world(*CONTROLLERS) as w:
        await create(w, successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
        for type in ("Complete", "Failed", "Complete"):
            await minutes(w, 1)
            for job in await jobs(w):
                if not job.status.conditions:
                    await finish(w, job, type=type)
            await w.quiet()
        listed = [j for j in await jobs(w) if j.metadata.deletionTimestamp is None]
        assert [[c.type for c in j.status.conditions] for j in listed] == [["SuccessCriteriaMet", "Complete"]]


async def test_an_active_job_that_was_deleted_leaves_the_list(world):
    async with world(*CONTROLLERS) as w:
        await create(w, "*/30 * * * *")
        await minutes(w, 31)
        (job,) = await jobs(w)
        await w.client.delete(Job, job.metadata.name, namespace="default", propagation="Background")
        await w.quiet(2)
        assert (await get(w)).status.active == ()
        assert f"Normal MissingJob: Active job went missing: {job.metadata.name}" in await w.events()
