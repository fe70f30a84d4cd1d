"""What must hold of a job's spec, in Jobs and in the job templates of CronJobs (validateJobSpec), and what is warned of.

Source: pkg/apis/batch/validation/validation.go, pkg/registry/batch/job/strategy.go; KEP-3329 (pod failure policy), KEP-3850
(back-off per index), KEP-3998 (success policy).
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import FieldError
from minikube_api.resources import checks, go_form
from minikube_api.resources.apps import index_intervals
from minikube_api.resources.checks import Errors, nonnegative_fields, one_of
from minikube_api.resources.pods import spec
from minikube_api.resources.pods import warnings as pod_warnings
from minikube_api.resources.resource import Object
from minikube_api.schema import builtin

_RULES_MAX, _VALUES_MAX, _PATTERNS_MAX = 20, 255, 20
_MANAGED_BY_MAX = 63
_PARALLELISM_MAX = _FAILED_INDEXES_MAX = 100_000
#: above so many completions, a job with back-off per index is held to tighter limits
_MANY_COMPLETIONS, _MANY_LIMIT = 100_000, 10_000
_SUCCEEDED_INDEXES_MAX = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_MODES = ("NonIndexed", "Indexed")


def failure_policy_defaults(tree: Object) -> None:
    for rule in (tree.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def warnings(tree: Object, path: str) -> list[str]:
    found = []
    completions, parallelism = tree.get("completions") or 0, tree.get("parallelism") or 0
    if tree.get("completionMode") == "Indexed" and completions > _MANY_COMPLETIONS and parallelism > _MANY_LIMIT:
        found.append(
            "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might "
            "not be able to track completedIndexes when a big number of indexes fail"
        )
    return found + pod_warnings.pod_template(tree.get("template") or {}, None, f"{path}.template")


def job_spec(tree: Object, path: str) -> Errors:
    fields = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    errors = nonnegative_fields(tree, path, *fields, "backoffLimitPerIndex", "maxFailedIndexes")
    if tree.get("maxFailedIndexes") is not None and tree.get("backoffLimitPerIndex") is None:
        errors.append(err.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if (manager := tree.get("managedBy")) is not None:
        errors += checks.domain_prefixed_path(manager, f"{path}.managedBy")
        if len(manager) > _MANAGED_BY_MAX:
            errors.append(err.too_long(f"{path}.managedBy", manager, _MANAGED_BY_MAX))
    mode = tree.get("completionMode")
    if mode is not None:
        errors += one_of(mode, f"{path}.completionMode", _MODES)
    if mode == "Indexed":
        errors += _indexed(tree, path)
    elif mode in (None, "NonIndexed"):
        errors += [
            err.invalid(f"{path}.{field}", tree[field], "requires indexed completion mode")
            for field in ("backoffLimitPerIndex", "maxFailedIndexes")
            if tree.get(field) is not None
        ]
    errors += _failure_policy(tree, path)
    if (policy := tree.get("successPolicy")) is not None:
        at = f"{path}.successPolicy"
        if mode == "Indexed":
            errors += _success_policy(policy, tree.get("completions") or 0, at)
        else:
            errors.append(err.invalid(at, shown_success_policy(policy), "requires indexed completion mode"))
    errors += _replacement(tree, f"{path}.podReplacementPolicy")
    errors += spec.pod_template(tree.get("template") or {}, f"{path}.template")
    return errors + _restart_policy(tree, f"{path}.template.spec.restartPolicy")


def _restart_policy(tree: Object, path: str) -> Errors:
    policy = ((tree.get("template") or {}).get("spec") or {}).get("restartPolicy") or ""
    if policy in ("", "Always"):
        return [err.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [err.not_supported(path, policy, ("OnFailure", "Never"))]
    if tree.get("podFailurePolicy") is not None and policy != "Never":
        return [err.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _indexed(tree: Object, path: str) -> Errors:
    completions, parallelism, failed = (tree.get(field) for field in ("completions", "parallelism", "maxFailedIndexes"))
    errors: Errors = []
    if completions is None:
        errors.append(err.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _PARALLELISM_MAX:
        detail = f"must be less than or equal to {_PARALLELISM_MAX} when completion mode is Indexed"
        errors.append(err.invalid(f"{path}.parallelism", parallelism, detail))
    at = f"{path}.maxFailedIndexes"
    if failed is not None and completions is not None and failed > completions:
        errors.append(err.invalid(at, failed, "must be less than or equal to completions"))
    if failed is not None and failed > _FAILED_INDEXES_MAX:
        errors.append(err.invalid(at, failed, f"must be less than or equal to {_FAILED_INDEXES_MAX}"))
    if completions is None or completions <= _MANY_COMPLETIONS or tree.get("backoffLimitPerIndex") is None:
        return errors
    if failed is None:
        errors.append(err.required(at, f"must be specified when completions is above {_MANY_COMPLETIONS}"))
    detail = (
        f"must be less than or equal to {_MANY_LIMIT} when completions are above {_MANY_COMPLETIONS} "
        "and used with backoff limit per index"
    )
    for field, value in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
        if value is not None and value > _MANY_LIMIT:
            errors.append(err.invalid(f"{path}.{field}", value, detail))
    return errors


def _replacement(tree: Object, path: str) -> Errors:
    policy = tree.get("podReplacementPolicy")
    if policy is None:
        return []
    return one_of(policy, path, ("Failed",) if tree.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed"))


# pod failure policy


def _failure_policy(tree: Object, path: str) -> Errors:
    policy = tree.get("podFailurePolicy")
    if policy is None:
        return []
    rules, at = policy.get("rules") or (), f"{path}.podFailurePolicy.rules"
    errors: Errors = [err.too_many(at, len(rules), _RULES_MAX)] if len(rules) > _RULES_MAX else []
    pod_spec = (tree.get("template") or {}).get("spec") or {}
    containers = {c.get("name") for kind in ("containers", "initContainers") for c in pod_spec.get(kind) or ()}
    per_index = tree.get("backoffLimitPerIndex") is not None
    for i, rule in enumerate(rules):
        errors += _failure_rule(rule, f"{at}[{i}]", containers, per_index=per_index)
    return errors


def _required_one_of(value: str, path: str, supported: tuple[str, ...]) -> Errors:
    """An enum that must be given; the words for a missing one list the values as Go prints a slice."""
    if value:
        return one_of(value, path, supported)
    return [err.required(path, "valid values: [" + " ".join(err.quote(one) for one in supported) + "]")]


def _failure_rule(rule: Object, path: str, containers: set[Any], *, per_index: bool) -> Errors:
    action, codes, conditions = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    errors = _required_one_of(action, f"{path}.action", _ACTIONS)
    if action == "FailIndex" and not per_index:
        errors.append(err.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    if codes is not None:
        errors += _exit_codes(codes, f"{path}.onExitCodes", containers)
    if len(conditions) > _PATTERNS_MAX:
        errors.append(err.too_many(f"{path}.onPodConditions", len(conditions), _PATTERNS_MAX))
    for i, pattern in enumerate(conditions):
        at = f"{path}.onPodConditions[{i}]"
        errors += checks.label_name(pattern.get("type") or "", f"{at}.type")
        errors += _required_one_of(pattern.get("status") or "", f"{at}.status", _STATUSES)
    if codes is not None and conditions:
        errors.append(err.invalid(path, err.OMIT, "specifying both OnExitCodes and OnPodConditions is not supported"))
    elif codes is None and not conditions:
        errors.append(err.invalid(path, err.OMIT, "specifying one of OnExitCodes and OnPodConditions is required"))
    return errors


def _exit_codes(codes: Object, path: str, containers: set[Any]) -> Errors:
    operator, values = codes.get("operator") or "", codes.get("values")
    errors = _required_one_of(operator, f"{path}.operator", _OPERATORS)
    if codes.get("containerName") is not None and codes["containerName"] not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(err.invalid(f"{path}.containerName", codes["containerName"], detail))
    at = f"{path}.values"
    if not values:
        return [*errors, err.invalid(at, values, "at least one value is required")]
    if len(values) > _VALUES_MAX:
        errors.append(err.too_many(at, len(values), _VALUES_MAX))
    for i, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(err.invalid(f"{at}[{i}]", value, "must not be 0 for the In operator"))
        if value in values[:i]:
            errors.append(err.duplicate(f"{at}[{i}]", value))
    if any(values[i] > values[i + 1] for i in range(len(values) - 1)):
        errors.append(err.invalid(at, values, "must be ordered"))
    return errors


def shown_failure_policy(policy: Object | None) -> Object | None:
    """As messages print it: Go's internal type, every field in its order."""
    return policy and {"Rules": [_shown_rule(rule) for rule in policy.get("rules") or ()] or None}


def _shown_rule(rule: Object) -> Object:
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    return {
        "Action": rule.get("action") or "",
        "OnExitCodes": codes
        and {
            "ContainerName": codes.get("containerName"),
            "Operator": codes.get("operator") or "",
            "Values": codes.get("values"),
        },
        "OnPodConditions": conditions and [{"Type": c.get("type") or "", "Status": c.get("status") or ""} for c in conditions],
    }


# success policy


def _success_policy(policy: Object, completions: int, path: str) -> Errors:
    rules, at = policy.get("rules") or (), f"{path}.rules"
    errors: Errors = []
    if not rules:
        errors.append(err.required(at, "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > _RULES_MAX:
        errors.append(err.too_many(at, len(rules), _RULES_MAX))
    for i, rule in enumerate(rules):
        errors += _success_rule(rule, completions, f"{at}[{i}]")
    return errors


def _success_rule(rule: Object, completions: int, path: str) -> Errors:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        return [err.required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    errors: Errors = []
    total = 0
    if indexes is not None:
        at = f"{path}.succeededIndexes"
        if len(indexes) > _SUCCEEDED_INDEXES_MAX:
            errors.append(err.too_long(at, indexes, _SUCCEEDED_INDEXES_MAX))
        try:
            total = index_intervals.count(indexes, completions)
        except ValueError as error:
            errors.append(err.invalid(at, indexes, f"error parsing succeededIndexes: {error}"))
    if count is not None:
        at = f"{path}.succeededCount"
        errors += checks.nonnegative(count, at)
        limits = [(completions, "the number of specified completions")]
        if indexes is not None:
            limits.append((total, "the number of indexes in the specified succeededIndexes field"))
        errors += [_above(at, count, limit, what) for limit, what in limits if count > limit]
    return errors


def _above(path: str, value: int, limit: int, what: str) -> FieldError:
    return err.invalid(path, value, f"must be less than or equal to {limit} ({what})")


def shown_success_policy(policy: Object | None) -> Object | None:
    if policy is None:
        return None
    rules = [
        {name: rule.get(name[0].lower() + name[1:]) for name in ("SucceededIndexes", "SucceededCount")}
        for rule in policy.get("rules") or ()
    ]
    return {"Rules": rules or None}


# the template


def template_change(new: Object, was: Object, old: Object, path: str) -> Errors:
    """The template is fixed; but a suspended job without pods may get other scheduling directives and resources."""
    template, before = new.get("template") or {}, was.get("template") or {}
    if was.get("suspend") and not (old.get("status") or {}).get("active"):
        template, before = _without_directives(template), _without_directives(before)
    if template == before:
        return []
    # loaded here: the schema is large, and this is rare
    schema = builtin.load("batch", "v1", "Job").fields["spec"].fields["template"]
    return [err.invalid(f"{path}.template", go_form.pod_template(new.get("template") or {}, schema), "field is immutable")]


def _without_directives(template: Object) -> Object:
    pod_spec = dict(template.get("spec") or {})
    for field in ("nodeSelector", "tolerations", "schedulingGates"):
        pod_spec.pop(field, None)
    if affinity := pod_spec.pop("affinity", None):
        # of affinities only that to nodes is free
        if rest := {kind: value for kind, value in affinity.items() if kind != "nodeAffinity" and value is not None}:
            pod_spec["affinity"] = rest
    for kind in ("containers", "initContainers"):
        if pod_spec.get(kind):
            pod_spec[kind] = [{k: v for k, v in one.items() if k != "resources"} for one in pod_spec[kind]]
    meta = {k: v for k, v in (template.get("metadata") or {}).items() if k not in ("labels", "annotations")}
    return {"metadata": meta, "spec": _without_empty(pod_spec)}


def _without_empty(pod_spec: Object) -> Object:
    return {key: value for key, value in pod_spec.items() if value not in (None, [], {})}
