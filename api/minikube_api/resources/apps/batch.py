"""Job and CronJob. Source: pkg/apis/batch/v1/defaults.go, pkg/apis/batch/validation, pkg/registry/batch."""

from __future__ import annotations

import re
import zoneinfo
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, selectors
from minikube_api.resources import checks
from minikube_api.resources.apps.workloads import TemplateStrategy
from minikube_api.resources.checks import Errors, nonnegative, nonnegative_fields, one_of
from minikube_api.resources.pods import defaults, spec, warnings
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_UID, _OLD_NAME = "controller-uid", "job-name"
_MAX_INT32 = 2**31 - 1


class JobStrategy(TemplateStrategy):
    def defaults(self, obj: Object) -> None:
        tree = self.prepare_template(obj)
        if tree.get("completions") is None and tree.get("parallelism") is None:
            tree["completions"] = tree["parallelism"] = 1
        set_default(tree, "parallelism", 1)
        if not tree.get("completionMode"):
            tree["completionMode"] = "NonIndexed"
        if tree.get("backoffLimit") is None:
            tree["backoffLimit"] = _MAX_INT32 if tree.get("backoffLimitPerIndex") is not None else 6
        set_default(tree, "suspend", False)
        set_default(tree, "manualSelector", False)
        if not tree.get("podReplacementPolicy"):
            tree["podReplacementPolicy"] = "Failed" if tree.get("podFailurePolicy") is not None else "TerminatingOrFailed"
        for rule in (tree.get("podFailurePolicy") or {}).get("rules") or ():
            for pattern in rule.get("onPodConditions") or ():
                if not pattern.get("status"):
                    pattern["status"] = "True"
        template = tree["template"]
        labels = (template.get("metadata") or {}).get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        tree = obj["spec"]
        if not tree.get("manualSelector"):
            _generate_selector(obj)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = job_spec(tree, "spec")
        if tree.get("selector") is None:
            errors.append(err.required("spec.selector"))
            return errors
        errors += checks.label_selector(tree["selector"], "spec.selector")
        labels = ((tree.get("template") or {}).get("metadata") or {}).get("labels") or {}
        if not selectors.from_label_selector(tree["selector"]).matches(labels):
            detail = "`selector` does not match template `labels`"
            errors.append(err.invalid("spec.template.metadata.labels", labels or None, detail))
        return errors

    def validate_new(self, ctx: WriteContext, obj: Object) -> Errors:
        return _generated_selector_problems(obj)

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = obj["spec"], old["spec"]
        errors: Errors = []
        errors += _completions_change(new, was)
        errors += checks.unchanged(new, was, "selector", "completionMode", "podFailurePolicy", path="spec")
        errors += checks.unchanged(new, was, "backoffLimitPerIndex", "managedBy", "successPolicy", path="spec")
        return errors + _template_change(new, was, old)

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        status = obj.get("status") or {}
        return nonnegative_fields(status, "status", "active", "succeeded", "failed", "ready", "terminating")


def _generate_selector(obj: Object) -> None:
    """Without manualSelector a job selects by its own uid; its pods carry the old and the new labels."""
    tree, meta = obj["spec"], obj["metadata"]
    uid, name = meta.get("uid", ""), meta.get("name", "")
    template_meta = tree["template"].setdefault("metadata", {})
    labels = template_meta["labels"] = dict(template_meta.get("labels") or {})
    for key, value in ((_UID, uid), (_NAME, name), (_OLD_UID, uid), (_OLD_NAME, name)):
        labels.setdefault(key, value)
    own = meta.get("labels")
    if not own:
        meta["labels"] = dict(labels)
    selector = tree.get("selector")
    if selector is None:
        tree["selector"] = {"matchLabels": {_UID: uid}}
    else:
        selector.setdefault("matchLabels", {}).setdefault(_UID, uid)


def _generated_selector_problems(obj: Object) -> Errors:
    tree, meta = obj["spec"], obj["metadata"]
    if tree.get("manualSelector"):
        return []
    selector = tree.get("selector")
    if selector is None:
        return []
    errors: Errors = []
    labels = ((tree.get("template") or {}).get("metadata") or {}).get("labels") or {}
    uid, name = meta.get("uid", ""), meta.get("name", "")
    path = "spec.template.metadata.labels"
    for key, value in ((_OLD_UID, uid), (_OLD_NAME, name), (_UID, uid), (_NAME, name)):
        if labels.get(key) != value:
            if key not in labels:
                errors.append(err.required(f"{path}[{key}]", f"must be '{value}'"))
            else:
                errors.append(err.invalid(path, labels, f"must be '{value}'"))
    if not errors and (selector.get("matchLabels") or {}).get(_UID) != uid:
        errors.append(err.invalid("spec.selector", selector, "`selector` not auto-generated"))
    return errors


def job_spec(tree: Object, path: str) -> Errors:
    """validateJobSpec: what jobs and the job templates of cron jobs share."""
    fields = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    errors = nonnegative_fields(tree, path, *fields, "backoffLimitPerIndex", "maxFailedIndexes")
    mode = tree.get("completionMode")
    if mode is not None:
        errors += one_of(mode, f"{path}.completionMode", ("NonIndexed", "Indexed"))
        if mode == "Indexed":
            errors += _indexed(tree, path)
    if mode != "Indexed":
        detail = "requires indexed completion mode"
        if tree.get("backoffLimitPerIndex") is not None:
            errors.append(err.invalid(f"{path}.backoffLimitPerIndex", tree["backoffLimitPerIndex"], detail))
        if tree.get("successPolicy") is not None:
            errors.append(err.invalid(f"{path}.successPolicy", tree["successPolicy"], "requires indexed completion mode"))
    if tree.get("maxFailedIndexes") is not None and tree.get("backoffLimitPerIndex") is None:
        detail = "when maxFailedIndexes is specified"
        errors.append(err.required(f"{path}.backoffLimitPerIndex", detail))
    if tree.get("managedBy") is not None:
        errors += [err.invalid(f"{path}.managedBy", tree["managedBy"], m) for m in names.domain_prefixed_path(tree["managedBy"])]
    errors += _pod_failure_policy(tree, path)
    errors += _replacement(tree, path)
    errors += spec.pod_template(tree.get("template") or {}, f"{path}.template")
    policy = ((tree.get("template") or {}).get("spec") or {}).get("restartPolicy")
    at = f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        errors.append(err.required(at, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(err.not_supported(at, policy, ("OnFailure", "Never")))
    elif tree.get("podFailurePolicy") is not None and policy != "Never":
        errors.append(err.invalid(at, policy, 'only "Never" is supported when podFailurePolicy is specified'))
    return errors


def _indexed(tree: Object, path: str) -> Errors:
    if tree.get("completions") is None:
        detail = "when completion mode is Indexed"
        return [err.required(f"{path}.completions", detail)]
    errors: Errors = []
    if (tree.get("parallelism") or 0) > 100_000:
        detail = "must be less than or equal to 100000 when completion mode is Indexed"
        errors.append(err.invalid(f"{path}.parallelism", tree["parallelism"], detail))
    return errors


def _replacement(tree: Object, path: str) -> Errors:
    policy = tree.get("podReplacementPolicy")
    if policy is None:
        return []
    at = f"{path}.podReplacementPolicy"
    if tree.get("podFailurePolicy") is not None:
        return one_of(policy, at, ("Failed",))
    return one_of(policy, at, ("Failed", "TerminatingOrFailed"))


_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def _pod_failure_policy(tree: Object, path: str) -> Errors:
    policy = tree.get("podFailurePolicy")
    if policy is None:
        return []
    errors: Errors = []
    rules, at = policy.get("rules") or (), f"{path}.podFailurePolicy.rules"
    if len(rules) > 20:
        errors.append(err.too_many(at, len(rules), 20))
    containers = {c.get("name") for c in defaults.all_containers((tree.get("template") or {}).get("spec") or {})}
    for i, rule in enumerate(rules):
        errors += _failure_rule(rule, f"{at}[{i}]", containers)
    return errors


def _failure_rule(rule: Object, path: str, containers: set[Any]) -> Errors:
    action, codes = rule.get("action"), rule.get("onExitCodes")
    errors = (
        one_of(action, f"{path}.action", _ACTIONS)
        if action
        else [err.required(f"{path}.action", "valid values: " + ", ".join(f'"{a}"' for a in _ACTIONS))]
    )
    if codes is not None:
        at = f"{path}.onExitCodes"
        errors += one_of(codes.get("operator"), f"{at}.operator", ("In", "NotIn"))
        if codes.get("containerName") is not None and codes["containerName"] not in containers:
            errors.append(
                err.invalid(
                    f"{at}.containerName",
                    codes["containerName"],
                    "must be one of the container or initContainer names in the pod template",
                )
            )
        values = codes.get("values") or ()
        if not values:
            errors.append(err.invalid(f"{at}.values", values, "at least one value is required"))
        for i, value in enumerate(values):
            if codes.get("operator") == "In" and value == 0:
                errors.append(err.invalid(f"{at}.values[{i}]", value, "must not be 0 for the In operator"))
            if value in values[:i]:
                errors.append(err.duplicate(f"{at}.values[{i}]", value))
    for i, pattern in enumerate(rule.get("onPodConditions") or ()):
        errors += checks.label_name(pattern.get("type") or "", f"{path}.onPodConditions[{i}].type")
        errors += one_of(pattern.get("status"), f"{path}.onPodConditions[{i}].status", ("False", "True", "Unknown"))
    given = codes is not None, bool(rule.get("onPodConditions"))
    if all(given):
        errors.append(err.invalid(path, None, "specifying both OnExitCodes and OnPodConditions is not supported"))
    elif not any(given):
        errors.append(err.invalid(path, None, "specifying one of OnExitCodes and OnPodConditions is required"))
    return errors


def _completions_change(new: Object, was: Object) -> Errors:
    if new.get("completions") == was.get("completions"):
        return []
    if new.get("completionMode") != "Indexed":
        return checks.unchanged(new, was, "completions", path="spec")
    if new.get("completions") != new.get("parallelism"):
        detail = "can only be modified in tandem with spec.parallelism"
        return [err.invalid("spec.completions", new.get("completions"), detail)]
    return []


def _template_change(new: Object, was: Object, old: Object) -> Errors:
    """The template is immutable, but a suspended job that never started may get other scheduling directives and resources."""
    template, before = new.get("template") or {}, was.get("template") or {}
    status = old.get("status") or {}
    if was.get("suspend") and not status.get("active"):
        template, before = _without_directives(template), _without_directives(before)
    if template == before:
        return []
    return [err.invalid("spec.template", new.get("template"), "field is immutable")]


def _without_directives(template: Object) -> Object:
    pod_spec = dict(template.get("spec") or {})
    for field in ("nodeSelector", "tolerations", "affinity", "schedulingGates"):
        pod_spec.pop(field, None)
    for kind in ("containers", "initContainers"):
        if pod_spec.get(kind):
            pod_spec[kind] = [{k: v for k, v in one.items() if k != "resources"} for one in pod_spec[kind]]
    return {"spec": pod_spec}


_CONCURRENCY = ("Allow", "Forbid", "Replace")
_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_zone_re = re.compile(r"[A-Za-z.\-_/+0-9]{1,}")


class CronJobStrategy(KindStrategy):
    name_problems = staticmethod(names.is_dns_subdomain)
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
        defaults.template(job.setdefault("template", {}))

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors: Errors = []
        schedule = tree.get("schedule")
        errors += _schedule(schedule, tree.get("timeZone")) if schedule else [err.required("spec.schedule")]
        errors += nonnegative(tree.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
        if tree.get("timeZone") is not None:
            errors += _time_zone(tree["timeZone"])
        policy = tree.get("concurrencyPolicy")
        at = "spec.concurrencyPolicy"
        errors += one_of(policy, at, _CONCURRENCY) if policy else [err.required(at)]
        template = tree.get("jobTemplate") or {}
        job = template.get("spec") or {}
        errors += job_spec(job, "spec.jobTemplate.spec")
        if job.get("manualSelector"):
            errors.append(err.not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
        if job.get("selector") is not None:
            detail = "`selector` will be auto-generated"
            errors.append(err.invalid("spec.jobTemplate.spec.selector", job["selector"], detail))
        errors += nonnegative_fields(tree, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
        name = obj["metadata"].get("name") or ""
        if len(name) > 52:
            # the controller appends eleven characters to make the names of jobs
            errors.append(err.invalid("metadata.name", name, "must be no more than 52 characters"))
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        before = None if old is None else _job_template(old)
        return warnings.pod_template(_job_template(obj), before, "spec.jobTemplate.spec.template")


def _job_template(obj: Object) -> Object:
    return (((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}).get("template") or {}


def _time_zone(zone: str) -> Errors:
    path = "spec.timeZone"
    if not zone:
        return [err.invalid(path, zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        return [err.invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")]
    try:
        if not _zone_re.fullmatch(zone):
            raise ValueError(zone)
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [err.invalid(path, zone, f"unknown time zone {zone}")]
    return []


_FIELDS = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("dom", 1, 31, {}),
    (
        "month",
        1,
        12,
        {n: i for i, n in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)},
    ),
    ("dow", 0, 6, {n: i for i, n in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}),
)


def _schedule(schedule: str, zone: str | None) -> Errors:
    """What robfig/cron's standard parser says of a schedule."""
    path = "spec.schedule"
    problem = ""
    text = schedule
    if "TZ" in schedule:
        if zone is not None:
            return [err.invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")]
        return [err.invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")]
    if text.startswith("@"):
        if text in _MACROS:
            return []
        if text.startswith("@every "):
            from minikube_api.meta import durations

            try:
                durations.parse(text[7:])
            except ValueError as error:
                problem = f"failed to parse duration {text}: {error}"
            return [err.invalid(path, schedule, problem)] if problem else []
        return [err.invalid(path, schedule, f"unrecognized descriptor: {text}")]
    fields = text.split()
    if len(fields) != 5:
        return [err.invalid(path, schedule, f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")]
    for value, (_, low, high, known) in zip(fields, _FIELDS, strict=True):
        for part in value.split(","):
            if problem := _cron_range(part, low, high, known):
                return [err.invalid(path, schedule, problem)]
    return []


def _cron_range(expr: str, low: int, high: int, known: dict[str, int]) -> str:
    ranged, *steps = expr.split("/")
    bounds = ranged.split("-")
    start, end = low, high
    if bounds[0] not in ("*", "?"):
        start, problem = _cron_number(bounds[0], known)
        if problem:
            return problem
        end = start
        if len(bounds) == 2:
            end, problem = _cron_number(bounds[1], known)
            if problem:
                return problem
        elif len(bounds) > 2:
            return f"too many hyphens: {expr}"
    if len(steps) > 1:
        return f"too many slashes: {expr}"
    if steps:
        step, problem = _cron_number(steps[0], {})
        if problem:
            return problem
        if len(bounds) == 1 and bounds[0] not in ("*", "?"):
            end = high
        if step == 0:
            return f"step of range should be a positive number: {expr}"
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {expr}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {expr}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {expr}"
    return ""


def _cron_number(text: str, known: dict[str, int]) -> tuple[int, str]:
    if text.lower() in known:
        return known[text.lower()], ""
    try:
        number = int(text)
    except ValueError:
        return 0, f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
    return (number, "") if number >= 0 else (0, f"negative number ({number}) not allowed: {text}")
