"""Warnings about pod specs that are valid but not what was meant (pkg/api/pod/warnings.go)."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import quantities

Object = dict[str, Any]

_OLD_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
}


def pod(obj: Object, old: Object | None) -> list[str]:
    return template(obj.get("metadata") or {}, obj.get("spec") or {}, "metadata", "spec")


def pod_template(tree: Object | None, old: Object | None, path: str) -> list[str]:
    """Warnings of a changed template; `path` is that of the template (`spec.template`)."""
    tree = tree or {}
    if old is not None and tree.get("spec") == old.get("spec") and tree.get("metadata") == old.get("metadata"):
        return []
    return template(tree.get("metadata") or {}, tree.get("spec") or {}, f"{path}.metadata", f"{path}.spec")


def template(meta: Object, spec: Object, meta_path: str, path: str) -> list[str]:
    selector = spec.get("nodeSelector") or {}
    found = [f"{path}.nodeSelector[{key}]: {_OLD_NODE_LABELS[key]}" for key in selector if key in _OLD_NODE_LABELS]
    if spec.get("affinity"):
        found += _affinity(spec["affinity"], f"{path}.affinity")
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at = f"{path}.topologySpreadConstraints[{i}]"
        if constraint.get("topologyKey") in _OLD_NODE_LABELS:
            key = constraint["topologyKey"]
            found.append(f"{at}.topologyKey: {key} is {_OLD_NODE_LABELS[key]}")
        if constraint.get("labelSelector") is None:
            found.append(f"{at}.labelSelector: a null labelSelector results in matching no pod")
    for key in meta.get("annotations") or ():
        if key in _OLD_ANNOTATIONS:
            found.append(f"{meta_path}.annotations[{key}]: {_OLD_ANNOTATIONS[key]}")
    found += _volumes(spec, path)
    found += _hosts_and_secrets(spec, path)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for i, one in enumerate(spec.get(kind) or ()):
            found += _container(one, f"{path}.{kind}[{i}]")
    found += _ports(spec, path)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        found.append(f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _affinity(affinity: Object, path: str) -> list[str]:
    found = []
    terms = ((affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get(
        "nodeSelectorTerms"
    )
    at = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    for i, term in enumerate(terms or ()):
        for j, one in enumerate(term.get("matchExpressions") or ()):
            if one.get("key") in _OLD_NODE_LABELS:
                found.append(f"{at}[{i}].matchExpressions[{j}].key: {one['key']} is {_OLD_NODE_LABELS[one['key']]}")
    for kind in ("podAffinity", "podAntiAffinity"):
        for rule in ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"):
            for i, term in enumerate((affinity.get(kind) or {}).get(rule) or ()):
                inner = term.get("podAffinityTerm", term)
                where = f"{path}.{kind}.{rule}[{i}]" + (".podAffinityTerm" if inner is not term else "")
                if inner.get("labelSelector") is None:
                    found.append(f"{where}.labelSelector: a null labelSelector results in matching no pod")
    return found


_OLD_VOLUMES = {
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def _volumes(spec: Object, path: str) -> list[str]:
    found = []
    for i, one in enumerate(spec.get("volumes") or ()):
        for kind, text in _OLD_VOLUMES.items():
            if one.get(kind) is not None:
                found.append(f"{path}.volumes[{i}].{kind}: {text}")
    return found


def _hosts_and_secrets(spec: Object, path: str) -> list[str]:
    found = []
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            found.append(f'{path}.imagePullSecrets[{i}].name: invalid empty name ""')
    seen: set[str] = set()
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        ip = alias.get("ip", "")
        if ip in seen:
            found.append(f'{path}.hostAliases[{i}].ip: duplicate ip "{ip}"')
        seen.add(ip)
    return found


def _container(one: Object, path: str) -> list[str]:
    found = []
    for kind in ("limits", "requests"):
        for name in (one.get("resources") or {}).get(kind) or ():
            value = one["resources"][kind][name]
            quantity = quantities.of(value)
            if name in ("memory", "ephemeral-storage") and quantity.nanos % quantities.NANO:
                found.append(f'{path}.resources.{kind}[{name}]: fractional byte value "{value}" is invalid, must be an integer')
    names: set[str] = set()
    for i, variable in enumerate(one.get("env") or ()):
        name = variable.get("name", "")
        # a value that mentions the earlier one is meant
        if name in names and f"$({name})" not in (variable.get("value") or ""):
            found.append(f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply')
        names.add(name)
    return found


def _ports(spec: Object, path: str) -> list[str]:
    """Two ports of one pod with the same number and protocol, in one container or in two."""
    found = []
    seen: dict[tuple[Any, ...], str] = {}
    for kind in ("containers",):
        for i, one in enumerate(spec.get(kind) or ()):
            for j, port in enumerate(one.get("ports") or ()):
                key = (port.get("containerPort"), port.get("protocol"), port.get("hostPort"), port.get("hostIP"))
                at = f"{path}.{kind}[{i}].ports[{j}]"
                if key in seen:
                    found.append(f"{at}: duplicate port definition with {seen[key]}")
                else:
                    seen[key] = at
    return found
