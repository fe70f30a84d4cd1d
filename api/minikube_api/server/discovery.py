"""What the server serves: aggregated (apidiscovery.k8s.io/v2) and legacy discovery, made from the Registry and kept until it changes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from minikube_api.resources.resource import Registry, Resource, Subresource
from minikube_api.server.context import Answer, Object
from minikube_api.server.negotiation import JSON, KNOWN, View, clauses, covers
from minikube_api.server.views import encoded

_AGGREGATED = "APIGroupDiscoveryList"
_AGGREGATED_GROUP = "apidiscovery.k8s.io"
#: kube-apiserver's group priorities (the APIService priorities of the local groups), highest first
_GROUP_ORDER = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)
#: groupPriorityMinimum of custom resources' APIServices
_CUSTOM_PRIORITY = 1000
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?$")


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sort key: GA before beta before alpha, higher numbers first, other names last in alphabetical order."""
    match = _VERSION.match(version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), version)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A group version that an aggregated API server serves: its resources in aggregated form, and the APIService's priority."""

    resources: list[Object]
    current: bool
    priority: int
    open_api: Object
    #: (digest, paths and definitions) of its OpenAPI v2 document, once it is known
    open_api_v2: tuple[str, Object] | None = None


class Discovery:
    """The documents of one Registry; rebuilt when its `version` has moved."""

    def __init__(self, registry: Registry, server_address: str = "") -> None:
        self._registry = registry
        self._address = server_address
        self._built = -1
        self._answers: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._groups: dict[str, dict[str, list[Resource]]] = {}
        #: group versions of aggregated API servers; whoever changes them also bumps the Registry's version
        self.elsewhere: Callable[[], Mapping[tuple[str, str], Elsewhere]] = dict
        self._elsewhere: Mapping[tuple[str, str], Elsewhere] = {}

    def built_in(self, group: str) -> bool:
        """Whether kube-apiserver has routes below the group: what is missing there is missing as a resource, elsewhere as a path."""
        self._refresh()
        return any(not resource.custom for resources in self._groups.get(group, {}).values() for resource in resources)

    @property
    def groups(self) -> Mapping[str, Mapping[str, list[Resource]]]:
        """group -> version -> resources, in priority order."""
        self._refresh()
        return self._groups

    def _refresh(self) -> None:
        if self._built == self._registry.version:
            return
        self._built = self._registry.version
        self._answers.clear()
        found: dict[str, dict[str, list[Resource]]] = {}
        for resource in self._registry:
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        self._elsewhere = self.elsewhere()
        priority: dict[str, int] = {}
        for (group, version), other in self._elsewhere.items():
            found.setdefault(group, {})[version] = []
            priority[group] = max(priority.get(group, 0), other.priority)
        place = {group: i for i, group in enumerate(_GROUP_ORDER)}
        names = sorted(found, key=lambda g: (place.get(g, len(place)), -priority.get(g, _CUSTOM_PRIORITY), g))
        self._groups = {
            name: {
                version: sorted(found[name][version], key=lambda r: r.plural)
                for version in sorted(found[name], key=version_priority)
            }
            for name in names
        }

    def answer(self, path: str, accept: str, if_none_match: str) -> Answer | None:
        """The answer of /api, /apis, /api/v1, /apis/G, /apis/G/V (no trailing slash), or None when nothing is served there."""
        self._refresh()
        parts = path.strip("/").split("/")
        media_type, form = _aggregated(accept) if len(parts) == 1 else ("", "")
        made = self._answers.get((path, form))
        if made is None:
            tree = self._document(parts, form)
            if tree is None:
                return None
            body = orjson.dumps(tree)
            made = self._answers[path, form] = (body, f'"{hashlib.sha512(body).hexdigest().upper()}"')
        body, etag = made
        if not form:
            return Answer(200, body, JSON, {"Vary": "Accept"})
        headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": "public"}
        if if_none_match == etag:
            return Answer(304, b"", "", headers)
        answer = encoded(200, body, View(media_type))
        answer.content_type = f"{media_type};g={_AGGREGATED_GROUP};v={form};as={_AGGREGATED}"
        answer.headers = headers
        return answer

    def _document(self, parts: list[str], form: str) -> Object | None:
        root, rest = parts[0], parts[1:]
        if form:
            return self._aggregate([""] if root == "api" else [g for g in self._groups if g], form)
        if root == "api":
            if not rest:
                return self._core_versions()
            return self._resources("", rest[0]) if len(rest) == 1 else None
        if not rest:
            groups = [self._group(g) for g in self._groups if g]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        if rest[0] not in self._groups or not rest[0]:
            return None
        if len(rest) == 1:
            return {"kind": "APIGroup", "apiVersion": "v1", **self._group(rest[0])}
        return self._resources(rest[0], rest[1]) if len(rest) == 2 else None

    def _core_versions(self) -> Object:
        cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}]
        return {"kind": "APIVersions", "versions": list(self._groups.get("", ())), "serverAddressByClientCIDRs": cidrs}

    def _group(self, group: str) -> Object:
        versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in self._groups[group]]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> Object | None:
        resources = self._groups.get(group, {}).get(version)
        if resources is None:
            return None
        entries: list[Object] = []
        for resource in resources:
            entries.append(_legacy(resource))
            entries += [_legacy_subresource(resource, resource.subresources[name]) for name in sorted(resource.subresources)]
        head: Object = {"kind": "APIResourceList"}
        if group:
            head["apiVersion"] = "v1"
        head["groupVersion"] = f"{group}/{version}" if group else version
        head["resources"] = entries
        return head

    def _aggregate(self, groups: list[str], form: str) -> Object:
        items = []
        for group in groups:
            versions = [self._aggregated_version(group, v, resources) for v, resources in self._groups.get(group, {}).items()]
            meta: Object = {"name": group} if group else {}
            items.append({"metadata": meta, "versions": versions})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{form}",
            "metadata": {},
            "items": items,
        }

    def _aggregated_version(self, group: str, version: str, resources: list[Resource]) -> Object:
        other = self._elsewhere.get((group, version))
        if other is None:
            shown: list[Object] = [_aggregated_resource(r) for r in resources]
            return {"version": version, "resources": shown, "freshness": "Current"}
        listed = {"resources": other.resources} if other.resources else {}
        return {"version": version, **listed, "freshness": "Current" if other.current else "Stale"}


def _aggregated(accept: str) -> tuple[str, str]:
    """The media type and the apidiscovery.k8s.io version of the first aggregated form that an Accept header takes, if any.

    As kube-apiserver has it, one such form anywhere in the header goes before all others (discoveryEndpointRestrictions).
    """
    if _AGGREGATED not in accept:
        return "", ""
    for media_range, params in clauses(accept):
        version = params.get("v", "")
        if params.get("as") != _AGGREGATED or params.get("g") != _AGGREGATED_GROUP or version not in ("v2", "v2beta1"):
            continue
        if params.get("sv") or params.get("stream"):
            continue
        for known in KNOWN:
            if covers(media_range, known):
                return known, version
    return "", ""


def _legacy(resource: Resource) -> Object:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        entry["storageVersionHash"] = storage_hash(resource)
    return entry


def storage_hash(resource: Resource) -> str:
    """Eight bytes of SHA-256 of the stored group/version/kind, as kube-apiserver's StorageVersionHash."""
    group, version = resource.storage_version
    digest = hashlib.sha256(f"{group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _legacy_subresource(resource: Resource, sub: Subresource) -> Object:
    entry: Object = {"name": f"{resource.plural}/{sub.name}", "singularName": "", "namespaced": resource.namespaced}
    if (sub.group, sub.version) != (resource.group, resource.version):
        if sub.group:
            entry["group"] = sub.group
        entry["version"] = sub.version
    entry["kind"] = sub.kind
    entry["verbs"] = sorted(sub.verbs)
    return entry


def _aggregated_resource(resource: Resource) -> Object:
    entry: Object = {
        "resource": resource.plural,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    subresources: list[dict[str, Any]] = []
    for name in sorted(resource.subresources):
        sub = resource.subresources[name]
        same = (sub.group, sub.version) == (resource.group, resource.version)
        kind = {"group": "" if same else sub.group, "version": "" if same else sub.version, "kind": sub.kind}
        subresources.append({"subresource": name, "responseKind": kind, "verbs": sorted(sub.verbs)})
    if subresources:
        entry["subresources"] = subresources
    return entry
