"""Planning of Jobs: what the pods say about progress, whether the job is finished, which pods to create or delete. Pure.

Source: pkg/controller/job; KEP-2214 (indexed), KEP-3329 (pod failure policy), KEP-3850 (back-off limit per index), KEP-3998 (success policy).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from minikube_api.meta import times
from minikube_api.schema.typed.batch_v1 import Job, PodFailurePolicyRule
from minikube_api.schema.typed.core_v1 import Pod
from minikube_py.controllers import pods

INDEX: Final = "batch.kubernetes.io/job-completion-index"
#: Back-off before a failed pod is replaced: 10 s, doubled a failure, at most 10 minutes.
FIRST_BACKOFF: Final = 10.0
LAST_BACKOFF: Final = 600.0
DEFAULT_LIMIT: Final = 6


@dataclass(slots=True)
class Progress:
    """Counts over all pods that the job ever had, those already gone included (`status.succeeded`, `status.failed`)."""

    active: list[Pod] = field(default_factory=list)
    terminating: list[Pod] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    #: uids of finished pods that the status has not counted yet
    new_succeeded: list[str] = field(default_factory=list)
    new_failed: list[str] = field(default_factory=list)
    #: message of a FailJob rule that matched
    policy_failure: str = ""
    #: failures of each index that count
    index_failures: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: condition type Complete or Failed, with reason and message."""

    type: str
    reason: str
    message: str


def index_of(pod: Pod) -> int | None:
    text = pod.metadata.annotations.get(INDEX, "")
    return int(text) if text.isdigit() else None


def is_indexed(job: Job) -> bool:
    return job.spec.completionMode == "Indexed"


def parse_indexes(text: str | None) -> set[int]:
    """`1,3-5` -> {1, 3, 4, 5}."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """{1, 3, 4, 5} -> `1,3-5`; two neighbours are written one by one (`3,4`), as Kubernetes writes them."""
    parts: list[str] = []
    run: list[int] = []

    def close() -> None:
        if run:
            parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}{',' if len(run) == 2 else '-'}{run[-1]}")
            run.clear()

    for index in sorted(indexes):
        if run and index != run[-1] + 1:
            close()
        run.append(index)
    close()
    return ",".join(parts)


def progress_of(job: Job, listed: Sequence[Pod], counted: set[str]) -> Progress:
    """What the pods say. `counted` are uids of finished pods that `status.succeeded` and `status.failed` have in them already."""
    status = job.status
    progress = Progress(succeeded=status.succeeded or 0, failed=status.failed or 0)
    if is_indexed(job):
        progress.succeeded_indexes = parse_indexes(status.completedIndexes)
        progress.failed_indexes = parse_indexes(status.failedIndexes)
    replace_terminating = job.spec.podReplacementPolicy != "Failed"
    for pod in listed:
        index = index_of(pod)
        if pod.status.phase == "Succeeded":
            if pod.metadata.uid not in counted:
                progress.new_succeeded.append(pod.metadata.uid)
            if is_indexed(job) and index is not None and index < (job.spec.completions or 0):
                progress.succeeded_indexes.add(index)
        elif pod.status.phase == "Failed" or (replace_terminating and pod.metadata.deletionTimestamp is not None):
            if pod.status.phase != "Failed":
                progress.terminating.append(pod)
            action, message = failure_action(job, pod)
            if action == "FailJob" and not progress.policy_failure:
                progress.policy_failure = message
            if action == "FailIndex" and index is not None:
                progress.failed_indexes.add(index)
            if pod.metadata.uid not in counted and action != "Ignore":
                progress.new_failed.append(pod.metadata.uid)
            if action == "Count" and index is not None:
                progress.index_failures[index] = progress.index_failures.get(index, 0) + 1
        elif pod.metadata.deletionTimestamp is not None:
            progress.terminating.append(pod)
        else:
            progress.active.append(pod)
    limit = job.spec.backoffLimitPerIndex
    if limit is not None:
        progress.failed_indexes |= {i for i, n in progress.index_failures.items() if n > limit}
        progress.failed_indexes -= progress.succeeded_indexes
    if is_indexed(job):
        progress.succeeded = len(progress.succeeded_indexes)
    else:
        progress.succeeded += len(progress.new_succeeded)
    progress.failed += len(progress.new_failed)
    return progress


def failure_action(job: Job, pod: Pod) -> tuple[str, str]:
    """What the job's podFailurePolicy does with a failed pod: the first rule that matches; Count without one."""
    policy = job.spec.podFailurePolicy
    for number, rule in enumerate((policy.rules if policy is not None else None) or ()):
        why = _matches(rule, pod)
        if why:
            message = f"{why} matching {rule.action} rule at index {number}"
            return rule.action, message
    return "Count", ""


def _matches(rule: PodFailurePolicyRule, pod: Pod) -> str:
    key = f"{pod.metadata.namespace}/{pod.metadata.name}"
    codes = rule.onExitCodes
    if codes is not None:
        for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
            ended = status.state.terminated
            if ended is None or ended.exitCode == 0 or (codes.containerName and codes.containerName != status.name):
                continue
            if (ended.exitCode in (codes.values or ())) == (codes.operator == "In"):
                return f"Container {status.name} for pod {key} failed with exit code {ended.exitCode}"
        return ""
    for pattern in rule.onPodConditions:
        for condition in pod.status.conditions:
            if condition.type == pattern.type and condition.status == (pattern.status or "True"):
                return f"Pod {key} has condition {condition.type}"
    return ""


def outcome_of(job: Job, progress: Progress, now: float) -> Outcome | None:
    """Whether the job is finished, and how."""
    spec = job.spec
    if progress.policy_failure:
        return Outcome("Failed", "PodFailurePolicy", progress.policy_failure)
    limit = DEFAULT_LIMIT if spec.backoffLimit is None else spec.backoffLimit
    if spec.backoffLimitPerIndex is None or spec.backoffLimit is not None:
        restarts = sum(pods.restarts(p)[0] for p in progress.active) if _restarts_in_place(job) else 0
        if progress.failed > limit or (_restarts_in_place(job) and restarts and restarts >= max(limit, 1)):
            return Outcome("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if deadline_in(job, now) == 0.0:
        return Outcome("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.maxFailedIndexes is not None and len(progress.failed_indexes) > spec.maxFailedIndexes:
        return Outcome("Failed", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    if is_indexed(job):
        success = success_message(job, progress.succeeded_indexes)
        if success:
            return Outcome("Complete", "SuccessPolicy", success)
    if spec.completions is None:
        if progress.succeeded and not progress.active:
            return Outcome("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        return None
    if progress.succeeded >= spec.completions:
        return Outcome("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    if progress.failed_indexes and len(progress.failed_indexes) + progress.succeeded >= spec.completions:
        return Outcome("Failed", "FailedIndexes", "Job has failed indexes")
    return None


def _restarts_in_place(job: Job) -> bool:
    return job.spec.template.spec.restartPolicy == "OnFailure"


def success_message(job: Job, succeeded: set[int]) -> str:
    policy = job.spec.successPolicy
    for number, rule in enumerate((policy.rules if policy is not None else None) or ()):
        among = parse_indexes(rule.succeededIndexes) if rule.succeededIndexes else None
        met = succeeded if among is None else succeeded & among
        needed = rule.succeededCount if rule.succeededCount is not None else len(among or ())
        if met and len(met) >= needed:
            return f"Matched rules at index {number}"
    return ""


def deadline_in(job: Job, now: float) -> float | None:
    """Seconds until activeDeadlineSeconds ends the job (0: it has); None without a deadline, or when not started or suspended."""
    if job.spec.activeDeadlineSeconds is None or not job.status.startTime or job.spec.suspend:
        return None
    return max(0.0, times.parse(job.status.startTime) + job.spec.activeDeadlineSeconds - now)


def wanted_active(job: Job, progress: Progress) -> int:
    """How many pods should run now."""
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    if job.spec.completions is None:
        # A work queue: as soon as one has succeeded no new ones start, the others finish.
        return min(len(progress.active), parallelism) if progress.succeeded else parallelism
    return max(0, min(parallelism, job.spec.completions - progress.succeeded - len(progress.failed_indexes)))


def missing_indexes(job: Job, progress: Progress, count: int) -> list[int]:
    """The lowest indexes that need a pod."""
    taken = progress.succeeded_indexes | progress.failed_indexes
    taken |= {i for pod in (*progress.active, *_holding(job, progress)) if (i := index_of(pod)) is not None}
    found: list[int] = []
    for index in range(job.spec.completions or 0):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found


def _holding(job: Job, progress: Progress) -> list[Pod]:
    """Terminating pods whose place is not free yet."""
    return progress.terminating if job.spec.podReplacementPolicy == "Failed" else []


def backoff_in(listed: Iterable[Pod], now: float) -> float:
    """Seconds to wait before new pods: by the number of failures since the last success."""
    finished = sorted(
        ((end, pod.status.phase == "Succeeded") for pod in listed if (end := finished_at(pod)) is not None),
        reverse=True,
    )
    failures = 0
    for _, succeeded in finished:
        if succeeded:
            break
        failures += 1
    if not failures:
        return 0.0
    return max(0.0, finished[0][0] + min(FIRST_BACKOFF * 2 ** (failures - 1), LAST_BACKOFF) - now)


def finished_at(pod: Pod) -> float | None:
    """When a finished pod's last container ended."""
    if not pods.is_terminal(pod):
        return None
    ends = [
        times.parse(s.state.terminated.finishedAt)
        for s in pod.status.containerStatuses
        if s.state.terminated is not None and s.state.terminated.finishedAt
    ]
    if ends:
        return max(ends)
    fallback = pod.metadata.deletionTimestamp or pod.metadata.creationTimestamp
    return times.parse(fallback) if fallback else None
