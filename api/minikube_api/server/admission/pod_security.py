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
            created = attributes.operation == "CREATE" and not attributes.subresource
            if created or (attributes.operation == "UPDATE" and attributes.subresource == "ephemeralcontainers"):
                await self._pod(attributes, obj)
        elif kind in _TEMPLATES and not attributes.subresource:
            template = obj
            for field in _TEMPLATES[kind]:
                template = template.get(field) or {}
            if template.get("spec"):
                await self._warn(attributes, template["spec"])

    async def _labels(self, namespace: str) -> dict[str, str]:
        found = await self._lister.get("", "namespaces", "", namespace)
        return ((found or {}).get("metadata") or {}).get("labels") or {}

    async def _pod(self, attributes: AdmissionAttributes, pod: Object) -> None:
        labels = await self._labels(attributes.namespace)
        enforced = level_of(labels, "enforce")
        found = findings(enforced.name, pod["spec"])
        attributes.audit_annotations["pod-security.kubernetes.io/enforce-policy"] = str(enforced)
        if found:
            raise forbidden(attributes, f'violates PodSecurity "{enforced}": {told(found)}')
        audited = level_of(labels, "audit", enforced)
        noted = findings(audited.name, pod["spec"])
        if noted:
            attributes.audit_annotations["pod-security.kubernetes.io/audit-violations"] = (
                f'would violate PodSecurity "{audited}": {told(noted)}'
            )
        await self._warn(attributes, pod["spec"])

    async def _warn(self, attributes: AdmissionAttributes, spec: Object) -> None:
        labels = await self._labels(attributes.namespace)
        level = level_of(labels, "warn", level_of(labels, "enforce"))
        found = findings(level.name, spec)
        if found:
            _add(attributes.warnings, f'would violate PodSecurity "{level}": {told(found)}')

    async def _namespace(self, attributes: AdmissionAttributes, namespace: Object) -> None:
        labels = namespace["metadata"].get("labels") or {}
        old_labels = ((attributes.old or {}).get("metadata") or {}).get("labels") or {}
        problems = label_problems(labels)
        if problems and (attributes.operation == "CREATE" or problems != label_problems(old_labels)):
            raise Invalid.object("", "Namespace", namespace["metadata"].get("name", ""), problems)
        if attributes.operation != "UPDATE":
            return
        level, old = level_of(labels, "enforce"), level_of(old_labels, "enforce")
        if level == old or LEVELS.index(level.name) < LEVELS.index(old.name) or level.name == "privileged":
            return
        name = namespace["metadata"].get("name", "")
        lines = await self._existing(name, level)
        if lines:
            first = f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{level}"'
            for line in (first, *lines):
                _add(attributes.warnings, line)

    async def _existing(self, namespace: str, level: Level) -> list[str]:
        """A line for each kind of violation, naming the first pod that has it."""
        by_reasons: dict[str, list[str]] = {}
        for pod in (await self._lister.list("", "pods", namespace))[:_PODS_CHECKED]:
            found = findings(level.name, pod["spec"])
            if found:
                by_reasons.setdefault(", ".join(reason for reason, _ in found), []).append(pod["metadata"]["name"])
        lines = []
        for reasons, pods in by_reasons.items():
            others = len(pods) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            lines.append(f"{min(pods)}{more}: {reasons}")
        return sorted(lines)


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
