"""Warnings about pod specs that are valid but not what was meant (pkg/api/pod/warnings.go)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minikube_api.meta import names, quantities
from minikube_api.resources.addresses import ip_warnings
from minikube_api.resources.pods import app_armor, overlapping_paths

Object = dict[str, Any]

_OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_OLD_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": _OLD_SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _OLD_SYSCTLS,
}
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_RULES = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution")
_NO_POD = "a null labelSelector results in matching no pod"


def pod(obj: Object) -> list[str]:
    """Of a new pod."""
    meta = obj.get("metadata") or {}
    found = []
    if problems := names.dns1123_label(meta.get("name") or ""):
        listed = " ".join(problems)
        found.append(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{listed}]"
        )
    # annotations of AppArmor are warned of when they are copied to the fields
    return found + template(meta, obj.get("spec") or {}, "metadata", "spec", is_pod=True)


def pod_template(tree: Object | None, old: Object | None, path: str) -> list[str]:
    """Warnings of a changed template; `path` is that of the template (`spec.template`)."""
    tree = tree or {}
    if old is not None and tree.get("spec") == old.get("spec") and tree.get("metadata") == old.get("metadata"):
        return []
    return template(tree.get("metadata") or {}, tree.get("spec") or {}, f"{path}.metadata", f"{path}.spec")


def template(meta: Object, spec: Object, meta_path: str, path: str, *, is_pod: bool = False) -> list[str]:
    annotations = meta.get("annotations") or {}
    found = _node_labels(spec, path)
    found += [f"{meta_path}.annotations[{key}]: {text}" for key, text in _OLD_ANNOTATIONS.items() if key in annotations]
    found += _volumes(spec, path)
    found += _hosts_and_secrets(spec, path)
    found += _fractions(spec.get("overhead"), f"{path}.overhead")
    if _SECCOMP_POD in annotations and not (spec.get("securityContext") or {}).get("seccompProfile"):
        found.append(f"{meta_path}.annotations[{_SECCOMP_POD}]: {_SECCOMP}")
    for one, at in _containers(spec, path):
        found += _profiles(one, spec, annotations, f"{meta_path}.annotations", is_pod=is_pod) + _container(one, at)
    found += _ports(spec, path)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        found.append(f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
    return found + _pod_affinity(spec.get("affinity") or {}, f"{path}.affinity") + _addresses(spec, path)


def _containers(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, one in enumerate(spec.get(kind) or ()):
            yield one, f"{path}.{kind}[{i}]"


def _node_labels(spec: Object, path: str) -> list[str]:
    selector = spec.get("nodeSelector") or {}
    found = [f"{path}.nodeSelector[{key}]: {_OLD_NODE_LABELS[key]}" for key in selector if key in _OLD_NODE_LABELS]
    affinity, at = (spec.get("affinity") or {}).get("nodeAffinity") or {}, f"{path}.affinity.nodeAffinity"
    for i, term in enumerate((affinity.get(_RULES[0]) or {}).get("nodeSelectorTerms") or ()):
        found += _node_term(term, f"{at}.{_RULES[0]}.nodeSelectorTerms[{i}]")
    for i, weighted in enumerate(affinity.get(_RULES[1]) or ()):
        found += _node_term(weighted.get("preference") or {}, f"{at}.{_RULES[1]}[{i}].preference")
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{i}]", constraint.get("topologyKey")
        if key in _OLD_NODE_LABELS:
            found.append(f"{at}.topologyKey: {key} is {_OLD_NODE_LABELS[key]}")
        if constraint.get("labelSelector") is None:
            found.append(f"{at}.labelSelector: {_NO_POD}")
    return found


def _node_term(term: Object, path: str) -> list[str]:
    return [
        f"{path}.matchExpressions[{i}].key: {one['key']} is {_OLD_NODE_LABELS[one['key']]}"
        for i, one in enumerate(term.get("matchExpressions") or ())
        if one.get("key") in _OLD_NODE_LABELS
    ]


def _pod_affinity(affinity: Object, path: str) -> list[str]:
    found = []
    for kind in ("podAffinity", "podAntiAffinity"):
        for rule in _RULES:
            for i, term in enumerate((affinity.get(kind) or {}).get(rule) or ()):
                weighted = rule == _RULES[1]
                inner = term.get("podAffinityTerm") or {} if weighted else term
                at = f"{path}.{kind}.{rule}[{i}]" + (".podAffinityTerm" if weighted else "")
                if inner.get("labelSelector") is None:
                    found.append(f"{at}.labelSelector: {_NO_POD}")
    return found


def _volumes(spec: Object, path: str) -> list[str]:
    found = []
    volumes = spec.get("volumes") or ()
    for i, one in enumerate(volumes):
        at = f"{path}.volumes[{i}]"
        found += [f"{at}.{kind}: {text}" for kind, text in _OLD_VOLUMES.items() if one.get(kind) is not None]
        claim = ((one.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec")
        asked = (claim or {}).get("resources") or {}
        for field in ("requests", "limits"):
            listed = asked.get(field)
            found += _fractions(listed, f"{at}.ephemeral.volumeClaimTemplate.spec.resources.{field}", "storage")
    return found + overlapping_paths.warnings(volumes)


def _hosts_and_secrets(spec: Object, path: str) -> list[str]:
    found = []
    for field, key, word in (("hostAliases", "ip", "ip"), ("imagePullSecrets", "name", "name")):
        seen: set[str] = set()
        for i, one in enumerate(spec.get(field) or ()):
            value = one.get(key) or ""
            if value in seen:
                found.append(f'{path}.{field}[{i}].{key}: duplicate {word} "{value}"')
            seen.add(value)
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            found.append(f'{path}.imagePullSecrets[{i}].name: invalid empty name ""')
    return found


def _fractions(listed: Object | None, path: str, *resources: str) -> list[str]:
    found = []
    for name in resources or ("memory", "ephemeral-storage"):
        value = (listed or {}).get(name)
        if value is not None and quantities.of(value).nanos % quantities.NANO:
            text = f'fractional byte value "{quantities.of(value)}" is invalid, must be an integer'
            found.append(f"{path}[{name}]: {text}")
    return found


def _profiles(one: Object, spec: Object, annotations: Object, path: str, *, is_pod: bool) -> list[str]:
    """Annotations that the fields of a security context replaced."""
    if not annotations:
        return []
    found, own = [], one.get("securityContext") or {}
    key = f"{_SECCOMP_CONTAINER}{one.get('name', '')}"
    if key in annotations and own.get("seccompProfile") is None:
        found.append(f"{path}[{key}]: {_SECCOMP}")
    key = f"{app_armor.PREFIX}{one.get('name', '')}"
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    if not is_pod and key in annotations and own.get("appArmorProfile") is None and of_pod is None:
        found.append(f'{path}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead')
    return found


def _container(one: Object, path: str) -> list[str]:
    found = []
    for kind in ("limits", "requests"):
        found += _fractions((one.get("resources") or {}).get(kind), f"{path}.resources.{kind}")
    seen: set[str] = set()
    for i, variable in enumerate(one.get("env") or ()):
        name, value = variable.get("name") or "", variable.get("value") or ""
        # a value that mentions the earlier one is meant
        if name in seen and (variable.get("valueFrom") is not None or value == f"$({name})" or f"$({name})" not in value):
            found.append(f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply')
        seen.add(name)
    return found


def _ports(spec: Object, path: str) -> list[str]:
    """Ports of one number and protocol in one pod: equal, overlapping, or not to be told apart."""
    found = []
    seen: dict[tuple[Any, Any], list[tuple[str, Any, Any]]] = {}
    for one, where in _containers(spec, path):
        for j, port in enumerate(one.get("ports") or ()):
            at, host, ip = f"{where}.ports[{j}]", port.get("hostPort") or 0, port.get("hostIP") or ""
            if ip and not host:
                shown = (
                    f"{{Name:{port.get('name') or ''} HostPort:0 ContainerPort:{port.get('containerPort') or 0} "
                    f"Protocol:{port.get('protocol') or ''} HostIP:{ip}}}"
                )
                found.append(f"{at}: hostIP set without hostPort: {shown}")
            others = seen.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other, other_host, other_ip in others:
                if ip == other_ip and host == other_host:
                    found.append(f"{at}: duplicate port definition with {other}")
                elif not host or not other_host:
                    found.append(f"{at}: overlapping port definition with {other}")
                elif host == other_host and bool(ip) != bool(other_ip):
                    found.append(f"{at}: dangerously ambiguous port definition with {other}")
            others.append((at, host, ip))
    return found + _port_names(spec, path)


def _port_names(spec: Object, path: str) -> list[str]:
    """Names of ports that containers share: whoever looks a port up by its name finds the first."""
    found = []
    seen: dict[str, str] = {}
    sidecars = ((f"{path}.initContainers[{i}]", c) for i, c in enumerate(spec.get("initContainers") or ()))
    regular = ((f"{path}.containers[{i}]", c) for i, c in enumerate(spec.get("containers") or ()))
    for where, one in (*((w, c) for w, c in sidecars if c.get("restartPolicy") == "Always"), *regular):
        for j, port in enumerate(one.get("ports") or ()):
            name, at = port.get("name"), f"{where}.ports[{j}].name"
            if name and name in seen:
                first = seen[name]
                why = f"services and probes that select ports by name will use {first}"
                found.append(f'{at}: duplicate port name "{name}" with {first}, {why}')
            elif name:
                seen[name] = at
    return found


def _addresses(spec: Object, path: str) -> list[str]:
    found = []
    for i, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        found += ip_warnings(server, f"{path}.dnsConfig.nameservers[{i}]")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        found += ip_warnings(alias.get("ip") or "", f"{path}.hostAliases[{i}].ip")
    return found
