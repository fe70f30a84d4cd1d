"""CronJob controller: starts Jobs at their times. The times are in `schedules`.

Source: pkg/controller/cronjob (cronjob_controllerv2.go). A Job's name holds the minute it was due (`NAME-MINUTES` since the epoch), so that no run
starts twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from email.utils import format_datetime
from typing import Final

from msgspec.structs import replace

from minikube_api.meta import times
from minikube_api.meta.errors import AlreadyExists, NotFound, StatusError
from minikube_api.schema.typed.batch_v1 import CronJob, CronJobStatus, Job
from minikube_api.schema.typed.core_v1 import ObjectReference
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers import owners, schedules
from minikube_py.controllers.runner import Controller, Key, Result, namespace_terminating

TIMESTAMP: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def finished(job: Job) -> str:
    """`Complete`, `Failed`, or "" when the job runs."""
    return next((c.type for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"), "")


def job_name(owner: CronJob, due: float) -> str:
    return f"{owner.metadata.name}-{int(due) // 60}"


def zone_of(owner: CronJob) -> tzinfo:
    """Raises KeyError (zoneinfo's) for a name that is none."""
    if not owner.spec.timeZone:
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(owner.spec.timeZone)


def job_from(owner: CronJob, due: float, zone: tzinfo) -> Job:
    template = owner.spec.jobTemplate
    stamp = datetime.fromtimestamp(due, zone).isoformat().replace("+00:00", "Z")
    return Job(
        metadata=ObjectMeta(
            name=job_name(owner, due),
            namespace=owner.metadata.namespace,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations | {TIMESTAMP: stamp},
            ownerReferences=(owners.controller_reference(owner),),
        ),
        spec=template.spec,
    )


class CronJobController(Controller):
    name = "cronjob-controller"
    identity = "cronjob-controller"
    component = "cronjob-controller"

    def setup(self) -> None:
        self._cronjobs = self.informers.informer(CronJob)
        self._jobs = self.informers.informer(Job)
        self._jobs.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._cronjobs.on_change(self.enqueue)
        self._jobs.on_change(self._job_changed)

    def _job_changed(self, job: Job) -> None:
        ref = owners.controller_of(job)
        if ref is not None and ref.kind == "CronJob":
            self.queue.add(Key(job.metadata.namespace, ref.name))

    async def reconcile(self, key: Key) -> Result | None:
        owner = self._cronjobs.get(*key)
        if owner is None:
            return None
        jobs = self._jobs.index(owners.CONTROLLER_INDEX, owner.metadata.uid)
        status = await self._follow(owner, jobs)
        wait: float | None = None
        try:
            if owner.metadata.deletionTimestamp is None:
                status, wait = await self._start_due(owner, status)
        finally:
            await self._write(owner, status)  # what was seen and started counts, whatever failed after it
        await self._trim(owner, jobs)
        return Result(wait) if wait is not None else None

    # what became of the jobs

    async def _follow(self, owner: CronJob, jobs: list[Job]) -> CronJobStatus:
        status = owner.status
        for job in jobs:
            is_listed = any(ref.uid == job.metadata.uid for ref in status.active)
            outcome = finished(job)
            if not is_listed and not outcome:
                status = await self._unexpected(owner, status, job)
            elif is_listed and outcome:
                status = replace(status, active=tuple(r for r in status.active if r.uid != job.metadata.uid))
                message = f"Saw completed job: {job.metadata.name}, condition: {outcome}"
                self.recorder.event(owner, "Normal", "SawCompletedJob", message)
            ended = job.status.completionTime
            if outcome == "Complete" and ended and (not status.lastSuccessfulTime or _is_later(ended, status.lastSuccessfulTime)):
                status = replace(status, lastSuccessfulTime=ended)
        known = {job.metadata.uid for job in jobs}
        for ref in status.active:
            if ref.uid not in known and not await self._exists(owner, ref):
                self.recorder.event(owner, "Normal", "MissingJob", f"Active job went missing: {ref.name}")
                status = replace(status, active=tuple(r for r in status.active if r.uid != ref.uid))
        return status

    async def _unexpected(self, owner: CronJob, status: CronJobStatus, job: Job) -> CronJobStatus:
        """A running job that is not in the list: the cache of CronJobs may be behind, or its creation was not noted."""
        live = await self.client.get(CronJob, owner.metadata.name, namespace=owner.metadata.namespace)
        if all(ref.uid != job.metadata.uid for ref in live.status.active):
            message = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
            self.recorder.event(owner, "Warning", "UnexpectedJob", message)
        return status

    async def _exists(self, owner: CronJob, ref: ObjectReference) -> bool:
        try:
            await self.client.get(Job, ref.name or "", namespace=owner.metadata.namespace)
        except NotFound:
            return False
        return True

    # starting

    async def _start_due(self, owner: CronJob, status: CronJobStatus) -> tuple[CronJobStatus, float | None]:
        """Start what is due; gives the new status and the seconds until the next run."""
        try:
            zone = zone_of(owner)
        except (KeyError, ValueError) as error:
            self.recorder.event(owner, "Warning", "UnknownTimeZone", f'invalid timeZone: "{owner.spec.timeZone}": {error}')
            return status, None
        if owner.spec.suspend:
            return status, None
        schedule = owner.spec.schedule
        try:
            following = schedules.parse(schedule, zone)
        except schedules.InvalidSchedule as error:
            self.recorder.event(owner, "Warning", "UnparseableSchedule", f'unparseable schedule: "{schedule}" : {error}')
            return status, None
        now = self.clock.time()
        since = times.parse(status.lastScheduleTime or owner.metadata.creationTimestamp or times.format_time(now))
        deadline = owner.spec.startingDeadlineSeconds
        try:
            runs = schedules.due(following, since if deadline is None else max(since, now - deadline), now)
        except schedules.InvalidSchedule as error:
            self.recorder.event(owner, "Warning", "InvalidSchedule", f"invalid schedule: {schedule} : {error}")
            return status, None
        if runs.missed > schedules.MANY:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"  # Kubernetes' words
            self.recorder.event(owner, "Warning", "TooManyMissedTimes", message)
        if runs.latest is not None:
            status = await self._start(owner, status, runs.latest, zone, now)
        since = times.parse(status.lastScheduleTime) if status.lastScheduleTime else since
        return status, schedules.until_next(following, since, now)

    async def _start(self, owner: CronJob, status: CronJobStatus, due: float, zone: tzinfo, now: float) -> CronJobStatus:
        deadline = owner.spec.startingDeadlineSeconds
        if deadline is not None and due + deadline < now:
            stamp = format_datetime(datetime.fromtimestamp(due, UTC))
            self.recorder.event(owner, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {stamp}")
            return status
        is_noted = status.lastScheduleTime is not None and times.parse(status.lastScheduleTime) == due
        if is_noted or any(ref.name == job_name(owner, due) for ref in status.active):
            return status
        if owner.spec.concurrencyPolicy == "Forbid" and status.active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.recorder.event(owner, "Normal", "JobAlreadyActive", message)
            return status
        if owner.spec.concurrencyPolicy == "Replace":
            for ref in status.active:
                await self._delete(owner, ref.name or "")
            status = replace(status, active=())
        job = await self._create(owner, job_from(owner, due, zone))
        if job is None:
            return status
        reference = ObjectReference(
            apiVersion=Job.API.api_version,
            kind="Job",
            name=job.metadata.name,
            namespace=job.metadata.namespace,
            uid=job.metadata.uid,
            resourceVersion=job.metadata.resourceVersion,
        )
        active = status.active if finished(job) else (*status.active, reference)
        return replace(status, active=active, lastScheduleTime=times.format_time(due))

    async def _create(self, owner: CronJob, job: Job) -> Job | None:
        """The job, made now or by an earlier try that was not noted; None when it can't be there."""
        try:
            made = await self.client.create(job)
        except AlreadyExists:
            found = await self.client.get(Job, job.metadata.name, namespace=job.metadata.namespace)
            return found if owners.is_controlled_by(found, owner) else None
        except StatusError as error:
            if namespace_terminating(error):
                return None
            self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created job {made.metadata.name}")
        return made

    # ending

    async def _delete(self, owner: CronJob, name: str) -> None:
        try:
            await self.client.delete(Job, name, namespace=owner.metadata.namespace, propagation="Background")
        except NotFound:
            return
        except StatusError as error:
            self.recorder.event(owner, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    async def _trim(self, owner: CronJob, jobs: list[Job]) -> None:
        """Finished jobs beyond the history's limits go, the oldest first."""
        limits = {"Complete": owner.spec.successfulJobsHistoryLimit, "Failed": owner.spec.failedJobsHistoryLimit}
        for outcome, limit in limits.items():
            if limit is not None:
                ended = [job for job in jobs if finished(job) == outcome and job.metadata.deletionTimestamp is None]
                for job in surplus(ended, limit):
                    await self._delete(owner, job.metadata.name)

    async def _write(self, owner: CronJob, status: CronJobStatus) -> None:
        if status == owner.status:
            return
        try:
            await self.client.update_status(replace(owner, status=status))
        except NotFound:
            pass  # deleted meanwhile: its status no longer matters


def surplus(ended: Iterable[Job], limit: int) -> list[Job]:
    """The oldest beyond `limit`. Pure."""
    ordered = sorted(ended, key=lambda job: (job.status.startTime or "", job.metadata.name))
    return ordered[: max(0, len(ordered) - limit)]


def _is_later(one: str, other: str) -> bool:
    return times.parse(one) > times.parse(other)
