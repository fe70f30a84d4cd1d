"""Job. Source: pkg/apis/batch/v1/defaults.go, pkg/apis/batch/validation, pkg/registry/batch/job."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.apps import job_rules, job_status
from minikube_api.resources.apps.workloads import (
    MISMATCH,
    TemplateStrategy,
    name_warnings,
    selector_unchanged,
    selects,
    spec_changed,
)
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import set_default

_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_OLD_UID, _OLD_NAME = "controller-uid", "job-name"


class JobStrategy(TemplateStrategy):
    def defaults(self, obj: Object) -> None:
        tree = self.prepare_template(obj)
        if tree.get("completions") is None and tree.get("parallelism") is None:
            tree["completions"] = tree["parallelism"] = 1
        set_default(tree, "parallelism", 1)
        set_default(tree, "completionMode", "NonIndexed")
        set_default(tree, "backoffLimit", checks.MAX_INT32 if tree.get("backoffLimitPerIndex") is not None else 6)
        set_default(tree, "suspend", False)
        set_default(tree, "manualSelector", False)
        set_default(tree, "podReplacementPolicy", "Failed" if tree.get("podFailurePolicy") is not None else "TerminatingOrFailed")
        job_rules.failure_policy_defaults(tree)
        template = tree["template"]
        labels = (template.get("metadata") or {}).get("labels")
        if labels and not obj["metadata"].get("labels"):
            # one map for both, as in Kubernetes: what is generated for the pods comes to the job too
            obj["metadata"]["labels"] = labels

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        tree = obj["spec"]
        if not tree.get("manualSelector"):
            _generate_selector(obj)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        tree = obj.get("spec") or {}
        errors = _generated_selector_problems(obj) + job_rules.job_spec(tree, "spec") + _pod_names(obj)
        selector = tree.get("selector")
        if selector is None:
            errors.append(err.required("spec.selector"))
        errors += checks.label_selector(selector, "spec.selector")
        labels = ((tree.get("template") or {}).get("metadata") or {}).get("labels")
        if selects(selector, labels) is False:
            errors.append(err.invalid("spec.template.metadata.labels", checks.shown_labels(labels), MISMATCH))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        new, was = obj["spec"], old["spec"]
        errors = _completions_change(new, was)
        errors += selector_unchanged(obj, old)
        errors += job_rules.template_change(new, was, old, "spec")
        errors += checks.unchanged(new, was, "completionMode", "backoffLimitPerIndex", "managedBy", path="spec")
        for field, shown in (
            ("podFailurePolicy", job_rules.shown_failure_policy), ("successPolicy", job_rules.shown_success_policy),
        ):  # fmt: skip
            if new.get(field) != was.get(field):
                errors.append(err.invalid(f"spec.{field}", shown(new.get(field)), "field is immutable"))
        return errors

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return job_status.problems(obj, old)

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if ctx.subresource == "status":
            return []
        if old is not None and not spec_changed(obj, old):
            return []
        found = name_warnings(obj) if old is None else []
        return found + job_rules.warnings(obj.get("spec") or {}, "spec")


def _generate_selector(obj: Object) -> None:
    """Without manualSelector a job selects by its own uid; its pods carry the old and the new labels."""
    tree, meta = obj["spec"], obj["metadata"]
    uid, name = meta.get("uid", ""), meta.get("name", "")
    template_meta = tree["template"].setdefault("metadata", {})
    labels = template_meta.get("labels")
    if not labels:
        labels = template_meta["labels"] = {}
    for key, value in ((_UID, uid), (_NAME, name), (_OLD_UID, uid), (_OLD_NAME, name)):
        labels.setdefault(key, value)
    if not meta.get("labels"):
        meta["labels"] = dict(labels)
    selector = tree.get("selector")
    if selector is None:
        tree["selector"] = {"matchLabels": {_UID: uid}}
    else:
        if not selector.get("matchLabels"):
            selector["matchLabels"] = {}
        selector["matchLabels"].setdefault(_UID, uid)


def _pod_names(obj: Object) -> Errors:
    """The pods of an indexed job are called after it and their index, which must make a host name."""
    tree, name = obj.get("spec") or {}, obj["metadata"].get("name") or ""
    completions = tree.get("completions") or 0
    if tree.get("completionMode") != "Indexed" or completions <= 0:
        return []
    last = f"{name}-{completions - 1}"
    if not names.dns1123_label(last):
        return []
    return [err.invalid("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")]


def _generated_selector_problems(obj: Object) -> Errors:
    tree, meta = obj["spec"], obj["metadata"]
    if tree.get("manualSelector") or tree.get("selector") is None:
        return []
    labels = ((tree.get("template") or {}).get("metadata") or {}).get("labels") or {}
    uid, name = meta.get("uid", ""), meta.get("name", "")
    expected = {_OLD_UID: uid, _OLD_NAME: name, _UID: uid, _NAME: name}
    errors: Errors = []
    for key, value in expected.items():
        path = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            errors.append(err.required(path, f"must be '{value}'"))
        elif labels[key] != value:
            errors.append(err.invalid(path, checks.shown_labels(labels), f"must be '{value}'"))
    if selects(tree["selector"], expected) is False:
        errors.append(err.invalid("spec.selector", checks.shown_selector(tree["selector"]), "`selector` not auto-generated"))
    return errors


def _completions_change(new: Object, was: Object) -> Errors:
    completions = new.get("completions")
    if completions == was.get("completions"):
        return []
    if new.get("completionMode") != "Indexed":
        return checks.unchanged(new, was, "completions", path="spec")
    if completions is not None and completions != new.get("parallelism"):
        return [err.invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism")]
    return []
