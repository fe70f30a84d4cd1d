"""Validation of a whole pod spec and of pod templates (ValidatePodSpec, ValidatePodTemplateSpec)."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import MAX_INT32, Errors, ip, named, one_of
from minikube_api.resources.objectmeta import annotation_problems, label_problems, qualified_problems
from minikube_api.resources.pods import containers, placement, resources, security, volumes

Object = dict[str, Any]

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION = ("PreemptLowerPriority", "Never")


def pod_spec(spec: Object, path: str, *, is_pod: bool) -> Errors:
    valid, errors = volumes.volumes(spec.get("volumes"), f"{path}.volumes")
    claims = spec.get("resourceClaims") or ()
    scope = containers.PodScope(
        volumes=valid,
        claims=frozenset(c.get("name") or "" for c in claims),
        grace=spec.get("terminationGracePeriodSeconds") or 0,
        restart_policy=spec.get("restartPolicy") or "",
        is_pod=is_pod,
    )
    if claims:
        errors += _resource_claims(claims, f"{path}.resourceClaims")
    errors += containers.containers(spec.get("containers"), scope, f"{path}.containers")
    if spec.get("initContainers"):
        errors += containers.init_containers(spec["initContainers"], spec.get("containers"), scope, f"{path}.initContainers")
    if spec.get("ephemeralContainers"):
        errors += containers.ephemeral_containers(spec["ephemeralContainers"], spec, scope, f"{path}.ephemeralContainers")
    if spec.get("resources"):
        errors += _pod_resources(spec["resources"], f"{path}.resources")
    errors += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", _RESTART)
    errors += one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy", _DNS)
    if spec.get("nodeSelector"):
        errors += label_problems(spec["nodeSelector"], f"{path}.nodeSelector")
    errors += security.pod(spec, path, is_pod=is_pod)
    errors += _placement(spec, path)
    if spec.get("dnsConfig") or spec.get("dnsPolicy") == "None":
        errors += _dns(spec.get("dnsConfig"), spec.get("dnsPolicy"), f"{path}.dnsConfig")
    return errors + _names_and_numbers(spec, path)


def _placement(spec: Object, path: str) -> Errors:
    errors: Errors = []
    if spec.get("affinity"):
        errors += placement.affinity(spec["affinity"], f"{path}.affinity")
    if spec.get("schedulingGates"):
        errors += placement.scheduling_gates(spec["schedulingGates"], f"{path}.schedulingGates")
    if spec.get("topologySpreadConstraints"):
        errors += placement.topology_spread(spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    if spec.get("tolerations"):
        errors += placement.tolerations(spec["tolerations"], f"{path}.tolerations")
    return errors


_NAMES = (
    ("serviceAccountName", names.dns1123_subdomain),
    ("nodeName", names.dns1123_subdomain),
    ("hostname", names.dns1123_label),
    ("subdomain", names.dns1123_label),
    ("priorityClassName", names.dns1123_subdomain),
    ("runtimeClassName", names.dns1123_subdomain),
)


def _names_and_numbers(spec: Object, path: str) -> Errors:
    errors: Errors = []
    for field, problems in _NAMES:
        if value := spec.get(field):
            errors += named(value, f"{path}.{field}", problems)
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= MAX_INT32:
        detail = names.inclusive_range_message(1, MAX_INT32)
        errors.append(err.invalid(f"{path}.activeDeadlineSeconds", seconds, detail))
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        errors += named(gate.get("conditionType") or "", f"{path}.readinessGates[{i}].conditionType", qualified_problems)
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        errors += ip(alias.get("ip") or "", f"{path}.hostAliases[{i}].ip")
        for hostname in alias.get("hostnames") or ():
            errors += named(hostname, f"{path}.hostAliases[{i}].hostnames", names.dns1123_subdomain)
    if spec.get("preemptionPolicy") is not None:
        errors += one_of(spec["preemptionPolicy"], f"{path}.preemptionPolicy", PREEMPTION)
    if spec.get("overhead"):
        errors += resources.requirements({"limits": spec["overhead"]}, f"{path}.overhead")
    if spec.get("os") is not None:
        name = spec["os"].get("name")
        at = f"{path}.os.name"
        errors += one_of(name, at, ("linux", "windows")) if name else [err.required(at)]
    return errors


def _pod_resources(tree: Object, path: str) -> Errors:
    """Pod-level resources: cpu, memory and huge pages only, no claims."""
    errors: Errors = []
    if tree.get("claims"):
        errors.append(err.forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    for kind in ("limits", "requests"):
        for name in tree.get(kind) or ():
            if name not in ("cpu", "memory") and not name.startswith("hugepages-"):
                errors.append(err.not_supported(f"{path}.{kind}[{name}]", name, ("cpu", "hugepages-", "memory")))
    return errors or resources.requirements({k: tree.get(k) for k in ("limits", "requests")}, path)


def _dns(config: Object | None, policy: str | None, path: str) -> Errors:
    errors: Errors = []
    config = config or {}
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    if policy == "None":
        if not config:
            return [err.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            errors.append(
                err.required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            )
    if len(servers) > 3:
        errors.append(err.invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for i, server in enumerate(servers):
        errors += ip(server, f"{path}.nameservers[{i}]")
    if len(searches) > 32:
        errors.append(err.invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        detail = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(err.invalid(f"{path}.searches", searches, detail))
    for i, search in enumerate(searches):
        trimmed = search.removesuffix(".")
        errors += named(trimmed.replace("_", "-"), f"{path}.searches[{i}]", names.dns1123_subdomain) if search != "." else []
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(err.required(f"{path}.options[{i}]", "must not be empty"))
    return errors


def _resource_claims(claims: Any, path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        at, name = f"{path}[{i}]", claim.get("name") or ""
        if not name:
            errors.append(err.required(f"{at}.name"))
        elif name in seen:
            errors.append(err.duplicate(f"{at}.name", name))
        else:
            errors += named(name, f"{at}.name", names.dns1123_label)
        seen.add(name)
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if direct is not None and template is not None:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(err.invalid(at, claim, detail))
        if direct is None and template is None:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(err.invalid(at, claim, detail))
        for field, value in (("resourceClaimName", direct), ("resourceClaimTemplateName", template)):
            if value is not None:
                errors += named(value, f"{at}.{field}", names.dns1123_subdomain)
    return errors


def template_metadata(template: Object, path: str) -> Errors:
    meta = template.get("metadata") or {}
    errors = label_problems(meta.get("labels"), f"{path}.labels")
    return errors + annotation_problems(meta.get("annotations"), f"{path}.annotations")


def pod_template(template: Object, path: str) -> Errors:
    spec = template.get("spec") or {}
    errors = template_metadata(template, path)
    errors += pod_spec(spec, f"{path}.spec", is_pod=False)
    if spec.get("ephemeralContainers"):
        errors.append(err.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return errors
