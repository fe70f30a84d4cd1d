"""What resources the server has, by aggregated discovery (KEP-3352); by the older documents where the server lacks it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from minikube_api.client.paths import resource_path
from minikube_api.client.raw import RawClient
from minikube_api.meta.errors import StatusError

_ACCEPT: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class ServedResource:
    """One served resource (no subresources)."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "") -> str:
        return resource_path(self.group, self.version, self.plural, namespace=namespace if self.namespaced else "", name=name)


@dataclass(frozen=True, slots=True)
class Discovered:
    """All resources in the server's order of preference, and the groups that could not be asked (`GROUP/VERSION: why`)."""

    resources: tuple[ServedResource, ...]
    failures: tuple[str, ...] = ()

    def preferred(self, verbs: Iterable[str]) -> list[ServedResource]:
        """Each (group, plural) once, in its preferred version that has all the verbs."""
        needed = set(verbs)
        chosen: dict[tuple[str, str], ServedResource] = {}
        for resource in self.resources:
            if needed <= resource.verbs:
                chosen.setdefault((resource.group, resource.plural), resource)
        return list(chosen.values())

    def by_kind(self, api_version: str, kind: str) -> ServedResource | None:
        return next((r for r in self.resources if r.kind == kind and r.api_version == api_version), None)


async def discover(raw: RawClient) -> Discovered:
    resources: list[ServedResource] = []
    failures: list[str] = []
    for path in ("/api", "/apis"):
        document = await raw.get(path, accept=_ACCEPT)
        if document.get("kind") == "APIGroupDiscoveryList":
            _aggregated(document, resources, failures)
        else:
            await _legacy(raw, path, document, resources, failures)
    return Discovered(tuple(resources), tuple(failures))


def _aggregated(document: dict[str, Any], resources: list[ServedResource], failures: list[str]) -> None:
    for group in document.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                failures.append(f"{name}/{version['version']}: stale GroupVersion discovery: {name}/{version['version']}")
            for resource in version.get("resources") or ():
                kind = resource.get("responseKind") or {}
                resources.append(
                    ServedResource(
                        name,
                        version["version"],
                        resource["resource"],
                        kind.get("kind", ""),
                        resource.get("scope") == "Namespaced",
                        frozenset(resource.get("verbs") or ()),
                    )
                )


async def _legacy(
    raw: RawClient, path: str, document: dict[str, Any], resources: list[ServedResource], failures: list[str]
) -> None:
    group_versions: list[str]
    if path == "/api":
        group_versions = list(document.get("versions") or ())
    else:
        group_versions = []
        for group in document.get("groups") or ():
            preferred = (group.get("preferredVersion") or {}).get("groupVersion")
            listed = [v["groupVersion"] for v in group.get("versions") or ()]
            group_versions += sorted(listed, key=lambda gv, first=preferred: gv != first)
    for group_version in group_versions:
        try:
            listing = await raw.get(f"{path}/{group_version}")
        except StatusError as error:
            failures.append(f"{group_version}: {error}")
            continue
        group, _, version = group_version.rpartition("/")
        resources.extend(
            ServedResource(group, version, r["name"], r["kind"], bool(r["namespaced"]), frozenset(r.get("verbs") or ()))
            for r in listing.get("resources") or ()
            if "/" not in r["name"]
        )
