"""CronJob. Source: pkg/apis/batch/v1/defaults.go, pkg/apis/batch/validation, pkg/registry/batch/cronjob."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.resources import checks, objectmeta
from minikube_api.resources.apps import cron_schedules, job_rules
from minikube_api.resources.apps.workloads import name_warnings, spec_changed
from minikube_api.resources.checks import Errors, nonnegative, nonnegative_fields, one_of
from minikube_api.resources.pods import defaults
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

_CONCURRENCY = ("Allow", "Forbid", "Replace")
#: the controller appends eleven characters to make the names of jobs, which have at most 63
_NAME_MAX = 52


class CronJobStrategy(KindStrategy):
    tracks_generation = True
    empty_status = {}

    def defaults(self, obj: Object) -> None:
        tree = obj.setdefault("spec", {})
        if not tree.get("concurrencyPolicy"):
            tree["concurrencyPolicy"] = "Allow"
        set_default(tree, "suspend", False)
        set_default(tree, "successfulJobsHistoryLimit", 3)
        set_default(tree, "failedJobsHistoryLimit", 1)
        template = tree.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        job = template.setdefault("spec", {})
        job_rules.failure_policy_defaults(job)
        defaults.template(job.setdefault("template", {}))

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return self._spec(obj.get("spec") or {}, None)

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        name = obj["metadata"].get("name") or ""
        return (
            [err.invalid("metadata.name", name, f"must be no more than {_NAME_MAX} characters")] if len(name) > _NAME_MAX else []
        )

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        if ctx.subresource == "status":
            return super().validate_update(ctx, obj, old)
        # the name may be longer than that of a new one, and what the schedule was is not held against it
        return objectmeta.update_problems(obj, old) + self._spec(obj.get("spec") or {}, old.get("spec") or {})

    def _spec(self, tree: Object, old: Object | None) -> Errors:
        schedule = tree.get("schedule") or ""
        zone = tree.get("timeZone")
        errors: Errors = []
        if not schedule:
            errors.append(err.required("spec.schedule"))
        else:
            errors += _schedule(schedule, zone, zone_allowed=old is not None and "TZ" in (old.get("schedule") or ""))
        errors += nonnegative(tree.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
        if zone is not None and (old is None or old.get("timeZone") != zone):
            errors += _time_zone(zone)
        policy, at = tree.get("concurrencyPolicy"), "spec.concurrencyPolicy"
        errors += one_of(policy, at, _CONCURRENCY) if policy else [err.required(at)]
        job = (tree.get("jobTemplate") or {}).get("spec") or {}
        errors += job_rules.job_spec(job, "spec.jobTemplate.spec")
        if job.get("selector") is not None:
            errors.append(
                err.invalid(
                    "spec.jobTemplate.spec.selector", checks.shown_selector(job["selector"]), "`selector` will be auto-generated"
                )
            )
        if job.get("manualSelector"):
            errors.append(err.not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
        return errors + nonnegative_fields(tree, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        found = name_warnings(obj) if old is None else []
        if old is None or spec_changed(obj, old):
            found += job_rules.warnings(_job(obj), "spec.jobTemplate.spec")
        if old is not None and "TZ" in ((obj.get("spec") or {}).get("schedule") or ""):
            found.append("cannot use TZ or CRON_TZ in spec.schedule, use timeZone instead")
        return found


def _job(obj: Object) -> Object:
    return ((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}


def _schedule(schedule: str, zone: str | None, *, zone_allowed: bool) -> Errors:
    path = "spec.schedule"
    problem = cron_schedules.problem(schedule)
    errors = [err.invalid(path, schedule, problem)] if problem else []
    if "TZ" not in schedule:
        return errors
    if not zone_allowed:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(err.invalid(path, schedule, detail))
    elif zone is not None:
        errors.append(err.invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
    return errors


def _time_zone(zone: str) -> Errors:
    path = "spec.timeZone"
    if not zone:
        return [err.invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = err.invalid(path, zone, f"unknown time zone {zone}")
    if not cron_schedules.well_formed_zone(zone):
        return [unknown]
    errors: Errors = []
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.append(err.invalid(path, zone, detail))
    return errors if cron_schedules.known_zone(zone) else [*errors, unknown]
