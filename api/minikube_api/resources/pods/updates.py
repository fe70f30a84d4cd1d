"""What an update may change on a pod, on each of its paths: the pod itself, /status, /ephemeralcontainers, /resize."""

from __future__ import annotations

import json
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import MAX_INT32, Errors, named
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.pods import placement, resources

Object = dict[str, Any]

_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_SYSTEM_CONDITIONS = frozenset({"PodScheduled", "Ready", "Initialized"})


def update(new: Object, old: Object) -> Errors:
    """ValidatePodUpdate after metadata and the spec itself."""
    spec, was = new["spec"], old["spec"]
    errors, stop = _images(spec, was)
    if stop:
        return errors
    more, stop = _deadline(spec, was)
    errors += more
    if stop:
        return errors
    errors += _added_tolerations(spec.get("tolerations") or [], was.get("tolerations") or [])
    errors += _removed_gates(spec.get("schedulingGates") or [], was.get("schedulingGates") or [])
    if spec == was:
        return errors
    munged = _munged(spec, was)
    if was.get("schedulingGates"):
        errors += _gated_placement(munged, was)
    if munged != was:
        detail = f"pod updates may not change fields other than {_UPDATABLE}\n{difference(munged, was)}"
        errors.append(err.forbidden("spec", detail))
    return errors


def _images(spec: Object, was: Object) -> tuple[Errors, bool]:
    errors: Errors = []
    for kind, noun in (("containers", "containers"), ("initContainers", "init containers")):
        now, before = spec.get(kind) or (), was.get(kind) or ()
        if len(now) != len(before):
            return [*errors, err.forbidden(f"spec.{kind}", f"pod updates may not add or remove {noun}")], True
    return errors, False


def _deadline(spec: Object, was: Object) -> tuple[Errors, bool]:
    path = "spec.activeDeadlineSeconds"
    now, before = spec.get("activeDeadlineSeconds"), was.get("activeDeadlineSeconds")
    if now is None:
        if before is not None:
            return [err.invalid(path, None, "must not update from a positive integer to nil value")], False
        return [], False
    if not 0 <= now <= MAX_INT32:
        return [err.invalid(path, now, names.inclusive_range_message(0, MAX_INT32))], True
    if before is not None and before < now:
        return [err.invalid(path, now, "must be less than or equal to previous value")], True
    return [], False


def _added_tolerations(now: list[Object], before: list[Object]) -> Errors:
    def kept(one: Object) -> Object:
        return {k: v for k, v in one.items() if k != "tolerationSeconds"}

    bare = [kept(one) for one in now]
    errors: Errors = []
    for one in before:
        if kept(one) not in bare:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(err.forbidden("spec.tolerations", detail))
            break
    return errors + placement.tolerations(now, "spec.tolerations")


def _removed_gates(now: list[Object], before: list[Object]) -> Errors:
    known = {gate.get("name") for gate in before}
    return [
        err.forbidden(
            f"spec.schedulingGates[{i}].name", f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
        )
        for i, gate in enumerate(now)
        if gate.get("name") not in known
    ]


def _munged(spec: Object, was: Object) -> Object:
    """The new spec with what may change set back."""
    munged = dict(spec)
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            munged[kind] = [
                _with(one, "image", old.get("image")) for one, old in zip(spec[kind], was.get(kind) or (), strict=True)
            ]
    for field in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        _restore(munged, was, field)
    if (was.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        _restore(munged, was, "terminationGracePeriodSeconds")
    return munged


def _with(tree: Object, field: str, value: Any) -> Object:
    changed = dict(tree)
    if value is None:
        changed.pop(field, None)
    else:
        changed[field] = value
    return changed


def _restore(tree: Object, was: Object, field: str) -> None:
    if field in was:
        tree[field] = was[field]
    else:
        tree.pop(field, None)


def _gated_placement(munged: Object, was: Object) -> Errors:
    """A gated pod's node selector and required node affinity may become narrower."""
    errors: Errors = []
    selector, old_selector = munged.get("nodeSelector") or {}, was.get("nodeSelector") or {}
    if selector != old_selector:
        if any(selector.get(key) != value for key, value in old_selector.items()):
            detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            errors.append(err.invalid("spec.nodeSelector", selector, detail))
        _restore(munged, was, "nodeSelector")
    affinity, old_affinity = munged.get("affinity") or {}, was.get("affinity") or {}
    if affinity.get("nodeAffinity") != old_affinity.get("nodeAffinity"):
        errors += _narrower(affinity.get("nodeAffinity") or {}, old_affinity.get("nodeAffinity") or {})
        merged = _with(affinity, "nodeAffinity", old_affinity.get("nodeAffinity"))
        if merged or "affinity" in was:
            munged["affinity"] = merged
        else:
            munged.pop("affinity", None)
    return errors


def _narrower(now: Object, before: Object) -> Errors:
    path = f"spec.affinity.nodeAffinity.{placement.REQUIRED}.nodeSelectorTerms"
    terms = (now.get(placement.REQUIRED) or {}).get("nodeSelectorTerms") or []
    old_terms = (before.get(placement.REQUIRED) or {}).get("nodeSelectorTerms") or []
    if not old_terms:
        return []
    if len(terms) != len(old_terms):
        return [err.invalid(path, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")]
    errors: Errors = []
    for i, (term, old) in enumerate(zip(terms, old_terms, strict=True)):
        added_only = all(
            (term.get(kind) or [])[: len(old.get(kind) or [])] == (old.get(kind) or [])
            for kind in ("matchExpressions", "matchFields")
        )
        if not (old.get("matchExpressions") or old.get("matchFields")) or not added_only:
            if term == old:
                continue
            detail = "only additions are allowed (no mutations or deletions)"
            errors.append(err.invalid(f"{path}[{i}]", term, detail))
    return errors


def difference(new: Any, old: Any) -> str:
    """The lines that differ, as a reader wants them; Kubernetes prints Go structs here, whose text nobody parses."""
    now, before = (json.dumps(tree, indent=1, sort_keys=True).splitlines() for tree in (new, old))
    removed, added = [line for line in before if line not in now], [line for line in now if line not in before]
    return "\n".join([*(f"-{line}" for line in removed), *(f"+{line}" for line in added)]) + "\n"


def status(new: Object, old: Object) -> Errors:
    """ValidatePodStatusUpdate after metadata."""
    state, was = new.get("status") or {}, old.get("status") or {}
    errors: Errors = []
    for i, condition in enumerate(state.get("conditions") or ()):
        kind = condition.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            errors += named(kind, f"status.conditions[{i}].Type", qualified_problems)
    if state.get("nominatedNodeName"):
        errors += named(state["nominatedNodeName"], "status.nominatedNodeName", names.dns1123_subdomain)
    policy = old["spec"].get("restartPolicy")
    errors += _transitions(state, was, "containerStatuses", policy)
    errors += _transitions(state, was, "initContainerStatuses", policy, _sidecars(old))
    errors += _transitions(state, was, "ephemeralContainerStatuses", "Never")
    return errors + _addresses(state)


def _sidecars(old: Object) -> set[str]:
    return {c.get("name", "") for c in old["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _transitions(state: Object, was: Object, field: str, policy: str | None, free: set[str] = frozenset()) -> Errors:  # type: ignore[assignment]
    """A container that ended for good does not come back."""
    if policy == "Always":
        return []
    errors: Errors = []
    for before in was.get(field) or ():
        ended = (before.get("state") or {}).get("terminated")
        if ended is None or before.get("name") in free or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        for i, now in enumerate(state.get(field) or ()):
            if now.get("name") == before.get("name") and (now.get("state") or {}).get("terminated") is None:
                errors.append(err.forbidden(f"status.{field}[{i}].state", "may not be transitioned to non-terminated state"))
                break
    return errors


def _addresses(state: Object) -> Errors:
    errors: Errors = []
    for field in ("podIPs", "hostIPs"):
        addresses = state.get(field) or []
        texts = [a.get("ip") or "" for a in addresses]
        parsed = [names.parse_ip(text) for text in texts]
        for i, text in enumerate(texts):
            errors += named(text, f"status.{field}[{i}]", names.ip)
        if len(texts) > 1:
            bad = next((i for i, address in enumerate(parsed) if address is None), None)
            if bad is not None:
                detail = f"failed to check for dual stack with error:invalid IP[{bad}]: {texts[bad]}"
                errors.append(err.internal(f"status.{field}", detail))
            dual = bad is None and len({a.version for a in parsed if a}) == 2
            if not dual or len(texts) > 2:
                shown = [{"IP": text} for text in texts]
                detail = "may specify no more than one IP for each IP family"
                errors.append(err.invalid(f"status.{field}", shown, detail))
            errors += [err.duplicate(f"status.{field}[{i}]", t) for i, t in enumerate(texts) if t in texts[:i]]
    return errors


def ephemeral_containers(new: Object, old: Object) -> Errors:
    """Existing ephemeral containers stay as they are; others may be added."""
    now = {c.get("name"): c for c in new["spec"].get("ephemeralContainers") or ()}
    errors: Errors = []
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before.get("name")
        if name not in now:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(err.forbidden("spec.ephemeralContainers", detail))
        elif now[name] != before:
            detail = f'existing ephemeral containers "{name}" may not be changed\n{difference(now[name], before)}'
            errors.append(err.forbidden("spec.ephemeralContainers", detail))
    return errors


def resize(new: Object, old: Object) -> Errors:
    """ValidatePodResize after metadata and the spec: the QoS class stays, and nothing but resources changes."""
    spec, was = new["spec"], old["spec"]
    errors: Errors = []
    if was.get("os") and was["os"].get("name") == "windows":
        return [err.forbidden("spec", "windows pods cannot be resized")]
    if (old.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return [err.forbidden("", "pod in terminal state cannot be resized")]
    qos = (old.get("status") or {}).get("qosClass") or resources.qos_class(was)
    if resources.qos_class(spec) != qos:
        errors.append(err.invalid("spec", qos, "Pod QOS Class may not change as a result of resizing"))
    for kind in ("containers", "initContainers"):
        for i, (one, before) in enumerate(zip(spec.get(kind) or (), was.get(kind) or (), strict=False)):
            errors += _removed_resources(one, before, f"spec.{kind}[{i}].resources")
    return errors


def _removed_resources(one: Object, before: Object, path: str) -> Errors:
    errors: Errors = []
    for kind in ("limits", "requests"):
        now, was = ((c.get("resources") or {}).get(kind) or {} for c in (one, before))
        if any(name not in now for name in was):
            errors.append(err.forbidden(f"{path}.{kind}", f"resource {kind} cannot be removed"))
        for name in {*now, *was} - {"cpu", "memory"}:
            if now.get(name) != was.get(name):
                errors.append(err.forbidden(f"{path}.{kind}", "only cpu and memory resources are mutable"))
                break
    return errors
