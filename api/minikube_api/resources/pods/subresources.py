"""Pure parts of pods/binding and pods/eviction: what is checked, and what the pod or its budget becomes.

Source: pkg/registry/core/pod/storage (BindingREST, EvictionREST). These writes pass the pod strategy under their subresource's
name, which leaves generation alone and validates nothing more.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import conditions, objects, selectors
from minikube_api.meta import field_errors as err
from minikube_api.meta.errors import BadRequest, Conflict, Forbidden, StatusError, TooManyRequests

Object = dict[str, Any]

MAX_DISRUPTED_PODS = 2000
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."


def check_binding(binding: Object, pod: str) -> None:
    """Raises BadRequest for another name than the URL's, a plain 500 for a target that is no node."""
    if objects.name(binding) != pod:
        raise BadRequest("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    problems = []
    if target.get("kind") not in (None, "", "Node"):
        problems.append(err.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        problems.append(err.required("target.name"))
    if problems:
        texts = [str(problem) for problem in problems]
        raise StatusError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]", reason="")


def bind(pod: Object, binding: Object, now: str) -> Object:
    """Put the pod (an own tree) on the binding's node. Raises Conflict when it may not be put there."""
    name, spec, meta = objects.name(pod), pod["spec"], pod["metadata"]
    wanted = objects.uid(binding)
    if wanted and wanted != objects.uid(pod):
        raise _conflict(name, f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {objects.uid(pod)}")
    if meta.get("deletionTimestamp"):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for field in ("annotations", "labels"):
        if added := objects.metadata(binding).get(field):
            meta[field] = {**(meta.get(field) or {}), **added}
    _set_condition(pod, {"type": "PodScheduled", "status": "True"}, now)
    return pod


def _conflict(name: str, why: str) -> Conflict:
    return Conflict.object("pods/binding", name, why=why)


def _set_condition(pod: Object, condition: Object, now: str) -> None:
    status = pod.setdefault("status", {})
    listed = status.get("conditions") or []
    if conditions.find(listed, condition["type"]) is not None:
        listed = conditions.without_condition(listed, condition["type"])
    status["conditions"] = [*listed, {"lastProbeTime": None, "lastTransitionTime": now, **condition}]


def mark_evicted(pod: Object, now: str) -> Object:
    """The condition that says why the pod goes."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    _set_condition(pod, condition, now)
    return pod


def check_eviction(eviction: Object, pod: str) -> None:
    if objects.name(eviction) != pod:
        raise BadRequest("name in URL does not match name in Eviction object")


def ignores_budget(pod: Object) -> bool:
    """Pods that are over, not begun or already going are evicted whatever budgets say."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or objects.is_deleting(pod)


def budgets_of(pod: Object, budgets: list[Object]) -> list[Object]:
    """The budgets whose selector matches the pod; a budget without selector matches none, an empty selector all."""
    labels = objects.labels(pod)
    found = []
    for budget in budgets:
        selector = (budget.get("spec") or {}).get("selector")
        if selector is not None and selectors.from_label_selector(selector).matches(labels):
            found.append(budget)
    return found


def one_budget(found: list[Object]) -> Object | None:
    if len(found) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise StatusError(text, reason="InternalError")
    return found[0] if found else None


def spared_by_health(pod: Object, budget: Object) -> bool:
    """An unready running pod may go without counting: always with AlwaysAllow, else while the budget has enough healthy ones."""
    status, state = pod.get("status") or {}, budget.get("status") or {}
    if conditions.is_true(status.get("conditions"), "Ready"):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = state.get("desiredHealthy") or 0
    return desired > 0 and (state.get("currentHealthy") or 0) >= desired


def take_disruption(budget: Object, pod: str, now: str) -> Object:
    """Count one disruption in the budget's status (an own tree). Raises TooManyRequests when it allows none."""
    name, status = objects.name(budget), budget.setdefault("status", {})
    if (status.get("observedGeneration") or 0) < objects.generation(budget):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", 10)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > MAX_DISRUPTED_PODS:
        raise _forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        desired, current = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        raise _refused(f"The disruption budget {name} needs {desired} healthy pods and has {current} currently", None)
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        condition = {
            "type": "DisruptionAllowed",
            "status": "False",
            "reason": "InsufficientPods",
            "message": "",
            "observedGeneration": status.get("observedGeneration") or 0,
        }
        status["conditions"] = conditions.with_condition(status.get("conditions"), condition, now=now)
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: now}
    return budget


def _refused(cause: str, retry_after: int | None) -> TooManyRequests:
    details = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    return TooManyRequests(_VIOLATES, details=details, retry_after_seconds=retry_after)


def _forbidden(name: str, why: str) -> Forbidden:
    details = {"name": name, "group": "policy", "kind": "poddisruptionbudget"}
    return Forbidden(f'poddisruptionbudget.policy "{name}" is forbidden: {why}', details=details)
