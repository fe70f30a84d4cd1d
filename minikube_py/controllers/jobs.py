"""Job controller, and TTL-after-finished. Planning is in `job_plan`.

Every finished pod is counted exactly once although pods may be deleted at any time (KEP-2307): pods carry a finalizer; a finished one is
first listed in `status.uncountedTerminatedPods`, then loses its finalizer, then is in the counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from minikube_api.meta import times
from minikube_api.meta.errors import Conflict, NotFound, StatusError
from minikube_api.schema.typed.batch_v1 import Job, JobCondition, JobStatus, UncountedTerminatedPods
from minikube_api.schema.typed.core_v1 import EnvVar, EnvVarSource, ObjectFieldSelector, Pod
from minikube_py.controllers import conditions, job_plan, owners, pods, templates
from minikube_py.controllers.expectations import Expectations
from minikube_py.controllers.job_plan import INDEX, Outcome, Progress
from minikube_py.controllers.runner import Context, Controller, Key, Result, gather, namespace_terminating, slow_start

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
#: Index of pods with the finalizer, by `NAMESPACE/NAME` of their job, which may be gone.
HELD_INDEX: Final = "held by job"
#: Most pods created in one go.
BURST: Final = 500


def is_finished(job: Job) -> bool:
    return any(c.type in ("Complete", "Failed") and c.status == "True" for c in job.status.conditions)


def held_index(pod: Pod) -> tuple[str, ...]:
    ref = owners.controller_of(pod)
    if ref is None or ref.kind != "Job" or FINALIZER not in pod.metadata.finalizers:
        return ()
    return (f"{pod.metadata.namespace}/{ref.name}",)


def uid_of_controller(pod: Pod) -> str | None:
    ref = owners.controller_of(pod)
    return None if ref is None else ref.uid


def selects(job: Job, pod: Pod) -> bool:
    selector = owners.selector_of(job.spec.selector)
    return not selector.everything and selector.matches(pod.metadata.labels)


class JobController(Controller):
    name = "job-controller"
    identity = "job-controller"
    component = "job-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._expectations = Expectations(context.clock)
        #: uids of pods whose finalizer was taken off but which the cache still shows with it: they are counted already
        self.released: set[str] = set()

    def setup(self) -> None:
        self._jobs = self.informers.informer(Job)
        self._pods = self.informers.informer(Pod)
        self._pods.add_index(owners.CONTROLLER_INDEX, owners.controller_index)
        self._pods.add_index(HELD_INDEX, held_index)
        self._jobs.on_change(self.enqueue)
        self._pods.on_add(self._pod_added)
        self._pods.on_update(self._pod_updated)
        self._pods.on_delete(self._pod_deleted)

    def _pod_added(self, pod: Pod) -> None:
        ref = owners.controller_of(pod)
        if ref is not None and ref.kind == "Job":
            self._expectations.created(Key(pod.metadata.namespace, ref.name))
        self._pod_changed(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        before, after = owners.controller_of(old), owners.controller_of(new)
        if before is not None and before.kind == "Job" and (after is None or after.uid != before.uid):
            self.queue.add(Key(old.metadata.namespace, before.name))
        self._pod_changed(new)

    def _pod_deleted(self, pod: Pod) -> None:
        self.released.discard(pod.metadata.uid)
        self._pod_changed(pod)

    def _pod_changed(self, pod: Pod) -> None:
        if FINALIZER not in pod.metadata.finalizers:
            self.released.discard(pod.metadata.uid)
        ref = owners.controller_of(pod)
        if ref is not None and ref.kind == "Job":
            size = self._pods.index_size(owners.CONTROLLER_INDEX, ref.uid)
            self.enqueue_paced(Key(pod.metadata.namespace, ref.name), size)
        elif ref is None:
            self._orphan_changed(pod)

    def _orphan_changed(self, pod: Pod) -> None:
        """Whoever selects it may adopt it; a finalizer that no job will take off is taken off under the key without a name."""
        matching = self._selecting(pod)
        for job in matching:
            self.enqueue(job)
        if not matching and FINALIZER in pod.metadata.finalizers:
            self.queue.add(Key(pod.metadata.namespace, ""))

    def _selecting(self, pod: Pod) -> list[Job]:
        if not pod.metadata.labels:
            return []
        jobs = self._jobs.list(pod.metadata.namespace)
        return [job for job in jobs if job.metadata.deletionTimestamp is None and selects(job, pod)]

    async def reconcile(self, key: Key) -> Result | None:
        if not key.name:
            orphans = self._pods.index(owners.CONTROLLER_INDEX, owners.orphans_of(key.namespace))
            await self.release(pod for pod in orphans if FINALIZER in pod.metadata.finalizers and not self._selecting(pod))
            return None
        job = self._jobs.get(*key)
        await self._free(key, job)
        if job is None:
            self._expectations.forget(key)
            return None
        if job.spec.managedBy not in (None, "kubernetes.io/job-controller"):
            return None
        listed = self._pods.index(owners.CONTROLLER_INDEX, job.metadata.uid)
        if job.metadata.deletionTimestamp is not None:
            await self.release(listed)  # a foreground deletion waits for its pods, nobody counts them any more
            return None
        if is_finished(job):
            await self.release(pod for pod in listed if pods.is_terminal(pod) or pod.metadata.deletionTimestamp)
            return None
        return await _Pass(self, job, await self._claim(job, listed)).run(self._expectations, key)

    async def _claim(self, job: Job, listed: list[Pod]) -> list[Pod]:
        orphans = self._pods.index(owners.CONTROLLER_INDEX, owners.orphans_of(job.metadata.namespace))
        return await owners.claim(
            self.client,
            job,
            Pod,
            [*listed, *orphans],
            matches=lambda pod: selects(job, pod),
            fresh_owner=partial(self.client.get, Job, job.metadata.name, namespace=job.metadata.namespace),
            finalizers=(FINALIZER,),
        )

    async def _free(self, key: Key, job: Job | None) -> None:
        """Pods of a job that is gone, or was replaced by one of its name, are counted by nobody: they lose their finalizer."""
        held = self._pods.index(HELD_INDEX, f"{key.namespace}/{key.name}")
        known = None if job is None else job.metadata.uid
        stray = [pod for pod in held if uid_of_controller(pod) != known]
        if not stray:
            return
        try:  # the cache of jobs may be behind that of pods
            live = (await self.client.get(Job, key.name, namespace=key.namespace)).metadata.uid
        except NotFound:
            live = ""
        await self.release(pod for pod in stray if uid_of_controller(pod) != live)

    async def release(self, released: Iterable[Pod]) -> None:
        """Take the tracking finalizer off."""

        async def take_off(pod: Pod) -> None:
            left = [f for f in pod.metadata.finalizers if f != FINALIZER]
            body = {"metadata": {"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resourceVersion, "finalizers": left}}
            self.released.add(pod.metadata.uid)
            try:
                await self.client.patch(Pod, pod.metadata.name, body, namespace=pod.metadata.namespace)
            except NotFound:
                pass  # gone, so nothing holds it
            except BaseException:
                self.released.discard(pod.metadata.uid)
                raise

        errors = await gather(*(take_off(pod) for pod in released if FINALIZER in pod.metadata.finalizers))
        _raise_first(errors)


class _Pass:
    """One reconcile of one unfinished job; `job` follows the writes."""

    def __init__(self, controller: JobController, job: Job, listed: list[Pod]) -> None:
        self._controller = controller
        self._client = controller.client
        self._now = controller.clock.time()
        self._stamp = times.format_time(self._now)
        self.job = job
        self._pods = listed

    async def run(self, expectations: Expectations, key: Key) -> Result | None:
        job = self.job
        status = job.status
        uncounted = status.uncountedTerminatedPods or UncountedTerminatedPods()
        base = replace(
            status,
            succeeded=(status.succeeded or 0) + len(uncounted.succeeded),
            failed=(status.failed or 0) + len(uncounted.failed),
        )
        counted = {*uncounted.succeeded, *uncounted.failed}
        counted |= {
            p.metadata.uid
            for p in self._pods
            if FINALIZER not in p.metadata.finalizers or p.metadata.uid in self._controller.released
        }
        progress = job_plan.progress_of(replace(job, status=base), self._pods, counted)
        outcome = job_plan.outcome_of(job, progress, self._now)
        wait: float | None = None
        doomed: list[Pod] = []
        started = 0
        if outcome is not None or job.spec.suspend:
            doomed = progress.active
        elif expectations.satisfied(key):
            doomed, started, wait = await self._manage(progress, expectations, key)
        if doomed:
            await self._delete(doomed)
        await self._count(progress, outcome, active=len(progress.active) - len(doomed) + started, ended=len(doomed))
        if outcome is None:
            deadline = job_plan.deadline_in(self.job, self._now)
            waits = [w for w in (wait, deadline) if w is not None]
            return Result(min(waits)) if waits else None
        return None

    # pods

    async def _manage(self, progress: Progress, expectations: Expectations, key: Key) -> tuple[list[Pod], int, float | None]:
        """(pods to delete, pods created, seconds to wait before more are created)."""
        wanted = job_plan.wanted_active(self.job, progress)
        held = len(progress.terminating) if self.job.spec.podReplacementPolicy == "Failed" else 0
        difference = wanted - len(progress.active) - held
        if difference < 0:
            now = self._controller.clock.time()
            return pods.to_delete(progress.active, (), min(-difference, len(progress.active)), now), 0, None
        if difference == 0:
            return [], 0, None
        pause = job_plan.backoff_in(self._pods, self._now)
        if pause > 0:
            return [], 0, pause
        count = min(difference, BURST)
        indexes: list[int | None] = [None] * count
        if job_plan.is_indexed(self.job):
            indexes = [*job_plan.missing_indexes(self.job, progress, count)]
        expectations.expect(key, creations=len(indexes))
        waiting = iter(indexes)

        async def create() -> None:
            await self._create(next(waiting))

        created, error = await slow_start(len(indexes), create)
        expectations.created(key, len(indexes) - created)
        if error is not None and not (isinstance(error, StatusError) and namespace_terminating(error)):
            raise error
        return [], created, None

    async def _create(self, index: int | None) -> None:
        job = self.job
        pod = new_pod(job, index)
        recorder = self._controller.recorder
        try:
            made = await self._client.create(pod)
        except StatusError as error:
            if not namespace_terminating(error):
                recorder.event(job, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        recorder.event(job, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")

    async def _delete(self, doomed: list[Pod]) -> None:
        """Pods that the job itself ends are not failures: they lose their finalizer first and are never counted."""
        await self._controller.release(doomed)
        job = self.job

        async def delete(pod: Pod) -> None:
            name = pod.metadata.name
            try:
                await self._client.delete(Pod, name, namespace=pod.metadata.namespace, uid=pod.metadata.uid)
            except (NotFound, Conflict):
                return
            self._controller.recorder.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

        _raise_first(await gather(*(delete(pod) for pod in doomed)))

    # status

    async def _count(self, progress: Progress, outcome: Outcome | None, *, active: int, ended: int) -> None:
        """Write the status; newly finished pods in two steps, as the module says."""
        uncounted = self.job.status.uncountedTerminatedPods or UncountedTerminatedPods()
        succeeded = (*uncounted.succeeded, *progress.new_succeeded)
        failed = (*uncounted.failed, *progress.new_failed)
        if progress.new_succeeded or progress.new_failed:
            listed = UncountedTerminatedPods(succeeded=succeeded, failed=failed)
            await self._write(replace(self.job.status, uncountedTerminatedPods=listed))
        finished = {*succeeded, *failed}
        ignored = {p.metadata.uid for p in self._pods if p.status.phase == "Failed"}
        await self._controller.release(pod for pod in self._pods if pod.metadata.uid in finished or pod.metadata.uid in ignored)
        await self._write(self._status(progress, outcome, active=active, ended=ended))

    def _status(self, progress: Progress, outcome: Outcome | None, *, active: int, ended: int) -> JobStatus:
        job, old = self.job, self.job.status
        indexed = job_plan.is_indexed(job)
        status = replace(
            old,
            active=active or None,
            ready=sum(pods.is_ready(p) for p in progress.active) if active else 0,
            terminating=len(progress.terminating) + ended,
            succeeded=progress.succeeded or None,
            failed=progress.failed or None,
            completedIndexes=job_plan.format_indexes(progress.succeeded_indexes) or None if indexed else None,
            failedIndexes=_failed_indexes(job, progress) if indexed else None,
            uncountedTerminatedPods=UncountedTerminatedPods(),
            startTime=old.startTime,
        )
        if job.spec.suspend and outcome is None:
            return self._suspended(status)
        if old.startTime is None:
            status = replace(status, startTime=self._stamp)
        suspended = conditions.find(status.conditions, "Suspended")
        if suspended is not None and suspended.status == "True":
            status = self._with(status, "Suspended", "JobResumed", "Job resumed", value="False")
            status = replace(status, startTime=self._stamp)
            self._controller.recorder.event(job, "Normal", "Resumed", "Job resumed")
        return status if outcome is None else self._finished(status, outcome, bool(status.terminating))

    def _suspended(self, status: JobStatus) -> JobStatus:
        current = conditions.find(status.conditions, "Suspended")
        if current is None or current.status != "True":
            self._controller.recorder.event(self.job, "Normal", "Suspended", "Job suspended")
        return replace(self._with(status, "Suspended", "JobSuspended", "Job suspended"), startTime=None)

    def _finished(self, status: JobStatus, outcome: Outcome, is_ending: bool) -> JobStatus:
        """The interim condition at once, the final one when the last pod has ended (KEP-3939)."""
        failed = outcome.type == "Failed"
        interim = "FailureTarget" if failed else "SuccessCriteriaMet"
        status = self._with(status, interim, outcome.reason, outcome.message)
        if is_ending:
            return status
        status = self._with(status, outcome.type, outcome.reason, outcome.message)
        if failed:
            self._controller.recorder.event(self.job, "Warning", outcome.reason, outcome.message)
            return status
        self._controller.recorder.event(self.job, "Normal", "Completed", "Job completed")
        return replace(status, completionTime=self._stamp)

    def _with(self, status: JobStatus, type: str, reason: str, message: str, *, value: str = "True") -> JobStatus:
        new = JobCondition(
            type=type,
            status=value,
            reason=reason,
            message=message,
            lastProbeTime=self._stamp,
            lastTransitionTime=self._stamp,
        )
        return replace(status, conditions=conditions.with_condition(status.conditions, new))

    async def _write(self, status: JobStatus) -> None:
        if _plain(status) != _plain(self.job.status):
            self.job = await self._client.update_status(replace(self.job, status=status))


def new_pod(job: Job, index: int | None) -> Pod:
    """The pod of a job, of one index when it is indexed. Pure."""
    pod = templates.pod_from(job.spec.template, job, owners.controller_reference(job))
    pod = replace(pod, metadata=replace(pod.metadata, finalizers=(*pod.metadata.finalizers, FINALIZER)))
    if index is None:
        return pod
    metadata = replace(
        pod.metadata,
        generateName=f"{job.metadata.name}-{index}-",
        labels=pod.metadata.labels | {INDEX: str(index)},
        annotations=pod.metadata.annotations | {INDEX: str(index)},
    )
    source = EnvVarSource(fieldRef=ObjectFieldSelector(fieldPath=f"metadata.labels['{INDEX}']"))
    variable = EnvVar(name="JOB_COMPLETION_INDEX", valueFrom=source)

    def numbered(container: Any) -> Any:
        if any(env.name == variable.name for env in container.env):
            return container
        return replace(container, env=(*container.env, variable))

    spec = replace(
        pod.spec,
        hostname=pod.spec.hostname or f"{job.metadata.name}-{index}",
        containers=tuple(map(numbered, pod.spec.containers)),
        initContainers=tuple(map(numbered, pod.spec.initContainers)),
    )
    return replace(pod, metadata=metadata, spec=spec)


def _failed_indexes(job: Job, progress: Progress) -> str | None:
    if job.spec.backoffLimitPerIndex is None:
        return None
    return job_plan.format_indexes(progress.failed_indexes)


def _plain(status: JobStatus) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(status).items() if value}


def _raise_first(errors: list[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


class TtlAfterFinishedController(Controller):
    """Deletes finished jobs `ttlSecondsAfterFinished` after their end (KEP-592)."""

    name = "ttl-after-finished-controller"
    identity = "ttl-after-finished-controller"
    workers = 2

    def setup(self) -> None:
        self._jobs = self.informers.informer(Job)
        self._jobs.on_add(self.enqueue)
        self._jobs.on_update(lambda _, new: self.enqueue(new))

    async def reconcile(self, key: Key) -> Result | None:
        job = self._jobs.get(*key)
        if job is None or job.spec.ttlSecondsAfterFinished is None or job.metadata.deletionTimestamp is not None:
            return None
        ended = next((c for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status == "True"), None)
        if ended is None or ended.lastTransitionTime is None:
            return None
        left = times.parse(ended.lastTransitionTime) + job.spec.ttlSecondsAfterFinished - self.clock.time()
        if left > 0:
            return Result(left)
        metadata = job.metadata
        try:
            await self.client.delete(
                Job,
                key.name,
                namespace=key.namespace,
                uid=metadata.uid,
                resource_version=metadata.resourceVersion,
                propagation="Foreground",
            )
        except NotFound:
            pass  # gone already
        return None
