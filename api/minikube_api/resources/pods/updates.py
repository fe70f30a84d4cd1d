"""What an update may change on a pod, on each of its paths: the pod itself, /status, /ephemeralcontainers, /resize."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import go_form
from minikube_api.resources.checks import MAX_INT32, Errors, named
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.pods import placement, resources
from minikube_api.schema import builtin

Object = dict[str, Any]

_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
#: says that a kubelet keeps the pod from a file of its own
MIRROR = "kubernetes.io/config.mirror"
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
        detail = f"pod updates may not change fields other than {_UPDATABLE}\n{difference(was, munged)}"
        errors.append(err.forbidden("spec", detail))
    return errors


def _images(spec: Object, was: Object) -> tuple[Errors, bool]:
    errors: Errors = []
    for kind in ("containers", "initContainers"):
        now = spec.get(kind) or ()
        if len(now) != len(was.get(kind) or ()):
            return [*errors, err.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")], True
        for i, one in enumerate(now):
            image, at = one.get("image") or "", f"spec.{kind}[{i}].image"
            if not image:
                errors.append(err.required(at))
            elif image != image.strip():
                errors.append(err.invalid(at, image, "must not have leading or trailing whitespace"))
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
    for one in before:
        if kept(one) not in bare:
            detail = "existing toleration can not be modified except its tolerationSeconds"
            return [err.forbidden("spec.tolerations", detail)]
    return placement.tolerations(now, "spec.tolerations")


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
            errors.append(err.invalid("spec.nodeSelector", dict(sorted(selector.items())), detail))
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
        return [
            err.invalid(
                path, [_shown(term) for term in terms], "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
            )
        ]
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
            errors.append(err.invalid(f"{path}[{i}]", _shown(term), detail))
    return errors


def _shown(term: Object) -> Object:
    """A node selector term as Go prints it."""
    spec = builtin.load("", "v1", "PersistentVolume").fields["spec"]
    terms = spec.fields["nodeAffinity"].fields["required"].fields["nodeSelectorTerms"]
    return go_form.struct(term, terms.items or terms)


def difference(old: Object, new: Object, *path: str) -> str:
    """The diff of two pod specs, or of two structs at `path` of it, as Go prints the internal types."""
    schema = builtin.load("", "v1", "Pod").fields["spec"]
    for name in path:
        schema = schema.fields[name]
        schema = schema.items or schema
    shown = go_form.struct if path else go_form.pod_spec
    return go_form.difference(shown(old, schema), shown(new, schema))


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
    errors += _transitions(state, was, "containerStatuses", policy, _own_policies(old, "containers"))
    errors += _transitions(state, was, "initContainerStatuses", policy, _own_policies(old, "initContainers"))
    errors += _transitions(state, was, "ephemeralContainerStatuses", "Never", {})
    claims = {claim.get("name") for claim in old["spec"].get("resourceClaims") or ()}
    for i, claim in enumerate(state.get("resourceClaimStatuses") or ()):
        path = f"status.resourceClaimStatuses[{i}]"
        if claim.get("name") not in claims:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            errors.append(err.invalid(f"{path}.name", claim.get("name") or "", detail))
        if claim.get("resourceClaimName") is not None:
            errors += named(claim["resourceClaimName"], f"{path}.name", names.dns1123_subdomain)
    return errors + _addresses(state)


def _own_policies(pod: Object, kind: str) -> dict[str, tuple[str, bool]]:
    """Containers with a restart policy of their own; whether there are rules that may restart them too (KEP-5307)."""
    listed = pod["spec"].get(kind) or ()
    return {c.get("name", ""): (c["restartPolicy"], bool(c.get("restartPolicyRules"))) for c in listed if c.get("restartPolicy")}


def _transitions(state: Object, was: Object, field: str, policy: str | None, own: dict[str, tuple[str, bool]]) -> Errors:
    """A container that ended for good does not come back."""
    if policy == "Always":
        return []
    errors: Errors = []
    for i, before in enumerate(was.get(field) or ()):
        ended = (before.get("state") or {}).get("terminated")
        if ended is None:
            continue
        applies, rules = own.get(before.get("name") or "", (policy, False))
        if applies == "Always" or rules or (ended.get("exitCode") and applies == "OnFailure"):
            continue
        for now in state.get(field) or ():
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
        if field == "hostIPs" and texts and texts[0] != (state.get("hostIP") or ""):
            errors.append(err.invalid("status.hostIPs[0].ip", texts[0], "must be equal to `hostIP`"))
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
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [err.forbidden(err.NO_NAME, "static pods do not support ephemeral containers")]
    now = {c.get("name"): c for c in new["spec"].get("ephemeralContainers") or ()}
    errors: Errors = []
    for before in old["spec"].get("ephemeralContainers") or ():
        name = before.get("name")
        if name not in now:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(err.forbidden("spec.ephemeralContainers", detail))
        elif now[name] != before:
            detail = f'existing ephemeral containers "{name}" may not be changed\n{difference(before, now[name], "ephemeralContainers")}'
            errors.append(err.forbidden("spec.ephemeralContainers", detail))
    return errors


def resize(new: Object, old: Object) -> Errors:
    """ValidatePodResize after metadata and the spec: the QoS class stays, and nothing but cpu and memory changes."""
    spec, was, state = new["spec"], old["spec"], old.get("status") or {}
    errors: Errors = []
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [err.forbidden(err.NO_NAME, "static pods cannot be resized")]
    if (was.get("os") or {}).get("name") == "windows":
        return [err.forbidden("spec", "windows pods cannot be resized")]
    if state.get("phase") in ("Succeeded", "Failed"):
        return [err.forbidden(err.NO_NAME, "pod in terminal state cannot be resized")]
    qos = state.get("qosClass") or resources.qos_class(was)
    if resources.qos_class(spec) != qos:
        errors.append(err.invalid("spec", qos, "Pod QOS Class may not change as a result of resizing"))
    running = [c for c in state.get("containerStatuses") or () if (c.get("state") or {}).get("running") is not None]
    if running and running[0].get("resources") is None:
        errors.append(err.forbidden("spec", "Pod running on node without support for resize"))
    munged = dict(spec)
    for kind in ("initContainers", "containers"):
        listed = []
        for i, (one, before) in enumerate(zip(spec.get(kind) or (), was.get(kind) or (), strict=True)):
            errors += _removed_resources(one, before, f"spec.{kind}[{i}].resources")
            mutable = kind == "containers" or one.get("restartPolicy") == "Always"
            listed.append(_with_old_compute(one, before) if mutable else one)
        if listed:
            munged[kind] = listed
    if munged != was:
        errors.append(err.forbidden("spec", f"only cpu and memory resources are mutable\n{difference(munged, was)}"))
    return errors


def _removed_resources(one: Object, before: Object, path: str) -> Errors:
    errors: Errors = []
    for kind in ("requests", "limits"):
        now, was = ((c.get("resources") or {}).get(kind) or {} for c in (one, before))
        if any(name not in now for name in was):
            errors.append(err.forbidden(f"{path}.{kind}", f"resource {kind} cannot be removed"))
    return errors


def _with_old_compute(one: Object, before: Object) -> Object:
    """A container with the cpu and memory that it had."""
    tree = dict(one.get("resources") or {})
    was = before.get("resources") or {}
    for kind in ("limits", "requests"):
        others = {name: value for name, value in (tree.get(kind) or {}).items() if name not in _COMPUTE}
        merged = {**others, **{name: value for name, value in (was.get(kind) or {}).items() if name in _COMPUTE}}
        if merged:
            tree[kind] = merged
        else:
            tree.pop(kind, None)
    return {**one, "resources": tree}


_COMPUTE = ("cpu", "memory")
