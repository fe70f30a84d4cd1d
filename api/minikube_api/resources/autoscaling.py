"""HorizontalPodAutoscaler in v2 and v1. Source: pkg/apis/autoscaling/v2/defaults.go and validation."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, quantities
from minikube_api.resources import checks, conversions
from minikube_api.resources.checks import Errors, nonnegative_fields, one_of
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

_SOURCES = {
    "ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods", "Resource": "resource",
}  # fmt: skip
_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
_UP = [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]
_DOWN = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


class AutoscalerStrategy(KindStrategy):
    empty_status = {"desiredReplicas": 0, "currentMetrics": None}

    def defaults(self, obj: Object) -> None:
        if annotations := obj["metadata"].get("annotations"):
            obj["metadata"]["annotations"] = conversions.without_round_trip(annotations)
            if not obj["metadata"]["annotations"]:
                del obj["metadata"]["annotations"]
        spec = obj.setdefault("spec", {})
        set_default(spec, "minReplicas", 1)
        if not spec.get("metrics"):
            spec["metrics"] = [{**_CPU, "resource": {**_CPU["resource"], "target": dict(_CPU["resource"]["target"])}}]  # type: ignore[dict-item]
        behavior = spec.get("behavior")
        if behavior is not None:
            _scaling_rules(behavior, "scaleUp", _UP, 0)
            _scaling_rules(behavior, "scaleDown", _DOWN, None)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return autoscaler_spec(obj.get("spec") or {})

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return nonnegative_fields(obj.get("status") or {}, "status", "currentReplicas", "desiredReplicas")


def _scaling_rules(behavior: Object, name: str, policies: list[Object], window: int | None) -> None:
    rules = behavior.get(name)
    if rules is None:
        rules = behavior[name] = {}
    if window is not None:
        set_default(rules, "stabilizationWindowSeconds", window)
    set_default(rules, "selectPolicy", "Max")
    if rules.get("policies") is None:
        rules["policies"] = [dict(policy) for policy in policies]


class AutoscalerV1Strategy(AutoscalerStrategy):
    """The old form: one target, for cpu. It is validated as the v2 object that it will be."""

    empty_status = {"currentReplicas": 0, "desiredReplicas": 0}

    def defaults(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        set_default(spec, "minReplicas", 1)
        annotations = obj["metadata"].get("annotations") or {}
        if spec.get("targetCPUUtilizationPercentage") is None and "autoscaling.alpha.kubernetes.io/metrics" not in annotations:
            spec["targetCPUUtilizationPercentage"] = 80

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        super().prepare_create(ctx, obj)
        _take_annotations(obj, {"metadata": {}}, conversions.STATUS_ANNOTATIONS)

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        super().prepare_update(ctx, obj, old)
        # what this request may not change stands in annotations too
        is_status = ctx.subresource == "status"
        _take_annotations(obj, old, conversions.SPEC_ANNOTATIONS if is_status else conversions.STATUS_ANNOTATIONS)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return super().validate(ctx, conversions.autoscaler_to_v2(obj))


def _take_annotations(obj: Object, old: Object, keys: tuple[str, ...]) -> None:
    """Give these annotations their old values again, or take them away."""
    kept = {key: value for key, value in (old["metadata"].get("annotations") or {}).items() if key in keys}
    others = {key: value for key, value in (obj["metadata"].get("annotations") or {}).items() if key not in keys}
    if kept or others:
        obj["metadata"]["annotations"] = others | kept
    else:
        obj["metadata"].pop("annotations", None)


def autoscaler_spec(spec: Object) -> Errors:
    errors: Errors = []
    metrics = spec.get("metrics") or []
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        errors.append(err.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(err.required("spec.maxReplicas", "must be set and greater than 0"))
    if least is not None and most < least:
        errors.append(err.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    errors += _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef", needs_group=True)
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(err.forbidden("spec.metrics", detail))
    for i, metric in enumerate(metrics):
        errors += _metric(metric, f"spec.metrics[{i}]")
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if behavior.get(name) is not None:
            errors += _rules(behavior[name], f"spec.behavior.{name}")
    return errors


def _reference(ref: Object, path: str, *, needs_group: bool = False) -> Errors:
    errors: Errors = []
    for field in ("kind", "name"):
        value = ref.get(field)
        errors += checks.named(value, f"{path}.{field}", names.path_segment) if value else [err.required(f"{path}.{field}")]
    version = ref.get("apiVersion") or ""
    if needs_group and not version and ref.get("kind") != "ReplicationController":
        errors.append(err.invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    elif version.count("/") > 1:
        errors.append(err.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif needs_group and version == "v1" and ref.get("kind") != "ReplicationController":
        errors.append(err.invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    return errors


def _metric(metric: Object, path: str) -> Errors:
    kind = metric.get("type")
    if not kind:
        return [err.required(f"{path}.type", "must specify a metric source type")]
    errors = one_of(kind, f"{path}.type", tuple(_SOURCES))
    # an unknown type is found twice: by name, and because no source belongs to it
    errors += errors
    expected = _SOURCES.get(kind)
    given = [source for source in _SOURCES.values() if metric.get(source) is not None]
    if expected is None:
        return errors
    for source in given:
        errors += _source(source, metric[source], f"{path}.{source}")
    if expected not in given:
        detail = "must populate information for the given metric source"
        errors.append(err.required(f"{path}.{expected}", detail))
    for source in given:
        if source != expected:
            errors.append(err.forbidden(f"{path}.{source}", "must populate the given metric source only"))
    return errors


def _source(source: str, tree: Object, path: str) -> Errors:
    errors: Errors = []
    target = tree.get("target") or {}
    if source in ("resource", "containerResource"):
        if not tree.get("name"):
            errors.append(err.required(f"{path}.name", "must specify a resource name"))
        if source == "containerResource":
            container = tree.get("container")
            errors += (
                checks.named(container, f"{path}.container", names.dns1123_label)
                if container
                else [err.required(f"{path}.container", "must specify a container")]
            )
    else:
        metric = tree.get("metric") or {}
        name = metric.get("name")
        at = f"{path}.metric.name"
        errors += checks.named(name, at, names.path_segment) if name else [err.required(at, "must specify a metric name")]
        if metric.get("selector") is not None:
            errors += checks.label_selector(metric["selector"], f"{path}.metric.selector")
        if source == "object":
            errors += _reference(tree.get("describedObject") or {}, f"{path}.describedObject")
    errors += _target(target, f"{path}.target")
    return errors + _target_fits(source, target, f"{path}.target")


def _target_fits(source: str, target: Object, path: str) -> Errors:
    if source in ("resource", "containerResource"):
        if target.get("averageUtilization") is None and target.get("averageValue") is None:
            return [err.required(f"{path}.averageUtilization", "must set either a target raw value or a target utilization")]
        if target.get("averageUtilization") is not None and target.get("averageValue") is not None:
            return [err.forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization")]
        return []
    if source == "pods":
        if quantities.of(target.get("averageValue")).nanos <= 0:
            return [err.required(f"{path}.averageValue", "must specify a positive target averageValue")]
        return []
    if target.get("value") is None and target.get("averageValue") is None:
        what = "a target value for metric or a per-pod target" if source == "external" else "a target value or averageValue"
        return [err.required(f"{path}.averageValue", f"must set either {what}")]
    if source == "external" and target.get("value") is not None and target.get("averageValue") is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        return [err.forbidden(f"{path}.value", detail)]
    return []


def _target(target: Object, path: str) -> Errors:
    errors: Errors = []
    kind = target.get("type")
    if not kind:
        errors.append(err.required(f"{path}.type", "must specify a metric target type"))
    elif kind not in ("Utilization", "Value", "AverageValue"):
        errors.append(err.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        if target.get(field) is not None and quantities.of(target[field]).nanos <= 0:
            errors.append(err.invalid(f"{path}.{field}", str(quantities.of(target[field])), "must be positive"))
    average = target.get("averageUtilization")
    if average is not None and average < 1:
        errors.append(err.invalid(f"{path}.averageUtilization", average, "must be greater than 0"))
    return errors


def _rules(rules: Object, path: str) -> Errors:
    errors: Errors = []
    window = rules.get("stabilizationWindowSeconds")
    if window is not None:
        at = f"{path}.stabilizationWindowSeconds"
        if window < 0:
            errors.append(err.invalid(at, window, "must be greater than or equal to zero"))
        if window > 3600:
            errors.append(err.invalid(at, window, "must be less than or equal to 3600"))
    if rules.get("selectPolicy") is not None:
        errors += one_of(rules["selectPolicy"], f"{path}.selectPolicy", ("Disabled", "Max", "Min"))
    policies = rules.get("policies") or ()
    if not policies:
        errors.append(err.required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(policies):
        at = f"{path}.policies[{i}]"
        errors += one_of(policy.get("type"), f"{at}.type", ("Percent", "Pods"))
        if (policy.get("value") or 0) <= 0:
            errors.append(err.invalid(f"{at}.value", policy.get("value") or 0, "must be greater than zero"))
        period = policy.get("periodSeconds") or 0
        if period <= 0:
            errors.append(err.invalid(f"{at}.periodSeconds", period, "must be greater than zero"))
        if period > 1800:
            errors.append(err.invalid(f"{at}.periodSeconds", period, "must be less than or equal to 1800"))
    if (tolerance := rules.get("tolerance")) is not None and quantities.of(tolerance).nanos < 0:
        errors.append(err.invalid(f"{path}.tolerance", str(quantities.of(tolerance)), checks.NEGATIVE))
    return errors
