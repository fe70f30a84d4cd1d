"""PodSecurity: a namespace's labels say which Pod Security Standard its pods must meet (enforce), and which is warned about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from minikube_api.meta import field_errors
from minikube_api.meta.errors import FieldError, Invalid
from minikube_api.server.admission.pod_security_checks import Finding, findings
from minikube_api.server.admission.reading import Lister, Plugin, forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_VERSION = re.compile(r"latest|v1\.(0|[1-9][0-9]*)")
_TEMPLATES = {
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
#: of pods that are looked at; the others change nothing of what counts
_POD_SUBRESOURCES = frozenset({"", "ephemeralcontainers", "resize"})
_PROFILE_ANNOTATIONS = ("container.apparmor.security.beta.kubernetes.io/", "seccomp.security.alpha.kubernetes.io/")
#: existing pods looked at when a namespace's level rises
_PODS_CHECKED = 3000


@dataclass(frozen=True, slots=True)
class Level:
    name: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class PodSecurity(Plugin):
    name = "PodSecurity"

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def validate(self, attributes: AdmissionAttributes) -> None:
        resource, obj = attributes.resource, attributes.obj
        if obj is None:
            return
        kind = (resource.group, resource.plural)
        if kind == ("", "namespaces"):
            if not attributes.subresource:
                await self._namespace(attributes, obj)
        elif kind == ("", "pods"):
            if attributes.subresource in _POD_SUBRESOURCES and is_significant(obj, attributes.old):
                self._pod(attributes, obj, await self._labels(attributes.namespace))
        elif kind in _TEMPLATES and not attributes.subresource:
            template = obj
            for field in _TEMPLATES[kind]:
                template = template.get(field) or {}
            if template.get("spec"):
                self._look(attributes, template, await self._labels(attributes.namespace))

    async def _labels(self, namespace: str) -> dict[str, str]:
        found = await self._lister.get("", "namespaces", "", namespace)
        return ((found or {}).get("metadata") or {}).get("labels") or {}

    def _pod(self, attributes: AdmissionAttributes, pod: Object, labels: dict[str, str]) -> None:
        enforced = level_of(labels, "enforce")
        found = findings(enforced.name, enforced.version, pod)
        attributes.audit_annotations[f"{PREFIX}enforce-policy"] = str(enforced)
        self._look(attributes, pod, labels, warn=not found)
        if found:
            raise forbidden(attributes, f'violates PodSecurity "{enforced}": {told(found)}')

    def _look(self, attributes: AdmissionAttributes, pod: Object, labels: dict[str, str], *, warn: bool = True) -> None:
        """Audit and warn. `pod` may be the template of a workload."""
        if not any(key.startswith(PREFIX) for key in labels):
            return
        enforced = level_of(labels, "enforce")
        audited = level_of(labels, "audit", enforced)
        if noted := findings(audited.name, audited.version, pod):
            attributes.audit_annotations[f"{PREFIX}audit-violations"] = f'would violate PodSecurity "{audited}": {told(noted)}'
        warned = level_of(labels, "warn", enforced)
        if warn and (found := findings(warned.name, warned.version, pod)):
            _add(attributes.warnings, f'would violate PodSecurity "{warned}": {told(found)}')

    async def _namespace(self, attributes: AdmissionAttributes, namespace: Object) -> None:
        labels = namespace["metadata"].get("labels") or {}
        old_labels = ((attributes.old or {}).get("metadata") or {}).get("labels") or {}
        problems = label_problems(labels)
        if problems and (attributes.operation == "CREATE" or problems != label_problems(old_labels)):
            raise Invalid.object("", "Namespace", namespace["metadata"].get("name", ""), problems)
        if attributes.operation != "UPDATE":
            return
        level, old = level_of(labels, "enforce"), level_of(old_labels, "enforce")
        if level == old or level.name == "privileged":
            return
        if level.version == old.version and LEVELS.index(level.name) <= LEVELS.index(old.name):
            return
        name = namespace["metadata"].get("name", "")
        for line in await self._existing(name, level):
            _add(attributes.warnings, line)

    async def _existing(self, namespace: str, level: Level) -> list[str]:
        """What there is to warn of: a line for each kind of violation, naming the first pod that has it."""
        by_reasons: dict[str, list[str]] = {}
        pods = await self._lister.list("", "pods", namespace)
        for pod in pods[:_PODS_CHECKED]:
            found = findings(level.name, level.version, pod)
            if found:
                by_reasons.setdefault(", ".join(reason for reason, _ in found), []).append(pod["metadata"]["name"])
        lines = []
        for reasons, names in by_reasons.items():
            others = len(names) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            lines.append(f"{min(names)}{more}: {reasons}")
        lines.sort()
        if lines:
            lines.insert(0, f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}"')
        if len(pods) > _PODS_CHECKED:
            only = f"new PodSecurity enforce level only checked against the first {_PODS_CHECKED} of {len(pods)} existing pods"
            lines.insert(0, only)
        return lines


def is_significant(pod: Object, old: Object | None) -> bool:
    """Whether an update could change the verdict: of what it may change at all, these are containers and their images."""
    if old is None:
        return True
    return any(_images(pod, kind) != _images(old, kind) for kind in ("containers", "initContainers", "ephemeralContainers")) or (
        _profiles(pod) != _profiles(old)
    )


def _images(pod: Object, kind: str) -> list[str]:
    return [container.get("image", "") for container in pod["spec"].get(kind) or ()]


def _profiles(pod: Object) -> dict[str, str]:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    return {key: value for key, value in annotations.items() if key.startswith(_PROFILE_ANNOTATIONS)}


def told(found: list[Finding]) -> str:
    return ", ".join(f"{reason} ({detail})" if detail else reason for reason, detail in found)


def level_of(labels: dict[str, str], mode: str, default: Level = Level()) -> Level:
    """What the labels ask for; unreadable labels fall to the strictest, as the reference implementation does."""
    name = labels.get(PREFIX + mode)
    if name is None:
        return default
    if name not in LEVELS:
        name = "restricted"
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    return Level(name, version if _VERSION.fullmatch(version) else "latest")


def label_problems(labels: dict[str, str]) -> list[FieldError]:
    problems = []
    for mode in ("enforce", "audit", "warn"):
        key = PREFIX + mode
        if key in labels and labels[key] not in LEVELS:
            why = f"must be one of {', '.join(LEVELS)}"
            problems.append(field_errors.invalid(f"metadata.labels[{key}]", labels[key], why))
        key += "-version"
        if key in labels and not _VERSION.fullmatch(labels[key]):
            problems.append(field_errors.invalid(f"metadata.labels[{key}]", labels[key], 'must be "latest" or "v1.x"'))
    return problems


def _add(warnings: list[str], text: str) -> None:
    if text not in warnings:
        warnings.append(text)
