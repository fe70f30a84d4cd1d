"""Validation of a whole pod spec and of pod templates (ValidatePodSpec, ValidatePodTemplateSpec)."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names, pod_resources, quantities
from minikube_api.resources.checks import MAX_INT32, Errors, ip, named, one_of
from minikube_api.resources.objectmeta import annotation_problems, label_problems, qualified_problems
from minikube_api.resources.pods import containers, operating_systems, placement, resources, security, volumes

Object = dict[str, Any]

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MAX_HOSTNAME = 64
PREEMPTION = ("PreemptLowerPriority", "Never")


def pod_spec(spec: Object, path: str, *, is_pod: bool, name: str = "") -> Errors:
    """ValidatePodSpec; `name` is that of a Pod, which claims made for it begin with."""
    valid, errors = volumes.volumes(spec.get("volumes"), f"{path}.volumes", volumes.Owner(is_pod, name))
    claims = spec.get("resourceClaims") or ()
    scope = containers.PodScope(
        volumes=valid,
        claims=frozenset(c.get("name") or "" for c in claims),
        grace=spec.get("terminationGracePeriodSeconds") or 0,
        restart_policy=spec.get("restartPolicy") or "",
        is_pod=is_pod,
        host_users=spec.get("hostUsers") is not False,
    )
    if claims:
        errors += _resource_claims(claims, f"{path}.resourceClaims", name)
    errors += containers.containers(spec.get("containers"), scope, f"{path}.containers")
    if spec.get("initContainers"):
        errors += containers.init_containers(spec["initContainers"], spec.get("containers"), scope, f"{path}.initContainers")
    if spec.get("ephemeralContainers"):
        errors += containers.ephemeral_containers(spec["ephemeralContainers"], spec, scope, f"{path}.ephemeralContainers")
    if spec.get("resources"):
        errors += _pod_resources(spec, path)
    errors += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", _RESTART)
    errors += one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy", _DNS)
    if spec.get("nodeSelector"):
        errors += label_problems(spec["nodeSelector"], f"{path}.nodeSelector")
    errors += security.pod(spec, path, is_pod=is_pod)
    errors += operating_systems.host_process(spec, path)
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
        for j, hostname in enumerate(alias.get("hostnames") or ()):
            errors += named(hostname, f"{path}.hostAliases[{i}].hostnames[{j}]", names.dns1123_subdomain)
    if spec.get("preemptionPolicy") is not None:
        errors += one_of(spec["preemptionPolicy"], f"{path}.preemptionPolicy", PREEMPTION)
    if spec.get("overhead"):
        errors += resources.requirements({"limits": spec["overhead"]}, f"{path}.overhead")
    if spec.get("os") is not None:
        errors += operating_systems.os(spec, path)
    if spec.get("hostnameOverride") is not None:
        errors += _hostname_override(spec, path)
    return errors


def _hostname_override(spec: Object, path: str) -> Errors:
    """KEP-4762."""
    value, at = spec["hostnameOverride"], f"{path}.hostnameOverride"
    errors = named(value, at, names.dns1123_subdomain)
    if len(value) > MAX_HOSTNAME:
        errors.append(err.invalid(at, value, names.max_length_message(MAX_HOSTNAME)))
    if spec.get("setHostnameAsFQDN"):
        errors.append(err.forbidden(f"{path}.setHostnameAsFQDN", "may not be set when hostnameOverride is set"))
    if spec.get("hostNetwork"):
        errors.append(err.forbidden(at, "may not be set when hostNetwork is true"))
    return errors


def _pod_resources(spec: Object, path: str) -> Errors:
    """Pod-level resources (KEP-2837): cpu, memory and huge pages only, no claims, and no container asks for more."""
    tree, at = spec["resources"], f"{path}.resources"
    errors: Errors = []
    if tree.get("claims") is not None:
        errors.append(err.forbidden(f"{at}.claims", "claims cannot be set for Resources at pod-level"))
    known: dict[str, Object] = {"limits": {}, "requests": {}}
    for kind, good in known.items():
        for name, value in (tree.get(kind) or {}).items():
            if name in ("cpu", "memory") or name.startswith("hugepages-"):
                good[name] = value
            else:
                errors.append(err.not_supported(f"{at}.{kind}[{name}]", name, ("cpu", "hugepages-", "memory")))
    errors += resources.requirements(known, at)
    return errors + _containers_within(spec, path)


def _containers_within(spec: Object, path: str) -> Errors:
    errors: Errors = []
    tree = spec["resources"]
    asked = pod_resources.pod_total({k: v for k, v in spec.items() if k != "overhead"}, "requests")
    for name, value in sorted((tree.get("requests") or {}).items()):
        if name in asked and asked[name] > quantities.of(value):
            detail = f"must be greater than or equal to aggregate container requests of {asked[name]}"
            errors.append(err.invalid(f"{path}.resources.requests[{name}]", str(quantities.of(value)), detail))
    limits = tree.get("limits") or {}
    for i, one in enumerate(spec.get("containers") or ()):
        for name, value in ((one.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantities.of(value) > quantities.of(limits[name]):
                detail = f"must be less than or equal to pod limits of {quantities.of(limits[name])}"
                errors.append(err.invalid(f"{path}.containers[{i}].resources.limits[{name}]", str(quantities.of(value)), detail))
    return errors


def _dns(config: Object | None, policy: str | None, path: str) -> Errors:
    errors: Errors = []
    config = config or {}
    servers, searches = config.get("nameservers") or (), config.get("searches") or ()
    if policy == "None":
        if not config:
            return [err.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [err.required(f"{path}.nameservers", detail)]
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
        if search != ".":
            errors += named(search.removesuffix("."), f"{path}.searches[{i}]", names.dns1123_subdomain_with_underscores)
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(err.required(f"{path}.options[{i}]", "must not be empty"))
    return errors


def _resource_claims(claims: Any, path: str, pod: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        at, name = f"{path}[{i}]", claim.get("name") or ""
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if not name:
            errors.append(err.required(f"{at}.name"))
        elif name in seen:
            errors.append(err.duplicate(f"{at}.name", name))
        else:
            problems = named(name, f"{at}.name", names.dns1123_label)
            if not problems and pod and template is not None:
                made = f"{pod}-{name}"
                problems = [
                    err.invalid(f"{at}.name", made, f"final ResourceClaim name: {m}") for m in names.dns1123_subdomain(made)
                ]
            errors += problems
            seen.add(name)
        shown = {"Name": name, "ResourceClaimName": direct, "ResourceClaimTemplateName": template}
        if direct is not None and template is not None:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(err.invalid(at, shown, detail))
        if direct is None and template is None:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(err.invalid(at, shown, detail))
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
